//! Every protocol against servers that speak another one, none, or not at all.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;

use super::{assert_down, call, of};
use crate::fixtures::{Server, black_hole, ok, refused, silent};
use crate::support::{Run, hardy};

/// All kinds over TCP that ask something.
fn urls(at: SocketAddr) -> Vec<String> {
    let kinds = ["redis://", "postgres://", "mysql://", "grpc://", "ws://", "h2c://", "etcd://"];
    let all = kinds.into_iter().map(|kind| format!("{kind}{at}"));
    all.chain([format!("dns://{at}/a.test?transport=tcp")]).collect()
}

#[test]
fn who_says_nothing_is_given_up_in_time() {
    let server = silent();
    for url in urls(server.address) {
        assert_down(&url, &["--timeout", "300ms"], "timeout", "no answer within 300ms");
    }
    let (address, _kept) = black_hole();
    for url in urls(address) {
        assert_down(&url, &["--timeout", "300ms"], "connect.timeout", "while connecting");
    }
}

#[test]
fn who_is_not_there_or_hangs_up_is_told_apart() {
    for url in urls(refused()) {
        assert_down(&url, &[], "connect.refused", "connection refused");
    }
    let closing = Server::start(|mut stream, _| drop(stream.read(&mut [0; 1024])));
    for url in urls(closing.address).iter().filter(|url| !url.starts_with("mysql")) {
        let (code, last) = call(url, &[]);
        let reason = last["reason"].as_str().unwrap();
        assert!(code == Some(1) && ["closed", "connect.reset"].contains(&reason), "{url}: {last}");
    }
    let resetting = Server::start(|stream, _| {
        let _ = socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
    });
    for url in urls(resetting.address) {
        let (code, last) = call(&url, &[]);
        let reason = last["reason"].as_str().unwrap();
        assert!(code == Some(1) && ["closed", "connect.reset"].contains(&reason), "{url}: {last}");
    }
}

/// Another protocol, garbage, and lengths that no message has.
#[test]
fn what_is_no_answer_is_never_a_good_one() {
    let answers: [&[u8]; 6] = [
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"$999999999\r\n",
        b"R\x7f\xff\xff\xff",
    ];
    for answer in answers {
        let server = Server::start(move |mut stream, _| {
            let _ = stream.write_all(answer);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
        for url in urls(server.address) {
            let (code, last) = call(&url, &[]);
            let reason = last["reason"].as_str().unwrap();
            let fits =
                ["protocol", "http.protocol", "http.status", "closed", "refused.by_server"].contains(&reason);
            assert!(code == Some(1) && fits, "{url}: {answer:?}: {last}");
        }
    }
    let http = Server::http(ok);
    assert_down(&format!("etcd://{}", http.address), &[], "protocol", "what came is not the health of etcd");
}

/// More than any answer has: it is not read to its end, which never comes.
#[test]
fn an_endless_answer_is_cut() {
    let server = Server::start(|mut stream, _| while stream.write_all(&[b'x'; 4096]).is_ok() {});
    for url in urls(server.address) {
        let (code, last) = call(&url, &[]);
        assert_eq!(code, Some(1), "{url}: {last}");
        assert_ne!(last["reason"], "timeout", "{url}: {last}");
    }
}

/// What begins in the protocol and then goes on in it without end, in little memory.
#[test]
fn what_has_no_end_is_given_up_in_little_memory() {
    let http = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let cases: [(&str, &[u8], &[u8], &str); 11] = [
        ("redis://", b"+PONG\r\n*2147483647\r\n", b"$-1\r\n", "success"),
        ("redis://", b"+PONG\r\n", b"$8000\r\n", "protocol"),
        ("redis://", b"-", b"ERR", "protocol"),
        ("postgres://", b"", b"N\0\0\0\x05\0", "protocol"),
        ("mysql://", b"\0\0\x01\0\x0a", b"8.0", "protocol"),
        ("ws://", b"HTTP/1.1 101 X\r\n", b"a: b\r\n", "protocol"),
        ("etcd://", http, b"7\r\n{\"a\": 1\r\n", "protocol"),
        ("http://", http, b"7\r\n{\"a\": 1\r\n", "success"),
        // Settings, then headers that go on; and then pings that want an answer.
        (
            "grpc://",
            b"\0\0\0\x04\0\0\0\0\0\0\0\x04\x01\0\0\0\0\x01\x88\x88\x88\x88",
            b"\0\0\x01\x09\0\0\0\0\x01\x88",
            "",
        ),
        ("grpc://", b"\0\0\0\x04\0\0\0\0\0", b"\0\0\x08\x06\0\0\0\0\0pingping", ""),
        ("tcp://", b"", b"x", "body.mismatch"),
    ];
    for (kind, first, again, reason) in cases {
        let server = Server::start(move |mut stream, _| {
            if first == http {
                let _ = stream.read(&mut [0; 4096]);
            }
            let again = again.repeat((64 << 10) / again.len());
            let mut sent = stream.write_all(first);
            while sent.is_ok() {
                sent = stream.write_all(&again);
            }
        });
        let url = format!("{kind}{}", server.address);
        let mut command = Command::new("prlimit");
        command.args([
            "--data=134217728",
            env!("CARGO_BIN_EXE_hardy"),
            "probe",
            &url,
            "--json",
            "--timeout",
            "5s",
        ]);
        if kind == "tcp://" {
            command.args(["--expect-body", "never"]);
        }
        for (name, value) in hardy().get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let run: Run = command.output().unwrap().into();
        assert!(run.code.is_some(), "{url}: {run:?}");
        let (_, last) = of(run);
        let found = last["reason"].as_str().unwrap_or("success");
        assert!(found == reason || reason.is_empty() && found != "success", "{url}: {last}");
    }
}
