//! The lease of one holder or waiter, kept alive. It measures from when a renewal was sent, so that the store's own end
//! is never earlier than ours.

use std::time::Duration;

use tokio::sync::watch as cell;

use crate::clock::{self, Boot};
use crate::lock::Lease;
use crate::store::etcd::{Alive, Effort, Etcd, Failure};

/// After a failure that took no time.
const PAUSE: Duration = Duration::from_millis(100);
/// No answer is expected faster.
const SHORTEST: Duration = Duration::from_millis(100);

/// A lease, and until when it surely lasts.
#[derive(Debug)]
pub(super) struct Pulse {
    pub(super) id: i64,
    lease: cell::Sender<Lease>,
}

impl Pulse {
    pub(super) fn new(id: i64, alive: Alive) -> Pulse {
        let lease = Lease { ttl: alive.ttl, deadline: alive.sent + alive.ttl };
        Pulse { id, lease: cell::Sender::new(lease) }
    }

    /// As last acknowledged.
    pub(super) fn lease(&self) -> Lease {
        *self.lease.borrow()
    }

    /// Renews it every third of its time, one call in flight; tells `each` of every renewal. It goes on, also past the
    /// deadline, until the store says that the lease is gone.
    pub(super) async fn beat(&self, store: &Etcd, each: impl Fn(Lease)) {
        loop {
            let Lease { ttl, deadline } = self.lease();
            let third = ttl / 3;
            let due = deadline - ttl + third;
            wait_until(due).await;
            // Time for a second endpoint, if there is one.
            let longest = if store.is_single() { third } else { ttl / 6 };
            let mut effort = Effort::until(Boot::now() + third);
            effort.each = Some(longest.max(SHORTEST));
            match store.keep_alive(self.id, effort).await {
                Ok(Some(sent)) => {
                    let lease = Lease { ttl, deadline: sent + ttl };
                    self.lease.send_replace(lease);
                    each(lease);
                }
                Ok(None) => return,
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Waits until the deadline has passed without a renewal, and asks once more: none when the store says that the
    /// lease is gone, or else why it cannot be asked.
    pub(super) async fn expired(&self, store: &Etcd) -> Option<Failure> {
        loop {
            let deadline = self.lease().deadline;
            if deadline > Boot::now() {
                wait_until(deadline).await;
                continue;
            }
            match self.lives(store).await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(failure) => return Some(failure),
            }
        }
    }

    /// Asks the store once more whether there is a lease, and renews it.
    pub(super) async fn lives(&self, store: &Etcd) -> Result<bool, Failure> {
        let ttl = self.lease().ttl;
        let sent = store.keep_alive(self.id, Effort::ONCE).await?;
        if let Some(sent) = sent {
            self.lease.send_replace(Lease { ttl, deadline: sent + ttl });
        }
        Ok(sent.is_some())
    }

    /// Calls go on until the lease is over.
    pub(super) fn effort(&self) -> Effort {
        Effort::until(self.lease().deadline)
    }
}

/// Waits, also in a suspended machine, unless the kernel has no timer left for that.
pub(super) async fn wait_until(then: Boot) {
    if clock::sleep_until(then).await.is_err() {
        tokio::time::sleep(then.left()).await;
    }
}
