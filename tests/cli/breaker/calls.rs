//! `probe --breaker NAME` and `load run --breaker NAME`: one breaker with `breaker run`, and with each other.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{called, lines, shown, state, trip};
use crate::fixtures::{Server, ok, refused, response};
use crate::lock::store::Store;
use crate::support::{Process, Run, run_in, wait_for};

/// As patient as the other calls of these tests.
const PATIENT: [&str; 4] = ["--breaker", "x", "--state-within", "30s"];

fn hardy(store: &Store, args: &[&str]) -> Command {
    let mut hardy = store.hardy();
    hardy.env("HARDY_BREAKER_WINDOW", "10m").args(args).args(PATIENT).arg("--json");
    hardy
}

fn probe(store: &Store, args: &[&str]) -> Run {
    let args = [&["probe", "--timeout", "20s"], args].concat();
    hardy(store, &args).output().unwrap().into()
}

fn load(store: &Store, args: &[&str]) -> Run {
    hardy(store, &[&["load", "run"], args].concat()).output().unwrap().into()
}

fn count(data: &serde_json::Value, name: &str) -> u64 {
    data[name].as_u64().unwrap_or_else(|| panic!("no {name} in {data}"))
}

#[test]
fn a_probe_is_kept_back_by_what_a_command_has_tripped() {
    Store::each(|store| {
        let server = Server::http(ok);
        trip(store, "10m");
        let run = probe(store, &[&server.url("/"), "--count", "3", "--interval", "1ms"]);
        assert_eq!((run.code, server.hits()), (Some(75), 0), "{run:?}");
        let target = &run.json()["data"]["targets"][0];
        assert_eq!((&target["state"], &target["calls"]), (&"unknown".into(), &0.into()));
        let breaker = &target["breaker"];
        assert_eq!((&breaker["name"], &breaker["state"]), (&"x".into(), &"open".into()));
        assert_eq!((&breaker["short_circuited"], &breaker["requests"]), (&3.into(), &0.into()));
        assert_eq!(breaker["transitions"][0]["why"], "1 of 1 calls failed");
        let plugin: Run = store
            .hardy()
            .args(["probe", &server.url("/"), "--breaker", "x", "--nagios"])
            .output()
            .unwrap()
            .into();
        assert!(plugin.stdout.contains("is unknown (the breaker x is open, next trial in "), "{plugin:?}");
        // In etcd those that are refused at once do not wait for each other to be counted.
        let refused = count(&shown(store), "short_circuited");
        assert!(refused == 4 || store.etcd().is_some(), "{refused}");
    });
}

#[test]
fn a_command_is_kept_back_by_what_a_probe_has_tripped() {
    Store::each(|store| {
        let run = probe(store, &[&format!("tcp://{}", refused()), "--volume", "1", "--cooldown", "10m"]);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert_eq!(run.json()["data"]["targets"][0]["breaker"]["state"], "open");
        assert_eq!(called(store, &[], "echo >>called").code, Some(75));
        assert_eq!(lines(store, "called"), 0);
    });
}

#[test]
fn of_many_probes_one_makes_the_trial() {
    Store::each(|store| {
        trip(store, "1ms");
        let go = Arc::new(AtomicBool::new(false));
        let wait = go.clone();
        let server = Server::http(move |number, request| {
            while !wait.load(Ordering::SeqCst) {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            ok(number, request)
        });
        let url = server.url("/");
        let start = || {
            let args = ["probe", &url, "--timeout", "20s", "--cooldown", "1ms"];
            Process::start(hardy(store, &args).stdout(Stdio::null()))
        };
        let mut all: Vec<_> = (0..5).map(|_| start()).collect();
        wait_for("the others to be refused", || {
            (all.iter_mut().filter_map(|process| process.has_ended().then_some(())).count() == 4)
                .then_some(())
        });
        go.store(true, Ordering::SeqCst);
        let mut codes: Vec<_> = all.into_iter().map(|process| process.finish().code.unwrap()).collect();
        codes.sort_unstable();
        assert_eq!((codes, server.hits()), (vec![0, 75, 75, 75, 75], 1));
        assert_eq!(state(store), "closed");
    });
}

#[test]
fn each_call_of_a_probe_is_counted_once() {
    Store::each(|store| {
        let server = Server::http(|number, _| response(if number == 0 { 503 } else { 200 }, "", ""));
        let run = probe(store, &[&server.url("/"), "--count", "5", "--interval", "1ms"]);
        // Calls overtake each other, and the state is that of the last one to end.
        assert!(matches!(run.code, Some(0 | 1)), "{run:?}");
        let shown = shown(store);
        assert_eq!((count(&shown, "successes"), count(&shown, "failures"), server.hits()), (4, 1, 5));
        assert_eq!((count(&shown, "in_flight"), count(&shown, "lost")), (0, 0));
        let breaker = &run.json()["data"]["targets"][0]["breaker"];
        assert_eq!((&breaker["window"]["requests"], &breaker["uncounted"]), (&5.into(), &0.into()));
    });
}

#[test]
fn who_waits_for_a_target_counts_and_is_not_kept_back() {
    Store::each(|store| {
        trip(store, "10m");
        let server = Server::http(ok);
        let run = probe(store, &[&server.url("/"), "--until", "up"]);
        assert_eq!((run.code, server.hits()), (Some(0), 1), "{run:?}");
        let shown = shown(store);
        assert_eq!((&shown["state"], count(&shown, "successes")), (&"open".into(), 1));
        // Nor does it trip it.
        assert_eq!(store.run(&["breaker", "reset", "x"]).code, Some(0));
        let down = format!("tcp://{}", refused());
        let run = probe(store, &[&down, "--until", "down", "--volume", "1"]);
        assert_eq!((run.code, state(store).as_str()), (Some(0), "closed"), "{run:?}");
    });
}

#[test]
fn a_probe_that_is_interrupted_gives_its_permit_back() {
    Store::each(|store| {
        trip(store, "1ms");
        let silent = crate::fixtures::silent();
        let args = ["probe", &silent.url("/"), "--timeout", "10m", "--cooldown", "1ms"];
        let process = Process::start(hardy(store, &args).stdout(Stdio::null()));
        wait_for("the trial", || (silent.hits() == 1).then_some(()));
        assert_eq!(shown(store)["trials"], 1);
        process.signal("TERM");
        assert_eq!(process.finish().code, Some(143));
        let shown = shown(store);
        assert_eq!(
            (&shown["trials"], &shown["in_flight"], &shown["excluded"]),
            (&0.into(), &0.into(), &1.into())
        );
    });
}

#[test]
fn a_target_of_the_config_has_its_breaker() {
    let store = Store::local();
    let server = Server::http(ok);
    let config = format!(
        "[store]\ndirectory = {:?}\n[targets.api]\nurl = {:?}\nbreaker = \"x\"\n",
        store.directory().join("store"),
        server.url("/")
    );
    std::fs::write(store.directory().join("hardy.toml"), config).unwrap();
    assert_eq!(run_in(store.directory(), &["probe", "api"]).code, Some(0));
    assert_eq!(count(&shown(&store), "successes"), 1);
    assert_eq!(run_in(store.directory(), &["probe", "api", "--breaker", "y"]).code, Some(0));
    assert_eq!(count(&shown(&store), "successes"), 1, "the flag has the last word");
    trip(&store, "10m");
    let run = run_in(store.directory(), &["probe", "api", "--quorum", "2"]);
    assert!(run.code == Some(75) && run.stdout.contains("x, open: 0 requests, 1 short-circuited"), "{run:?}");
    std::fs::write(
        store.directory().join("hardy.toml"),
        "[targets.api]\nurl = \"exec:true\"\nbreaker = \"\"\n",
    )
    .unwrap();
    let wrong = run_in(store.directory(), &["config", "check"]);
    assert!(
        wrong.code == Some(2) && wrong.stderr.contains("targets.api.breaker: a breaker needs a name"),
        "{wrong:?}"
    );
}

#[test]
fn without_a_store_probes_and_loads_go_on_and_say_so_once() {
    let mut store = Store::of(crate::etcd::Etcd::single());
    trip(&store, "10m");
    store.etcd_mut().unwrap().kill(0);
    let server = Server::http(ok);
    let url = server.url("/");
    let warned =
        |run: &Run| run.stderr.matches("the breaker's state is unavailable (cannot reach etcd").count();
    let run = probe(&store, &[&url, "--count", "3", "--interval", "1ms"]);
    assert_eq!((run.code, server.hits(), warned(&run)), (Some(0), 3, 1), "{run:?}");
    assert_eq!(run.json()["data"]["targets"][0]["breaker"]["uncounted"], 3);
    let run = probe(&store, &[&url, "--state-unavailable", "deny"]);
    assert_eq!((run.code, server.hits(), warned(&run)), (Some(3), 3, 1), "{run:?}");
    assert!(run.json()["data"]["targets"][0]["breaker"]["state"].is_null(), "nobody knows it: {run:?}");
    let run = load(&store, &[&url, "-n", "20", "-c", "2"]);
    assert_eq!((run.code, server.hits(), warned(&run)), (Some(0), 23, 1), "{run:?}");
    assert!(run.stderr.contains("the breaker x may not have counted 20 requests"), "{run:?}");
    let run = load(&store, &[&url, "-n", "20", "--state-unavailable", "deny"]);
    assert_eq!((run.code, server.hits()), (Some(3), 23), "{run:?}");
    assert!(run.stderr.contains("error: the breaker x: cannot reach etcd"), "{run:?}");
}

#[test]
fn a_breaker_counts_what_a_load_counts() {
    Store::each(|store| {
        let server = Server::http(|number, _| response(if number % 4 == 0 { 503 } else { 200 }, "", ""));
        let run = load(store, &[&server.url("/"), "-n", "400", "-c", "4"]);
        assert_eq!(run.code, Some(0), "{run:?}");
        let (data, shown) = (&run.json()["data"], shown(store));
        assert_eq!((count(&shown, "successes"), count(&shown, "failures")), (300, 100));
        assert_eq!((count(data, "ok"), count(data, "failed"), server.hits()), (300, 100, 400));
        assert_eq!(count(&shown["window"], "requests"), 400);
    });
}

#[test]
fn a_load_trips_it_and_ends() {
    Store::each(|store| {
        let server = Server::http(|_, _| response(503, "", ""));
        let run = load(store, &[&server.url("/"), "-d", "1h", "-c", "2"]);
        assert_eq!((run.code, &run.json()["data"]["end"]), (Some(1), &"breaker_opened".into()), "{run:?}");
        let shown = shown(store);
        assert_eq!(
            (&shown["state"], count(&shown, "failures")),
            (&"open".into(), count(&run.json()["data"], "failed"))
        );
        // Another one does not even begin.
        let before = server.hits();
        let again = load(store, &[&server.url("/"), "-d", "1h"]);
        assert_eq!((again.code, again.stdout.as_str(), server.hits()), (Some(75), "", before), "{again:?}");
        assert!(again.stderr.contains("x is open: not called, next trial in "), "{again:?}");
    });
}

#[test]
fn a_load_ends_when_an_operator_opens_it() {
    Store::each(|store| {
        let server = Server::http(ok);
        let args = ["load", "run", &server.url("/"), "-d", "1h", "-c", "2"];
        let process = Process::start(hardy(store, &args).stdout(Stdio::piped()));
        wait_for("requests", || (server.hits() > 20).then_some(()));
        assert_eq!(store.run(&["breaker", "open", "x"]).code, Some(0));
        let run = process.finish();
        assert_eq!((run.code, &run.json()["data"]["end"]), (Some(1), &"breaker_opened".into()), "{run:?}");
        assert_eq!(count(&shown(store), "successes"), count(&run.json()["data"], "ok"));
    });
}

#[test]
fn a_load_that_sheds_makes_the_trial_and_goes_on() {
    Store::each(|store| {
        trip(store, "500ms");
        let server = Server::http(ok);
        let args = [&server.url("/"), "-n", "200", "--rate", "100/s", "-c", "4", "--when-open", "shed"];
        let run = load(store, &args);
        let data = &run.json()["data"];
        assert_eq!((run.code, &data["end"]), (Some(0), &"done".into()), "{run:?}");
        assert_eq!(count(data, "ok") + count(data, "short_circuited"), 200, "{data}");
        let shown = shown(store);
        assert_eq!((&shown["state"], count(&shown, "successes")), (&"closed".into(), count(data, "ok")));
        let to: Vec<_> = shown["transitions"].as_array().unwrap().iter().map(|one| &one["to"]).collect();
        assert_eq!(to, ["open", "half_open", "closed"]);
    });
}

#[test]
fn the_trial_of_a_load_that_fails_opens_it_again() {
    Store::each(|store| {
        trip(store, "1ms");
        let server = Server::http(|_, _| response(503, "", ""));
        // Its cooldown is over: the run begins with one request.
        let run = load(store, &[&server.url("/"), "-d", "1h", "-c", "4"]);
        assert_eq!((run.code, server.hits()), (Some(1), 1), "{run:?}");
        assert_eq!(run.json()["data"]["end"], "breaker_opened");
        let shown = shown(store);
        assert_eq!((&shown["state"], &shown["reopen_count"]), (&"open".into(), &1.into()));
    });
}

#[test]
fn what_a_load_could_not_tell_is_counted_as_lost() {
    let mut store = Store::of(crate::etcd::Etcd::single());
    let server = Server::http(ok);
    let mut hardy = store.hardy();
    hardy.args(["load", "run", &server.url("/"), "-d", "1h", "--rate", "100/s", "--breaker", "x"]);
    hardy.args(["--json", "--state-within", "300ms"]).env("HARDY_BREAKER_WINDOW", "10m");
    let mut process = Process::start(hardy.stdout(Stdio::piped()));
    wait_for("requests", || (store.run(&["breaker", "show", "x"]).code == Some(0)).then_some(()));
    store.etcd_mut().unwrap().kill(0);
    process.line("the breaker's state is unavailable (cannot reach etcd");
    let before = server.hits();
    wait_for("more requests", || (server.hits() > before + 20).then_some(()));
    store.etcd_mut().unwrap().restart(0);
    wait_for("the store", || (store.run(&["breaker", "list"]).code == Some(0)).then_some(()));
    let lost = || count(&shown(&store), "lost");
    wait_for("what was lost", || (lost() > 0).then_some(()));
    process.signal("TERM");
    let run = process.finish();
    let (data, shown) = (&run.json()["data"], shown(&store));
    let (sent, told, lost) = (count(data, "ok"), count(&shown, "requests"), count(&shown, "lost"));
    assert!(run.code == Some(143) && told <= sent && told + lost >= sent, "{told} {lost} {run:?}");
    let said = format!("the breaker x may not have counted {lost} requests");
    assert!(run.stderr.contains(&said), "{said}: {run:?}");
}

#[test]
fn jobs_go_through_it_one_by_one() {
    Store::each(|store| {
        let mut hardy = hardy(store, &["load", "run", "--jobs", "-", "-w", "1", "--timeout", "20s"]);
        hardy.env("HARDY_BREAKER_VOLUME", "1").args(["--", "sh", "-c", "echo {} >>ran; exit 7"]);
        let run: Run = hardy.current_dir(store.directory()).stdin(input(store)).output().unwrap().into();
        let errors = &run.json()["data"]["errors"];
        assert_eq!((run.code, lines(store, "ran")), (Some(1), 1), "{run:?}");
        assert_eq!(errors["exit"], serde_json::json!({ "7": 1, "75": 2 }));
        assert!(run.stderr.contains("x is open: not called"), "{run:?}");
    });
}

#[test]
fn jobs_find_the_store_of_the_flags() {
    let store = Store::local();
    let directory = store.directory().join("store");
    let mut hardy = crate::support::hardy();
    hardy.args(["load", "run", "--jobs", "-", "--breaker", "x", "--quorum", "3", "--timeout", "20s"]);
    hardy.arg("--store-dir").arg(&directory).args(["--", "true"]);
    let run: Run = hardy.stdin(input(&store)).output().unwrap().into();
    assert_eq!(run.code, Some(0), "{run:?}");
    let shown = shown(&store);
    assert_eq!((count(&shown, "successes"), count(&shown["settings"][0], "quorum")), (3, 3));
}

/// Three lines.
fn input(store: &Store) -> Stdio {
    let path = store.directory().join("lines");
    std::fs::write(&path, "a\nb\nc\n").unwrap();
    std::fs::File::open(path).unwrap().into()
}

#[test]
fn what_has_no_meaning_is_refused() {
    let store = Store::local();
    for (args, what) in [
        (&["probe", "exec:true", "--quorum", "2"][..], "--quorum has no meaning without --breaker NAME"),
        (&["probe", "exec:true", "--store-dir", "/x"], "--store-dir has no meaning without --breaker NAME"),
        (
            &["load", "run", "http://h", "--endpoints", "none"],
            "--endpoints has no meaning without --breaker NAME",
        ),
        (
            &["load", "run", "http://h", "--when-open", "shed"],
            "--when-open has no meaning without --breaker NAME",
        ),
        (&["load", "run", "http://h", "--breaker", "x", "--own-breaker"], "cannot be used with"),
        (
            &["load", "run", "--jobs", "-", "--own-breaker", "--", "true"],
            "--own-breaker has no meaning with --jobs",
        ),
        (&["probe", "exec:true", "--breaker", ""], "a breaker needs a name"),
    ] {
        let run = store.run(args);
        assert!(run.code == Some(2) && run.stderr.contains(what), "{args:?}: {run:?}");
    }
}

#[test]
fn a_shell_completes_the_names_of_breakers_for_probes_and_loads() {
    let store = Store::local();
    trip(&store, "1ms");
    for words in [&["hardy", "probe", "--breaker", ""][..], &["hardy", "load", "run", "--breaker", ""]] {
        let mut hardy = store.hardy();
        hardy.env("HARDY_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
        let run: Run = hardy.env("_CLAP_IFS", "\n").arg("--").args(words).output().unwrap().into();
        assert!(run.stdout.lines().any(|line| line == "x"), "{run:?}");
    }
}
