//! From what is wanted to the lock, or to nothing: gives up when the patience is over or the caller asks for it, and
//! then takes back all that was written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::entry::{Line, Note, Place};
use super::held::Held;
use super::pulse::{Pulse, wait_until};
use super::ticket::{Got, Position, Queued, Ticket, head_start, store};
use super::txn;
use crate::clock::Boot;
use crate::lock::{Ahead, Error, Patience, Wanted};
use crate::store::etcd::{Effort, Etcd, Failure};

/// The store has that long for its first answers, also if the patience is shorter: to connect takes time, and before
/// nobody knows whether there is anything to wait for.
const FIRST_ANSWER: Duration = Duration::from_secs(1);
/// What is on its way is waited for that long, so that the end of the lease comes after its beginning. And of a store
/// that did not answer, no more is asked.
const GRACE: Duration = Duration::from_secs(1);
/// To take back what was written.
const TAKE_BACK: Duration = Duration::from_secs(2);

pub(super) async fn acquire(
    store: &Arc<Etcd>,
    place: Place,
    wanted: &Wanted,
    ahead: &watch::Sender<Ahead>,
    cancel: &CancellationToken,
) -> Result<Held, Error> {
    let began = Boot::now();
    let lease = fastrand::i64(1..=i64::MAX);
    let key = place.key(lease);
    let (begun, unanswered) = (AtomicBool::new(false), AtomicBool::new(false));
    let effort = match wanted.patience {
        Patience::For(patience) => Effort::by(began + patience.max(FIRST_ANSWER)),
        Patience::Try | Patience::Forever => Effort::ONCE,
    };
    let ticket = Ticket { store, place: &place, wanted, ahead, effort, lease, key, begun, unanswered };
    let got = match wanted.patience {
        Patience::Try => unless_cancelled(cancel, ticket.at_once()).await,
        Patience::For(patience) => ticket.in_turn(began, Some(began + patience), cancel).await,
        Patience::Forever => ticket.in_turn(began, None, cancel).await,
    };
    match got {
        Ok((pulse, got)) => Ok(Held::new(store.clone(), &place, pulse, &got, Boot::now() - began)),
        Err(error) => {
            if ticket.begun.load(Ordering::Relaxed) {
                // Where nobody has ever answered, there hardly is anything to take back.
                let silent = matches!(error, Error::Store(_)) || !store.has_answered();
                ticket.take_back(if silent { GRACE } else { TAKE_BACK }).await;
            }
            Err(error)
        }
    }
}

async fn unless_cancelled<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    if cancel.is_cancelled() {
        return Err(Error::Interrupted);
    }
    tokio::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = cancel.cancelled() => {}
    }
    let _ = tokio::time::timeout(GRACE, work).await;
    Err(Error::Interrupted)
}

impl Ticket<'_> {
    /// Behind all who came before.
    async fn in_turn(
        &self,
        began: Boot,
        end: Option<Boot>,
        cancel: &CancellationToken,
    ) -> Result<(Pulse, Got), Error> {
        let (queued, position) = unless_cancelled(cancel, self.enqueue()).await?;
        let patience = async {
            match end {
                Some(end) => wait_until(end).await,
                None => std::future::pending().await,
            }
        };
        let got = tokio::select! {
            biased;
            got = self.wait_on(&queued, position) => got?,
            () = cancel.cancelled() => return Err(Error::Interrupted),
            () = queued.pulse.beat(self.store, |_| {}) => return Err(self.displaced()),
            failure = queued.pulse.expired(self.store) => {
                return Err(failure.map_or_else(|| self.displaced(), store));
            }
            () = patience => return Err(self.busy(&queued, began).await),
        };
        Ok((queued.pulse, got))
    }

    /// Waits also past its deadline, after which no answer comes in time, when the lease lives: the process was
    /// stopped.
    async fn wait_on(&self, queued: &Queued, mut position: Position) -> Result<Got, Error> {
        loop {
            match self.wait(queued, position).await {
                Err(Error::Store(_)) if queued.pulse.lease().deadline <= Boot::now() => {
                    if !queued.pulse.lives(self.store).await.map_err(store)? {
                        return Err(self.displaced());
                    }
                    position = Position::Unknown;
                }
                other => return other,
            }
        }
    }

    /// Only if it is free; a lock that is not costs one read.
    async fn at_once(&self) -> Result<(Pulse, Got), Error> {
        let began = Boot::now();
        let look = self.with_above(|above| txn::look(self.place, &self.key, above)).await.map_err(store)?;
        let (mut reads, mut revision) = (look.reads, look.revision);
        let mut pulse = None;
        loop {
            let line = reads.get(1).map_or_else(|| Ok(Line::default()), |queue| self.line(queue))?;
            self.no_lock_above(reads.get(2..).unwrap_or_default())?;
            if !line.admits(self.wanted.mode) {
                let holders = line.members();
                return Err(self.busy_with(line.entries.len() - holders.len(), holders, began));
            }
            let done = match &pulse {
                Some(_) => self.put_if(revision).await,
                None => {
                    let (granted, done) = tokio::join!(self.grant(), async {
                        head_start().await;
                        self.put_if(revision).await
                    });
                    pulse = Some(granted?);
                    done
                }
            };
            let done = match done {
                Err(Failure::NoLease) => self.put_if(revision).await,
                other => other,
            };
            let done = done.map_err(store)?;
            // An earlier try of the same call had worked, if our key is there all the same.
            let own = done.reads.first().and_then(|own| own.keys.first());
            // The lease is taken out last: one for which there is no key yet goes on into the next try.
            if let Some(own) = own
                && let Some(pulse) = pulse.take()
            {
                self.no_lock_above(done.reads.get(2..).unwrap_or_default())?;
                let token = own.mod_revision().unsigned_abs();
                return Ok((pulse, Got { token, cluster: done.cluster }));
            }
            (reads, revision) = (done.reads, done.revision);
        }
    }

    async fn put_if(&self, revision: i64) -> Result<crate::store::etcd::TxnRead, Failure> {
        let note = Note::text(self.wanted, false);
        self.with_above(|above| txn::try_put(self.place, &self.key, &note, self.lease, revision, above)).await
    }

    async fn busy(&self, queued: &Queued, began: Boot) -> Error {
        let effort = Effort::by(Boot::now() + GRACE);
        match self.store.range(&self.place.range, &txn::queue(), effort).await {
            Ok(read) => {
                let mut line = Line::read(self.place, &read.keys);
                line.entries.retain(|entry| entry.created < queued.created);
                let holders = line.members();
                self.busy_with(line.entries.len() - holders.len(), holders, began)
            }
            Err(_) => {
                let Ahead { holders, waiters } = self.ahead.borrow().clone();
                self.busy_with(waiters, holders, began)
            }
        }
    }

    fn busy_with(&self, waiters: usize, holders: Vec<crate::lock::Member>, began: Boot) -> Error {
        Error::Busy { name: self.place.name.clone(), holders, waiters, waited: Boot::now() - began }
    }

    /// As well as it can be done in a short time; the rest is done by the end of the lease.
    async fn take_back(&self, within: Duration) {
        let end = Boot::now() + within;
        let found = self.store.revoke(self.lease, Effort::by(end)).await;
        // The lease can still be on its way.
        if matches!(found, Ok(false)) && self.unanswered.load(Ordering::Relaxed) {
            wait_until(end).await;
            let _ = self.store.revoke(self.lease, Effort::by(Boot::now() + GRACE)).await;
        }
    }
}
