//! The access log: what it tells, what it hides, and what happens when it cannot be written.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use super::super::support::{hardy, wait_for};
use super::client::Server;

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[test]
fn one_line_per_request_without_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let server = Server::start(&["--access-log", log.to_str().unwrap(), "--fault", "first=1:503"]);
    let mut client = server.connect();
    let secrets = [
        ("User-Agent", "a \"quoted\" \u{1b}agent"),
        ("Authorization", "Bearer hunter2"),
        ("Cookie", "session=hunter2"),
    ];
    let path = "/path?token=hunter2";
    client.request("GET", path, &secrets[1..]);
    client.request("POST", path, &[("User-Agent", "probe \"1\"")]);
    client.request("GET", "/readyz", &[]);
    let mut broken = server.connect();
    broken.send("garbage\r\n\r\n");
    broken.answer();
    // It stays open: a client that does not leave is left.
    let address = client.stream.local_addr().unwrap().to_string();
    assert_eq!(server.stop().code, Some(0));
    let text = fs::read_to_string(&log).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    let lines = lines(&log);
    assert_eq!(lines.len(), 3, "{text}");
    let first = &lines[0];
    assert_eq!(
        (&first["method"], &first["path"], &first["status"]),
        (&"GET".into(), &"/path".into(), &503.into())
    );
    assert_eq!((&first["peer"], &first["version"]), (&address.into(), &"HTTP/1.1".into()));
    assert_eq!((&first["fault"], &first["bytes"]), (&"status".into(), &24.into()));
    assert!(first["duration_us"].is_u64());
    let time = first["time"].as_str().unwrap();
    assert!(time.parse::<jiff::Timestamp>().is_ok() && time.ends_with('Z'), "{time}");
    assert_eq!((&lines[1]["user_agent"], &lines[1]["method"]), (&"probe \"1\"".into(), &"POST".into()));
    assert_eq!(lines[1].get("fault"), None);
    assert_eq!(lines[2]["status"], 400);
}

#[test]
fn to_stdout_beside_the_summary() {
    let server = Server::start(&["--access-log", "-"]);
    server.get("/a");
    let run = server.stop();
    let line: serde_json::Value = serde_json::from_str(run.stdout.trim_end()).expect(&run.stdout);
    assert_eq!(line["path"], "/a");
    assert!(run.stderr.contains("served 1 request on 1 connection in"), "{run:?}");
}

#[test]
fn a_full_disk_loses_lines_and_no_requests() {
    let mut server = Server::start(&["--access-log", "/dev/full"]);
    for _ in 0..50 {
        assert_eq!(server.get("/").status, 200);
    }
    server.process.line("access log is losing lines");
    wait_for("the lost lines to be counted", || {
        server.get("/metrics").text().contains("hardy_serve_access_log_lost_lines_total 50\n").then_some(())
    });
    let run = server.stop();
    assert_eq!(run.code, Some(0));
    assert_eq!(run.stderr.matches("losing lines").count(), 1, "{run:?}");
    assert!(run.stdout.contains("50 log lines lost"), "{run:?}");
}

#[test]
fn a_reader_that_went_away_stops_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut server = Server::start_with(hardy().stdout(writer), &["--access-log", "-"]);
    drop(reader);
    server.get("/");
    server.process.line("access log is losing lines");
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn a_reader_that_never_reads_holds_nothing_up() {
    let mut server = Server::start(&["--access-log", "-"]);
    let mut client = server.connect();
    // More than the pipe holds, and a line is being written when the end comes.
    for _ in 0..40 {
        client.send(format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1000)).repeat(50));
        for _ in 0..50 {
            assert_eq!(client.answer().unwrap().status, 200);
        }
    }
    server.process.signal("TERM");
    server.process.line("served 2000 requests");
    assert_eq!(server.process.wait().code(), Some(0));
}

#[test]
fn what_a_client_writes_into_the_log_is_limited() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let server = Server::start(&["--access-log", log.to_str().unwrap()]);
    let long = "a".repeat(15_000);
    server.connect().request("GET", &format!("/{long}"), &[("User-Agent", &long)]);
    assert_eq!(server.stop().code, Some(0));
    let line = &lines(&log)[0];
    for field in ["path", "user_agent"] {
        assert_eq!(line[field].as_str().unwrap().len(), 2048, "{field}");
    }
}

#[test]
fn a_rotated_log_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let (log, old) = (directory.path().join("log"), directory.path().join("log.1"));
    let server = Server::start_with(hardy().stdout(Stdio::piped()), &["--access-log", log.to_str().unwrap()]);
    server.get("/before");
    wait_for("the line", || (lines(&log).len() == 1).then_some(()));
    fs::rename(&log, &old).unwrap();
    server.process.signal("HUP");
    wait_for("the new file", || log.exists().then_some(()));
    server.get("/after");
    wait_for("the line", || (lines(&log).len() == 1).then_some(()));
    assert_eq!((&lines(&old)[0]["path"], &lines(&log)[0]["path"]), (&"/before".into(), &"/after".into()));
    assert_eq!(server.stop().code, Some(0));
}
