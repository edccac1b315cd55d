//! The search for the highest rate, against servers that bear what they are told to.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::super::serve::client::Server;
use super::super::support::{Process, Run, hardy, run};

fn find(url: &str, flags: &str) -> Run {
    let flags: Vec<&str> = flags.split(' ').collect();
    run(&[&["load", "find", url, "--json"], &flags[..]].concat())
}

fn results(data: &Value) -> Vec<&str> {
    data["steps"].as_array().unwrap().iter().map(|step| step["result"].as_str().unwrap()).collect()
}

#[test]
fn the_rate_that_two_connections_bear_is_found() {
    // Each of two connections can carry 50 requests of 20 ms per second, and never more.
    let server = Server::start(&["--fault", "latency=20ms"]);
    let url = server.url("/");
    let found = find(&url, "--slo error_rate<1% -c 2 -d 500ms --start 25/s --resolution 50%");
    let data = &found.json()["data"];
    assert_eq!((found.code, data["end"].as_str()), (Some(0), Some("found")), "{found:?}");
    let (held, failed) = (data["held_per_s"].as_f64().unwrap(), data["failed_per_s"].as_f64().unwrap());
    assert!(held <= 102.0 && held < failed && failed <= held * 1.5, "{data}");
    // Whatever failed was tried again, and each trial was told of.
    let steps = data["steps"].as_array().unwrap();
    let fails = |again: bool| steps.iter().filter(|s| s["result"] == "failed" && s["again"] == again).count();
    assert!(fails(true) > 0 && fails(true) <= fails(false), "{data}");
    assert_eq!(
        found.stderr.lines().filter(|line| line.contains("achieved")).count(),
        steps.len(),
        "{found:?}"
    );
    let last = steps.iter().rfind(|step| step["result"] == "failed").unwrap();
    assert_eq!(last["why"], serde_json::json!(["the rate was not reached"]));
}

#[test]
fn a_server_that_fails_bears_no_rate() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&["--fault", "status=503@100%"]);
    let (url, junit) = (server.url("/"), directory.path().join("junit.xml"));
    let flags = "--slo error_rate<1% --slo p50<10s -d 200ms --start 100/s --min-rate 60/s";
    let found = find(&url, &format!("{flags} --report junit={}", junit.display()));
    let data = &found.json()["data"];
    assert_eq!((found.code, data["end"].as_str()), (Some(1), Some("nothing_held")), "{found:?}");
    assert_eq!((data["held_per_s"].as_f64(), results(data)), (None, vec!["failed"; 4]));
    assert_eq!(data["steps"][0]["why"], serde_json::json!(["error_rate<1%"]));
    assert!(fs::read_to_string(junit).unwrap().contains("find.nothing_held"));
}

#[test]
fn the_highest_rate_that_was_allowed_may_hold() {
    let server = Server::start(&[]);
    let url = server.url("/");
    let flags = ["--slo", "error_rate<=0%", "-d", "200ms", "--start", "20/s", "--max-rate", "50/s", "-q"];
    let found = run(&[&["load", "find", &url], &flags[..]].concat());
    assert_eq!(found.code, Some(0), "{found:?}");
    assert!(found.stdout.contains(" bears 50/s\nwith error_rate<=0%, and perhaps more"), "{found:?}");
    assert_eq!((found.stdout.matches("held\n").count(), found.stderr.as_str()), (3, ""), "{found:?}");
    assert!(found.stdout.lines().all(|line| line.chars().count() <= 80), "{found:?}");
}

#[test]
fn too_few_requests_to_tell_are_no_pass() {
    let server = Server::start(&[]);
    let found = find(&server.url("/"), "--slo p99.9<10s -d 200ms --start 20/s --max-rate 40/s");
    let data = &found.json()["data"];
    assert_eq!((found.code, data["end"].as_str()), (Some(3), Some("too_few")), "{found:?}");
    assert_eq!(results(data), ["too_few"; 2]);
}

#[test]
fn descriptors_that_hardy_lacks_are_not_the_fault_of_the_target() {
    // 40 connections carry 400 requests of 100 ms per second; there are descriptors for fewer.
    let server = Server::start(&["--fault", "latency=100ms"]);
    let url = server.url("/");
    let limited = |limit: &str| -> Run {
        let mut shell = Command::new("sh");
        let line = format!("ulimit {limit} 30; exec \"$@\"");
        shell.args(["-c", &line, "sh"]).arg(hardy().get_program()).env("HARDY_CONFIG", "none");
        shell.args(["load", "find", &url, "--json", "--slo", "error_rate<1%", "-c", "64", "-d", "1s"]);
        shell.args(["--start", "400/s", "--max-rate", "400/s"]).output().unwrap().into()
    };
    let found = limited("-n");
    assert_eq!((found.code, results(&found.json()["data"])), (Some(3), vec!["generator_bound"]), "{found:?}");
    // What may be raised is.
    let found = limited("-Sn");
    assert!(!results(&found.json()["data"]).contains(&"generator_bound"), "{found:?}");
}

#[test]
fn an_interrupted_search_tells_what_it_has() {
    let server = Server::start(&[]);
    let url = server.url("/");
    let args = ["load", "find", &url, "--slo", "failed<=0", "-d", "300ms", "--start", "10/s", "--json"];
    let mut process = Process::start(hardy().args(args).stdout(std::process::Stdio::piped()));
    process.line("achieved");
    process.signal("INT");
    let found = process.finish();
    assert_eq!(found.code, Some(130), "{found:?}");
    assert_eq!(found.json()["data"]["end"], "interrupted", "{found:?}");
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    for (flags, error) in [
        ("-d 1s", "--slo"),
        ("--slo p99", "expected a condition such as p99>200ms"),
        ("--slo p99<50", "p99: expected a duration such as 250ms"),
        ("--slo p98.x<5ms", "`p98.x` is not measured"),
        ("--slo p99<5ms --start 0.5/s", "--start must lie between 1/s and 1000000/s"),
        ("--slo p99<5ms --start 50/s --max-rate 20/s", "--start must lie between"),
        ("--slo p99<5ms --min-rate 0/s", "--min-rate must be more than 0/s"),
        ("--slo p99<5ms --min-rate 9/s --max-rate 5/s", "--max-rate (5/s) is lower than --min-rate (9/s)"),
        ("--slo p99<5ms --replay access.log", "--replay has times of its own"),
        ("--slo p99<5ms --resolution 0.1%", "--resolution must be at least 1%, not 0.1%"),
    ] {
        let found = find("http://127.0.0.1:1", flags);
        assert_eq!((found.code, found.stdout.as_str()), (Some(2), ""), "{flags}: {found:?}");
        assert!(found.stderr.contains(error), "{flags}: {found:?}");
    }
}
