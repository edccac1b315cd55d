//! `hardy probe exec:...`: exit statuses, output, and commands that do not end.

use std::fs;

use serde_json::Value;

use super::support::{run, wait_for};

/// Longer than a start of `sh` takes on a busy machine.
const PATIENT: &[&str] = &["--timeout", "20s"];

fn probe(command: &str, args: &[&str]) -> (Option<i32>, Value) {
    let run = run(&[&["probe", &format!("exec:{command}"), "--json"], args].concat());
    (run.code, run.json()["data"]["targets"][0].clone())
}

#[test]
fn the_exit_status_decides() {
    assert_eq!(probe("exit 0", PATIENT).0, Some(0));
    assert_eq!(probe("exit 7", &["--expect-status", "7", "--timeout", "20s"]).0, Some(0));
    let cases = [
        ("echo why >&2; exit 3", 1, "exec.status", "expected 0, got 3: \"why\""),
        ("kill -9 $$", 1, "exec.signal", "ended by signal 9"),
        ("no-such-command", 3, "local.command", "the command was not found"),
        ("/dev/null", 3, "local.command", "the command cannot be executed"),
    ];
    for (command, code, reason, detail) in cases {
        let (found, target) = probe(command, PATIENT);
        assert_eq!((found, target["last"]["reason"].as_str()), (Some(code), Some(reason)), "{command}");
        assert!(target["last"]["detail"].as_str().unwrap().starts_with(detail), "{target}");
    }
}

#[test]
fn own_faults_are_excluded_from_the_breaker() {
    let (code, target) = probe("no-such-command", &["-n", "30", "-i", "1ms", "--timeout", "20s"]);
    assert_eq!((code, &target["state"]), (Some(3), &"unknown".into()));
    let breaker = &target["breaker"];
    assert_eq!((&breaker["state"], &breaker["requests"]), (&"closed".into(), &0.into()));
    assert_eq!(breaker["excluded"], 30);
    assert_eq!(breaker["failure_reasons"], serde_json::json!({}));
}

#[test]
fn the_output_can_be_expected() {
    assert_eq!(
        probe("echo '{\"ready\":true}'", &["--expect-json", "$.ready=true", "--timeout", "20s"]).0,
        Some(0)
    );
    let (_, target) = probe("echo no", &["--expect-body", "yes", "--timeout", "20s"]);
    assert_eq!(target["last"]["reason"], "body.mismatch");
}

#[test]
fn a_timeout_kills_the_whole_group() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let command = format!("(sleep 300 & echo $! >{}; wait) & wait", file.display());
    let (code, target) = probe(&command, &["--timeout", "1s"]);
    assert_eq!((code, target["last"]["reason"].as_str()), (Some(1), Some("timeout")), "{target}");
    assert_eq!(target["breaker"]["timeouts"], 1);
    let pid = fs::read_to_string(&file).unwrap().trim().to_owned();
    wait_for("the grandchild to be gone", || (!is_alive(&pid)).then_some(()));
}

/// Neither gone nor a zombie that nobody has waited for.
fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with('Z'))
}
