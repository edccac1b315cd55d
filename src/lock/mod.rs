//! Locks with leases and fencing tokens, on one host or in a cluster of etcd: one enum, two arms, the same
//! behaviour. It prints nothing, and reads no configuration.
//!
//! What a lock promises, and what it cannot: a holder that is paused longer than its lease still believes that it
//! holds. Its command is stopped before the lease ends; a resource that remembers the highest token it has seen can
//! refuse it even then. See [`Grant::token`].

mod error;
mod etcd;
mod fence;
mod handle;
mod hook;
pub mod keeper;
mod kept;
mod local;
mod name;
mod queue;
pub mod run;

use std::os::fd::BorrowedFd;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Boot;
use crate::store;

pub use error::Error;
pub use fence::{Answer, FenceError, pass};
pub use handle::{Handle, HandleError};
pub use hook::on_change;
pub use kept::Kept;
pub use name::{LONGEST, Name, NameError};
pub use queue::{Ahead, Member, Mode, Owner, Queue, holders};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The lock.
    pub name: Name,
    /// With how many others.
    pub mode: Mode,
    /// How long the lease runs without renewal. A store may grant more, never less.
    pub ttl: Duration,
    /// How long to wait for those before us.
    pub patience: Patience,
    /// Shown to others.
    pub owner: Owner,
    /// What keeps the lock.
    pub tie: Tie,
}

/// How long to wait for a lock that others hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Not at all, and without a trace: a busy lock costs one read and no write.
    Try,
    /// That long.
    For(Duration),
    /// As long as it takes.
    Forever,
}

/// What keeps a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    /// This process. The local store's kernel locks need no lease then; in etcd, [`Held::keep`] renews one.
    Process,
    /// A lease alone: the process may end, and another one renews it or gives it back by the handle.
    Lease,
}

/// A lock that was got.
#[derive(Clone, Debug)]
pub struct Grant {
    /// How to give it back. [`Handle::token`] is the fencing token: it strictly increases over all acquisitions of
    /// the name, so that a resource can refuse whoever comes with a lower one than it has seen.
    pub handle: Handle,
    /// What was granted, which can be more than what was asked; none for [`Tie::Process`] in the local store,
    /// which lasts as long as the process.
    pub lease: Option<Lease>,
    /// How long it took.
    pub waited: Duration,
}

impl Grant {
    /// The fencing token.
    pub fn token(&self) -> u64 {
        self.handle.token
    }
}

/// The time of a lock: it surely is ours until the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// As granted.
    pub ttl: Duration,
    /// When the last acknowledged renewal was sent, plus the TTL. The store's own end is never earlier.
    pub deadline: Boot,
}

/// How an earlier token stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds the lock.
    Holds,
    /// It does not hold the lock any more; nobody else has got it since, as far as the store knows.
    Ended,
    /// A newer one exists.
    Newer(u64),
}

/// The locks of one store.
pub enum Locks {
    /// Of this host.
    Local(local::Locks),
    /// Of a cluster of etcd.
    Etcd(etcd::Locks),
}

impl Locks {
    /// Opens no connection and creates no directory yet. `prefix`: put before every name in etcd; a name without one
    /// is shared with etcd's own clients.
    ///
    /// # Errors
    /// Certificates that cannot be read; a directory on a network file system.
    pub fn open(settings: &store::Settings, prefix: &str) -> Result<Locks, Error> {
        match settings {
            store::Settings::Local(settings) => Ok(Locks::Local(local::Locks::open(settings)?)),
            store::Settings::Etcd(settings) => Ok(Locks::Etcd(etcd::Locks::open(settings, prefix)?)),
        }
    }

    /// `local` or `etcd`.
    pub fn kind(&self) -> &'static str {
        match self {
            Locks::Local(_) => "local",
            Locks::Etcd(_) => "etcd",
        }
    }

    /// Gets the lock, or leaves no trace. While it waits, `ahead` is told of its place.
    ///
    /// # Errors
    /// [`Error::Busy`] when the patience is over, [`Error::Interrupted`] by `cancel`, [`Error::Conflict`] with a name
    /// above or below, and what the store has to say.
    pub async fn acquire(
        &self,
        wanted: &Wanted,
        ahead: &watch::Sender<Ahead>,
        cancel: &CancellationToken,
    ) -> Result<Held, Error> {
        match self {
            Locks::Local(locks) => Ok(Held::Local(locks.acquire(wanted, ahead, cancel).await?)),
            Locks::Etcd(locks) => Ok(Held::Etcd(locks.acquire(wanted, ahead, cancel).await?)),
        }
    }

    /// Lets the lease of a [`Tie::Lease`] run anew.
    ///
    /// # Errors
    /// [`Error::Lost`] when it has ended, [`Error::OtherStore`] when the handle is not of this store.
    pub async fn renew(&self, handle: &Handle) -> Result<Lease, Error> {
        match self {
            Locks::Local(locks) => locks.renew(handle).await,
            Locks::Etcd(locks) => locks.renew(handle).await,
        }
    }

    /// Gives the lock back.
    ///
    /// # Errors
    /// As [`Locks::renew`].
    pub async fn release(&self, handle: &Handle) -> Result<(), Error> {
        match self {
            Locks::Local(locks) => locks.release(handle).await,
            Locks::Etcd(locks) => locks.release(handle).await,
        }
    }

    /// Who holds and who waits. Changes nothing.
    ///
    /// # Errors
    /// What the store has to say; a name that nobody holds is an empty queue.
    pub async fn status(&self, name: &Name) -> Result<Queue, Error> {
        match self {
            Locks::Local(locks) => locks.status(name).await,
            Locks::Etcd(locks) => locks.status(name).await,
        }
    }

    /// The names of all locks that somebody holds or waits for, sorted. In etcd: of all keys that have the form of
    /// a lock.
    ///
    /// # Errors
    /// What the store has to say.
    pub async fn names(&self) -> Result<Vec<Name>, Error> {
        match self {
            Locks::Local(locks) => locks.names().await,
            Locks::Etcd(locks) => locks.names().await,
        }
    }

    /// Sends the queue whenever its holders are others than before, and at the start; until `cancel`.
    ///
    /// # Errors
    /// What the store has to say, after trying again for as long as one lease runs.
    pub async fn watch(
        &self,
        name: &Name,
        changes: &tokio::sync::mpsc::Sender<Queue>,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        match self {
            Locks::Local(locks) => locks.watch(name, changes, cancel).await,
            Locks::Etcd(locks) => locks.watch(name, changes, cancel).await,
        }
    }

    /// Takes the lock away from its holders, at once; returns who they were. Their commands are stopped as soon as
    /// they notice, and until then only the token tells them apart from the next holder.
    ///
    /// # Errors
    /// What the store has to say.
    pub async fn take_away(&self, name: &Name) -> Result<Vec<Member>, Error> {
        match self {
            Locks::Local(locks) => locks.take_away(name).await,
            Locks::Etcd(locks) => locks.take_away(name).await,
        }
    }

    /// How a token stands.
    ///
    /// # Errors
    /// What the store has to say.
    pub async fn standing(&self, name: &Name, token: u64) -> Result<Standing, Error> {
        match self {
            Locks::Local(locks) => locks.standing(name, token).await,
            Locks::Etcd(locks) => locks.standing(name, token).await,
        }
    }
}

/// A lock in the hands of this process.
pub enum Held {
    /// Of this host.
    Local(local::Held),
    /// Of a cluster of etcd.
    Etcd(etcd::Held),
}

impl Held {
    /// What was got.
    pub fn grant(&self) -> &Grant {
        match self {
            Held::Local(held) => held.grant(),
            Held::Etcd(held) => held.grant(),
        }
    }

    /// Renews the lease and publishes each new one, and notices when the lock is taken away; until `stop`. It goes on
    /// trying when the store does not answer: whoever listens has to act before the deadline.
    ///
    /// # Errors
    /// [`Error::Lost`]: the store says that it is ours no more.
    pub async fn keep(
        &self,
        lease: &watch::Sender<Option<Lease>>,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        match self {
            Held::Local(held) => held.keep(lease, stop).await,
            Held::Etcd(held) => held.keep(lease, stop).await,
        }
    }

    /// The open file that keeps the lock in the local store: who inherits it keeps the lock, too.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Held::Local(held) => held.descriptor(),
            Held::Etcd(_) => None,
        }
    }

    /// Gives it back.
    ///
    /// # Errors
    /// [`Error::Lost`] when it was not ours any more; what the store has to say.
    pub async fn release(self) -> Result<(), Error> {
        match self {
            Held::Local(held) => held.release().await,
            Held::Etcd(held) => held.release().await,
        }
    }

    /// Leaves a [`Tie::Lease`] to whoever has the handle.
    pub fn leave(self) -> Grant {
        self.grant().clone()
    }
}
