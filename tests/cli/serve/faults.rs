//! Every fault, as a client suffers it.

use std::time::{Duration, Instant};

use super::client::{Server, curl};

#[test]
fn status_first_and_share() {
    let server = Server::start(&["--fault", "first=3:503"]);
    let statuses: Vec<u16> = (0..5).map(|_| server.get("/").status).collect();
    assert_eq!(statuses, [503, 503, 503, 200, 200]);
    assert!(server.stop().stdout.contains("3 faults"));
}

#[test]
fn the_seed_decides_who_is_hit() {
    let hits = |seed: &str| {
        let server = Server::start(&["--fault", "status=500@30%", "--seed", seed]);
        let mut client = server.connect();
        (0..60).map(|_| client.get("/").status).collect::<Vec<u16>>()
    };
    let first = hits("1");
    assert_eq!(first, hits("1"));
    assert_ne!(first, hits("2"));
    assert!(first.contains(&500) && first.contains(&200));
}

#[test]
fn latency_waits() {
    let server = Server::start(&["--fault", "latency=p50:200ms"]);
    let other = Server::start(&["--fault", "latency=200ms"]);
    let start = Instant::now();
    assert_eq!(other.get("/").status, 200);
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn reset_is_a_reset_and_close_is_a_close() {
    let server = Server::start(&["--fault", "reset"]);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let error = client.end().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(server.stop().stdout.contains("1 unanswered"));

    let server = Server::start(&["--fault", "close"]);
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(client.end().unwrap(), b"");
}

#[test]
fn truncate_promises_more_than_it_sends() {
    let server = Server::start(&["--fault", "truncate", "--respond", "200:0123456789"]);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!(answer.header("content-length"), Some("10"));
    assert_eq!((answer.text().as_str(), answer.complete), ("01234", false));
    let run = curl(&[&server.url("/")]);
    assert_eq!(run.code, Some(18), "curl calls it a partial file: {run:?}");
}

#[test]
fn drip_is_slow() {
    let server = Server::start(&["--fault", "drip=50B/s", "--respond", "200:0123456789012345"]);
    let start = Instant::now();
    assert_eq!(server.get("/").text().len(), 16);
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
}

#[test]
fn a_window_opens_and_closes() {
    let server = Server::start(&["--fault", "window=0s..1s:503"]);
    assert_eq!(server.get("/").status, 503);
    super::super::support::wait_for("the window to close", || (server.get("/").status == 200).then_some(()));
}

#[test]
fn faults_hit_files_too() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a"), vec![b'a'; 200_000]).unwrap();
    std::fs::write(directory.path().join("empty"), "").unwrap();
    let path = directory.path().to_str().unwrap();
    let server = Server::start(&["--dir", path, "--fault", "truncate"]);
    for (file, promised, sent) in [("/a", "200000", 100_000), ("/empty", "1", 0)] {
        let answer = server.get(file);
        assert_eq!(answer.header("content-length"), Some(promised));
        assert_eq!((answer.body.len(), answer.complete), (sent, false));
    }
    assert_eq!(server.connect().request("HEAD", "/a", &[]).header("content-length"), Some("200000"));
}

#[test]
fn http2_streams_fail_alone() {
    let server = Server::start(&["--tls", "self-signed", "--fault", "first=1:500; reset@50%", "--seed", "3"]);
    let url = server.url("/");
    let urls: Vec<&str> = std::iter::repeat_n(url.as_str(), 20).collect();
    let args =
        [&["-k", "--http2", "-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n"][..], &urls].concat();
    let run = curl(&args);
    let broken = run.stdout.lines().filter(|line| line.starts_with("000")).count();
    let fine = run.stdout.lines().filter(|line| line.starts_with("200")).count();
    assert!(broken > 0 && fine > 0, "{run:?}");
}
