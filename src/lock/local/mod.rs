//! The lock on one host.

use std::os::fd::BorrowedFd;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Ahead, Error, Grant, Handle, Lease, Member, Name, Queue, Standing, Wanted};
use crate::store::{self, local};

/// The locks of the store.
pub struct Locks {}

fn missing() -> Error {
    let _ = Duration::ZERO;
    store::Error::new("not built yet").into()
}

impl Locks {
    pub fn open(_: &local::Settings) -> Result<Locks, Error> {
        Ok(Locks {})
    }

    pub async fn acquire(
        &self,
        _: &Wanted,
        _: &watch::Sender<Ahead>,
        _: &CancellationToken,
    ) -> Result<Held, Error> {
        Err(missing())
    }

    pub async fn renew(&self, _: &Handle) -> Result<Lease, Error> {
        Err(missing())
    }

    pub async fn release(&self, _: &Handle) -> Result<(), Error> {
        Err(missing())
    }

    pub async fn status(&self, _: &Name) -> Result<Queue, Error> {
        Err(missing())
    }

    pub async fn names(&self) -> Result<Vec<Name>, Error> {
        Err(missing())
    }

    pub async fn watch(&self, _: &Name, _: &mpsc::Sender<Queue>, _: &CancellationToken) -> Result<(), Error> {
        Err(missing())
    }

    pub async fn take_away(&self, _: &Name) -> Result<Vec<Member>, Error> {
        Err(missing())
    }

    pub async fn standing(&self, _: &Name, _: u64) -> Result<Standing, Error> {
        Err(missing())
    }
}

/// A lock in the hands of this process.
pub struct Held {
    grant: Grant,
}

impl Held {
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    pub async fn keep(&self, _: &watch::Sender<Option<Lease>>, _: &CancellationToken) -> Result<(), Error> {
        Err(missing())
    }

    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    pub async fn release(self) -> Result<(), Error> {
        Err(missing())
    }
}
