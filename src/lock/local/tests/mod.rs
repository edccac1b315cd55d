//! The lock through its directory: several tasks contend as processes do, for each opens the files for itself.

mod damage;
mod processes;
mod queue;

use super::*;
use crate::lock::{Grant, Mode, Owner, Patience, Tie};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// A store of its own for each test.
struct Store {
    home: tempfile::TempDir,
}

type Waiting = JoinHandle<Result<Held, Error>>;

impl Store {
    fn new() -> Store {
        Store { home: tempfile::tempdir().unwrap() }
    }

    fn locks(&self) -> Locks {
        Locks::open(&Settings { directory: self.root(), allow_network: false }).unwrap()
    }

    fn root(&self) -> PathBuf {
        self.home.path().join("hardy")
    }

    async fn acquire(&self, wanted: &Wanted) -> Result<Held, Error> {
        self.locks().acquire(wanted, &watch::Sender::default(), &CancellationToken::new()).await
    }

    /// Goes on once the attempt is in the queue.
    async fn wait(&self, wanted: Wanted) -> (Waiting, CancellationToken) {
        let before = self.waiters(&wanted.name).await;
        let cancel = CancellationToken::new();
        let (locks, token, name) = (self.locks(), cancel.clone(), wanted.name.clone());
        let task =
            tokio::spawn(async move { locks.acquire(&wanted, &watch::Sender::default(), &token).await });
        until(async || self.waiters(&name).await == before + 1).await;
        (task, cancel)
    }

    async fn waiters(&self, name: &Name) -> usize {
        self.locks().status(name).await.unwrap().waiters.len()
    }

    async fn holders(&self, name: &Name) -> Vec<Member> {
        self.locks().status(name).await.unwrap().holders
    }

    /// All files of all queues.
    fn entries(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.root().join("locks")];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else if path.file_name().unwrap().to_str().unwrap().parse::<u64>().is_ok() {
                    found.push(path);
                }
            }
        }
        found
    }
}

/// As far as a test waits for anything.
const DEADLINE: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it takes too long")
}

async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + DEADLINE;
    while !condition().await {
        assert!(std::time::Instant::now() < deadline, "it never came to that");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn wanted(text: &str) -> Wanted {
    Wanted {
        name: name(text),
        mode: Mode::Exclusive,
        ttl: Duration::from_secs(30),
        patience: Patience::Forever,
        owner: Owner { host: "here".into(), pid: 7, reason: Some("test".into()) },
        tie: Tie::Process,
    }
}

fn at_once(wanted: Wanted) -> Wanted {
    Wanted { patience: Patience::Try, ..wanted }
}

fn leased(ttl_ms: u64) -> Wanted {
    Wanted { tie: Tie::Lease, ttl: Duration::from_millis(ttl_ms), ..wanted("x") }
}

fn is_busy(result: &Result<Held, Error>) -> bool {
    matches!(result, Err(Error::Busy { .. }))
}

#[tokio::test]
async fn got_and_given_back_it_leaves_nothing_and_the_token_grows() {
    let store = Store::new();
    let mut last = 0;
    for _ in 0..3 {
        let held = store.acquire(&at_once(wanted("x"))).await.unwrap();
        assert!(held.grant().token() > last);
        last = held.grant().token();
        assert!(held.grant().lease.is_none());
        let holders = store.holders(&name("x")).await;
        assert_eq!(holders[0].token, Some(last));
        assert_eq!(holders[0].owner.as_ref().unwrap().reason.as_deref(), Some("test"));
        assert!(is_busy(&store.acquire(&at_once(wanted("x"))).await));
        assert_eq!(store.locks().names().await.unwrap(), [name("x")]);
        held.release().await.unwrap();
        assert_eq!(store.entries(), Vec::<PathBuf>::new());
        assert!(store.locks().names().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn looking_and_trying_in_vain_change_nothing() {
    let store = Store::new();
    let locks = store.locks();
    assert_eq!(locks.status(&name("x")).await.unwrap(), Queue::default());
    assert!(locks.names().await.unwrap().is_empty());
    assert!(locks.take_away(&name("x")).await.unwrap().is_empty());
    assert_eq!(locks.standing(&name("x"), 1).await.unwrap(), Standing::Ended);
    assert!(!store.root().exists());

    let held = store.acquire(&wanted("x")).await.unwrap();
    let state = || fs::read(store.root().join("locks/=x/state")).unwrap();
    let (before, entries) = (state(), store.entries());
    let busy = store.acquire(&at_once(wanted("x"))).await;
    let Err(Error::Busy { holders, waiters: 0, .. }) = busy else { panic!("it was free") };
    assert_eq!(holders[0].owner, Some(wanted("x").owner));
    assert_eq!((state(), store.entries()), (before, entries));
    held.release().await.unwrap();
}

#[tokio::test]
async fn a_holder_that_dies_lets_the_next_one_in() {
    let store = Store::new();
    let held = store.acquire(&wanted("x")).await.unwrap();
    let token = held.grant().token();
    let (next, _) = store.wait(wanted("x")).await;
    // As at the death of its process: closed, nothing removed.
    drop(held);
    let next = soon(next).await.unwrap().unwrap();
    assert!(next.grant().token() > token);
    next.release().await.unwrap();
    assert!(store.entries().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_come_first_served() {
    let store = Store::new();
    let mut held = store.acquire(&wanted("x")).await.unwrap();
    let mut queue = Vec::new();
    for _ in 0..12 {
        queue.push(store.wait(wanted("x")).await);
    }
    let mut last = held.grant().token();
    for (next, _) in queue {
        assert!(is_busy(&store.acquire(&at_once(wanted("x"))).await));
        held.release().await.unwrap();
        held = soon(next).await.unwrap().unwrap();
        assert!(held.grant().token() > last);
        last = held.grant().token();
    }
    held.release().await.unwrap();
    assert!(store.entries().is_empty());
}

#[tokio::test]
async fn whoever_gives_up_leaves_nothing_and_keeps_nobody() {
    let store = Store::new();
    let held = store.acquire(&wanted("x")).await.unwrap();
    let (first, cancel_first) = store.wait(wanted("x")).await;
    let (second, cancel_second) = store.wait(wanted("x")).await;
    let (third, _) = store.wait(wanted("x")).await;
    cancel_second.cancel();
    assert!(matches!(soon(second).await.unwrap(), Err(Error::Interrupted)));
    cancel_first.cancel();
    assert!(matches!(soon(first).await.unwrap(), Err(Error::Interrupted)));
    let short = Wanted { patience: Patience::For(Duration::from_millis(20)), ..wanted("x") };
    let Err(Error::Busy { waiters: 1, waited, .. }) = store.acquire(&short).await else { panic!() };
    assert!(waited >= Duration::from_millis(20));
    assert_eq!(store.entries().len(), 2);
    held.release().await.unwrap();
    soon(third).await.unwrap().unwrap().release().await.unwrap();
    assert!(store.entries().is_empty());
}

#[tokio::test]
async fn modes_share_as_the_rule_says() {
    let store = Store::new();
    let mode = |mode| Wanted { mode, ..wanted("x") };
    let two = mode(Mode::Slots(NonZeroU32::new(2).unwrap()));
    let shared = mode(Mode::Shared);
    let first = store.acquire(&two).await.unwrap();
    let second = store.acquire(&shared).await.unwrap();
    let (writer, _) = store.wait(wanted("x")).await;
    assert!(is_busy(&store.acquire(&at_once(shared.clone())).await), "no overtaking");
    let (reader, _) = store.wait(shared.clone()).await;
    let (other, _) = store.wait(shared.clone()).await;
    second.release().await.unwrap();
    assert!(!writer.is_finished());
    first.release().await.unwrap();
    let writer = soon(writer).await.unwrap().unwrap();
    assert!(!reader.is_finished());
    writer.release().await.unwrap();
    let both = (soon(reader).await.unwrap().unwrap(), soon(other).await.unwrap().unwrap());
    assert_eq!(store.holders(&name("x")).await.len(), 2);
    both.0.release().await.unwrap();
    both.1.release().await.unwrap();
}

#[tokio::test]
async fn a_lease_is_renewed_and_released_by_its_handle() {
    let store = Store::new();
    let grant = store.acquire(&leased(60_000)).await.unwrap().grant().clone();
    let Grant { handle, lease: Some(lease), .. } = &grant else { panic!() };
    let left = store.holders(&name("x")).await[0].left.unwrap();
    assert!(left > Duration::from_secs(50) && left <= lease.ttl);
    let renewed = store.locks().renew(handle).await.unwrap();
    assert!(renewed.deadline >= lease.deadline);
    let (next, _) = store.wait(wanted("x")).await;
    for wrong in [Handle { token: 99, ..handle.clone() }, Handle { id: "99".into(), ..handle.clone() }] {
        assert!(matches!(store.locks().release(&wrong).await, Err(Error::Lost { .. })));
    }
    let other = Handle { store: "local-00000000".into(), ..handle.clone() };
    assert!(matches!(store.locks().renew(&other).await, Err(Error::OtherStore { .. })));
    store.locks().release(handle).await.unwrap();
    assert!(matches!(store.locks().release(handle).await, Err(Error::Lost { .. })));
    let next = soon(next).await.unwrap().unwrap();
    let refused = store.locks().release(&next.grant().handle).await.unwrap_err();
    assert!(refused.to_string().contains("belongs to the running process 7"), "{refused}");
    assert_eq!(store.locks().standing(&name("x"), next.grant().token()).await.unwrap(), Standing::Holds);
    let newer = Standing::Newer(next.grant().token());
    assert_eq!(store.locks().standing(&name("x"), handle.token).await.unwrap(), newer);
    let token = next.grant().token();
    next.release().await.unwrap();
    assert_eq!(store.locks().standing(&name("x"), token).await.unwrap(), Standing::Ended);
}

#[tokio::test]
async fn a_lease_that_ends_lets_the_next_one_in() {
    let store = Store::new();
    let grant = store.acquire(&leased(50)).await.unwrap().grant().clone();
    let next = store.acquire(&wanted("x")).await.unwrap();
    assert!(crate::clock::Boot::now() >= grant.lease.unwrap().deadline);
    assert!(matches!(store.locks().renew(&grant.handle).await, Err(Error::Lost { .. })));
    next.release().await.unwrap();
    let grant = store.acquire(&leased(1)).await.unwrap().grant().clone();
    until(async || store.holders(&name("x")).await.is_empty()).await;
    let lost = store.locks().renew(&grant.handle).await.unwrap_err().to_string();
    assert!(lost.contains("its lease ended at 20"), "{lost}");
}

#[tokio::test]
async fn what_is_kept_does_not_end() {
    let store = Store::new();
    let held = store.acquire(&leased(2_400)).await.unwrap();
    let first = held.grant().lease.unwrap();
    let (leases, mut published) = watch::channel(None);
    let stop = CancellationToken::new();
    let keeping = {
        let stop = stop.clone();
        async move {
            held.keep(&leases, &stop).await.unwrap();
            held
        }
    };
    let others = async {
        let mut latest = first;
        for _ in 0..2 {
            published.changed().await.unwrap();
            let renewed = published.borrow().unwrap();
            assert!(renewed.deadline > latest.deadline);
            latest = renewed;
        }
        stop.cancel();
    };
    let (held, ()) = tokio::join!(keeping, others);
    held.release().await.unwrap();
    assert!(store.entries().is_empty());
}

#[tokio::test]
async fn what_is_taken_away_is_noticed_and_the_next_one_gets_it() {
    for taken in [wanted("x"), leased(600_000)] {
        let store = Store::new();
        let held = store.acquire(&taken).await.unwrap();
        let token = held.grant().token();
        let (next, _) = store.wait(wanted("x")).await;
        let (leases, stop) = (watch::Sender::default(), CancellationToken::new());
        let keeping = tokio::spawn(async move { (held.keep(&leases, &stop).await, held) });
        tokio::task::yield_now().await;
        assert_eq!(store.locks().take_away(&name("x")).await.unwrap()[0].token, Some(token));
        let next = soon(next).await.unwrap().unwrap();
        let (kept, held) = soon(keeping).await.unwrap();
        assert!(matches!(kept, Err(Error::Lost { .. })));
        assert!(matches!(held.release().await, Err(Error::Lost { .. })));
        assert_eq!(store.holders(&name("x")).await.len(), 1);
        next.release().await.unwrap();
    }
}

#[tokio::test]
async fn names_above_and_below_exclude_each_other() {
    let store = Store::new();
    let held = store.acquire(&wanted("a/b")).await.unwrap();
    for (refused, used) in [("a", "a/b"), ("a/b/c", "a/b"), ("a/b/c/d", "a/b")] {
        let result = store.acquire(&at_once(wanted(refused))).await;
        let Err(Error::Conflict { other, .. }) = result else { panic!("{refused}") };
        assert_eq!(other, used);
    }
    for fine in ["a/c", "/a", "b", "a/bc"] {
        store.acquire(&at_once(wanted(fine))).await.unwrap().release().await.unwrap();
    }
    held.release().await.unwrap();
    assert!(store.entries().is_empty());
    store.acquire(&at_once(wanted("a"))).await.unwrap().release().await.unwrap();
    store.acquire(&at_once(wanted("a/b/c"))).await.unwrap().release().await.unwrap();
    // A dead entry is in nobody's way.
    drop(store.acquire(&wanted("a/b/c")).await.unwrap());
    until(async || store.locks().names().await.unwrap().is_empty()).await;
    store.acquire(&at_once(wanted("a"))).await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn a_child_that_inherited_the_file_goes_on_holding() {
    let store = Store::new();
    let held = store.acquire(&wanted("x")).await.unwrap();
    let copy = held.descriptor().unwrap().try_clone_to_owned().unwrap();
    held.release().await.unwrap();
    assert_eq!(store.holders(&name("x")).await.len(), 1);
    let (next, _) = store.wait(wanted("x")).await;
    drop(copy);
    soon(next).await.unwrap().unwrap().release().await.unwrap();
    assert!(store.entries().is_empty());
}

#[tokio::test]
async fn changes_of_the_holders_are_reported() {
    let store = Arc::new(Store::new());
    let (sender, mut queues) = mpsc::channel(1);
    let cancel = CancellationToken::new();
    store.acquire(&wanted("x")).await.unwrap().release().await.unwrap();
    let watching = {
        let (locks, cancel) = (store.locks(), cancel.clone());
        tokio::spawn(async move { locks.watch(&name("x"), &sender, &cancel).await })
    };
    assert!(soon(queues.recv()).await.unwrap().holders.is_empty());
    let held = store.acquire(&wanted("x")).await.unwrap();
    let token = Some(held.grant().token());
    assert_eq!(soon(queues.recv()).await.unwrap().holders[0].token, token);
    drop(held);
    assert!(soon(queues.recv()).await.unwrap().holders.is_empty());
    let grant = store.acquire(&leased(1000)).await.unwrap().grant().clone();
    assert_eq!(soon(queues.recv()).await.unwrap().holders[0].token, Some(grant.token()));
    assert!(soon(queues.recv()).await.unwrap().holders.is_empty());
    cancel.cancel();
    watching.await.unwrap().unwrap();
}
