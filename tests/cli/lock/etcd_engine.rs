//! The lock in etcd, as the engine has it: what it writes, whom it lets go first, and what it leaves.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use hardy::lock::{Ahead, Error, Held, Locks, Mode, Name, Owner, Patience, Standing, Tie, Wanted};
use hardy::store;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::etcd::Etcd;
use crate::support::DEADLINE;

pub fn settings(urls: Vec<String>) -> store::etcd::Settings {
    store::etcd::Settings {
        endpoints: urls,
        ca: None,
        cert: None,
        key: None,
        user: None,
        timeout: Duration::from_secs(5),
    }
}

pub fn open(settings: store::etcd::Settings) -> Arc<Locks> {
    Arc::new(Locks::open(&store::Settings::Etcd(settings), "").unwrap())
}

fn locks(etcd: &Etcd) -> Arc<Locks> {
    open(settings(etcd.urls()))
}

pub fn wanted(name: &str) -> Wanted {
    Wanted {
        name: name.parse().unwrap(),
        mode: Mode::Exclusive,
        ttl: Duration::from_secs(20),
        patience: Patience::Forever,
        owner: Owner { host: "here".into(), pid: 7, reason: Some("test".into()) },
        tie: Tie::Lease,
    }
}

fn slots(count: u32) -> Mode {
    Mode::Slots(NonZeroU32::new(count).unwrap())
}

pub async fn get(locks: &Locks, wanted: &Wanted) -> Result<Held, Error> {
    let ahead = watch::Sender::new(Ahead::default());
    tokio::time::timeout(DEADLINE, locks.acquire(wanted, &ahead, &CancellationToken::new()))
        .await
        .expect("an end in time")
}

/// A waiter in the background, once it stands in the queue.
pub struct Waiter {
    task: tokio::task::JoinHandle<Result<Held, Error>>,
    ahead: watch::Receiver<Ahead>,
    cancel: CancellationToken,
}

impl Waiter {
    pub async fn start(etcd: &Etcd, locks: &Arc<Locks>, wanted: Wanted) -> Waiter {
        let before = etcd.keys("").len();
        let (sender, ahead) = watch::channel(Ahead::default());
        let cancel = CancellationToken::new();
        let (locks, inner) = (locks.clone(), cancel.clone());
        let task = tokio::spawn(async move { locks.acquire(&wanted, &sender, &inner).await });
        let mut waiter = Waiter { task, ahead, cancel };
        tokio::time::timeout(DEADLINE, waiter.ahead.changed()).await.expect("a place in time").expect("a place");
        assert_eq!(etcd.keys("").len(), before + 1);
        waiter
    }

    pub async fn end(self) -> Result<Held, Error> {
        tokio::time::timeout(DEADLINE, self.task).await.expect("an end in time").expect("no panic")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_lock_costs_one_write_and_leaves_nothing() {
    let etcd = Etcd::single();
    let locks = locks(&etcd);
    let before = etcd.revision();
    let held = get(&locks, &wanted("/my-lock")).await.unwrap();
    let grant = held.grant().clone();
    assert_eq!(etcd.revision(), before + 1);
    assert_eq!(grant.token(), before + 1);
    assert_eq!(etcd.keys(""), [format!("/my-lock/{}", grant.handle.id)]);
    assert_eq!(etcd.leases(), [grant.handle.id.as_str()]);
    assert_eq!(grant.lease.unwrap().ttl, Duration::from_secs(20));
    held.release().await.unwrap();
    assert_eq!(etcd.revision(), before + 2);
    assert!(etcd.keys("").is_empty() && etcd.leases().is_empty());
}
