//! Steps of the wall clock, which libfaketime makes for one process: no lease is longer or shorter for that. It
//! breaks the timers of a process that runs for long, so that only short ones are tested.

use std::path::PathBuf;
use std::process::Command;

use super::store::Store;
use crate::support::Run;

const STEPS: [&str; 2] = ["+10h", "-10h"];

/// hardy with a wall clock that shows what the file says.
struct Stepped<'a> {
    store: &'a Store,
    file: PathBuf,
}

impl Stepped<'_> {
    fn new(store: &Store) -> Stepped<'_> {
        let stepped = Stepped { store, file: store.directory().join("clock") };
        stepped.set("+0");
        stepped
    }

    fn set(&self, step: &str) {
        std::fs::write(&self.file, step).unwrap();
    }

    fn hardy(&self) -> Command {
        let mut hardy = self.store.hardy();
        hardy.env("LD_PRELOAD", library()).env("FAKETIME_TIMESTAMP_FILE", &self.file);
        hardy.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        hardy
    }

    fn run(&self, args: &[&str]) -> Run {
        self.hardy().args(args).output().unwrap().into()
    }
}

fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let mut files = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    files.find(|file| file.exists()).expect("libfaketime is installed")
}

#[test]
fn a_lease_lives_through_a_step_of_the_clock() {
    Store::each(|store| {
        let clock = Stepped::new(store);
        assert_eq!(store.run(&["lock", "acquire", "x", "--ttl", "60s"]).code, Some(0));
        for step in STEPS {
            clock.set(step);
            let status = clock.run(&["lock", "status", "x", "--json"]).json();
            let left = status["data"]["locks"][0]["holders"][0]["left_ms"].as_u64();
            assert!(left.is_some_and(|left| left <= 60_000), "{step}: {status}");
            let others = clock.run(&["lock", "acquire", "x", "--try"]);
            assert_eq!(others.code, Some(75), "{step}: {others:?}");
            let renewed = clock.run(&["lock", "renew", "x", "--json"]);
            assert_eq!(renewed.code, Some(0), "{step}: {renewed:?}");
        }
        assert_eq!(clock.run(&["lock", "release", "x"]).code, Some(0));
        assert!(store.is_clean());
    });
}

#[test]
fn a_lease_ends_in_its_time_whatever_the_clock_shows() {
    Store::each(|store| {
        let clock = Stepped::new(store);
        for [before, after] in [[STEPS[0], STEPS[1]], [STEPS[1], STEPS[0]]] {
            clock.set(before);
            let acquired = clock.run(&["lock", "acquire", "x", "--ttl", "2s", "--json"]).json();
            let deadline: jiff::Timestamp = acquired["data"]["deadline"].as_str().unwrap().parse().unwrap();
            let ahead = (deadline - jiff::Timestamp::now()).total(jiff::Unit::Hour).unwrap();
            assert_eq!(ahead.round(), if before == STEPS[0] { 10.0 } else { -10.0 }, "the step works");
            clock.set(after);
            let next = clock.run(&["lock", "acquire", "x", "--wait", "30s"]);
            assert_eq!(next.code, Some(0), "{next:?}");
            assert_eq!(clock.run(&["lock", "release", "x"]).code, Some(0));
        }
    });
}
