//! `hardy probe` over time: breaker, retries, fallback, waiting, watching, interruption.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::fixtures::{Server, first_503, ok, refused, response, silent};
use super::support::{Process, Run, hardy, run, wait_for};

fn target(run: &Run) -> Value {
    run.json()["data"]["targets"][0].clone()
}

/// Long enough for a machine that does other things too.
const PATIENT: &[&str] = &["--timeout", "20s"];

#[test]
fn the_breaker_trips_waits_tries_once_and_closes() {
    let server = Server::http(first_503(20));
    let numbers = ["--count", "60", "--interval", "20ms", "--cooldown", "400ms"];
    let run = run(&[&["probe", &server.url("/"), "--json"], &numbers[..], PATIENT].concat());
    let target = target(&run);
    let breaker = &target["breaker"];
    let transitions: Vec<_> = breaker["transitions"].as_array().unwrap().iter().collect();
    let steps: Vec<_> =
        transitions.iter().map(|t| (t["from"].as_str().unwrap(), t["to"].as_str().unwrap())).collect();
    assert_eq!(steps, [("closed", "open"), ("open", "half_open"), ("half_open", "closed")], "{breaker}");
    let times: Vec<_> = transitions.iter().map(|t| t["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted() && times.iter().all(|at| at.ends_with('Z')), "{times:?}");
    assert_eq!((run.code, &breaker["state"]), (Some(0), &"closed".into()));
    assert_eq!(breaker["failure_reasons"]["http.status"], 20);
    let count = |name: &str| breaker[name].as_u64().unwrap();
    assert!(count("short_circuited") > 0);
    assert_eq!(count("requests") + count("short_circuited"), 60);
    assert_eq!(count("requests"), server.hits() as u64, "a short-circuited call must not reach the server");
    assert_eq!(target["history"].as_array().unwrap().len(), 60);
    assert_eq!(target["last_failure"]["detail"], "expected 200-399, got 503");
}

#[test]
fn serve_fails_on_purpose_and_probe_copes() {
    let mut server =
        Process::start(hardy().args(["serve", "--listen", "127.0.0.1:0", "--fault", "first=20:503"]));
    let line = server.line("http://");
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    let numbers = ["--count", "60", "--interval", "20ms", "--cooldown", "400ms", "--json"];
    let run = run(&[&["probe", url], &numbers[..], PATIENT].concat());
    let breaker = target(&run)["breaker"].clone();
    assert_eq!((run.code, &breaker["state"]), (Some(0), &"closed".into()), "{breaker}");
    assert_eq!((&breaker["failures"], breaker["transitions"].as_array().unwrap().len()), (&20.into(), 3));
    server.signal("TERM");
    assert_eq!(server.finish().code, Some(0));
}

#[test]
fn the_same_run_is_readable_in_80_columns() {
    let server = Server::http(first_503(20));
    let numbers = ["--count", "40", "--interval", "20ms", "--cooldown", "200ms"];
    let run =
        run(&[&["probe", &server.url("/a/rather/long/path/to/the/health/of/it")], &numbers[..], PATIENT]
            .concat());
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 80), "{}", run.stdout);
    for text in ["TARGET", "✗✗✗", "http.status ×20", "closed -> open: 20 of 20 calls failed", "1 up after "]
    {
        assert!(run.stdout.contains(text), "no {text} in {}", run.stdout);
    }
}

#[test]
fn retries_belong_to_their_round_and_leave_a_mark() {
    let server = Server::http(first_503(2));
    let args = ["--json", "--retries", "2", "--retry-backoff", "1ms"];
    let good = run(&[&["probe", &server.url("/")], &args[..], PATIENT].concat());
    let target = target(&good);
    assert_eq!((good.code, &target["state"]), (Some(0), &"degraded".into()), "{target}");
    assert_eq!((&target["rounds"], &target["calls"], &target["ok"]), (&1.into(), &3.into(), &1.into()));
    let server = Server::http(first_503(2));
    let args = ["--retries", "2", "--retry-backoff", "1ms", "--fail-on", "degraded"];
    assert_eq!(run(&[&["probe", &server.url("/")], &args[..], PATIENT].concat()).code, Some(1));
}

#[test]
fn a_slow_answer_is_degraded() {
    let server = Server::http(|_, _| {
        std::thread::park_timeout(Duration::from_millis(30));
        response(200, "", "")
    });
    let slow = run(&[&["probe", &server.url("/"), "--json", "--slow", "1ms"], PATIENT].concat());
    let target = target(&slow);
    assert_eq!(
        (slow.code, &target["state"], &target["breaker"]["slow"]),
        (Some(0), &"degraded".into(), &1.into())
    );
}

#[test]
fn streaks_decide_when_a_target_is_up() {
    let server = Server::http(ok);
    let once = run(&["probe", &server.url("/"), "--up-after", "2", "--json"]);
    assert_eq!((once.code, &target(&once)["state"]), (Some(3), &"unknown".into()));
    let twice = run(&["probe", &server.url("/"), "--up-after", "2", "-n", "2", "-i", "1ms"]);
    assert_eq!(twice.code, Some(0));
}

#[test]
fn without_breaker_every_call_is_made() {
    let address = refused();
    let args = ["--json", "-n", "50", "-i", "1ms"];
    let with = run(&[&["probe", &format!("tcp://{address}")], &args[..], PATIENT].concat());
    assert_eq!(target(&with)["breaker"]["state"], "open");
    let without =
        run(&[&["probe", &format!("tcp://{address}"), "--no-breaker"], &args[..], PATIENT].concat());
    let breaker = target(&without)["breaker"].clone();
    assert_eq!(
        (&breaker["requests"], &breaker["enabled"], &breaker["state"]),
        (&50.into(), &false.into(), &"closed".into())
    );
}

#[test]
fn calls_beyond_the_limit_are_rejected() {
    let silent = silent();
    let args = ["--json", "-n", "6", "-i", "10ms", "--max-concurrent", "2", "--timeout", "3s"];
    let run = run(&[&["probe", &silent.url("/")], &args[..]].concat());
    let breaker = target(&run)["breaker"].clone();
    assert_eq!((&breaker["timeouts"], &breaker["rejected"]), (&2.into(), &4.into()), "{breaker}");
}

#[test]
fn the_fallback_has_its_own_counts() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("log");
    let url = format!("tcp://{}", refused());
    let fallback = format!("echo \"$HARDY_TARGET $HARDY_URL $HARDY_REASON\" >>{}", file.display());
    let args = ["--json", "-n", "4", "-i", "50ms", "--volume", "2", "--fallback", &fallback];
    let run = run(&[&["probe", &url], &args[..], PATIENT].concat());
    let target = target(&run);
    let (fallback, breaker) = (&target["fallback"], &target["breaker"]);
    assert_eq!(
        (&fallback["runs"], &fallback["successes"], &fallback["failures"]),
        (&4.into(), &4.into(), &0.into())
    );
    let log = fs::read_to_string(&file).unwrap();
    let count =
        |reason: &str| log.lines().filter(|line| *line == format!("{url} {url} {reason}")).count() as u64;
    assert_eq!(Some(count("connect.refused")), breaker["requests"].as_u64(), "{log}");
    assert_eq!(Some(count("short_circuited")), breaker["short_circuited"].as_u64(), "{log}");
    assert_eq!(log.lines().count(), 4);
}

#[test]
fn a_fallback_that_fails_is_counted_and_its_output_is_not_mixed_in() {
    let server = Server::http(first_503(99));
    let run = run(&["probe", &server.url("/"), "--json", "--fallback", "echo noise; echo why >&2; exit 4"]);
    let fallback = target(&run)["fallback"].clone();
    assert_eq!((&fallback["failures"], &fallback["successes"]), (&1.into(), &0.into()));
    assert_eq!(fallback["last_failure"], "exit status: 4: \"why\"");
}

#[test]
fn waiting_ends_when_all_targets_are_there() {
    let (server, other) = (Server::http(first_503(3)), Server::http(ok));
    let args = ["--until", "up", "--wait", "60s", "-i", "10ms", "--json"];
    let up = run(&[&["probe", &server.url("/"), &other.url("/")], &args[..], PATIENT].concat());
    assert_eq!((up.code, &up.json()["data"]["until"]["reached"]), (Some(0), &true.into()), "{up:?}");
    assert!(target(&up)["calls"].as_u64().unwrap() >= 4);
    let args = ["--until", "down", "--wait", "60s", "-i", "10ms", "--down-after", "3", "--json"];
    let down = run(&[&["probe", &format!("tcp://{}", refused())], &args[..]].concat());
    assert_eq!((down.code, &down.json()["verdict"]), (Some(0), &"good".into()));
    assert!(target(&down)["rounds"].as_u64().unwrap() >= 3);
}

#[test]
fn the_breaker_does_not_hold_up_who_waits() {
    let server = Server::http(first_503(30));
    let args =
        ["--until", "up", "--wait", "25s", "-i", "5ms", "--volume", "5", "--cooldown", "10m", "--json"];
    let run = run(&[&["probe", &server.url("/")], &args[..], PATIENT].concat());
    let breaker = target(&run)["breaker"].clone();
    assert_eq!((run.code, &breaker["state"]), (Some(0), &"closed".into()), "{breaker}");
    assert_eq!((&breaker["short_circuited"], &breaker["failures"]), (&0.into(), &30.into()));
}

#[test]
fn waiting_ends_with_124_when_the_time_is_up() {
    let server = Server::http(ok);
    let args = ["--until", "up", "--wait", "100ms", "-i", "10ms", "--json"];
    let run = run(&[&["probe", &server.url("/"), &format!("tcp://{}", refused())], &args[..]].concat());
    assert_eq!((run.code, &run.json()["data"]["end"]), (Some(124), &"waited_out".into()));
    assert_eq!(run.json()["verdict"], "bad");
}

#[test]
fn watching_prints_a_document_per_round() {
    let server = Server::http(first_503(2));
    let args = ["--watch", "--json", "-n", "6", "-i", "50ms"];
    let run = run(&[&["probe", &server.url("/")], &args[..], PATIENT].concat());
    let documents: Vec<Value> =
        run.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let rounds: Vec<_> = documents.iter().map(|d| d["data"]["rounds"].as_u64().unwrap()).collect();
    let (last, before) = documents.split_last().unwrap();
    assert!(before.len() >= 2 && rounds.is_sorted(), "{rounds:?}");
    assert!(before.iter().all(|d| d["schema"] == "hardy.probe/v1" && d["data"]["end"].is_null()));
    assert_eq!((&last["data"]["end"], &last["data"]["rounds"]), (&"finished".into(), &6.into()));
    let told: Vec<_> = documents.iter().map(|d| d["data"]["round"].as_u64().expect("a round")).collect();
    assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "a round told twice: {told:?}");
}

#[test]
fn the_last_document_of_an_interrupted_watch_tells_of_no_round_again() {
    let server = Server::http(ok);
    let args = ["probe", &server.url("/"), "--watch", "--json", "-i", "300s"];
    let mut process = hardy();
    let mut child = process.args(args).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    let signalled = std::process::Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(signalled.unwrap().success());
    let rest = std::io::read_to_string(stdout).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let (first, last): (Value, Value) =
        (serde_json::from_str(&first).unwrap(), serde_json::from_str(&rest).unwrap());
    assert_eq!((&first["data"]["round"], &first["data"]["end"]), (&1.into(), &Value::Null));
    assert_eq!((&last["data"]["round"], &last["data"]["end"]), (&Value::Null, &"interrupted".into()));
}

#[test]
fn watching_prints_a_line_per_change() {
    let server = Server::http(first_503(3));
    let args = ["--watch", "-n", "6", "-i", "20ms", "--window", "10ms"];
    let run = run(&[&["probe", &server.url("/")], &args[..], PATIENT].concat());
    let changes: Vec<_> =
        run.stdout.lines().filter(|line| line.contains(" -> ") && line.contains(&server.url("/"))).collect();
    assert!(changes[0].contains("unknown -> down  http.status: expected 200-399, got 503"), "{}", run.stdout);
    assert!(changes[1].contains("down -> "), "{}", run.stdout);
}

#[test]
fn watching_ends_quietly_when_nobody_reads_any_more() {
    let server = Server::http(ok);
    let mut command = hardy();
    command
        .args(["probe", &server.url("/"), "--watch", "--json", "-i", "10ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(serde_json::from_str::<Value>(&line).is_ok());
    let status = wait_for("the watch to end", || child.try_wait().unwrap());
    let stderr = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn an_interruption_prints_what_is_known() {
    let (server, silent) = (Server::http(ok), silent());
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let (hits, held) = (server.hits(), silent.hits());
        let args = ["probe", &server.url("/"), &silent.url("/"), "-n", "1000", "--json", "--timeout", "60s"];
        let process = Process::start(hardy().args(args).stdout(Stdio::piped()));
        wait_for("both calls", || (server.hits() > hits && silent.hits() > held).then_some(()));
        process.signal(signal);
        let run = process.finish();
        let document = run.json();
        assert_eq!((run.code, &document["data"]["end"]), (Some(code), &"interrupted".into()));
        assert_eq!(document["data"]["targets"][1]["calls"], 0, "a call that was given up says nothing");
    }
}
