//! Several processes, and several hosts, with one breaker.

use std::process::{Command, Stdio};

use super::{call, called, lines, shown, state, trip};
use crate::lock::network::{Net, Network};
use crate::lock::store::Store;
use crate::support::{Process, Run, hardy, wait_for};

#[test]
fn exactly_one_trial_goes_through_however_many_ask() {
    Store::each(|store| {
        trip(store, "1ms");
        let script = "echo >>trials; until test -e go; do sleep 0.02; done";
        let start = || Process::start(&mut call(store, &["--cooldown", "1ms"], script));
        let mut all: Vec<_> = (0..8).map(|_| start()).collect();
        wait_for("the others to be refused", || {
            (all.iter_mut().filter_map(|process| process.has_ended().then_some(())).count() == 7)
                .then_some(())
        });
        assert_eq!((lines(store, "trials"), &shown(store)["trials"]), (1, &1.into()));
        std::fs::write(store.directory().join("go"), "").unwrap();
        let mut codes: Vec<_> = all.into_iter().map(|process| process.finish().code.unwrap()).collect();
        codes.sort_unstable();
        assert_eq!(codes, [0, 75, 75, 75, 75, 75, 75, 75]);
        assert_eq!(state(store), "closed");
    });
}

#[test]
fn places_for_calls_in_flight_are_shared() {
    Store::each(|store| {
        let script = "echo >>running; until test -e go; do sleep 0.02; done";
        let flags = ["--max-concurrent", "2"];
        let running: Vec<_> = (0..2).map(|_| Process::start(&mut call(store, &flags, script))).collect();
        wait_for("two calls", || (lines(store, "running") == 2).then_some(()));
        let third = called(store, &flags, "true");
        assert_eq!(third.code, Some(75), "{third:?}");
        assert_eq!(third.stderr, "x: not called, 2 of at most 2 calls are in flight\n");
        assert_eq!(called(store, &["--max-concurrent", "3"], "true").code, Some(0), "by its own number");
        std::fs::write(store.directory().join("go"), "").unwrap();
        running.into_iter().for_each(|process| assert_eq!(process.finish().code, Some(0)));
        assert_eq!(called(store, &flags, "true").code, Some(0));
        assert_eq!((&shown(store)["rejected"], &shown(store)["in_flight"]), (&1.into(), &0.into()));
    });
}

#[test]
fn many_who_are_refused_at_once_are_all_refused() {
    Store::each(|store| {
        trip(store, "10m");
        let refused = |_| assert_eq!(called(store, &[], "echo >>called").code, Some(75));
        std::thread::scope(|scope| {
            (0..12).for_each(|_| drop(scope.spawn(|| (0..4).for_each(refused))));
        });
        assert_eq!(lines(store, "called"), 0);
        let counted = shown(store)["short_circuited"].as_u64().unwrap();
        // In etcd they do not wait for each other to be counted.
        assert!(
            if store.etcd().is_some() { (1..=48).contains(&counted) } else { counted == 48 },
            "{counted}"
        );
    });
}

#[test]
fn callers_with_other_numbers_share_the_breaker_and_that_is_shown() {
    Store::each(|store| {
        assert_eq!(called(store, &["--volume", "100"], "exit 1").code, Some(1));
        assert_eq!(called(store, &["--volume", "2", "--window", "1m"], "exit 1").code, Some(1));
        assert_eq!(state(store), "open", "by the numbers of the second, with the counts of both");
        let show = store.run(&["breaker", "show", "x"]).stdout;
        assert!(show.contains("callers differ"), "{show}");
        assert_eq!(shown(store)["settings"].as_array().unwrap().len(), 2);
    });
}

/// One etcd, and hosts that have names of their own.
struct Fleet {
    network: Network,
    endpoint: String,
    directory: tempfile::TempDir,
    _etcd: Process,
}

impl Fleet {
    /// None where that is not permitted.
    fn start(test: &str) -> Option<Fleet> {
        let network = Network::new(test, 1, &["a", "b"])?;
        let directory = tempfile::tempdir().unwrap();
        let endpoint = format!("http://{}:2379", network.member(0, Net::Clients));
        let mut etcd = Command::new("etcd");
        etcd.args([
            "--listen-client-urls",
            &endpoint,
            "--advertise-client-urls",
            &endpoint,
            "--log-level",
            "error",
        ]);
        etcd.arg("--data-dir").arg(directory.path().join("etcd"));
        let mut etcd = network.on("m0", &etcd);
        let etcd = Process::start(etcd.stdin(Stdio::null()).stdout(Stdio::null()));
        let fleet = Fleet { network, endpoint, directory, _etcd: etcd };
        wait_for("etcd", || (fleet.run("a", &["breaker", "list"]).code == Some(0)).then_some(()));
        Some(fleet)
    }

    fn run(&self, host: &str, args: &[&str]) -> Run {
        let mut hardy = hardy();
        let program = hardy.get_program().to_owned();
        hardy
            .env("HARDY_STORE_ENDPOINTS", &self.endpoint)
            .env("HARDY_STORE_DIRECTORY", self.directory.path());
        let mut named = Command::new("unshare");
        named.args(["--uts", "sh", "-c", "hostname \"$0\"; exec \"$@\"", host]).arg(program).args(args);
        for (name, value) in hardy.get_envs() {
            match value {
                Some(value) => named.env(name, value),
                None => named.env_remove(name),
            };
        }
        self.network.on(host, &named).stdin(Stdio::null()).output().unwrap().into()
    }

    fn call(&self, host: &str, flags: &[&str], command: &str) -> Run {
        self.run(host, &[&["breaker", "run", "x", "--window", "10m"], flags, &["--", command]].concat())
    }
}

#[test]
fn two_network_namespaces_share_one_through_etcd() {
    let Some(fleet) = Fleet::start("a breaker of two hosts") else { return };
    let flags = ["--volume", "2", "--cooldown", "1s"];
    assert_eq!(fleet.call("a", &flags, "false").code, Some(1));
    assert_eq!(fleet.call("b", &flags, "false").code, Some(1));
    assert_eq!(fleet.call("a", &flags, "true").code, Some(75), "both have seen it fail once");
    wait_for("the trial", || (fleet.call("b", &flags, "true").code == Some(0)).then_some(()));
    assert_eq!(fleet.call("a", &flags, "true").code, Some(0));
    // Cut off, it calls all the same, and says so; the other goes on.
    fleet.network.cut("a", Net::Clients);
    let alone = fleet.call("a", &flags, "true");
    assert!(
        alone.code == Some(0) && alone.stderr.contains("the breaker's state is unavailable"),
        "{alone:?}"
    );
    let denied = fleet.call("a", &["--state-unavailable", "deny"], "true");
    assert_eq!(denied.code, Some(3), "{denied:?}");
    assert_eq!(fleet.call("b", &flags, "true").stderr, "");
    fleet.network.heal("a", Net::Clients);
    let show = fleet.run("b", &["breaker", "show", "x", "--json"]).json();
    let members = show["data"]["members"].as_array().unwrap();
    assert_eq!(members.iter().map(|member| member["host"].as_str().unwrap()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn a_bad_host_alone_trips_no_breaker_with_a_quorum() {
    let Some(fleet) = Fleet::start("a quorum") else { return };
    let flags = ["--volume", "2", "--quorum", "2", "--cooldown", "10m"];
    for _ in 0..6 {
        assert_eq!(fleet.call("a", &flags, "false").code, Some(1));
    }
    assert_eq!(fleet.call("b", &flags, "false").code, Some(1), "nothing has tripped so far");
    assert_eq!(fleet.call("a", &flags, "true").code, Some(75));
    let show = fleet.run("b", &["breaker", "show", "x", "--json"]).json();
    let calls = |member: usize| show["data"]["members"][member]["requests"].as_u64();
    assert_eq!([calls(0), calls(1)], [Some(6), Some(1)], "who saw it failing: {show}");
}
