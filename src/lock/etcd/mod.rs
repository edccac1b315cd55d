//! The lock in a cluster of etcd, on the same keys as etcd's own clients: whoever has the lowest create revision below
//! `NAME/` holds it. One lease per acquisition, chosen by us, so that it and the place in the queue are made at once.
//!
//! It prints nothing, and knows neither connections nor endpoints.

mod attempt;
mod entry;
mod held;
mod look;
mod pulse;
mod ticket;
mod txn;

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Ahead, Error, Handle, Lease, Member, Name, Queue, Standing, Wanted};
use crate::store::etcd::{Effort, Etcd, Settings};
use entry::Place;

pub use held::Held;

/// The locks of the store.
pub struct Locks {
    store: Arc<Etcd>,
    prefix: String,
}

impl Locks {
    pub fn open(settings: &Settings, prefix: &str) -> Result<Locks, Error> {
        Ok(Locks { store: Arc::new(Etcd::open(settings)?), prefix: prefix.to_owned() })
    }

    fn place(&self, name: &Name) -> Place {
        Place::new(&self.prefix, name)
    }

    pub async fn acquire(
        &self,
        wanted: &Wanted,
        ahead: &watch::Sender<Ahead>,
        cancel: &CancellationToken,
    ) -> Result<Held, Error> {
        attempt::acquire(&self.store, self.place(&wanted.name), wanted, ahead, cancel).await
    }

    pub async fn renew(&self, handle: &Handle) -> Result<Lease, Error> {
        let lease = self.lease_of(handle)?;
        let (alive, time, held) = tokio::join!(
            self.store.keep_alive(lease, Effort::ONCE),
            self.store.time_to_live(lease, Effort::ONCE),
            self.check(handle)
        );
        held?;
        match (alive.map_err(ticket::store)?, time.map_err(ticket::store)?) {
            (Some(sent), Some((ttl, _))) => Ok(Lease { ttl, deadline: sent + ttl }),
            _ => Err(gone(handle)),
        }
    }

    pub async fn release(&self, handle: &Handle) -> Result<(), Error> {
        let lease = self.lease_of(handle)?;
        // Another cluster could know another lease by the same number: first the key.
        self.check(handle).await?;
        let existed = self.store.revoke(lease, Effort::ONCE).await.map_err(ticket::store)?;
        if existed { Ok(()) } else { Err(gone(handle)) }
    }

    fn lease_of(&self, handle: &Handle) -> Result<i64, Error> {
        // The id of another kind of store is no lease, or a lease of nobody.
        i64::from_str_radix(&handle.id, 16).map_err(|_| gone(handle))
    }

    /// Whether the key of the handle still stands as it was acquired.
    async fn check(&self, handle: &Handle) -> Result<(), Error> {
        let key = format!("{}{}", self.place(&handle.name).range, handle.id);
        let read = self.store.range(&key, &Default::default(), Effort::ONCE).await.map_err(ticket::store)?;
        let here = store_id(read.cluster);
        if here != handle.store {
            return Err(Error::OtherStore { handle: handle.clone(), here });
        }
        let held = read.keys.first().is_some_and(|kv| kv.mod_revision().unsigned_abs() == handle.token);
        if held { Ok(()) } else { Err(gone(handle)) }
    }

    pub async fn status(&self, name: &Name) -> Result<Queue, Error> {
        look::status(&self.store, &self.place(name)).await
    }

    pub async fn names(&self) -> Result<Vec<Name>, Error> {
        look::names(&self.store, &self.prefix).await
    }

    pub async fn watch(
        &self,
        name: &Name,
        changes: &mpsc::Sender<Queue>,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        cancel
            .run_until_cancelled(look::watch(&self.store, &self.place(name), changes))
            .await
            .unwrap_or(Ok(()))
    }

    pub async fn take_away(&self, name: &Name) -> Result<Vec<Member>, Error> {
        look::take_away(&self.store, &self.place(name)).await
    }

    pub async fn standing(&self, name: &Name, token: u64) -> Result<Standing, Error> {
        look::standing(&self.store, &self.place(name), token).await
    }
}

/// What tells one cluster from another.
fn store_id(cluster: u64) -> String {
    format!("etcd-{cluster:x}")
}

fn gone(handle: &Handle) -> Error {
    let why = "its lease has ended, or somebody took it away".to_owned();
    Error::Lost { name: handle.name.clone(), token: handle.token, why }
}
