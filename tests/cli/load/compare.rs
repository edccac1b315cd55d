//! Runs compared: those that were kept in files, and those that are made in turn.

use std::fs;
use std::path::Path;
use std::time::Duration;

use hardy::histogram::{Encoded, Histogram};
use serde_json::{Value, json};

use super::super::fixtures;
use super::super::serve::client::Server;
use super::super::support::{Process, Run, hardy, run, wait_for};

/// A saved run of a thousand requests of so many microseconds, give or take a little.
fn saved(micros: u64, connections: &str) -> Value {
    let (mut times, none) = (Histogram::new(), Encoded::new(&Histogram::new()));
    (0..1000).for_each(|n| times.record(Duration::from_micros(micros + n % 10)));
    json!({
        "schema": "hardy.load.saved/v1",
        "settings": { "connections": connections, "target": format!("http://{micros}/") },
        "end": "done", "elapsed_s": micros as f64 / 1000.0, "rate_per_s": 1e6 / micros as f64,
        "sent": 1000, "warm_up": 0, "requests": 1000, "ok": 1000, "failed": 0,
        "offered": null, "unsent": 0, "short_circuited": 0,
        "errors": {}, "status": { "200": 1000 },
        "received_bytes": 1, "written_bytes": 1, "cpu_s": 0.1, "busiest": 0.2, "timeline": [],
        "histograms": {
            "response_ok": none, "response_failed": none,
            "service_ok": Encoded::new(&times), "service_failed": none,
            "late": none, "connect": none, "cut_off": none,
        },
    })
}

/// So many files, of runs that differ a little.
fn files(directory: &Path, name: &str, number: u64, micros: u64) -> Vec<String> {
    let file = |index| {
        let path = directory.join(format!("{name}-{index}.json"));
        fs::write(&path, saved(micros + 10 * index, "64").to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    (0..number).map(file).collect()
}

fn compare(flags: &[&str], base: &[String], new: &[String]) -> Run {
    let mut command = hardy();
    command.args(["load", "compare"]).args(flags).args(base).arg("--").args(new);
    command.output().expect("hardy runs").into()
}

#[test]
fn a_slower_version_is_worse_and_the_other_way_round_better() {
    let directory = tempfile::tempdir().unwrap();
    let (fast, slow) = (files(directory.path(), "fast", 6, 5000), files(directory.path(), "slow", 6, 6000));
    let junit = directory.path().join("junit.xml");
    let found = compare(&["--json", "--report", &format!("junit={}", junit.display())], &fast, &slow);
    assert_eq!((found.code, found.json()["schema"].as_str()), (Some(1), Some("hardy.load.compare/v1")));
    let data = &found.json()["data"];
    assert_eq!(
        (data["result"].as_str(), data["base"].as_array().map(Vec::len)),
        (Some("worse"), Some(6)),
        "{data}"
    );
    let results: Vec<_> = data["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (m["metric"].as_str(), m["result"].as_str()))
        .collect();
    let expected =
        [("rate_per_s", "worse"), ("p50_us", "worse"), ("p99_us", "worse"), ("error_rate", "same")];
    assert_eq!(results, expected.map(|(metric, result)| (Some(metric), Some(result))));
    let junit = fs::read_to_string(junit).unwrap();
    assert!(junit.contains("failures=\"3\"") && junit.contains("p99 is worse: 5."), "{junit}");

    let found = compare(&[], &slow, &fast);
    assert_eq!(found.code, Some(0), "{found:?}");
    assert!(found.stdout.contains("\nbetter: 6 runs against 6 runs of the base, floor 5%"), "{found:?}");
    assert!(found.stdout.lines().all(|line| line.chars().count() <= 80), "{found:?}");
}

#[test]
fn a_difference_below_the_floor_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let (base, new) = (files(directory.path(), "a", 6, 5000), files(directory.path(), "b", 6, 5100));
    let found = compare(&[], &base, &new);
    assert_eq!(found.code, Some(0), "{found:?}");
    assert!(found.stdout.contains("\nsame: "), "{found:?}");
    assert_eq!(compare(&["--floor", "1%"], &base, &new).code, Some(1));
    assert_eq!(compare(&["--floor", "1%", "--metric", "error-rate"], &base, &new).code, Some(0));
}

#[test]
fn few_runs_prove_nothing_and_say_so() {
    let directory = tempfile::tempdir().unwrap();
    let (fast, slow) = (files(directory.path(), "fast", 5, 5000), files(directory.path(), "slow", 5, 9000));
    for (number, flags, word, needed) in [
        (1, &[][..], "indicative: 1 run against 1 run", Some("5 runs on each side are needed")),
        (3, &[], "inconclusive: 3 runs", Some("5 runs on each side are needed")),
        (3, &["--metric", "p50"], "inconclusive: 3 runs", Some("4 runs on each side are needed")),
        (5, &[], "worse: 5 runs", None),
    ] {
        let found = compare(flags, &fast[..number], &slow[..number]);
        assert_eq!(found.code, Some(if needed.is_some() { 3 } else { 1 }), "{found:?}");
        assert!(found.stdout.contains(word), "{found:?}");
        assert!(needed.is_none_or(|needed| found.stdout.contains(needed)), "{found:?}");
    }
}

#[test]
fn runs_with_other_settings_are_told_of() {
    let directory = tempfile::tempdir().unwrap();
    let (base, new) = (files(directory.path(), "a", 6, 5000), files(directory.path(), "b", 6, 5000));
    assert!(!compare(&[], &base, &new).stdout.contains("different settings"));
    fs::write(&new[3], saved(5000, "128").to_string()).unwrap();
    let found = compare(&[], &base, &new);
    assert!(found.stdout.contains("the runs had different settings: connections\n"), "{found:?}");
    assert_eq!(
        compare(&["--json"], &base, &new).json()["data"]["differing_settings"],
        json!(["connections"])
    );
}

#[test]
fn damaged_and_foreign_files_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let good = files(directory.path(), "good", 1, 5000);
    let text = fs::read_to_string(&good[0]).unwrap();
    let path = directory.path().join("bad.json");
    let bad = [path.to_str().unwrap().to_owned()];
    for (content, cause) in [
        (text[..text.len() / 2].to_owned(), "not a saved run: EOF while parsing"),
        (String::new(), "not a saved run: EOF while parsing"),
        ("\u{1b}[2J".to_owned(), "not a saved run: expected value"),
        (
            text.replace("saved/v1", "saved/v2"),
            "a document of the form hardy.load.saved/v2, not of hardy.load.saved/v1",
        ),
        (
            text.replace("\"requests\":1000", "\"requests\":1001"),
            "its counts of requests contradict each other",
        ),
        (text.replace("HISTFAAA", "HISTFAAB"), "its histogram "),
        (
            text.replace("\"count\":1000", "\"count\":18446744073709551615"),
            "its histogram service_ok is damaged",
        ),
    ] {
        fs::write(&path, content).unwrap();
        for (base, new) in [(&good[..], &bad[..]), (&bad[..], &good[..])] {
            let found = compare(&[], base, new);
            assert_eq!((found.code, found.stdout.as_str()), (Some(3), ""), "{found:?}");
            assert!(found.stderr.contains(&format!("caused by: {}: {cause}", bad[0])), "{cause}: {found:?}");
        }
    }
    fs::remove_file(&path).unwrap();
    assert!(compare(&[], &good, &bad).stderr.contains("bad.json: No such file"));
    fs::create_dir(&path).unwrap();
    assert!(compare(&[], &good, &bad).stderr.contains("bad.json: Is a directory"));
}

#[test]
fn runs_that_did_not_end_by_themselves_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (base, new) = (files(directory.path(), "a", 2, 5000), files(directory.path(), "b", 2, 5000));
    for end in ["stopped", "breaker_opened", "p99>5ms"] {
        let mut run = saved(5000, "64");
        run["end"] = end.into();
        fs::write(&new[1], run.to_string()).unwrap();
        for found in [compare(&[], &base, &new), compare(&[], &new, &base)] {
            assert_eq!((found.code, found.stdout.as_str()), (Some(2), ""), "{end}: {found:?}");
            let error = format!("{}: a run that was cut short ({end}) ", new[1]);
            assert!(found.stderr.contains(&error), "{end}: {found:?}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    for args in [
        &["a.json"][..],
        &["--", "b.json"],
        &["--ab", "http://127.0.0.1:1"],
        &["--ab", "http://127.0.0.1:1", "http://127.0.0.1:1", "--runs", "0"],
        &["--ab", "http://127.0.0.1:1", "http://127.0.0.1:1", "--", "b.json"],
        &["--ab", "http://127.0.0.1:1", "no-such-target"],
        &["--runs", "3", "a.json", "--", "b.json"],
        &["--rate", "5/s", "a.json", "--", "b.json"],
        &["-c", "5", "a.json", "--", "b.json"],
        &["--http2", "a.json", "--", "b.json"],
        &["-H", "a: b", "a.json", "--", "b.json"],
        &["--expect-status", "200", "a.json", "--", "b.json"],
        &["--floor", "5", "a.json", "--", "b.json"],
        &["--metric", "p75", "a.json", "--", "b.json"],
    ] {
        let found = run(&[&["load", "compare"], args].concat());
        assert_eq!((found.code, found.stdout.as_str()), (Some(2), ""), "{args:?}: {found:?}");
    }
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path(), "a", 1, 5000);
    for (flags, flag) in
        [(&["--http2"][..], "--http2"), (&["-H", "a: b"], "--header"), (&["-n", "5"], "--requests")]
    {
        let found = compare(flags, &files, &files);
        assert!(
            found.stderr.contains(&format!("{flag} has no meaning for runs that were saved")),
            "{found:?}"
        );
    }
}

#[test]
fn two_servers_are_compared_in_turn() {
    let (fast, slow) =
        (Server::start(&["--fault", "latency=1ms"]), Server::start(&["--fault", "latency=15ms"]));
    let (a, b) = (fast.url("/"), slow.url("/"));
    let flags = ["--runs", "4", "-n", "20", "-c", "2", "--metric", "p50", "--json"];
    let found = run(&[&["load", "compare", "--ab", &a, &b], &flags[..]].concat());
    assert_eq!(found.code, Some(1), "{found:?}");
    let data = &found.json()["data"];
    assert_eq!(
        (data["result"].as_str(), data["new"].as_array().map(Vec::len)),
        (Some("worse"), Some(4)),
        "{data}"
    );
    let order: Vec<_> = found.stderr.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    assert_eq!(order, [a.as_str(), b.as_str()].repeat(4));
    let there = run(&[&["load", "compare", "--ab", &b, &a], &flags[..]].concat());
    assert_eq!((there.code, there.json()["data"]["result"].as_str()), (Some(0), Some("better")), "{there:?}");
}

#[test]
fn an_interrupted_comparison_says_what_it_has() {
    let server = fixtures::Server::http(|_, _| b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec());
    let url = server.url("/");
    let process =
        Process::start(hardy().args(["load", "compare", "--ab", &url, &url, "-d", "10m", "-c", "1"]));
    wait_for("a request", || (server.hits() > 0).then_some(()));
    process.signal("INT");
    let found = process.finish();
    assert_eq!(found.code, Some(130), "{found:?}");
    assert!(found.stderr.contains("interrupted after 0 runs: there is nothing to compare"), "{found:?}");
}
