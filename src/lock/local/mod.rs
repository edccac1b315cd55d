//! The lock on one host: files in a directory, and kernel locks on them that end with their processes.
//!
//! Whoever changes anything holds the lock's guard, for microseconds. A fencing token comes from the `ledger`, an
//! `entry` is a holder or a waiter. No hand-over waits for a poll (only waiters behind one that is
//! stopped look now and then), and the wall clock decides nothing.

mod acquire;
mod entry;
mod folder;
mod held;
mod ledger;
mod look;
#[cfg(test)]
mod tests;
mod vigil;

use std::fs;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Ahead, Error, Handle, Lease, Member, Name, Queue, Standing, Wanted};
use crate::store::local::{Directory, Settings, failed};
use acquire::{Attempt, Begun};
use entry::Found;
use folder::Folder;
pub use held::Held;

/// The locks of the store.
pub struct Locks {
    store: Directory,
}

impl Locks {
    /// See [`super::Locks::open`].
    pub fn open(settings: &Settings) -> Result<Locks, Error> {
        Ok(Locks { store: Directory::open(settings)? })
    }

    fn folder(&self, name: &Name) -> Result<Folder, Error> {
        Folder::of(&self.store, name)
    }

    /// See [`super::Locks::acquire`].
    pub async fn acquire(
        &self,
        wanted: &Wanted,
        ahead: &watch::Sender<Ahead>,
        cancel: &CancellationToken,
    ) -> Result<Held, Error> {
        let attempt = Attempt::new(&self.store, wanted)?;
        let begun = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::Interrupted),
            begun = attempt.begin() => begun?,
        };
        match begun {
            Begun::Held(held) => Ok(held),
            Begun::Waits(waiter, last) => attempt.wait(waiter, last, ahead, cancel).await,
        }
    }

    /// See [`super::Locks::renew`].
    pub async fn renew(&self, handle: &Handle) -> Result<Lease, Error> {
        self.refuse_other(handle)?;
        held::renew(&self.folder(&handle.name)?, handle).await
    }

    /// See [`super::Locks::release`].
    pub async fn release(&self, handle: &Handle) -> Result<(), Error> {
        self.refuse_other(handle)?;
        held::release(&self.folder(&handle.name)?, handle).await
    }

    fn refuse_other(&self, handle: &Handle) -> Result<(), Error> {
        let here = format!("local-{}", self.store.id()?);
        if handle.store == here { Ok(()) } else { Err(Error::OtherStore { handle: handle.clone(), here }) }
    }

    /// See [`super::Locks::status`].
    pub async fn status(&self, name: &Name) -> Result<Queue, Error> {
        Ok(look::queue(&self.folder(name)?)?)
    }

    /// See [`super::Locks::names`].
    pub async fn names(&self) -> Result<Vec<Name>, Error> {
        Ok(look::names(&self.store)?)
    }

    /// See [`super::Locks::watch`].
    pub async fn watch(
        &self,
        name: &Name,
        changes: &mpsc::Sender<Queue>,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        let folder = self.folder(name)?;
        tokio::select! {
            ended = look::report_changes(&folder, changes) => Ok(ended?),
            () = cancel.cancelled() => Ok(()),
        }
    }

    /// See [`super::Locks::take_away`].
    pub async fn take_away(&self, name: &Name) -> Result<Vec<Member>, Error> {
        let folder = self.folder(name)?;
        let Some(_guard) = folder.guard().await? else { return Ok(Vec::new()) };
        let holders = folder.live_holders(true)?;
        for holder in &holders {
            fs::remove_file(&holder.path).map_err(|e| failed("remove", &holder.path, e))?;
        }
        // The first in the queue sleeps on files that their owners still keep open.
        folder.ring();
        Ok(holders.iter().map(Found::member).collect())
    }

    /// See [`super::Locks::standing`].
    pub async fn standing(&self, name: &Name, token: u64) -> Result<Standing, Error> {
        Ok(look::standing(&self.folder(name)?, token)?)
    }
}
