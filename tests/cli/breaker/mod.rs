//! `hardy breaker`, in every store.

mod calls;
mod faults;
mod hammer;
mod operators;
mod run;
mod shared;
mod stream;

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::lock::store::Store;
use crate::support::Run;

/// So long that no slow machine lets a call run into its timeout, fall out of the window, or give the store up.
const USUAL: [[&str; 2]; 3] = [["--window", "10m"], ["--timeout", "20s"], ["--state-within", "30s"]];

/// `hardy breaker run x FLAGS -- sh -c SCRIPT`.
fn call(store: &Store, flags: &[&str], script: &str) -> Command {
    let mut hardy = store.hardy();
    let usual = USUAL.iter().filter(|[flag, _]| !flags.contains(flag)).flatten();
    hardy.args(["breaker", "run", "x"]).args(usual).args(flags);
    hardy.args(["--", "sh", "-c", script]).current_dir(store.directory());
    hardy
}

fn called(store: &Store, flags: &[&str], script: &str) -> Run {
    call(store, flags, script).output().unwrap().into()
}

/// What `show` says of x.
fn shown(store: &Store) -> Value {
    let run = store.run(&["breaker", "show", "x", "--json"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    run.json()["data"].take()
}

fn state(store: &Store) -> String {
    shown(store)["state"].as_str().unwrap().to_owned()
}

/// Makes it trip at once, with this cooldown.
fn trip(store: &Store, cooldown: &str) {
    let run = called(store, &["--volume", "1", "--cooldown", cooldown], "exit 1");
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("x is open now: "), "{run:?}");
}

/// The file of x in the local store.
fn record(store: &Store, what: &str) -> PathBuf {
    store.directory().join("store/breakers").join(format!("{what}=x"))
}

/// How many lines the file has that commands of the test write to.
fn lines(store: &Store, name: &str) -> usize {
    std::fs::read_to_string(store.directory().join(name)).unwrap_or_default().lines().count()
}
