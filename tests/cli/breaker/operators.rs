//! `list`, `show`, `open`, `close`, `reset`, `watch`: what operators see and decide.

use serde_json::Value;

use super::{call, called, record, shown, state, trip};
use crate::lock::store::Store;
use crate::support::{Process, Run, wait_for};

#[test]
fn open_means_that_nobody_calls_until_its_time_is_over() {
    Store::each(|store| {
        let open = store.run(&["breaker", "open", "x", "--for", "10m", "--reason", "maintenance"]);
        assert_eq!(open.code, Some(0), "{open:?}");
        assert!(
            open.stdout.starts_with("x is open, forced by ") && open.stdout.contains(": maintenance;"),
            "{open:?}"
        );
        assert_eq!(called(store, &["--cooldown", "1ms"], "echo no").code, Some(75));
        let again = store.run(&["breaker", "open", "x", "--for", "200ms"]);
        assert_eq!(again.code, Some(0), "{again:?}");
        let trial = wait_for("the end of it", || {
            let run = called(store, &[], "true");
            (run.code != Some(75)).then_some(run)
        });
        assert!(trial.stderr.contains("x is closed now: the trial succeeded"), "{trial:?}");
        assert_eq!(shown(store)["forced"], Value::Null);
        assert_eq!(store.run(&["breaker", "open", "x", "--for", "forever"]).code, Some(0));
        let held = called(store, &[], "true");
        assert_eq!((held.code, held.stderr.as_str()), (Some(75), "x is held open: not called\n"));
    });
}

#[test]
fn close_means_that_it_does_not_trip() {
    Store::each(|store| {
        trip(store, "10m");
        assert_eq!(store.run(&["breaker", "close", "x", "--for", "10m"]).code, Some(0));
        for _ in 0..3 {
            assert_eq!(called(store, &["--volume", "1"], "exit 1").code, Some(1));
        }
        assert_eq!((state(store).as_str(), &shown(store)["window"]["failures"]), ("closed", &3.into()));
    });
}

#[test]
fn reset_forgets() {
    Store::each(|store| {
        trip(store, "10m");
        assert_eq!(store.run(&["breaker", "reset", "x"]).stdout, "x is closed\n");
        let shown = shown(store);
        assert_eq!((&shown["requests"], &shown["state"]), (&0.into(), &"closed".into()));
        assert_eq!(called(store, &[], "true").code, Some(0));
        let unknown = store.run(&["breaker", "reset", "y"]);
        assert!(unknown.code == Some(2) && unknown.stderr.contains("no call was ever made"), "{unknown:?}");
    });
}

#[test]
fn looking_changes_nothing() {
    Store::each(|store| {
        let empty = store.run(&["breaker", "list"]);
        assert!(empty.code == Some(0) && empty.stdout.starts_with("no breaker was ever used"), "{empty:?}");
        // Its cooldown is over by the time of the first look; only a call may do something about that.
        trip(store, "1ms");
        let bytes = || match store.etcd() {
            Some(etcd) => etcd.etcdctl(&["get", "/hardy/breakers/x"]),
            None => std::fs::read_to_string(super::record(store, "record")).unwrap(),
        };
        let before = bytes();
        for _ in 0..3 {
            let list = store.run(&["breaker", "list", "--json"]).json();
            assert_eq!(list["data"]["breakers"][0]["state"], "open");
            assert_eq!(shown(store)["next_trial_in_ms"], 0);
        }
        let prometheus = store.directory().join("metrics");
        let to = format!("prometheus={}", prometheus.display());
        let human = store.run(&["breaker", "list", "--report", &to]);
        assert!(human.stdout.contains("call is a trial"), "{human:?}");
        let metrics = std::fs::read_to_string(prometheus).unwrap();
        assert!(metrics.contains("hardy_breaker_state{breaker=\"x\"} 2"), "{metrics}");
        assert_eq!(bytes(), before);
    });
}

#[test]
fn watch_tells_each_change() {
    Store::each(|store| {
        assert_eq!(called(store, &[], "true").code, Some(0));
        let mut watch = store.lines(&["breaker", "watch", "--json"]);
        let mut next = || serde_json::from_str::<Value>(&watch.next()).unwrap()["data"].take();
        assert_eq!(next()["state"], "closed");
        trip(store, "1ms");
        let opened = next();
        assert_eq!((&opened["name"], &opened["state"]), (&"x".into(), &"open".into()));
        assert_eq!(opened["transition"]["why"]["reason"], "tripped");
        wait_for("a trial", || (called(store, &[], "true").code == Some(0)).then_some(()));
        let mut states = vec![next()];
        while states.last().unwrap()["state"] != "closed" {
            states.push(next());
        }
        assert!(states.iter().any(|state| state["transition"]["to"] == "half_open"), "{states:?}");
    });
}

#[test]
fn a_shell_completes_names() {
    let store = Store::local();
    trip(&store, "1ms");
    let mut hardy = store.hardy();
    hardy.env("HARDY_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "3").env("_CLAP_IFS", "\n");
    let run: Run = hardy.args(["--", "hardy", "breaker", "show", ""]).output().unwrap().into();
    assert!(run.stdout.lines().any(|line| line == "x"), "{run:?}");
}

#[test]
fn one_that_cannot_be_read_hides_no_other() {
    let store = Store::local();
    trip(&store, "10m");
    std::fs::create_dir(record(&store, "record").with_file_name("record=bad")).unwrap();
    let run = store.run(&["breaker", "list", "--json"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let breakers = run.json()["data"]["breakers"].take();
    assert_eq!((&breakers[0]["name"], &breakers[0]["state"]), (&"bad".into(), &Value::Null));
    assert!(breakers[0]["problem"].as_str().unwrap().contains("record=bad"), "{breakers}");
    assert_eq!((&breakers[1]["name"], &breakers[1]["state"]), (&"x".into(), &"open".into()));
    assert!(store.run(&["breaker", "list"]).stdout.contains("unreadable"));
}

#[test]
fn many_who_are_refused_say_a_whole_line_each() {
    let store = Store::local();
    trip(&store, "10m");
    let (mut reader, writer) = std::io::pipe().unwrap();
    let calls: Vec<_> = (0..16)
        .map(|_| call(&store, &[], "true").stderr(writer.try_clone().unwrap()).spawn().unwrap())
        .collect();
    drop(writer);
    let text = std::io::read_to_string(&mut reader).unwrap();
    for mut call in calls {
        assert_eq!(call.wait().unwrap().code(), Some(75));
    }
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines.len() == 16 && lines.iter().all(|line| line.starts_with("x is open: not called")),
        "{text}"
    );
}

#[test]
fn a_report_on_stdout_is_added_to_what_the_command_says() {
    let store = Store::local();
    let path = store.directory().join("out");
    let mut call = call(&store, &["--report", "json=/dev/stdout"], "echo precious");
    assert!(call.stdout(std::fs::File::create(&path).unwrap()).status().unwrap().success());
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.starts_with("precious\n{\"schema\":"), "{text}");
}

#[test]
fn a_watch_of_one_that_nobody_has_used_says_so() {
    let store = Store::local();
    let mut hardy = store.hardy();
    let mut watch = Process::start(hardy.args(["breaker", "watch", "tpyo"]));
    watch.line("no call was made through tpyo so far");
    watch.signal("TERM");
    assert_eq!(watch.finish().code, Some(143));
}
