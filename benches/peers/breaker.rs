//! One uncontended call through the breaker, clock readings included, in nanoseconds.

use std::process::Command;
use std::time::Instant;

use hardy::breaker::{Breaker, Config, Millis, Outcome};

use super::process::go;
use super::{Goal, Row, median};

const ROUNDS: usize = 5;
const CALLS: u32 = 5_000_000;

pub fn row() -> Row {
    let peer = go("breaker.go");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(ours_per_call());
        theirs.push(theirs_per_call(&peer));
    }
    Row {
        what: "breaker: one call, uncontended",
        unit: "ns",
        ours: median(ours),
        peer: "Go, hystrix-go's shape",
        theirs: median(theirs),
        goal: Goal::AtMost(0.05),
    }
}

fn ours_per_call() -> f64 {
    let (breaker, start) = (Breaker::new(Config::default(), 0), Instant::now());
    for _ in 0..CALLS {
        let asked = start.elapsed();
        if let Ok(permit) = breaker.ask(asked.as_millis() as Millis) {
            let done = start.elapsed();
            permit.report(Outcome::Success, done - asked, done.as_millis() as Millis);
        }
    }
    assert_eq!(breaker.stats(0).successes, u64::from(CALLS));
    start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn theirs_per_call(peer: &str) -> f64 {
    let output = Command::new(peer).output().expect("the peer runs");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    document["ns_per_op"].as_f64().expect("ns_per_op")
}
