//! What `hardy load run` sends, as the server's access log tells it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::serve::client::Server;
use crate::support::{Run, hardy, run};

/// Loads a server of its own, one request after the other, in this directory, over HTTP/1.1 and then over HTTP/2; method
/// and path of each request that arrived, which must be the same both times.
fn arrived(directory: &Path, path: &str, args: &[&str]) -> (Run, Vec<String>) {
    let both: [(&[&str], &[&str]); 2] = [(&[], &[]), (&["--tls", "self-signed"], &["--http2", "--insecure"])];
    let [(run, one), (_, two)] = both.map(|(served, sent)| {
        let log = directory.join("access.log");
        let _ = fs::remove_file(&log);
        let server = Server::start(&[&["--access-log", log.to_str().unwrap()], served].concat());
        let url = server.url(path);
        let args = [&["load", "run", &url, "-c", "1"], sent, args].concat();
        let run: Run = hardy().args(args).current_dir(directory).output().unwrap().into();
        server.stop();
        (run, fs::read_to_string(&log).unwrap().lines().map(method_and_path).collect())
    });
    assert_eq!(one, two, "HTTP/1.1 and HTTP/2");
    (run, one)
}

fn method_and_path(line: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap();
    format!("{} {}", line["method"].as_str().unwrap(), line["path"].as_str().unwrap())
}

#[test]
fn templates_and_targets_arrive_as_they_were_meant() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    put("users.csv", "name\na b\n\"c/d\"\n");
    put("body", "{{\"n\": {n}}}");
    put("targets", "# three\n/u/{name}/{number}\nPUT /u/{n}\nx-line: {line}\n@body\nHEAD /plain\n");
    let args = ["--targets", "targets", "--template", "--csv", "users.csv", "-n", "4"];
    let (run, lines) = arrived(directory.path(), "/ignored", &args);
    assert_eq!(lines, ["GET /u/a%20b/1", "PUT /u/2", "HEAD /plain", "GET /u/c%2Fd/4"], "{run:?}");
}

#[test]
fn a_log_is_replayed_in_its_order_and_tells_what_it_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let line = |second: u32, request: &str| {
        format!("h - - [10/Oct/2000:13:55:{second:02} -0700] \"{request} HTTP/1.1\" 200 1\n")
    };
    let log = [line(38, "GET /late"), line(36, "GET /early?q"), line(36, "POST /post"), "x\n".to_owned()];
    fs::write(directory.path().join("log"), log.concat()).unwrap();
    let (run, lines) = arrived(directory.path(), "/", &["--replay", "log", "--speed", "100"]);
    assert_eq!(lines, ["GET /early", "GET /late"], "{run:?}");
    assert!(run.stderr.contains("log: lines that cannot be read: 1, the first of them line 4: x"));
    assert!(run.stderr.contains("log: requests other than GET and HEAD, left out: 1"), "{run:?}");
    let args = ["--replay", "log", "--speed", "100", "--replay-unsafe"];
    let (run, lines) = arrived(directory.path(), "/", &args);
    assert_eq!(lines, ["GET /early", "POST /post", "GET /late"], "{run:?}");
}

#[test]
fn what_cannot_be_sent_is_a_usage_error() {
    let url = "http://127.0.0.1:1/{x}";
    let cases: &[(&[&str], &str)] = &[
        (&["-H", "content-length: 3"], "header content-length is hardy's own"),
        (&["-H", "name;"], "expected NAME: VALUE"),
        (&["-m", "CONNECT"], "CONNECT asks for a tunnel"),
        (&["--body", "a", "--body-file", "b"], "cannot be used with"),
        (&["--body-file", "/nonexistent"], "--body-file: cannot read /nonexistent"),
        (&["--template"], "--template: path: unknown {x}: known are {number} or {n}"),
        (&["--csv", "/nonexistent"], "--template"),
        (&["--targets", "/nonexistent"], "--targets: cannot read /nonexistent"),
        (&["--replay", "/nonexistent"], "--replay: cannot read /nonexistent"),
        (&["--replay", "x", "--rate", "1/s"], "cannot be used with"),
        (&["--replay", "x", "--targets", "y"], "cannot be used with"),
        (&["--speed", "2"], "--replay"),
    ];
    for (args, text) in cases {
        let run = run(&[&["load", "run", url], *args].concat());
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{args:?}: {run:?}");
        assert!(run.stderr.contains(text), "{args:?}: {run:?}");
    }
}
