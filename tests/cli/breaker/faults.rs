//! What goes wrong: a caller dies at any moment, the store is down or does not answer, a record is damaged, a clock is
//! an hour off.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::{call, called, record, shown, state, trip};
use crate::fixtures::Server;
use crate::lock::store::Store;
use crate::support::{Process, Run, wait_for};

#[test]
fn without_a_store_calls_run_and_that_is_said() {
    let mut store = Store::of(crate::etcd::Etcd::single());
    trip(&store, "10m");
    store.etcd_mut().unwrap().kill(0);
    let allowed = called(&store, &[], "echo works");
    assert_eq!((allowed.code, allowed.stdout.as_str()), (Some(0), "works\n"));
    assert!(
        allowed.stderr.contains("warning: the breaker's state is unavailable (cannot reach etcd"),
        "{allowed:?}"
    );
    assert!(allowed.stderr.contains("x is called all the same, and not counted"), "{allowed:?}");
    let denied = called(&store, &["--state-unavailable", "deny"], "echo no");
    assert_eq!((denied.code, denied.stdout.as_str()), (Some(3), ""), "{denied:?}");
    let fallback =
        called(&store, &["--state-unavailable", "deny", "--fallback", "echo $HARDY_BREAKER_OUTCOME"], "x");
    assert_eq!((fallback.code, fallback.stdout.as_str()), (Some(0), "unavailable\n"), "{fallback:?}");
    store.etcd_mut().unwrap().restart(0);
    wait_for("the store", || (called(&store, &[], "echo no").code == Some(75)).then_some(()));
}

#[test]
fn a_store_that_does_not_answer_keeps_nobody_waiting_for_long() {
    let store = Store::of(crate::etcd::Etcd::single());
    assert_eq!(called(&store, &[], "true").code, Some(0));
    store.etcd().unwrap().stop(0);
    let run = called(&store, &["--state-within", "500ms"], "echo works");
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "works\n"), "{run:?}");
    store.etcd().unwrap().cont(0);
}

/// Passes everything on to that server and back, after a while.
fn slow(server: String, delay: Duration) -> Server {
    let pass_on = move |mut from: TcpStream, mut to: TcpStream| {
        let mut bytes = [0; 16_384];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            std::thread::park_timeout(delay);
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    };
    Server::start(move |client, _| {
        let server = TcpStream::connect(&server).unwrap();
        let (back, from) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || pass_on(from, back));
        pass_on(client, server);
    })
}

#[test]
fn a_slow_store_delays_calls_for_as_long_as_they_may_be_delayed() {
    let store = Store::of(crate::etcd::Etcd::single());
    let etcd = store.etcd().unwrap().endpoints();
    let proxy = slow(etcd.trim_start_matches("http://").to_owned(), Duration::from_millis(60));
    let through = |within: &str| -> Run {
        let mut hardy = call(&store, &["--state-within", within], "echo works");
        hardy.env("HARDY_STORE_ENDPOINTS", proxy.url("")).output().unwrap().into()
    };
    let patient = through("30s");
    assert_eq!((patient.code, patient.stderr.as_str()), (Some(0), ""), "{patient:?}");
    let hasty = through("50ms");
    assert_eq!((hasty.code, hasty.stdout.as_str()), (Some(0), "works\n"), "{hasty:?}");
    assert!(hasty.stderr.contains("x is called all the same, and not counted"), "{hasty:?}");
    assert_eq!((&shown(&store)["requests"], &shown(&store)["lost"]), (&1.into(), &0.into()));
}

#[test]
fn a_report_that_nobody_took_is_counted_as_lost() {
    let mut store = Store::of(crate::etcd::Etcd::single());
    let script = "echo >ready; until test -e go; do sleep 0.02; done";
    let process = Process::start(&mut call(&store, &["--timeout", "5s", "--grace", "1ms"], script));
    wait_for("the command", || store.directory().join("ready").exists().then_some(()));
    store.etcd_mut().unwrap().kill(0);
    std::fs::write(store.directory().join("go"), "").unwrap();
    let run = process.finish();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("warning: the call of x may not be counted: "), "{run:?}");
    store.etcd_mut().unwrap().restart(0);
    wait_for("the store", || (store.run(&["breaker", "list"]).code == Some(0)).then_some(()));
    wait_for("the end of its lease", || (shown(&store)["lost"] == 1).then_some(()));
    assert_eq!(called(&store, &[], "true").code, Some(0));
    assert_eq!((&shown(&store)["lost"], &shown(&store)["requests"]), (&1.into(), &1.into()));
}

#[test]
fn a_damaged_record_is_put_aside_and_the_breaker_begins_anew() {
    Store::each(|store| {
        trip(store, "10m");
        match store.etcd() {
            Some(etcd) => drop(etcd.etcdctl(&["put", "/hardy/breakers/x", "{\"half\":"])),
            None => std::fs::write(record(store, "record"), "{\"half\":").unwrap(),
        }
        let show = store.run(&["breaker", "show", "x"]);
        assert!(show.code == Some(1) && show.stdout.starts_with("x is damaged: "), "{show:?}");
        assert!(store.run(&["breaker", "list"]).stdout.contains("damaged"));
        let run = called(store, &[], "echo works");
        assert_eq!((run.code, run.stdout.as_str()), (Some(0), "works\n"));
        assert!(run.stderr.contains("warning: the record of x was damaged and is put aside"), "{run:?}");
        assert_eq!((state(store).as_str(), &shown(store)["requests"]), ("closed", &1.into()));
        match store.etcd() {
            Some(etcd) => assert!(etcd.etcdctl(&["get", "/hardy/breakers-damaged/x"]).contains("{\"half\":")),
            None => assert_eq!(std::fs::read_to_string(record(store, "damaged")).unwrap(), "{\"half\":"),
        }
    });
}

#[test]
fn a_caller_that_was_killed_frees_its_place_and_its_trial() {
    Store::each(|store| {
        trip(store, "1ms");
        let flags = ["--timeout", "500ms", "--grace", "1ms", "--max-concurrent", "1", "--cooldown", "1ms"];
        let process = Process::start(&mut call(store, &flags, "echo >ready; exec sleep 3 >/dev/null 2>&1"));
        wait_for("the trial", || store.directory().join("ready").exists().then_some(()));
        process.signal("KILL");
        process.finish();
        assert_eq!(called(store, &flags, "true").code, Some(75), "its permit is not over yet");
        wait_for("another trial", || (called(store, &flags, "true").code == Some(0)).then_some(()));
        assert_eq!((state(store).as_str(), &shown(store)["lost"]), ("closed", &1.into()));
        std::fs::remove_file(store.directory().join("ready")).unwrap();
    });
}

/// Kills hardy when it makes the system call of that number, counted from 1; whether it came so far.
fn killed_at(store: &Store, number: usize, calls: &str) -> bool {
    let hardy = call(store, &QUICK, "true");
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    strace.args(["-e", &format!("inject={calls}:signal=KILL:when={number}")]);
    strace.arg(hardy.get_program()).args(hardy.get_args());
    for (name, value) in hardy.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    let run: Run = strace.output().expect("strace is installed").into();
    match run.code {
        Some(0) => false,
        Some(137) | None => true,
        other => panic!("exit {other:?}: {run:?}"),
    }
}

/// A lease of two seconds, and a cooldown of none.
const QUICK: [&str; 6] = ["--timeout", "1s", "--grace", "1ms", "--cooldown", "1ms"];

#[test]
fn a_trial_that_is_killed_at_any_step_keeps_nobody_out_for_long() {
    Store::each(|store| {
        // Before, between and after the two changes of the record, and around the command.
        let steps: &[&str] = match store.etcd() {
            None => &["flock", "renameat2", "clone3", "wait4"],
            Some(_) => &["writev", "sendto", "clone3"],
        };
        let mut killed = 0;
        for calls in steps {
            for number in 1.. {
                assert_eq!(called(store, &["--volume", "1", "--cooldown", "1ms"], "exit 1").code, Some(1));
                assert_eq!(state(store), "open");
                let hit = killed_at(store, number, calls);
                // The lease of the dead, at most; then one trial is enough.
                wait_for("a call to be let through", || {
                    (called(store, &QUICK, "true").code == Some(0)).then_some(())
                });
                assert_eq!(state(store), "closed", "after {calls} {number}");
                if !hit {
                    break;
                }
                killed += 1;
            }
        }
        assert!(killed >= 4, "killed only {killed} times");
    });
}

#[test]
fn killed_at_any_system_call_it_leaves_a_breaker_that_works() {
    let store = Store::local();
    assert_eq!(called(&store, &[], "true").code, Some(0));
    for calls in ["openat", "flock", "write", "unlink", "renameat2", "clone3"] {
        let mut number = 1;
        while killed_at(&store, number, calls) {
            let next = called(&store, &[], "true");
            assert_eq!((next.code, next.stderr.as_str()), (Some(0), ""), "after {calls} {number}");
            number += 1;
        }
        assert!(number > 1, "no call of {calls}");
    }
    // Whoever was let through and died is lost, and nobody else.
    wait_for("all leases to end", || (shown(&store)["in_flight"] == 0).then_some(()));
    let shown = shown(&store);
    assert_eq!(shown["requests"], shown["successes"]);
    assert!(shown["lost"].as_u64().unwrap() >= 2, "{shown}");
}

#[test]
fn a_clock_an_hour_off_opens_and_closes_nothing_for_good() {
    Store::each(|store| {
        for [first, second] in [["+1h", "-1h"], ["-1h", "+1h"]] {
            let at = |step: &str, flags: &[&str], script: &str| -> Run {
                let mut hardy = call(store, flags, script);
                hardy
                    .env("LD_PRELOAD", faketime())
                    .env("FAKETIME", step)
                    .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
                hardy.output().unwrap().into()
            };
            let flags = ["--volume", "1", "--cooldown", "300ms"];
            let tripped = at(first, &flags, "exit 1");
            assert!(tripped.code == Some(1) && tripped.stderr.contains("x is open now"), "{tripped:?}");
            let closed = wait_for("a trial", || {
                let run = at(second, &flags, "true");
                (run.code != Some(75)).then_some(run)
            });
            assert!(closed.stderr.contains("x is closed now"), "{closed:?}");
        }
    });
}

fn faketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let mut files = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    files.find(|file| file.exists()).expect("libfaketime is installed")
}
