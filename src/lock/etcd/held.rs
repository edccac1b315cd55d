//! A lock in the hands of this process: renewed, watched, given back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::entry::Place;
use super::pulse::Pulse;
use super::ticket::{Got, store};
use super::{gone, store_id};
use crate::clock::Boot;
use crate::lock::{Error, Grant, Handle, Lease};
use crate::store::etcd::{Change, Effort, Ended, Etcd, Watched};

/// Between two openings of a watch.
const PAUSE: Duration = Duration::from_millis(500);

/// A lock in the hands of this process.
pub struct Held {
    store: Arc<Etcd>,
    key: String,
    pulse: Pulse,
    grant: Grant,
}

impl Held {
    pub(super) fn new(store: Arc<Etcd>, place: &Place, pulse: Pulse, got: &Got, waited: Duration) -> Held {
        let id = format!("{:x}", pulse.id);
        let handle = Handle { store: store_id(got.cluster), name: place.name.clone(), token: got.token, id };
        let grant = Grant { handle, lease: Some(pulse.lease()), waited };
        Held { store, key: place.key(pulse.id), pulse, grant }
    }

    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    pub async fn keep(
        &self,
        lease: &watch::Sender<Option<Lease>>,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        tokio::select! {
            biased;
            () = stop.cancelled() => Ok(()),
            () = self.taken_away() => Err(gone(&self.grant.handle)),
            () = self.pulse.beat(&self.store, |new| { lease.send_replace(Some(new)); }) => {
                Err(gone(&self.grant.handle))
            }
        }
    }

    /// Watches the key, as well as it goes: the renewals find a lease that is gone, too, but later.
    async fn taken_away(&self) {
        let mut from = i64::try_from(self.grant.token()).unwrap_or(i64::MAX - 1) + 1;
        loop {
            let watched =
                Watched { keys: vec![self.key.clone()], prefix: false, puts: false, before: false, from };
            if let Ok(mut watch) = self.store.watch(&watched, Effort::ONCE).await {
                let ended = loop {
                    match watch.next().await {
                        Ok(changes) if changes.iter().any(Change::is_deletion) => return,
                        Ok(_) => {}
                        Err(ended) => break ended,
                    }
                };
                if ended == Ended::Compacted {
                    match self.store.range(&self.key, &Default::default(), Effort::ONCE).await {
                        Ok(read) if read.keys.is_empty() => return,
                        Ok(read) => from = read.revision + 1,
                        Err(_) => {}
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub async fn release(self) -> Result<(), Error> {
        let (now, round) = (Boot::now(), self.store.round());
        // Past the deadline there still is one round: the store may have it yet.
        let until = (now + 2 * round).min(self.pulse.lease().deadline.max(now + round));
        let existed = self.store.revoke(self.pulse.id, Effort::until(until)).await.map_err(store)?;
        if existed { Ok(()) } else { Err(gone(&self.grant.handle)) }
    }
}
