//! `hardy lock run`: the command ends before its lock does, whatever happens to hardy, its watchdog or the store.

use std::io::Write;

use super::run_case::{Case, kill};
use crate::etcd::Etcd;
use crate::lock::store::Store;
use crate::support::wait_for;

/// A lease whose end can be waited for, and what is stopped for it.
const SHORT: &[&str] = &["--ttl", "5s", "--grace", "500ms"];

const STUBBORN: &str = "trap '' TERM; sleep 60 & sleep 60";

fn etcd() -> Store {
    Store::of(Etcd::single())
}

/// Waits until nobody of the command is alive, and proves that its key was still there then.
fn gone_before_the_lease(case: &Case, store: &Store) {
    case.wait_until_gone();
    assert_eq!(store.etcd().unwrap().keys("x/").len(), 1, "the lease ended first");
}

#[test]
fn a_stopped_hardy_lets_no_command_overrun() {
    let store = etcd();
    let case = Case::start(&store, SHORT, STUBBORN);
    case.watchdog(0);
    case.hardy.signal("STOP");
    gone_before_the_lease(&case, &store);
    case.hardy.signal("CONT");
    let run = case.finish();
    assert_eq!(run.code, Some(76), "{run:?}");
}

#[test]
fn a_killed_hardy_takes_the_command_with_it() {
    let store = etcd();
    for script in ["exec sleep 60", STUBBORN] {
        let case = Case::start(&store, SHORT, script);
        case.watchdog(0);
        case.hardy.signal("KILL");
        gone_before_the_lease(&case, &store);
        case.finish();
        wait_for("the end of the lease", || store.is_clean().then_some(()));
    }
}

#[test]
fn a_killed_watchdog_is_replaced() {
    let store = etcd();
    let mut case = Case::start(&store, SHORT, STUBBORN);
    let first = case.watchdog(0);
    kill(first, "KILL");
    case.hardy.line("a new one watches");
    case.watchdog(first);
    case.hardy.signal("STOP");
    gone_before_the_lease(&case, &store);
    case.hardy.signal("CONT");
    assert_eq!(case.finish().code, Some(76));
}

#[test]
fn the_watchdog_goes_with_the_command_and_not_with_a_signal() {
    let store = etcd();
    let case = Case::start(&store, &[], "exec sleep 60");
    let watchdog = case.watchdog(0);
    for signal in ["TERM", "INT", "HUP", "QUIT", "USR1"] {
        kill(watchdog, signal);
    }
    assert_eq!(case.watchdog(0), watchdog);
    case.hardy.signal("TERM");
    // Which looks whether anything is left.
    let run = case.finish();
    assert_eq!((run.code, run.stderr.as_str()), (Some(143), ""));
}

#[test]
fn a_store_that_does_not_answer_ends_the_command_in_time() {
    let store = etcd();
    let case = Case::start(&store, SHORT, STUBBORN);
    store.etcd().unwrap().stop(0);
    case.wait_until_gone();
    store.etcd().unwrap().cont(0);
    let run = case.finish();
    assert_eq!(run.code, Some(76), "{run:?}");
    assert!(run.stderr.contains("could not be renewed in time"), "{run:?}");
}

#[test]
fn a_lock_that_is_taken_away_ends_the_command() {
    Store::each(|store| {
        let case = Case::start(store, &["--grace", "200ms"], STUBBORN);
        assert_eq!(store.run(&["lock", "break", "x", "--yes"]).code, Some(0));
        let run = case.finish();
        assert_eq!(run.code, Some(76), "{run:?}");
        assert!(store.is_clean());
    });
}

#[test]
fn whoever_reads_no_warnings_holds_up_nobody() {
    Store::each(|store| {
        let (reader, mut stderr) = std::io::pipe().unwrap();
        let size = rustix::pipe::fcntl_getpipe_size(&stderr).unwrap();
        stderr.write_all(&vec![b' '; size]).unwrap();
        let mut hardy = store.hardy();
        hardy.args(["lock", "run", "x", "--grace", "200ms", "--", "sh", "-c"]);
        let case = Case::telling(hardy.arg(format!("echo $$; {STUBBORN}")), stderr);
        // What is left of it here would keep the pipe open.
        drop(hardy);
        assert_eq!(store.run(&["lock", "break", "x", "--yes"]).code, Some(0));
        case.wait_until_gone();
        wait_for("the lock", || store.is_clean().then_some(()));
        drop(reader);
        assert_eq!(case.finish().code, Some(76));
    });
}

#[test]
fn on_this_host_the_command_itself_keeps_the_lock() {
    let store = Store::local();
    let taken = || store.run(&["lock", "run", "x", "--try", "--", "true"]).code == Some(0);
    let case = Case::start(&store, &[], "exec sleep 60");
    case.hardy.signal("KILL");
    assert!(!case.is_gone() && !taken());
    kill(case.group, "KILL");
    wait_for("the lock", || taken().then_some(()));
}

#[test]
fn on_this_host_a_command_that_does_not_keep_the_lock_ends_with_hardy() {
    let store = Store::local();
    let case = Case::start(&store, &["--no-inherit", "--grace", "300ms"], STUBBORN);
    case.watchdog(0);
    case.hardy.signal("KILL");
    wait_for("the lock", || {
        let gone = case.is_gone();
        let taken = store.run(&["lock", "run", "x", "--try", "--", "true"]).code == Some(0);
        assert!(gone || !taken || case.is_gone(), "two at once");
        taken.then_some(())
    });
}

#[test]
fn the_longest_hold_counts_without_hardy_too() {
    let store = Store::local();
    let flags = ["--max-hold", "1s", "--grace", "100ms"];
    for signal in ["KILL", "STOP"] {
        let case = Case::start(&store, &flags, STUBBORN);
        case.watchdog(0);
        case.hardy.signal(signal);
        case.wait_until_gone();
        if signal == "STOP" {
            case.hardy.signal("CONT");
            assert_eq!(case.finish().code, Some(76));
        }
    }
}
