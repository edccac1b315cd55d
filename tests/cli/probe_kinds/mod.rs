//! `hardy probe` of servers with a protocol of their own: each against the real server, up and down, and against what
//! is none.

mod authority;
mod databases;
mod dns;
mod encrypted;
mod etcd;
mod grpc;
mod http;
mod icmp;
mod servers;
mod sockets;
mod strangers;

use serde_json::Value;

use super::support::{Run, run};

/// One call: the exit code, and what is known of the target.
fn target(url: &str, more: &[&str]) -> (Option<i32>, Value) {
    let patient: &[&str] = if more.contains(&"--timeout") { &[] } else { &["--timeout", "20s"] };
    let run = run(&[&["probe", url, "--json"], patient, more].concat());
    (run.code, run.json()["data"]["targets"][0].clone())
}

/// One call: the exit code, and what is known of it.
fn call(url: &str, more: &[&str]) -> (Option<i32>, Value) {
    let (code, target) = target(url, more);
    (code, target["last"].clone())
}

fn of(run: Run) -> (Option<i32>, Value) {
    let document = run.json();
    (run.code, document["data"]["targets"][0]["last"].clone())
}

/// It is up, and says this of itself.
#[track_caller]
fn assert_up(url: &str, more: &[&str], answer: &str) {
    let (code, last) = call(url, more);
    let said = last["answer"].as_str().unwrap_or_default();
    assert!(code == Some(0) && said.contains(answer), "{url}: {last}");
}

/// It is not as expected, for this reason, in these words.
#[track_caller]
fn assert_down(url: &str, more: &[&str], reason: &str, detail: &str) {
    let (code, last) = call(url, more);
    assert_eq!((code, last["reason"].as_str()), (Some(1), Some(reason)), "{url}: {last}");
    assert!(last["detail"].as_str().unwrap().contains(detail), "{url}: {last}");
}
