//! How a run ends: by itself, by a breaker, by a signal.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use super::{load, server};
use crate::serve::client::Server;
use crate::support::{Process, Run, hardy};

/// A run that is under way: the server has seen some of its requests.
fn under_way(server: &Server, args: &[&str]) -> Process {
    let mut command = hardy();
    command.args(["load", "run", "--json", &server.urls[0]]).args(args).stdout(Stdio::piped());
    let before = served(server);
    let process = Process::start(&mut command);
    crate::support::wait_for("the first requests", || (served(server) > before + 3.0).then_some(()));
    process
}

/// Requests that the server has seen so far.
fn served(server: &Server) -> f64 {
    let metrics = server.metrics();
    let requests = metrics.lines().filter(|line| line.starts_with("hardy_serve_requests_total"));
    requests.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn with_metrics(args: &[&str]) -> Server {
    server(&[&["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], args].concat())
}

fn data(run: &Run) -> Value {
    run.json()["data"].clone()
}

#[test]
fn interrupted_it_reports_what_it_has() {
    let server = with_metrics(&[]);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let process = under_way(&server, &["-d", "1h", "-c", "4"]);
        process.signal(signal);
        let run = process.finish();
        assert_eq!(run.code, Some(code), "{run:?}");
        let data = data(&run);
        assert_eq!(data["end"], json!("stopped"));
        assert!(data["requests"].as_u64().unwrap() > 0, "{data}");
    }
}

#[test]
fn a_signal_waits_for_no_answer() {
    let server = with_metrics(&["--fault", "latency=1h@50%", "--drain-timeout", "0s"]);
    let process = under_way(&server, &["-d", "1h", "-c", "16", "--timeout", "1h"]);
    process.signal("INT");
    let run = process.finish();
    assert_eq!(run.code, Some(130), "{run:?}");
    assert!(data(&run)["cut_off"].as_u64().unwrap() > 0, "{run:?}");
}

#[test]
fn a_closed_stdout_is_no_panic() {
    let server = server(&[]);
    let mut command = hardy();
    command.args(["load", "run", &server.urls[0], "-n", "10"]).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let run = Process::of(child).finish();
    assert!(!run.stderr.contains("panicked"), "{run:?}");
    assert_eq!(run.code, Some(0));
}

#[test]
fn a_breaker_ends_a_hopeless_run() {
    let server = server(&["--fault", "status=503"]);
    let data = load(&server, &["-d", "1h", "-c", "2", "--own-breaker"]);
    assert_eq!(data["end"], json!("breaker_opened"));
    assert_eq!(data["ok"], json!(0));
}

#[test]
fn a_breaker_sheds_until_the_server_recovers() {
    let server = server(&["--fault", "window=0s..2s:503"]);
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("hardy.toml");
    std::fs::write(&config, "[profile.default.breaker]\ncooldown = \"300ms\"\nwindow = \"1s\"\n").unwrap();
    let config = config.to_str().unwrap();
    let args = ["--own-breaker", "--when-open", "shed", "--rate", "1000/s", "-d", "6s", "--config", config];
    let data = load(&server, &args);
    assert_eq!(data["end"], json!("done"));
    let count = |name: &str| data[name].as_u64().unwrap();
    assert!(count("short_circuited") > 100 && count("ok") > 100, "{data}");
    let all = count("requests") + count("short_circuited") + count("cut_off") + count("unsent");
    assert_eq!(all, 6000, "{data}");
}

#[test]
fn stages_follow_each_other_and_end_the_run() {
    let server = server(&[]);
    let data = load(&server, &["--stages", "1s:100/s,1s:100/s-300/s", "-c", "10"]);
    assert_eq!(data["requests"], json!(300), "{data}");
    assert!(data["elapsed_s"].as_f64().unwrap() < 10.0);
}

#[test]
fn the_warm_up_is_sent_and_not_recorded() {
    let server = server(&[]);
    let data = load(&server, &["--rate", "200/s", "-d", "2s", "--warm-up", "1s", "-c", "10"]);
    assert_eq!((&data["warm_up"], &data["requests"]), (&json!(200), &json!(200)), "{data}");
    assert_eq!(super::seen(server)["requests"], json!(400));
}

#[test]
fn connections_are_opened_over_the_ramp() {
    let server = with_metrics(&[]);
    let begun = std::time::Instant::now();
    let args = ["-d", "2s", "-c", "10", "--ramp-up", "1500ms", "--rate", "100/s"];
    let data = load(&server, &args);
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert_eq!(data["failed"], json!(0), "{data}");
}
