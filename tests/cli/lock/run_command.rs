//! `hardy lock run`: the command's own streams, environment, exit code and end.

use std::io::{Read, Write};
use std::process::Stdio;

use super::run_case::{Case, kill};
use crate::lock::store::Store;
use crate::support::wait_for;

#[test]
fn the_exit_code_is_the_commands() {
    Store::each(|store| {
        for (script, code) in [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -KILL $$", 137)] {
            let run = store.run(&["lock", "run", "x", "--", "sh", "-c", script]);
            assert_eq!(
                (run.code, run.stdout.as_str(), run.stderr.as_str()),
                (Some(code), "", ""),
                "{script}"
            );
            assert!(store.is_clean(), "{script}");
        }
    });
}

#[test]
fn a_command_that_cannot_run_leaves_no_lock() {
    Store::each(|store| {
        for (command, code) in [("no-such-command", 127), ("/no/such/command", 127), ("/etc/passwd", 126)] {
            let run = store.run(&["lock", "run", "x", "--", command]);
            assert_eq!(run.code, Some(code), "{run:?}");
            assert!(run.stderr.contains(command), "{run:?}");
            assert!(store.is_clean(), "{command}");
        }
    });
}

#[test]
fn the_command_knows_its_lock() {
    Store::each(|store| {
        let run = store.run(&["lock", "run", "x", "--", "env"]);
        let value =
            |name: &str| run.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let token = value("HARDY_LOCK_TOKEN").unwrap();
        assert_eq!(value("HARDY_LOCK_NAME"), Some("x"));
        assert!(value("HARDY_LOCK_HANDLE").unwrap().contains(&format!(":x:{token}:")), "{run:?}");
        match store.etcd() {
            Some(_) => {
                assert!(value("HARDY_LOCK_DEADLINE").unwrap().ends_with('Z'));
                assert!(value("ETCD_LOCK_KEY").unwrap().starts_with("x/"));
                assert_eq!(value("ETCD_LOCK_REV"), Some(token));
            }
            None => assert_eq!((value("HARDY_LOCK_DEADLINE"), value("ETCD_LOCK_KEY")), (None, None)),
        }
    });
}

#[test]
fn its_streams_are_untouched() {
    let store = Store::local();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut command = store.hardy();
    command.args(["lock", "run", "x", "--", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let written = bytes.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&written).unwrap());
    let mut read = Vec::new();
    stdout.read_to_end(&mut read).unwrap();
    writer.join().unwrap();
    assert!(read == bytes, "{} bytes of {}", read.len(), bytes.len());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_closed_stdout_is_the_commands_matter() {
    let store = Store::local();
    let mut command = store.hardy();
    command.args(["lock", "run", "x", "--", "yes"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0; 2]).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(141), "128 and SIGPIPE");
    assert!(store.is_clean());
}

#[test]
fn what_it_leaves_in_its_group_ends_before_the_lock_is_released() {
    Store::each(|store| {
        let script = "mkfifo $DIR/f; (trap '' TERM; echo >$DIR/f; exec sleep 60) & read line <$DIR/f; exit 3";
        let mut command = store.hardy();
        command
            .env("DIR", store.directory())
            .args(["lock", "run", "x", "--grace", "200ms", "--", "sh", "-c"]);
        let case = Case::of(command.arg(format!("echo $$; {script}")));
        let run = case.finish();
        assert_eq!(run.code, Some(3), "{run:?}");
        assert!(store.is_clean());
        std::fs::remove_file(store.directory().join("f")).unwrap();
    });
}

#[test]
fn a_daemon_keeps_the_lock_of_this_host_if_it_inherits_it() {
    let store = Store::local();
    let next = || store.run(&["lock", "run", "x", "--try", "--", "true"]).code;
    for (flags, expected) in [(&[][..], 75), (&["--no-inherit"], 0)] {
        let daemon = "setsid sh -c 'echo $$; exec sleep 60 >/dev/null 2>&1' & wait";
        let mut case = Case::start(&store, flags, daemon);
        let daemon = case.word().parse().unwrap();
        assert_ne!(daemon, case.group);
        kill(case.group, "TERM");
        assert_eq!(case.finish().code, Some(143));
        assert_eq!(next(), Some(expected), "{flags:?}");
        kill(daemon, "KILL");
        wait_for("the lock", || (next() == Some(0)).then_some(()));
    }
}

#[test]
fn the_longest_hold_is_the_end_of_the_whole_tree() {
    Store::each(|store| {
        let flags = ["--max-hold", "300ms", "--grace", "200ms"];
        let case = Case::start(store, &flags, "trap '' TERM; (sleep 60; :) & sleep 60 & wait; wait");
        let run = case.finish();
        assert_eq!(run.code, Some(76), "{run:?}");
        assert!(run.stderr.contains("held for 300ms"), "{run:?}");
        assert!(store.is_clean());
    });
}
