//! From the shell's point of view: how long until `--version` has answered.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::process::hardy;
use super::{Goal, Row, median};

const ROUNDS: usize = 41;

pub fn row() -> Row {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(milliseconds(hardy(), "--version"));
        theirs.push(milliseconds("etcdctl", "version"));
    }
    Row {
        what: "start-up: `hardy --version`",
        unit: "ms",
        ours: median(ours),
        peer: "etcdctl version",
        theirs: median(theirs),
        goal: Goal::AtMost(0.15),
    }
}

fn milliseconds(program: &str, argument: &str) -> f64 {
    let start = Instant::now();
    let status = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.expect("it runs").success(), "{program} {argument}");
    start.elapsed().as_secs_f64() * 1e3
}
