//! What a call through a breaker that remembers costs: whole processes, from the shell's point of view.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::process::hardy;
use super::{Goal, Row, median};

const ROUNDS: usize = 101;

pub fn rows() -> Vec<Row> {
    let store = tempfile::tempdir().expect("a directory");
    let through = |script: &str| {
        let mut command = Command::new(hardy());
        command.env("HARDY_CONFIG", "none").env("HARDY_STORE_DIRECTORY", store.path());
        command.args(["breaker", "run", "bench", "--", script]);
        command
    };
    let (mut ours, mut start, mut bare, mut limited) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(milliseconds(&mut through("true")));
        start.push(milliseconds(Command::new(hardy()).arg("--version")));
        bare.push(milliseconds(&mut Command::new("true")));
        limited.push(milliseconds(Command::new("timeout").args(["1", "true"])));
    }
    let (ours, bare) = (median(ours), median(bare));
    let row = |peer, theirs, goal| Row {
        what: "breaker run: `true`, this host",
        unit: "ms",
        ours,
        peer,
        theirs,
        goal,
    };
    vec![
        row("`hardy --version`, then `true`", median(start) + bare, Goal::AtMost(1.5)),
        row("`true` alone", bare, Goal::Context),
        row("timeout(1)", median(limited), Goal::Context),
    ]
}

fn milliseconds(command: &mut Command) -> f64 {
    let start = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.expect("it runs").success(), "{command:?}");
    start.elapsed().as_secs_f64() * 1e3
}
