//! The way to a lock: straight in, or through the queue.
//!
//! A waiter sleeps on the file of the one before it, which the kernel unlocks when that one gets the lock, gives up
//! or dies; so each change wakes one process, however long the queue is. The first in the queue sleeps on the
//! holders.
//!
//! A process that is stopped (Ctrl-Z) does none of this. So each waiter also looks now and then, the more rarely the
//! further back it is, whether the lock stays free although somebody before it could have it: then it goes ahead.
//! Whoever was overtaken keeps its place, and goes on from there when it is continued.

use std::fs;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::{Ahead, Error, Grant, Handle, Lease, Mode, Patience, Tie, Wanted};
use super::entry::{self, Entry, Found, Life, Terms};
use super::folder::{Folder, admits};
use super::held::Held;
use super::ledger::{Ledger, last_token};
use super::vigil::Vigil;
use crate::clock::{self, Boot};
use crate::store;
use crate::store::local::{Access, Directory, Guard, Kind, failed, locked};

/// Whoever is admitted takes the lock in microseconds; after so long for each one who is ahead, they are stopped.
const STALLED: Duration = Duration::from_secs(5);

/// One attempt.
pub struct Attempt<'a> {
    folder: Folder,
    access: &'a Access,
    store: String,
    wanted: &'a Wanted,
    entry: Entry,
    begun: Boot,
}

/// How it begins.
pub enum Begun {
    /// It got the lock.
    Held(Held),
    /// It is in the queue, after this one.
    Waits(Waiter, Option<Found>),
}

impl<'a> Attempt<'a> {
    pub fn new(store: &'a Directory, wanted: &'a Wanted) -> Result<Attempt<'a>, Error> {
        let begun = Boot::now();
        let folder = Folder::of(store, &wanted.name)?;
        let lease = match wanted.tie {
            Tie::Process => None,
            Tie::Lease => Some(Terms { ttl_ms: whole_millis(wanted.ttl) }),
        };
        let entry = Entry::new(wanted.mode, wanted.owner.clone(), lease, folder.boot);
        let access = store.prepare()?;
        Ok(Attempt { folder, access, store: format!("local-{}", store.id()?), wanted, entry, begun })
    }

    /// Gets the lock if nobody is in the way, or a place in the queue.
    pub async fn begin(&self) -> Result<Begun, Error> {
        let mut guard = self.folder.guard_or_create(self.access).await?;
        let patient = !matches!(self.wanted.patience, Patience::Try | Patience::For(Duration::ZERO));
        let (holders, last) = self.look(patient)?;
        let free = last.is_none() && admits(&holders, self.wanted.mode);
        if free {
            if !patient {
                self.look(true)?;
            }
            let ledger = &mut self.ledger(&mut guard)?;
            let number = ledger.token()?;
            return Ok(Begun::Held(self.admit(number, number, true)?));
        }
        if !patient {
            return Err(self.busy(&holders, u64::MAX)?);
        }
        let waiter = self.queue(self.ledger(&mut guard)?.ticket()?)?;
        self.folder.refuse_conflict()?;
        Ok(Begun::Waits(waiter, last))
    }

    /// Who holds, and who is the last to wait.
    fn look(&self, sweep: bool) -> Result<(Vec<Found>, Option<Found>), store::Error> {
        Ok((self.folder.live_holders(sweep)?, self.folder.last_waiter(u64::MAX, sweep)?))
    }

    fn ledger(&self, guard: &mut Guard) -> Result<Ledger, store::Error> {
        Ledger::open(&self.folder.path, guard, self.access, self.folder.boot)
    }

    fn queue(&self, ticket: u64) -> Result<Waiter, store::Error> {
        let path = self.folder.waiters().join(ticket.to_string());
        let file = self.folder.place(&path, self.access, &self.entry, None)?;
        Ok(Waiter { ticket, path, file })
    }

    /// Makes a holder of it. Needs the guard, and that the rule admits it.
    fn admit(&self, ticket: u64, token: u64, ask_others: bool) -> Result<Held, Error> {
        let path = self.folder.holders().join(ticket.to_string());
        let lease = self.entry.lease.map(|terms| {
            let deadline = Boot::from_millis((Boot::now() + terms.ttl()).as_millis());
            Lease { ttl: terms.ttl(), deadline }
        });
        let entry = self.entry.admitted(token);
        let file = self.folder.place(&path, self.access, &entry, lease.map(|lease| lease.deadline))?;
        if ask_others && let Err(refused) = self.folder.refuse_conflict() {
            let _ = fs::remove_file(&path);
            return Err(refused);
        }
        let handle = Handle {
            store: self.store.clone(),
            name: self.wanted.name.clone(),
            token,
            id: ticket.to_string(),
        };
        let grant = Grant { handle, lease, waited: Boot::now() - self.begun };
        Ok(Held::new(self.folder.clone(), grant, file))
    }

    fn busy(&self, holders: &[Found], before: u64) -> Result<Error, store::Error> {
        Ok(Error::Busy {
            name: self.wanted.name.clone(),
            holders: holders.iter().map(Found::member).collect(),
            waiters: self.folder.count_waiters(before)?,
            waited: Boot::now() - self.begun,
        })
    }

    /// Waits for as long as it may.
    pub async fn wait(
        &self,
        waiter: Waiter,
        last: Option<Found>,
        ahead: &watch::Sender<Ahead>,
        cancel: &CancellationToken,
    ) -> Result<Held, Error> {
        let ticket = waiter.ticket;
        let admitted = async {
            match self.until_first(&waiter, last, ahead).await? {
                Some(overtaking) => Ok(overtaking),
                None => self.until_admitted(&waiter, ahead).await,
            }
        };
        tokio::select! {
            biased;
            held = admitted => held,
            () = cancel.cancelled() => Err(Error::Interrupted),
            over = self.patience() => {
                over?;
                Err(self.busy(&self.folder.live_holders(false)?, ticket)?)
            }
        }
    }

    async fn patience(&self) -> Result<(), store::Error> {
        match self.wanted.patience {
            Patience::For(span) => clock::sleep_until(self.begun + span)
                .await
                .map_err(|e| store::Error::new("cannot have a timer of the kernel").because(e)),
            Patience::Try | Patience::Forever => std::future::pending().await,
        }
    }

    /// Until nobody is before it in the queue, or it got the lock because they are all stopped.
    async fn until_first(
        &self,
        waiter: &Waiter,
        mut last: Option<Found>,
        ahead: &watch::Sender<Ahead>,
    ) -> Result<Option<Held>, Error> {
        let ticket = waiter.ticket;
        while let Some(before) = last {
            let waiters = self.folder.count_waiters(ticket)?;
            publish(ahead, &self.folder.live_holders(false)?, waiters);
            let Life::Process(file) = before.life else { break };
            let refused = |e| failed("wait for", &before.path, e);
            let gone = locked(file, Kind::Shared).map_err(refused)?;
            let gone = tokio::select! {
                biased;
                gone = gone => gone,
                held = self.until_stalled(waiter) => return held.map(Some),
            };
            let Ok(file) = gone else { break };
            let file = file.map_err(refused)?;
            let _guard = self.guard().await?;
            if entry::was_admitted(&file) {
                break;
            }
            last = self.folder.last_waiter(ticket, true)?;
        }
        Ok(None)
    }

    /// Until the lock stayed free for too long; then it has it. No mark is left for the next waiter, who is not the
    /// first one now.
    async fn until_stalled(&self, waiter: &Waiter) -> Result<Held, Error> {
        // Since when it is free, and the last token at that time: another one was somebody's turn.
        let mut free: Option<(Boot, Option<u64>)> = None;
        loop {
            let ahead = self.folder.count_waiters(waiter.ticket)?.max(1);
            let patience = STALLED.saturating_mul(u32::try_from(ahead).unwrap_or(u32::MAX));
            tokio::time::sleep(patience).await;
            let token = last_token(&self.folder.path)?;
            free = match free {
                _ if !self.is_left_free(waiter.ticket)? => None,
                Some((since, then)) if then == token => Some((since, then)),
                _ => Some((Boot::now(), token)),
            };
            if free.is_none_or(|(since, _)| Boot::now() - since < patience) {
                continue;
            }
            let mut guard = self.guard().await?;
            if last_token(&self.folder.path)? == token && self.is_left_free(waiter.ticket)? {
                let number = self.ledger(&mut guard)?.token()?;
                let held = self.admit(waiter.ticket, number, false)?;
                waiter.leave();
                return Ok(held);
            }
        }
    }

    /// Whether the first in the queue and this one might both have the lock now.
    pub fn is_left_free(&self, ticket: u64) -> Result<bool, store::Error> {
        let holders = self.folder.live_holders(false)?;
        let first = self.folder.look_at_waiters()?.into_iter().find(Found::is_alive);
        Ok(admits(&holders, self.wanted.mode)
            && first.is_some_and(|first| first.ticket < ticket && admits(&holders, first.entry.mode)))
    }

    /// As the first in the queue, until the holders let it in.
    async fn until_admitted(&self, waiter: &Waiter, ahead: &watch::Sender<Ahead>) -> Result<Held, Error> {
        let mut vigil = Vigil::with_bell(&self.folder);
        loop {
            let mut guard = self.guard().await?;
            let holders = self.folder.live_holders(true)?;
            if admits(&holders, self.wanted.mode) {
                let token = self.ledger(&mut guard)?.token()?;
                let held = self.admit(waiter.ticket, token, false)?;
                // Without the mark the next one has to look through the queue, and that is all.
                let _ = entry::mark_admitted(&waiter.file);
                waiter.leave();
                return Ok(held);
            }
            drop(guard);
            publish(ahead, &holders, 0);
            // All of them have to go before one that wants the lock alone: the first will do.
            let enough = if self.wanted.mode == Mode::Exclusive { 1 } else { usize::MAX };
            vigil.watch(holders, enough)?;
            vigil.event().await?;
        }
    }

    async fn guard(&self) -> Result<Guard, Error> {
        match self.folder.guard().await? {
            Some(guard) => Ok(guard),
            None => {
                let what = format!("{} was removed while somebody waited there", self.folder.path.display());
                Err(store::Error::new(what).into())
            }
        }
    }
}

fn publish(ahead: &watch::Sender<Ahead>, holders: &[Found], waiters: usize) {
    ahead.send_replace(Ahead { holders: holders.iter().map(Found::member).collect(), waiters });
}

fn whole_millis(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// A place in the queue; given up when it is dropped.
pub struct Waiter {
    ticket: u64,
    path: PathBuf,
    file: File,
}

impl Waiter {
    fn leave(&self) {
        let _ = fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        // Twice does no harm: no ticket comes again.
        self.leave();
    }
}
