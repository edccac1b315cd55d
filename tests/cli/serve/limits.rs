//! What one client may take: too much, too slow, or no HTTP at all.

use std::io::Write;
use std::process::Stdio;

use super::super::support::{hardy, wait_for};
use super::client::{Client, Server, curl};

#[test]
fn a_huge_header() {
    let server = Server::start(&[]);
    for field in [format!("X: {}", "a".repeat(400_000)), "X: a\r\n".repeat(200)] {
        let mut client = server.connect();
        client.send(format!("GET / HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n"));
        assert_eq!(client.answer().unwrap().status, 431);
        // No reset follows, which could take the answer away from a client that is still sending.
        client.send("more");
        assert!(client.end().is_ok());
    }
    assert_eq!(server.get("/").status, 200);
    assert!(server.stop().stdout.contains("2 malformed"));
}

#[test]
fn a_slow_header_is_cut_off_and_an_idle_connection_is_not() {
    let server = Server::start(&["--header-timeout", "200ms"]);
    let mut idle = server.connect();
    assert_eq!(idle.get("/").status, 200);
    let mut slow = server.connect();
    slow.send("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    assert!(slow.answer().is_none());
    assert_eq!(idle.get("/").status, 200);
    assert!(server.get("/metrics").text().contains("hardy_serve_timed_out_connections_total 1\n"));
}

#[test]
fn an_idle_connection_is_closed_in_good_order() {
    let server = Server::start(&["--keep-alive", "200ms"]);
    let mut client = server.connect();
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.end().unwrap(), b"");
    let mut silent = server.connect();
    assert_eq!(silent.end().unwrap(), b"");
}

#[test]
fn a_connection_that_slept_answers_again() {
    let server = Server::start(&["--echo"]);
    let mut client = server.connect();
    for path in ["/1", "/2"] {
        assert_eq!(client.get(path).json()["path"], path);
        // Longer than it takes until the server puts the connection's buffers away.
        assert!((0..30).all(|_| client.is_open()));
    }
    // Half of the next request is in the buffers by then.
    client.send("GET /3 HTTP/1.1\r\nHost: x\r\n\r\nGET /4 HTTP/1.1\r\nHo");
    assert_eq!(client.answer().unwrap().json()["path"], "/3");
    assert!((0..30).all(|_| client.is_open()));
    client.send("st: x\r\n\r\n");
    assert_eq!(client.answer().unwrap().json()["path"], "/4");
}

#[test]
fn an_endless_body() {
    let server = Server::start(&["--body-limit", "1KiB"]);
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("400\r\n{}\r\n", "a".repeat(1024));
    client.send(chunk.repeat(400));
    assert_eq!(client.answer().unwrap().status, 413);
    client.send("more");
    assert!(client.end().is_ok());
    let mut fits = server.connect();
    fits.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1024\r\n\r\n{}", "a".repeat(1024)));
    assert_eq!(fits.answer().unwrap().status, 200);
}

#[test]
fn a_slow_body() {
    let server = Server::start(&["--body-timeout", "200ms"]);
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");
    assert_eq!(client.answer().unwrap().status, 408);
}

#[test]
fn what_is_no_http() {
    let server = Server::start(&[]);
    for request in [
        "garbage\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET /healthz HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello\r\n",
    ] {
        let mut client = server.connect();
        client.send(request);
        assert_eq!(client.answer().expect(request).status, 400, "{request:?}");
        assert!(client.end().is_ok());
    }
    let mut preface = server.connect();
    preface.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(preface.end().is_ok());
    let mut connect = server.connect();
    connect.send("CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(connect.answer().unwrap().status, 405);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn hosts_that_are_fine() {
    let server = Server::start(&[]);
    for host in ["", "x", "127.0.0.1:8080", "[::1]:80", "a-b.example_c:1", "xn--bcher-kva.example"] {
        let mut client = server.connect();
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.answer().unwrap().status, 200, "{host:?}");
    }
    let mut old = server.connect();
    old.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(old.answer().unwrap().status, 200);
}

#[test]
fn half_a_body_and_gone() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");
    drop(client);
    wait_for("the request to end", || {
        server.get("/metrics").text().contains("hardy_serve_in_flight_requests 0\n").then_some(())
    });
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn above_the_limit_connections_wait() {
    let mut server = Server::start(&["--max-connections", "2", "--admin", "127.0.0.1:0"]);
    let (mut one, mut two) = (server.connect(), server.connect());
    assert_eq!((one.get("/").status, two.get("/").status), (200, 200));
    let mut three = server.connect();
    three.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    server.process.line("2 connections are open");
    assert!(three.is_open());
    let admin = super::client::address(&server.urls[1]);
    assert_eq!(Client::connect(admin).get("/readyz").status, 200);
    drop(one);
    assert_eq!(three.answer().unwrap().status, 200);
}

#[test]
fn out_of_file_descriptors_it_waits_and_recovers() {
    let binary = hardy().get_program().to_owned();
    let mut shell = hardy();
    let mut limited = std::process::Command::new("sh");
    for (name, value) in shell.stdout(Stdio::null()).get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited.args(["-c", "ulimit -n 40; exec \"$0\" \"$@\""]).arg(binary);
    let mut server = Server::start_with(&mut limited, &[]);
    let clients: Vec<Client> = (0..60).map(|_| server.connect()).collect();
    server.process.line("Too many open files");
    drop(clients);
    wait_for("an answer", || (server.get("/").status == 200).then_some(()));
}

#[test]
fn who_takes_nothing_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::File::create(directory.path().join("large")).unwrap().set_len(50 << 20).unwrap();
    let site = ["--dir", directory.path().to_str().unwrap(), "--admin", "127.0.0.1:0"];
    let limit = ["--write-timeout", "300ms"];
    let gone = |server: &Server| {
        wait_for("the connection to be cut", || {
            let metrics = server.metrics();
            let cut = metrics.contains("hardy_serve_timed_out_connections_total 1\n");
            (cut && metrics.contains("hardy_serve_open_connections 0\n")).then_some(())
        });
    };
    let server = Server::start(&[&site[..], &limit].concat());
    let mut plain = server.connect();
    plain.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    gone(&server);
    let server = Server::start(&[&site[..], &limit, &["--tls", "self-signed"]].concat());
    let mut tls = super::tls::connect(server.address());
    tls.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    gone(&server);
}

#[test]
fn nothing_kills_it() {
    let server = Server::start(&[]);
    // A client that leaves before its answer is no reason to die of SIGPIPE.
    for _ in 0..50 {
        let mut client = server.connect();
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20));
    }
    let run = curl(&["--http1.0", &server.url("/")]);
    assert_eq!(run.stdout, "Hello World!\n");
}
