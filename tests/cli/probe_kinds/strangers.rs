//! Every protocol against servers that speak another one, none, or not at all.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;

use super::{assert_down, call};
use crate::fixtures::{Server, black_hole, ok, refused, silent};

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
