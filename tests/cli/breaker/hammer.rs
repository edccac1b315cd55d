//! 64 processes at a time hammer one breaker: what they saw is what the record says. `make soak` lets them go on for a
//! minute in each store.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use super::{called, shown};
use crate::lock::store::Store;
use crate::support::{Run, wait_for};

const WORKERS: usize = 64;

/// Calls of each worker, unless it goes on for a time.
const FEW: usize = 3;

/// None of the numbers is ever in the way, and a lease is over soon.
const FLAGS: [&str; 8] =
    ["--volume", "100000000", "--max-concurrent", "100000", "--timeout", "5s", "--grace", "1ms"];

/// How long it goes on; usually as long as a few calls take.
#[expect(clippy::disallowed_methods, reason = "how long it takes is for the person to say who runs it")]
fn span() -> Option<Duration> {
    let seconds = std::env::var("HARDY_SOAK_HAMMER").ok()?;
    Some(Duration::from_secs(seconds.parse().expect("HARDY_SOAK_HAMMER in seconds")))
}

/// Calls by what the record must say of them.
type Seen = BTreeMap<&'static str, u64>;

fn seen(run: &Run) -> &'static str {
    match run.code {
        // The store did not let it ask: it was called all the same.
        _ if run.stderr.contains("state is unavailable") => "unasked",
        _ if run.stderr.contains("may not be counted: ") => "unreported",
        Some(0) => "successes",
        Some(1) => "failures",
        Some(124) => "timeouts",
        Some(126) => "excluded",
        other => panic!("exit {other:?}: {run:?}"),
    }
}

/// What is known while it goes on.
#[derive(Default)]
struct Progress {
    calls: AtomicUsize,
    /// Those that the store was in the way of.
    troubled: AtomicUsize,
    ended: AtomicUsize,
}

impl Progress {
    fn has_ended(&self) -> bool {
        self.ended.load(SeqCst) == WORKERS
    }
}

fn hammer(store: &Store, flags: &[&str], progress: &Progress) -> Seen {
    let end = span().map(|span| Instant::now() + span);
    let work = |worker: usize| {
        let mut all = Seen::new();
        for number in 0_usize.. {
            if end.map_or(number == FEW, |end| Instant::now() >= end) {
                break;
            }
            let script = ["true", "true", "exit 1", "true", "exit 126", "exit 1"][(worker + number) % 6];
            let word = seen(&called(store, &[&FLAGS[..], flags].concat(), script));
            *all.entry(word).or_default() += 1;
            progress.calls.fetch_add(1, SeqCst);
            progress.troubled.fetch_add(usize::from(word.starts_with("un")), SeqCst);
        }
        progress.ended.fetch_add(1, SeqCst);
        all
    };
    let (work, mut sum) = (&work, Seen::new());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|worker| scope.spawn(move || work(worker))).collect();
        for (word, count) in workers.into_iter().flat_map(|worker| worker.join().unwrap()) {
            *sum.entry(word).or_default() += count;
        }
    });
    say(&sum);
    sum
}

#[expect(clippy::print_stdout, reason = "the summary is what one runs it for")]
fn say(seen: &Seen) {
    println!("hammer: {seen:?}");
}

/// The record, once no lease is left.
fn settled(store: &Store) -> impl Fn(&str) -> u64 {
    let shown =
        wait_for("the last lease to end", || Some(shown(store)).filter(|shown| shown["in_flight"] == 0));
    move |key| shown[key].as_u64().unwrap_or_else(|| panic!("{key} in {shown}"))
}

#[test]
fn on_this_host_every_call_is_counted_as_its_process_saw_it() {
    let store = Store::local();
    let seen = hammer(&store, &[], &Progress::default());
    let record = settled(&store);
    let counted = ["successes", "failures", "timeouts", "excluded", "lost"].map(|key| (key, record(key)));
    assert_eq!(Seen::from_iter(counted.into_iter().filter(|(_, count)| *count > 0)), seen);
    let ran = seen.values().sum::<u64>() - seen.get("excluded").unwrap_or(&0);
    assert_eq!(record("requests"), ran);
}

#[test]
fn in_etcd_every_call_is_counted_or_lost_and_no_loss_is_silent() {
    let store = Store::of(crate::etcd::Etcd::single());
    let progress = Progress::default();
    let seen = thread::scope(|scope| {
        let disturbing = scope.spawn(|| disturb(&store, &progress));
        let seen = hammer(&store, &["--state-within", "3s"], &progress);
        disturbing.join().unwrap();
        seen
    });
    let record = settled(&store);
    let number = |word| seen.get(word).copied().unwrap_or(0);
    let (sent, unasked, unreported) = (seen.values().sum::<u64>(), number("unasked"), number("unreported"));
    let (counted, lost) = (record("requests") + record("excluded"), record("lost"));
    let told = format!("{counted} counted, {lost} lost of {seen:?}");
    assert!(unasked + unreported > 0, "the store was never in the way: {told}");
    // Whoever was let through is counted or lost; whoever was told nothing may be lost, and no other.
    assert!((sent - unasked..=sent).contains(&(counted + lost)), "{told}");
    assert!(counted >= sent - unasked - unreported && lost <= unasked + unreported, "{told}");
    for word in ["successes", "failures", "timeouts", "excluded"] {
        let range = number(word)..=number(word) + unreported;
        assert!(range.contains(&record(word)), "{word} {}: {told}", record(word));
    }
}

/// Stops etcd now and then until somebody has noticed.
fn disturb(store: &Store, progress: &Progress) {
    let etcd = store.etcd().unwrap();
    let mut next = WORKERS;
    while !progress.has_ended() {
        if progress.calls.load(SeqCst) >= next {
            let before = progress.troubled.load(SeqCst);
            etcd.stop(0);
            wait_for("somebody to notice", || {
                (progress.troubled.load(SeqCst) > before || progress.has_ended()).then_some(())
            });
            etcd.cont(0);
            next = progress.calls.load(SeqCst) + 8 * WORKERS;
        }
        thread::park_timeout(Duration::from_millis(5));
    }
}
