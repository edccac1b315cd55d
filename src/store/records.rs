//! Small records by name that many change at once: each change is a pure step from the record as it is to the record as
//! it shall be, and is made as a whole or not at all. Nothing is held between two changes.
//!
//! What the bytes mean is the matter of the rooms above.

use super::{Error, Settings, etcd, local};
use crate::clock::Boot;

/// What a step makes of a record.
#[derive(Debug)]
pub enum Step<T> {
    /// It stays as it is.
    Keep(T),
    /// It becomes this. No two steps may ever give the same bytes.
    Put {
        /// All of it.
        bytes: Vec<u8>,
        /// Whether what was there is damaged, and is to be kept beside it for whoever wants to know.
        aside: bool,
        /// Whether it matters so little that in a store of many it is tried once, whatever comes of it.
        once: bool,
        /// Whether it matters so much that on this host it is to be there after a loss of power, too.
        lasting: bool,
        /// For whoever asked.
        value: T,
    },
}

/// A record as it was when we last saw it: a change that follows is tried on that at once.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub(super) revision: i64,
    pub(super) bytes: Option<Vec<u8>>,
}

/// The records of one kind.
pub enum Records {
    /// A file each.
    Local(local::Records),
    /// A key each.
    Etcd(Box<etcd::Records>),
}

/// What tells that something may have changed.
pub enum Changes<'a> {
    /// In a directory.
    Local(local::Watch),
    /// Below a key.
    Etcd(Box<etcd::Following<'a>>),
}

impl Records {
    /// Creates nothing. `kind`: a word such as `breakers`; `prefix`: what a store of many begins its keys with.
    ///
    /// # Errors
    /// The directory or the certificates cannot be used.
    pub fn open(settings: &Settings, prefix: &str, kind: &'static str) -> Result<Records, Error> {
        Ok(match settings {
            Settings::Local(local) => Records::Local(local::Records::open(local, kind)?),
            Settings::Etcd(etcd) => Records::Etcd(Box::new(etcd::Records::open(etcd, prefix, kind)?)),
        })
    }

    /// `local` or `etcd`.
    pub fn kind(&self) -> &'static str {
        match self {
            Records::Local(_) => "local",
            Records::Etcd(_) => "etcd",
        }
    }

    /// The record; none if there is none.
    ///
    /// # Errors
    /// The store did not answer until then.
    pub async fn read(&self, name: &str, by: Boot) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Records::Local(local) => local.read(name),
            Records::Etcd(etcd) => etcd.read(name, by).await,
        }
    }

    /// Changes the record by `step`, which is called again whenever somebody else was faster.
    ///
    /// # Errors
    /// It was not changed until then, or nobody knows whether it was.
    pub async fn update<T>(
        &self,
        name: &str,
        known: Option<Known>,
        by: Boot,
        step: impl FnMut(Option<&[u8]>) -> Step<T>,
    ) -> Result<(T, Option<Known>), Error> {
        match self {
            Records::Local(local) => local.update(name, by, step).await.map(|value| (value, None)),
            Records::Etcd(etcd) => {
                etcd.update(name, known, by, step).await.map(|(value, known)| (value, Some(known)))
            }
        }
    }

    /// The names of all, in order.
    ///
    /// # Errors
    /// The store did not answer until then.
    pub async fn names(&self, by: Boot) -> Result<Vec<String>, Error> {
        match self {
            Records::Local(local) => local.names(),
            Records::Etcd(etcd) => etcd.names(by).await,
        }
    }

    /// Begins to notice changes, of one record or of all.
    ///
    /// # Errors
    /// The store did not answer until then.
    pub async fn changes(&self, name: Option<&str>, by: Boot) -> Result<Changes<'_>, Error> {
        Ok(match self {
            Records::Local(local) => Changes::Local(local.changes()?),
            Records::Etcd(etcd) => Changes::Etcd(Box::new(etcd.changes(name, by).await?)),
        })
    }
}

impl Changes<'_> {
    /// Until something may have changed: look, then wait again.
    pub async fn next(&mut self) {
        match self {
            Changes::Local(watch) => watch.event().await,
            Changes::Etcd(following) => following.next().await,
        }
    }
}
