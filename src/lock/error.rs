//! How an attempt at a lock can end without it.

use std::time::Duration;

use super::{Handle, Member, Name};
use crate::store;

/// Why there is no lock, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Others held it until the patience was over.
    #[error("{name} is held by others")]
    Busy {
        /// The lock.
        name: Name,
        /// Who holds it.
        holders: Vec<Member>,
        /// How many waited before us when we gave up.
        waiters: usize,
        /// How long we waited.
        waited: Duration,
    },
    /// It was ours, and is not any more.
    #[error("{name} is not held with token {token} any more: {why}")]
    Lost {
        /// The lock.
        name: Name,
        /// The token that it had.
        token: u64,
        /// What happened, as far as one knows.
        why: String,
    },
    /// It waited, and its place in the queue was taken away, or ended with its lease.
    #[error("the place in the queue of {name} is gone: its lease ended, or it was taken away")]
    Displaced {
        /// The lock.
        name: Name,
    },
    /// A name above or below is in use: in etcd, `foo` owns all keys below `foo/`, so that the two would block each
    /// other.
    #[error("{name} and {other} cannot both be locks: {other} is in use, and one name lies below the other")]
    Conflict {
        /// What was asked for.
        name: Name,
        /// What is in use.
        other: String,
    },
    /// A handle for another store than this one.
    #[error("the handle of {} is of the store {}, and this is {here}", handle.name, handle.store)]
    OtherStore {
        /// The handle.
        handle: Handle,
        /// This store.
        here: String,
    },
    /// The caller asked for the end.
    #[error("interrupted")]
    Interrupted,
    /// The store does not know, or does not say.
    #[error(transparent)]
    Store(#[from] store::Error),
}
