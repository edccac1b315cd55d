//! What a pool of jobs costs beyond the jobs: two thousand times `true`, two at a time, as whole processes.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::process::hardy;
use super::{Goal, Row, median};

const JOBS: usize = 2000;
const ROUNDS: usize = 11;
/// GNU parallel takes a quarter of a minute for what the others do in one second.
const SLOW_ROUNDS: usize = 3;

pub fn rows() -> Vec<Row> {
    let path = format!("{}/jobs", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&path, (1..=JOBS).map(|job| format!("{job}\n")).collect::<String>()).expect("a file");
    let time = |words: &[&str]| seconds(words, &path);
    let ours =
        || time(&[hardy(), "--config", "none", "-q", "load", "run", "-w", "2", "--jobs", "-", "--", "true"]);
    let kept = || {
        time(&[
            hardy(),
            "--config",
            "none",
            "-q",
            "load",
            "run",
            "-w",
            "2",
            "-k",
            "--jobs",
            "-",
            "--",
            "echo",
        ])
    };
    let pairs = |rounds: usize, ours: &dyn Fn() -> f64, theirs: &dyn Fn() -> f64| {
        let (ours, theirs) = (0..rounds).map(|_| (ours(), theirs())).unzip();
        (median(ours), median(theirs))
    };
    let xargs = pairs(ROUNDS, &ours, &|| time(&["xargs", "-P2", "-n1", "true"]));
    let parallel = pairs(SLOW_ROUNDS, &ours, &|| time(&["parallel", "--will-cite", "-j2", "true"]));
    let ordered = pairs(SLOW_ROUNDS, &kept, &|| time(&["parallel", "--will-cite", "-j2", "-k", "echo"]));
    let row = |what, peer, (ours, theirs), goal| Row { what, unit: "s", ours, peer, theirs, goal };
    vec![
        row("jobs: 2000 times `true`, two at a time", "xargs -P2", xargs, Goal::AtMost(1.0)),
        row("jobs: 2000 times `true`, two at a time", "GNU parallel", parallel, Goal::AtMost(0.2)),
        row("jobs: 2000 times `echo`, output in order", "GNU parallel", ordered, Goal::AtMost(0.2)),
    ]
}

fn seconds(words: &[&str], jobs: &str) -> f64 {
    let input = File::open(jobs).expect("the jobs");
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(input).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    assert!(command.status().expect("it runs").success(), "{words:?}");
    start.elapsed().as_secs_f64()
}
