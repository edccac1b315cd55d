//! One attempt at a lock: takes a place in the queue, waits for those before it, and turns the place into the lock.
//! It never gives up by itself; whoever drops it midway ends the lease.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch as cell;

use super::entry::{Line, Note, Place};
use super::pulse::Pulse;
use super::txn;
use crate::lock::{Ahead, Error, Mode, Wanted};
use crate::store::etcd::{Change, Effort, Ended, Etcd, Failure, Read, TxnRead, Watched};

/// Between two openings of a watch that ends at once; it doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Measured: with it one place in four has to be taken again, without it every other one.
const HEAD_START: Duration = Duration::from_micros(100);

/// What is known of our place.
pub(super) enum Position {
    /// At the front.
    First(Got),
    /// Not known: the answer in which it was said got lost, or the cluster has forgotten what happened.
    Unknown,
    /// The last one before us, when the store was at that revision; `only`: there was no other.
    Behind { before: String, only: bool, revision: i64 },
    /// Let in beside others, which is still to be said.
    Beside,
    /// All before us, for a lock that can be shared.
    Among { before: Line, revision: i64 },
}

pub(super) struct Ticket<'a> {
    pub(super) store: &'a Etcd,
    pub(super) place: &'a Place,
    pub(super) wanted: &'a Wanted,
    pub(super) ahead: &'a cell::Sender<Ahead>,
    /// For all calls before there is a lease to measure by.
    pub(super) effort: Effort,
    pub(super) lease: i64,
    pub(super) key: String,
    /// Whether anything was written that has to go again.
    pub(super) begun: AtomicBool,
    /// Whether the lease was asked for, and no answer has come: it may still be made.
    pub(super) unanswered: AtomicBool,
}

/// A place in the queue.
pub(super) struct Queued {
    pub(super) pulse: Pulse,
    pub(super) created: i64,
}

/// A lock that was got.
pub(super) struct Got {
    pub(super) token: u64,
    pub(super) cluster: u64,
}

impl Got {
    /// With the revision of the answer in which it became ours.
    fn now(done: &TxnRead) -> Got {
        Got { token: done.revision.unsigned_abs(), cluster: done.cluster }
    }
}

impl Ticket<'_> {
    /// Makes the lease and takes the place, both at once: the order in which they are carried out is left to luck, and
    /// a place that came before its lease is taken again.
    pub(super) async fn enqueue(&self) -> Result<(Queued, Position), Error> {
        let (granted, queued) = tokio::join!(self.grant(), async {
            head_start().await;
            self.put_place().await
        });
        let pulse = granted?;
        let done = match queued {
            Err(Failure::NoLease) => self.put_place().await,
            other => other,
        };
        let done = done.map_err(store)?;
        let created =
            done.reads.first().and_then(|own| own.keys.first()).map_or(0, |own| own.create_revision());
        let position = self.position(&done, created)?;
        Ok((Queued { pulse, created }, position))
    }

    pub(super) async fn grant(&self) -> Result<Pulse, Error> {
        self.begun.store(true, Ordering::Relaxed);
        self.unanswered.store(true, Ordering::Relaxed);
        let granted = self.store.grant(self.lease, self.wanted.ttl, self.effort).await;
        self.unanswered.store(matches!(granted, Err(Failure::Unreachable(_))), Ordering::Relaxed);
        Ok(Pulse::new(self.lease, granted.map_err(store)?))
    }

    async fn put_place(&self) -> Result<TxnRead, Failure> {
        let notes = [false, true].map(|waiting| Note::text(self.wanted, waiting));
        self.with_above(|above| {
            txn::enqueue(self.place, &self.key, &notes, self.lease, self.wanted.mode, above)
        })
        .await
    }

    /// Runs it; without the look at the names above when the user may not read them.
    pub(super) async fn with_above(
        &self,
        make: impl Fn(bool) -> crate::store::etcd::Txn,
    ) -> Result<TxnRead, Failure> {
        match self.store.txn(&self.place.range, &make(true), self.effort).await {
            Err(Failure::Denied(_)) if self.place.above().next().is_some() => {
                self.store.txn(&self.place.range, &make(false), self.effort).await
            }
            other => other,
        }
    }

    /// What the answer to the first transaction says.
    fn position(&self, done: &TxnRead, created: i64) -> Result<Position, Error> {
        let exclusive = self.wanted.mode == Mode::Exclusive;
        let [own, queue, rest @ ..] = done.reads.as_slice() else { return Ok(Position::Unknown) };
        let (newest, above) = if exclusive { rest.split_at(1.min(rest.len())) } else { (&[][..], rest) };
        self.no_lock_above(above)?;
        let mut line = self.line(queue)?;
        line.entries.retain(|entry| entry.created < created);
        // Written when nobody else was there: a lock from the first, whichever try it was.
        let token = own.keys.first().and_then(|own| self.place.entry(own)?.token());
        let first = token.map(|token| Position::First(Got { token, cluster: done.cluster }));
        if exclusive {
            let before = self.before(newest.first(), created)?;
            let Some(before) = before else { return Ok(first.unwrap_or(Position::Unknown)) };
            let holders = line.members();
            // Of a place that was taken at an earlier try, others can be behind.
            let others = usize::try_from(queue.count - 1).unwrap_or(usize::MAX);
            self.tell(Ahead { waiters: others.saturating_sub(holders.len()), holders });
            return Ok(Position::Behind { before, only: others == 1, revision: done.revision });
        }
        if line.admits(self.wanted.mode) {
            return Ok(first.unwrap_or(Position::Beside));
        }
        self.tell_line(&line);
        Ok(Position::Among { before: line, revision: done.revision })
    }

    pub(super) fn line(&self, read: &Read) -> Result<Line, Error> {
        let line = Line::read(self.place, &read.keys);
        match line.intruder {
            Some(other) => Err(self.conflict(other)),
            None => Ok(line),
        }
    }

    /// The key before ours.
    fn before(&self, newest: Option<&Read>, created: i64) -> Result<Option<String>, Error> {
        let mut keys = newest.iter().flat_map(|newest| &newest.keys);
        let Some(kv) = keys.find(|kv| kv.create_revision() < created) else { return Ok(None) };
        match self.place.entry(kv) {
            Some(entry) => Ok(Some(entry.key)),
            None => Err(self.conflict(self.place.intruder(kv).unwrap_or_default())),
        }
    }

    pub(super) fn no_lock_above(&self, reads: &[Read]) -> Result<(), Error> {
        for ((name, range), read) in self.place.above().zip(reads) {
            let prefix = range.as_bytes();
            let is_lock = |key: &[u8]| {
                let rest = key.strip_prefix(prefix).and_then(|rest| std::str::from_utf8(rest).ok());
                rest.is_some_and(super::entry::is_lease)
            };
            if read.keys.iter().any(|kv| kv.lease() != 0 && is_lock(kv.key())) {
                return Err(self.conflict(name.to_owned()));
            }
        }
        Ok(())
    }

    fn conflict(&self, other: String) -> Error {
        Error::Conflict { name: self.place.name.clone(), other }
    }

    fn tell(&self, ahead: Ahead) {
        self.ahead.send_if_modified(|known| {
            let new = *known != ahead;
            if new {
                *known = ahead;
            }
            new
        });
    }

    fn tell_line(&self, line: &Line) {
        let holders = line.members();
        self.tell(Ahead { waiters: line.entries.len() - holders.len(), holders });
    }

    /// Goes from one position to the next until the lock is ours.
    pub(super) async fn wait(&self, queued: &Queued, mut position: Position) -> Result<Got, Error> {
        loop {
            position = match position {
                Position::First(got) => return Ok(got),
                Position::Behind { before, only, revision } => {
                    let sure = self.until_gone(queued, &before, only, revision).await?;
                    self.claim(queued, sure).await?
                }
                Position::Among { before, revision } => {
                    if self.until_admitted(queued, before, revision).await? {
                        self.claim(queued, true).await?
                    } else {
                        Position::Unknown
                    }
                }
                Position::Beside => self.claim(queued, true).await?,
                Position::Unknown if self.wanted.mode == Mode::Exclusive => self.claim(queued, false).await?,
                Position::Unknown => self.read_again(queued).await?,
            }
        }
    }

    /// Looks again at all before us.
    async fn read_again(&self, queued: &Queued) -> Result<Position, Error> {
        let read =
            self.store.range(&self.place.range, &txn::queue(), queued.pulse.effort()).await.map_err(store)?;
        let mut line = self.line(&read)?;
        line.entries.retain(|entry| entry.created < queued.created);
        if line.admits(self.wanted.mode) {
            return self.claim(queued, true).await;
        }
        self.tell_line(&line);
        Ok(Position::Among { before: line, revision: read.revision })
    }

    /// `sure`: that we are next. Otherwise the cluster looks through all of the queue.
    async fn claim(&self, queued: &Queued, sure: bool) -> Result<Position, Error> {
        let note = Note::text(self.wanted, false);
        let claim = txn::claim(self.place, &self.key, &note, queued.created, self.wanted.mode, !sure);
        let done = self.store.txn(&self.place.range, &claim, queued.pulse.effort()).await.map_err(store)?;
        if done.succeeded {
            return Ok(Position::First(Got::now(&done)));
        }
        let own = done.reads.first().and_then(|own| own.keys.first());
        let own =
            own.filter(|own| own.create_revision() == queued.created).ok_or_else(|| self.displaced())?;
        if own.mod_revision() != queued.created {
            // An earlier try of this call had worked.
            let token = own.mod_revision().unsigned_abs();
            return Ok(Position::First(Got { token, cluster: done.cluster }));
        }
        let Some(before) = self.before(done.reads.get(2), queued.created)? else {
            return Ok(Position::Unknown);
        };
        if let Some(front) = done.reads.get(1) {
            let mut line = self.line(front)?;
            line.entries.retain(|entry| entry.created < queued.created);
            let holders = line.members();
            let known = self.ahead.borrow().waiters.saturating_sub(1);
            self.tell(Ahead { waiters: known.max(line.entries.len() - holders.len()), holders });
        }
        Ok(Position::Behind { before, only: false, revision: done.revision })
    }

    /// Watches the one before us, and ourselves; whether we surely are next, since it was the only one or had the lock
    /// for itself.
    async fn until_gone(
        &self,
        queued: &Queued,
        before: &str,
        only: bool,
        revision: i64,
    ) -> Result<bool, Error> {
        let keys = vec![before.to_owned(), self.key.clone()];
        let watched = Watched { keys, prefix: false, puts: false, before: true, from: revision + 1 };
        let mut sure = false;
        let seen = |deleted: &Change| {
            let was = deleted.before.as_ref().and_then(|kv| self.place.entry(kv));
            sure = only || was.is_some_and(|was| was.was_alone());
            deleted.key() == before
        };
        Ok(self.deletions(queued, &watched, seen).await? && sure)
    }

    /// Watches all of the queue, and counts who goes; false: the cluster has forgotten it.
    async fn until_admitted(&self, queued: &Queued, mut before: Line, revision: i64) -> Result<bool, Error> {
        let watched = Watched {
            keys: vec![self.place.range.clone()],
            prefix: true,
            puts: false,
            before: false,
            from: revision + 1,
        };
        self.deletions(queued, &watched, |deleted| {
            before.entries.retain(|entry| entry.key != deleted.key());
            self.tell_line(&before);
            before.admits(self.wanted.mode)
        })
        .await
    }

    /// Tells `seen` of every key that is deleted until it says that this is enough; through the loss of endpoints.
    /// False: the cluster has forgotten what was deleted meanwhile.
    async fn deletions(
        &self,
        queued: &Queued,
        watched: &Watched,
        mut seen: impl FnMut(&Change) -> bool,
    ) -> Result<bool, Error> {
        let mut pause = PAUSE;
        loop {
            let mut watch = self.store.watch(watched, queued.pulse.effort()).await.map_err(store)?;
            let ended = loop {
                let changes = match watch.next().await {
                    Ok(changes) => changes,
                    Err(ended) => break ended,
                };
                pause = PAUSE;
                let mut deleted = changes.iter().filter(|change| change.is_deletion());
                if deleted.clone().any(|change| change.key() == self.key) {
                    return Err(self.displaced());
                }
                if deleted.any(&mut seen) {
                    return Ok(true);
                }
            };
            match ended {
                Ended::Compacted => return Ok(false),
                Ended::Endpoint => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    pub(super) fn displaced(&self) -> Error {
        Error::Displaced { name: self.place.name.clone() }
    }
}

pub(super) fn store(failure: Failure) -> Error {
    Error::Store(failure.into())
}

/// Lets what was sent just now go out on its own: two calls that arrive together are carried out in either order, and
/// one of them may not come first. No timer is that short.
pub(super) async fn head_start() {
    let begin = Instant::now();
    while begin.elapsed() < HEAD_START {
        tokio::task::yield_now().await;
    }
}
