//! The lock in etcd, as the engine has it: what it writes, whom it lets go first, and what it leaves.

use std::io::{BufRead, BufReader};
use std::num::NonZeroU32;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hardy::lock::{Ahead, Error, Held, Locks, Mode, Name, Owner, Patience, Standing, Tie, Wanted};
use hardy::store;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::etcd::Etcd;
use crate::support::{DEADLINE, wait_for};

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

fn name(text: &str) -> Name {
    text.parse().unwrap()
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
        tokio::time::timeout(DEADLINE, waiter.ahead.changed())
            .await
            .expect("a place in time")
            .expect("a place");
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

#[tokio::test(flavor = "multi_thread")]
async fn waiters_come_in_their_order_and_tokens_grow_also_past_etcdctl() {
    let etcd = Etcd::single();
    let locks = locks(&etcd);
    let first = get(&locks, &wanted("x")).await.unwrap();
    let second = Waiter::start(&etcd, &locks, wanted("x")).await;
    // etcd's own client, which holds until its input ends: between two of ours.
    let mut foreign = etcd.ctl().args(["lock", "x"]).stdout(Stdio::piped()).spawn().unwrap();
    wait_for("etcdctl in the queue", || (etcd.keys("x/").len() == 3).then_some(()));
    let third = Waiter::start(&etcd, &locks, wanted("x")).await;
    assert_eq!(third.ahead.borrow().waiters, 2);
    assert_eq!(third.ahead.borrow().holders[0].owner.as_ref().unwrap().pid, 7);

    let mut tokens = vec![first.grant().token()];
    let before = etcd.revision();
    first.release().await.unwrap();
    let second = second.end().await.unwrap();
    // One revoke, one claim, and nothing more.
    assert_eq!(second.grant().token(), before + 2);
    assert_eq!(etcd.revision(), before + 2);
    tokens.push(second.grant().token());
    second.release().await.unwrap();
    let mut line = String::new();
    BufReader::new(foreign.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), etcd.keys("x/")[0]);
    tokens.push(etcd.revision());
    assert!(!third.task.is_finished());
    let id = foreign.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    let third = third.end().await.unwrap();
    tokens.push(third.grant().token());
    foreign.wait().unwrap();
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
    third.release().await.unwrap();
    assert!(etcd.keys("").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn etcdctl_waits_for_us() {
    let etcd = Etcd::single();
    let locks = locks(&etcd);
    let held = get(&locks, &wanted("x")).await.unwrap();
    let foreign = etcd.ctl().args(["lock", "x", "echo", "mine"]).stdout(Stdio::piped()).spawn().unwrap();
    wait_for("etcdctl in the queue", || (etcd.keys("x/").len() == 2).then_some(()));
    let status = locks.status(&name("x")).await.unwrap();
    assert_eq!(status.holders[0].id, held.grant().handle.id);
    assert_eq!(status.holders[0].token, Some(held.grant().token()));
    assert!(status.holders[0].left.unwrap() > Duration::from_secs(15));
    assert_eq!((status.waiters.len(), &status.waiters[0].owner), (1, &None));
    held.release().await.unwrap();
    assert_eq!(String::from_utf8(foreign.wait_with_output().unwrap().stdout).unwrap(), "mine\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_at_a_busy_lock_writes_nothing() {
    let etcd = Etcd::single();
    let locks = locks(&etcd);
    let trying = |mode| Wanted { mode, patience: Patience::Try, ..wanted("x") };
    let held = get(&locks, &trying(Mode::Exclusive)).await.unwrap();
    let waiter = Waiter::start(&etcd, &locks, wanted("x")).await;
    let (revision, leases) = (etcd.revision(), etcd.leases());
    for mode in [Mode::Exclusive, Mode::Shared, slots(5)] {
        match get(&locks, &trying(mode)).await {
            Err(Error::Busy { holders, waiters, .. }) => {
                assert_eq!(holders[0].id, held.grant().handle.id);
                assert_eq!(holders[0].owner.as_ref().unwrap().reason.as_deref(), Some("test"));
                assert_eq!(waiters, 1);
            }
            other => panic!("{:?}", other.err()),
        }
    }
    assert_eq!((etcd.revision(), etcd.leases()), (revision, leases));
    held.release().await.unwrap();
    waiter.end().await.unwrap().release().await.unwrap();
    let held = get(&locks, &trying(Mode::Exclusive)).await.unwrap();
    assert_eq!(held.grant().token(), etcd.revision());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gives_up_leaves_nothing() {
    let etcd = Etcd::single();
    let locks = locks(&etcd);
    let held = get(&locks, &wanted("x")).await.unwrap();
    let patience = Patience::For(Duration::from_millis(50));
    match get(&locks, &Wanted { patience, ..wanted("x") }).await {
        Err(Error::Busy { holders, waiters: 0, waited, .. }) => {
            assert_eq!(holders[0].id, held.grant().handle.id);
            assert!(waited >= Duration::from_millis(50));
        }
        other => panic!("{:?}", other.err()),
    }
    let waiter = Waiter::start(&etcd, &locks, wanted("x")).await;
    waiter.cancel.cancel();
    assert!(matches!(waiter.end().await, Err(Error::Interrupted)));
    assert_eq!((etcd.keys("").len(), etcd.leases().len()), (1, 1));
    let cancel = CancellationToken::new();
    cancel.cancel();
    let got = locks.acquire(&wanted("y"), &watch::Sender::new(Ahead::default()), &cancel).await;
    assert!(matches!(got, Err(Error::Interrupted)));
    assert_eq!((etcd.keys("").len(), etcd.leases().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stands_behind_one_that_gives_up_moves_up_and_no_further() {
    let etcd = Etcd::single();
    let locks = locks(&etcd);
    let first = get(&locks, &wanted("x")).await.unwrap();
    let held = Waiter::start(&etcd, &locks, wanted("x")).await;
    first.release().await.unwrap();
    let held = held.end().await.unwrap();
    let gives_up = Waiter::start(&etcd, &locks, wanted("x")).await;
    let mut last = Waiter::start(&etcd, &locks, wanted("x")).await;
    assert_eq!(last.ahead.borrow_and_update().waiters, 1);
    gives_up.cancel.cancel();
    assert!(matches!(gives_up.end().await, Err(Error::Interrupted)));
    tokio::time::timeout(DEADLINE, last.ahead.changed()).await.unwrap().unwrap();
    assert_eq!(last.ahead.borrow().waiters, 0);
    assert_eq!(last.ahead.borrow().holders[0].id, held.grant().handle.id);
    assert!(!last.task.is_finished());
    held.release().await.unwrap();
    last.end().await.unwrap().release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_and_slots_are_admitted_by_the_one_rule() {
    let etcd = Etcd::single();
    let locks = locks(&etcd);
    let with = |mode| Wanted { mode, ..wanted("x") };
    let one = get(&locks, &with(slots(2))).await.unwrap();
    let two = get(&locks, &with(slots(2))).await.unwrap();
    let third = Waiter::start(&etcd, &locks, with(slots(2))).await;
    assert_eq!((third.ahead.borrow().holders.len(), third.ahead.borrow().waiters), (2, 0));
    let writer = Waiter::start(&etcd, &locks, with(Mode::Exclusive)).await;
    assert_eq!((writer.ahead.borrow().holders.len(), writer.ahead.borrow().waiters), (2, 1));
    // Behind a writer, whoever would share has to wait.
    let reader = Waiter::start(&etcd, &locks, with(Mode::Shared)).await;
    let status = locks.status(&name("x")).await.unwrap();
    assert_eq!((status.holders.len(), status.waiters.len()), (2, 3));
    assert_eq!(status.waiters[1].mode, Mode::Exclusive);

    two.release().await.unwrap();
    let third = third.end().await.unwrap();
    assert!(third.grant().token() > one.grant().token());
    third.release().await.unwrap();
    assert!(!writer.task.is_finished());
    one.release().await.unwrap();
    let writer = writer.end().await.unwrap();
    assert!(!reader.task.is_finished());
    writer.release().await.unwrap();
    let reader = reader.end().await.unwrap();
    let trying = Wanted { patience: Patience::Try, ..with(Mode::Shared) };
    let other = get(&locks, &trying).await.unwrap();
    assert!(other.grant().token() > reader.grant().token());
    assert_eq!(locks.status(&name("x")).await.unwrap().holders.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_would_block_each_other_are_refused() {
    let etcd = Etcd::single();
    let locks = locks(&etcd);
    let conflict = async |name: &str, patience| match get(&locks, &Wanted { patience, ..wanted(name) }).await
    {
        Err(Error::Conflict { other, .. }) => other,
        other => panic!("{:?}", other.err()),
    };
    let held = get(&locks, &wanted("a/b")).await.unwrap();
    for patience in [Patience::Forever, Patience::Try] {
        assert_eq!(conflict("a", patience).await, "a/b");
        assert_eq!(conflict("a/b/c/d", patience).await, "a/b");
    }
    assert_eq!((etcd.keys("").len(), etcd.leases().len()), (1, 1));
    assert!(locks.status(&name("a")).await.unwrap().holders.is_empty());
    assert!(locks.take_away(&name("a")).await.unwrap().is_empty());
    let beside = get(&locks, &wanted("a/c")).await.unwrap();
    beside.release().await.unwrap();
    held.release().await.unwrap();
    get(&locks, &wanted("a")).await.unwrap().release().await.unwrap();
    etcd.etcdctl(&["put", "a/settings", "1"]);
    assert_eq!(conflict("a", Patience::Forever).await, "a/settings");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_renews_and_gives_back_its_own_lock_only() {
    let etcd = Etcd::single();
    let locks = locks(&etcd);
    let one = get(&locks, &wanted("x")).await.unwrap().leave().handle;
    let lease = locks.renew(&one).await.unwrap();
    assert_eq!(lease.ttl, Duration::from_secs(20));
    assert!(lease.deadline.left() > Duration::from_secs(15));
    assert_eq!(locks.standing(&one.name, one.token).await.unwrap(), Standing::Holds);

    let strange = hardy::lock::Handle { store: "etcd-1".into(), ..one.clone() };
    for got in [locks.release(&strange).await, locks.renew(&strange).await.map(|_| ())] {
        assert!(matches!(got, Err(Error::OtherStore { .. })), "{got:?}");
    }
    let older = hardy::lock::Handle { token: one.token - 1, ..one.clone() };
    assert!(matches!(locks.release(&older).await, Err(Error::Lost { .. })));
    assert_eq!(etcd.keys("x/").len(), 1);

    locks.release(&one).await.unwrap();
    assert!(etcd.keys("").is_empty() && etcd.leases().is_empty());
    assert!(matches!(locks.release(&one).await, Err(Error::Lost { token, .. }) if token == one.token));
    assert!(matches!(locks.renew(&one).await, Err(Error::Lost { .. })));
    assert_eq!(locks.standing(&one.name, one.token).await.unwrap(), Standing::Ended);

    // A deleted key is a lost lock, though its lease lives.
    let two = get(&locks, &wanted("x")).await.unwrap().leave().handle;
    assert_eq!(locks.standing(&one.name, one.token).await.unwrap(), Standing::Newer(two.token));
    etcd.etcdctl(&["del", &format!("x/{}", two.id)]);
    assert!(matches!(locks.renew(&two).await, Err(Error::Lost { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_in_the_last_second_is_one() {
    // etcd tells what is left in whole seconds, rounded down: here that is always 0.
    let etcd = Etcd::single();
    let locks = locks(&etcd);
    let short = Wanted { ttl: Duration::from_secs(1), ..wanted("x") };
    let renewed = loop {
        let grant = get(&locks, &short).await.unwrap().leave();
        let renewed = locks.renew(&grant.handle).await;
        // Otherwise it was too late on a busy machine, and says nothing.
        if !grant.lease.unwrap().deadline.left().is_zero() {
            break renewed;
        }
    };
    assert_eq!(renewed.unwrap().ttl, Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_kept_beyond_its_lease_and_its_loss_is_noticed() {
    let etcd = Etcd::single();
    let locks = locks(&etcd);
    let short = Wanted { ttl: Duration::from_secs(1), ..wanted("x") };
    let held = get(&locks, &short).await.unwrap();
    let granted = held.grant().lease.unwrap();
    let (stop, (sender, mut leases)) = (CancellationToken::new(), watch::channel(None));
    let keeping = held.keep(&sender, &stop);
    let later = async {
        // Renewed until after the first deadline.
        let first = granted.deadline;
        let renewed = |lease: &Option<hardy::lock::Lease>| {
            lease.is_some_and(|lease| lease.deadline > first + granted.ttl)
        };
        tokio::time::timeout(DEADLINE, leases.wait_for(renewed)).await.unwrap().unwrap();
        assert_eq!(etcd.keys("x/").len(), 1);
        stop.cancel();
    };
    let (kept, ()) = tokio::join!(keeping, later);
    kept.unwrap();

    for lose in ["revoke", "del"] {
        let held = get(&locks, &wanted("z")).await.unwrap();
        let id = &held.grant().handle.id;
        match lose {
            "del" => etcd.etcdctl(&["del", &format!("z/{id}")]),
            _ => etcd.etcdctl(&["lease", "revoke", id]),
        };
        let kept =
            tokio::time::timeout(DEADLINE, held.keep(&sender, &CancellationToken::new())).await.unwrap();
        assert!(matches!(kept, Err(Error::Lost { .. })), "{lose}: {kept:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_notices_that_its_place_is_gone() {
    let etcd = Etcd::single();
    let locks = locks(&etcd);
    let _held = get(&locks, &wanted("x")).await.unwrap();
    for mode in [Mode::Exclusive, Mode::Shared] {
        let waiter = Waiter::start(&etcd, &locks, Wanted { mode, ..wanted("x") }).await;
        let own = etcd.keys("x/").pop().unwrap();
        etcd.etcdctl(&["lease", "revoke", own.strip_prefix("x/").unwrap()]);
        assert!(matches!(waiter.end().await, Err(Error::Displaced { .. })));
    }
    assert_eq!((etcd.keys("").len(), etcd.leases().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_names_are_found_and_a_lock_can_be_taken_away() {
    let etcd = Etcd::single();
    let locks = locks(&etcd);
    etcd.etcdctl(&["put", "config/1f", "no lock: it has no lease"]);
    let mut held = Vec::new();
    for name in ["b", "a/c", "/my-lock"] {
        held.push(get(&locks, &wanted(name)).await.unwrap());
    }
    let names: Vec<_> = locks.names().await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["/my-lock", "a/c", "b"]);
    let below = Locks::open(&store::Settings::Etcd(settings(etcd.urls())), "a/").unwrap();
    assert_eq!(below.names().await.unwrap(), [name("c")]);

    let (sender, mut changes) = mpsc::channel(9);
    let (watcher, stop) = (locks.clone(), CancellationToken::new());
    let inner = stop.clone();
    let watching = tokio::spawn(async move { watcher.watch(&name("b"), &sender, &inner).await });
    let next = async |changes: &mut mpsc::Receiver<hardy::lock::Queue>| {
        tokio::time::timeout(DEADLINE, changes.recv()).await.unwrap().unwrap()
    };
    assert_eq!(next(&mut changes).await.holders[0].token, Some(held[0].grant().token()));
    let waiter = Waiter::start(&etcd, &locks, wanted("b")).await;
    let gone = locks.take_away(&name("b")).await.unwrap();
    assert_eq!(gone[0].id, held[0].grant().handle.id);
    let newest = waiter.end().await.unwrap();
    let token = newest.grant().token();
    while next(&mut changes).await.holders.first().and_then(|holder| holder.token) != Some(token) {}
    stop.cancel();
    watching.await.unwrap().unwrap();
    assert_eq!(locks.standing(&name("b"), held[0].grant().token()).await.unwrap(), Standing::Newer(token));
    etcd.etcdctl(&["put", "loose/1f", ""]);
    assert_eq!(locks.take_away(&name("loose")).await.unwrap().len(), 1);
    assert!(etcd.keys("loose/").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_granted_twice_ends_no_later_than_it_is_said_to() {
    let etcd = Etcd::single();
    let store = store::etcd::Etcd::open(&settings(etcd.urls())).unwrap();
    let ttl = Duration::from_secs(20);
    let once = store::etcd::Effort::ONCE;
    store.grant(0x77, ttl, once).await.unwrap();
    let left = async || store.time_to_live(0x77, once).await.unwrap().unwrap().1;
    while left().await > Duration::from_secs(18) {}
    let again = store.grant(0x77, ttl, once).await.unwrap();
    // etcd tells whole seconds.
    let left = left().await + Duration::from_secs(1);
    assert!((again.sent + again.ttl).left() <= left, "{again:?}, {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_given_back_too_late_is_said_to_be_lost() {
    let etcd = Etcd::single();
    let locks = locks(&etcd);
    let held = get(&locks, &Wanted { ttl: Duration::from_secs(1), ..wanted("x") }).await.unwrap();
    let deadline = held.grant().lease.unwrap().deadline;
    wait_for("the end of the lease", || (deadline.left().is_zero() && etcd.is_empty()).then_some(()));
    let released = held.release().await;
    assert!(matches!(released, Err(Error::Lost { .. })), "{released:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn taking_a_lock_away_from_another_client_leaves_what_else_it_has() {
    let etcd = Etcd::single();
    etcd.etcdctl(&["lease", "grant", "300"]);
    let lease = etcd.leases().pop().unwrap();
    for key in [format!("x/{lease}"), "services/app".to_owned()] {
        etcd.etcdctl(&["put", &format!("--lease={lease}"), &key, ""]);
    }
    let gone = locks(&etcd).take_away(&name("x")).await.unwrap();
    assert_eq!((gone.len(), &gone[0].id), (1, &lease));
    assert_eq!(etcd.keys(""), ["services/app"]);
    assert_eq!(etcd.leases(), [lease]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_sees_each_holder_once_and_only_tokens_that_were_given() {
    let etcd = Etcd::single();
    let locks = locks(&etcd);
    let mut held = get(&locks, &wanted("x")).await.unwrap();
    let mut waiters = Vec::new();
    for _ in 0..8 {
        waiters.push(Waiter::start(&etcd, &locks, wanted("x")).await);
    }
    let (sender, mut changes) = mpsc::channel(99);
    let (watcher, stop) = (locks.clone(), CancellationToken::new());
    let inner = stop.clone();
    let watching = tokio::spawn(async move { watcher.watch(&name("x"), &sender, &inner).await });
    let mut seen = vec![changes.recv().await.unwrap()];
    let mut tokens = vec![held.grant().token()];
    for waiter in waiters {
        held.release().await.unwrap();
        held = waiter.end().await.unwrap();
        tokens.push(held.grant().token());
    }
    while seen.last().and_then(|queue| queue.holders[0].token) != tokens.last().copied() {
        seen.push(tokio::time::timeout(DEADLINE, changes.recv()).await.unwrap().unwrap());
    }
    stop.cancel();
    watching.await.unwrap().unwrap();
    // Some may be passed over, if they are quick.
    let seen: Vec<_> = seen.iter().map(|queue| queue.holders[0].token.unwrap()).collect();
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    assert!(seen.iter().all(|token| tokens.contains(token)), "{seen:?}, {tokens:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_let_in_has_no_token_before_the_claim() {
    let etcd = Etcd::single();
    let locks = locks(&etcd);
    let held = get(&locks, &wanted("x")).await.unwrap();
    let waiter = Waiter::start(&etcd, &locks, wanted("x")).await;
    let own = etcd.keys("x/").pop().unwrap();
    let note = etcd.etcdctl(&["get", &own, "--print-value-only"]);
    // Its place, with nobody there to claim it.
    waiter.cancel.cancel();
    assert!(matches!(waiter.end().await, Err(Error::Interrupted)));
    held.release().await.unwrap();
    etcd.etcdctl(&["put", &own, note.trim()]);
    let status = locks.status(&name("x")).await.unwrap();
    assert_eq!((status.holders.len(), status.holders[0].token), (1, None));
    assert!(status.holders[0].owner.is_some());
    let standing = locks.standing(&name("x"), etcd.revision()).await.unwrap();
    assert_eq!(standing, Standing::Ended);
}
