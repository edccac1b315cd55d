//! tcp and udp with something to say, WebSockets.

use std::io::{Read, Write};
use std::net::UdpSocket;

use super::servers::redis;
use super::{assert_down, assert_up};
use crate::fixtures::{Server, ok, refused};
use crate::support::run;

#[test]
fn tcp_sends_and_expects() {
    let server = redis(&[]);
    let url = server.url("").replace("redis", "tcp");
    assert_up(&url, &[], "");
    assert_up(&url, &["--send", r"PING\r\n"], "+PONG");
    assert_up(&url, &["--send", r"PING\r\nECHO\x20x\r\n", "--expect", "$1\r\nx\r\n"], "+PONG");
    let more = ["--send", r"PING\r\n", "--expect-body", "+PING", "--timeout", "300ms"];
    assert_down(&url, &more, "body.mismatch", "expected \"+PING\" in the body, got \"+PONG");
    assert_down(
        &url,
        &["--expect", "x", "--timeout", "300ms"],
        "timeout",
        "while waiting for the first byte",
    );
}

/// A banner that comes in pieces, and its end.
#[test]
fn tcp_reads_until_it_is_as_expected() {
    let server = Server::start(|mut stream, _| {
        for part in ["220 ma", "il.example", " ESMTP\r\n"] {
            stream.write_all(part.as_bytes()).unwrap();
            stream.flush().unwrap();
            std::thread::yield_now();
        }
    });
    let url = format!("tcp://{}", server.address);
    assert_up(&url, &["--expect-body-regex", "^220 .*ESMTP"], "220 ");
    assert_down(&url, &["--expect", "IMAP"], "body.mismatch", "got \"220 mail.example ESMTP");
    let closing = Server::start(|mut stream, _| drop(stream.read(&mut [0; 16])));
    let url = format!("tcp://{}", closing.address);
    assert_down(&url, &["--send", "x"], "closed", "closed without an answer");
}

#[test]
fn udp_waits_for_an_answer() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("udp://{}", socket.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((count, from)) = socket.recv_from(&mut buffer) {
            if &buffer[..count] == b"ping\0" {
                let _ = socket.send_to(b"pong", from);
            }
        }
    });
    assert_up(&url, &["--send", r"ping\0", "--expect", "pong"], "pong");
    assert_down(&url, &["--send", r"ping\0", "--expect", "x"], "body.mismatch", "got \"pong\"");
    assert_down(&url, &["--send", "other", "--timeout", "300ms"], "timeout", "no answer within");
    let nobody = format!("udp://{}", refused());
    assert_down(&nobody, &["--send", "x"], "connect.refused", "connection refused");
    let silent = run(&["probe", &url]);
    assert_eq!(silent.code, Some(2), "{silent:?}");
    assert!(silent.stderr.contains("--send: ") && silent.stderr.contains("answers only to what is sent"));
}

#[test]
fn websockets_are_agreed_to() {
    let server = Server::start(|stream, _| {
        if let Ok(mut socket) = tungstenite::accept(stream) {
            while socket.read().is_ok() {}
        }
    });
    let url = format!("ws://{}/chat?x=1", server.address);
    assert_up(&url, &["--expect-header", "upgrade: websocket"], "101");
    assert_down(&url, &["--expect-header", "x-id"], "header.mismatch", "no header x-id");
    let http = Server::http(ok);
    assert_down(&format!("ws://{}/", http.address), &[], "http.status", "expected 101, got 200");
    let liar = Server::http(|_, _| b"HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: x\r\n\r\n".to_vec());
    assert_down(&format!("ws://{}/", liar.address), &[], "protocol", "does not prove");
    let header = Server::http(|_, request| {
        let told = request.to_lowercase().contains("authorization: bearer x\r\n");
        format!("HTTP/1.1 {} X\r\n\r\n", if told { 403 } else { 401 }).into_bytes()
    });
    let url = format!("ws://{}/", header.address);
    assert_down(&url, &["-H", "Authorization: Bearer x"], "http.status", "got 403");
}
