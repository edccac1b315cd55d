//! `hardy lock run`: signals are the command's own matter, once it runs.

use std::process::Stdio;

use super::run_case::{Case, kill};
use crate::lock::store::Store;
use crate::support::{Process, wait_for};

#[test]
fn signals_are_passed_on() {
    Store::each(|store| {
        let names = ["HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "ALRM"];
        let traps: String = names.iter().map(|name| format!("trap 'echo {name}' {name}; ")).collect();
        let script = format!("{traps} trap 'exit 9' PIPE; echo; while :; do sleep 0.01; done");
        let mut case = Case::start(store, &[], &script);
        case.word();
        for name in names {
            case.hardy.signal(name);
            assert_eq!(case.word(), name);
        }
        kill(case.group, "PIPE");
        assert_eq!(case.finish().code, Some(9));
        assert!(store.is_clean());
    });
}

#[test]
fn a_command_that_ends_by_a_signal_is_told_so() {
    let store = Store::local();
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let case = Case::start(&store, &[], "exec sleep 60");
        case.hardy.signal(name);
        assert_eq!(case.finish().code, Some(code));
    }
}

#[test]
fn a_stopped_command_heeds_what_is_to_end_it() {
    let store = Store::local();
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let case = Case::start(&store, &[], "kill -STOP $$; sleep 60");
        let stat = format!("/proc/{}/stat", case.group);
        wait_for("the stop", || std::fs::read_to_string(&stat).unwrap().contains(") T ").then_some(()));
        case.hardy.signal(name);
        assert_eq!(case.finish().code, Some(code));
    }
}

#[test]
fn asked_twice_hardy_does_not_leave_the_command_behind() {
    let store = Store::local();
    let mut case =
        Case::start(&store, &[], "trap 'sleep 0.2; echo asked' TERM; echo; while :; do sleep 0.01; done");
    case.word();
    for _ in 0..3 {
        case.hardy.signal("TERM");
        assert_eq!(case.word(), "asked");
    }
    assert!(!case.hardy.has_ended());
    kill(-case.group, "KILL");
    assert_eq!(case.finish().code, Some(137));
}

#[test]
fn what_was_to_be_ignored_is_ignored() {
    let store = Store::local();
    let mut sh = std::process::Command::new("sh");
    let hardy = store.hardy();
    for (name, value) in hardy.get_envs() {
        value.map(|value| sh.env(name, value));
    }
    let script = "trap '' HUP; exec \"$0\" lock run x -- sh -c 'echo $$; kill -HUP $$; echo alive; sleep 60'";
    sh.args(["-c", script]).arg(hardy.get_program()).stdin(Stdio::null());
    let mut case = Case::of(&mut sh);
    assert_eq!(case.word(), "alive");
    case.hardy.signal("HUP");
    case.hardy.signal("TERM");
    assert_eq!(case.finish().code, Some(143));
}

#[test]
fn interrupted_while_it_waits_it_runs_nothing() {
    Store::each(|store| {
        let holder = Case::start(store, &[], "exec sleep 60");
        let file = store.directory().join("ran");
        for (subcommand, signal, code) in
            [("run", "INT", 130), ("run", "TERM", 143), ("run", "HUP", 129), ("acquire", "HUP", 129)]
        {
            let mut command = store.hardy();
            command.args(["lock", subcommand, "x"]);
            if subcommand == "run" {
                command.args(["--", "touch"]).arg(&file);
            }
            let waiter = Process::start(&mut command);
            wait_for("the waiter to queue", || (waiters(store) == 1).then_some(()));
            waiter.signal(signal);
            assert_eq!(waiter.finish().code, Some(code));
            assert_eq!(waiters(store), 0);
        }
        holder.hardy.signal("TERM");
        assert_eq!(holder.finish().code, Some(143));
        assert!(!file.exists() && store.is_clean());
    });
}

fn waiters(store: &Store) -> usize {
    let status = store.run(&["lock", "status", "x", "--json"]).json();
    status["data"]["locks"][0]["waiters"].as_array().unwrap().len()
}
