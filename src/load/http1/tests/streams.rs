use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::channel;

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::server::{Counts, Visit, tcp, unix};
use super::*;
use crate::http::Trust;
use crate::load::endpoint::Tls;
use crate::reason::Reason;

fn reasons(outcome: &Outcome) -> Vec<(Reason, u64)> {
    outcome.totals.reasons().collect()
}

fn post(length: usize) -> Requests {
    Requests::one(Request { method: Method::POST, body: vec![b'x'; length], ..get() })
}

#[test]
fn a_unix_socket_is_a_connection_like_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let counts = unix(&path, |visit| visit.always(GOOD));
    let found = go(closed(500, 4), http1(Way::Unix(path)));
    assert_eq!((found.totals.ok, counts.requests(), counts.connections()), (500, 500, 4));
    let nothing = http1(Way::Unix(directory.path().join("nothing")));
    assert_eq!(reasons(&go(closed(2, 2), nothing)), [(Reason::ConnectRefused, 2)]);
    let too_long = http1(Way::Unix(directory.path().join("x".repeat(200))));
    assert_eq!(reasons(&go(closed(2, 2), too_long)), [(Reason::ConnectRefused, 2)]);
    let file = directory.path().join("file");
    File::create(&file).unwrap().write_all(b"x").unwrap();
    assert_eq!(reasons(&go(closed(2, 2), http1(Way::Unix(file)))), [(Reason::ConnectRefused, 2)]);
}

#[test]
fn what_does_not_fit_into_the_socket_is_sent_when_it_does() {
    const LENGTH: usize = 3 << 20;
    let (address, counts) = tcp(|mut visit| {
        while visit.request().is_some() {
            visit.body(LENGTH);
            visit.say(GOOD);
        }
    });
    let found = go(closed(8, 2), Http1 { requests: post(LENGTH), ..to(address) });
    assert_eq!((found.totals.ok, counts.requests(), counts.connections()), (8, 8, 2));
    assert!(found.totals.written > 8 * LENGTH as u64);
}

#[test]
fn an_answer_before_the_whole_request_counts_and_ends_the_connection() {
    // The rest is never read; the connection stays open for all that.
    let (kept, _all) = channel();
    let (address, counts) = tcp(move |mut visit| {
        visit.request();
        visit.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n");
        let _ = kept.send(visit);
    });
    let found = go(closed(4, 2), Http1 { requests: post(16 << 20), ..to(address) });
    assert_eq!(found.totals.statuses().collect::<Vec<_>>(), [(413, 4)]);
    assert_eq!((reasons(&found), counts.connections()), (vec![(Reason::HttpStatus, 4)], 4));
}

#[test]
fn large_bodies_are_counted_to_the_last_byte() {
    let chunk = [&b"10000\r\n"[..], &[b'x'; 0x10000], b"\r\n"].concat();
    let (answer, times) = (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(), 80);
    let length = answer.len() + times * chunk.len() + 5;
    let (address, counts) = tcp(move |mut visit| {
        while visit.request().is_some() {
            visit.say(&answer);
            (0..times).for_each(|_| assert!(visit.say(&chunk)));
            visit.say(b"0\r\n\r\n");
        }
    });
    let found = go(closed(6, 3), to(address));
    assert_eq!((found.totals.ok, counts.connections()), (6, 3));
    assert_eq!(found.totals.received, 6 * length as u64);
}

#[test]
fn answers_to_head_have_no_body() {
    let (address, counts) = tcp(|visit| visit.always(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"));
    let requests = Requests::one(Request { method: Method::HEAD, ..get() });
    let found = go(closed(100, 2), Http1 { requests, ..to(address) });
    assert_eq!((found.totals.ok, counts.connections()), (100, 2));
}

/// Speaks TLS with a certificate that nobody has signed.
fn tls(
    script: impl Fn(Visit<StreamOwned<ServerConnection, std::net::TcpStream>>) + Send + Sync + 'static,
) -> (SocketAddr, Counts) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let (config, counts) = (Arc::new(config), Counts::default());
    let seen = counts.clone();
    let (address, _) = tcp(move |visit| {
        let session = ServerConnection::new(config.clone()).unwrap();
        script(Visit::new(StreamOwned::new(session, visit.stream), &seen));
    });
    (address, counts)
}

fn over_tls(address: SocketAddr, trust: &Trust) -> Http1 {
    let config = Arc::new(trust.config_for(&[b"http/1.1"], None));
    let name = ServerName::try_from("localhost").unwrap();
    let endpoint = Endpoint { way: Way::Tcp(vec![address]), tls: Some(Tls { config, name }) };
    Http1 { endpoint, ..to(address) }
}

#[test]
fn tls_carries_requests_of_any_size() {
    let (address, counts) = tls(|visit| visit.always(GOOD));
    let found = go(closed(500, 4), over_tls(address, &Trust::anyone()));
    assert_eq!((found.totals.ok, counts.requests(), counts.connections()), (500, 500, 4));
    // As HTTP counts bytes: before TLS.
    assert_eq!(found.totals.received, 500 * GOOD.len() as u64);
    assert_eq!(found.totals.connect.count(), 4);

    const LENGTH: usize = 1 << 20;
    let (address, counts) = tls(|mut visit| {
        let large = [&b"HTTP/1.1 200 OK\r\ncontent-length: 1048576\r\n\r\n"[..], &[b'x'; LENGTH]].concat();
        while visit.request().is_some() {
            visit.body(LENGTH);
            visit.say(&large);
        }
    });
    let found = go(closed(8, 2), Http1 { requests: post(LENGTH), ..over_tls(address, &Trust::anyone()) });
    assert_eq!((found.totals.ok, counts.requests(), counts.connections()), (8, 8, 2));
}

#[test]
fn an_end_that_tls_does_not_confirm_may_be_a_cut() {
    for (goodbye, expected) in [(true, (4, 0)), (false, (0, 4))] {
        let (address, _) = tls(move |mut visit| {
            visit.request();
            visit.say(b"HTTP/1.1 200 OK\r\n\r\nuntil the end");
            if goodbye {
                visit.stream.conn.send_close_notify();
                let _ = visit.stream.conn.write_tls(&mut visit.stream.sock);
            }
        });
        let found = go(closed(4, 2), over_tls(address, &Trust::anyone()));
        assert_eq!((found.totals.ok, found.totals.failures()), expected);
    }
}

#[test]
fn why_tls_failed_is_said() {
    let (address, counts) = tls(|visit| visit.always(GOOD));
    let found = go(closed(2, 2), over_tls(address, &Trust::roots(Vec::new())));
    let known = [Reason::TlsCertificateUntrusted, Reason::LocalRoots];
    assert!(reasons(&found).iter().all(|(reason, _)| known.contains(reason)), "{:?}", reasons(&found));
    assert_eq!((found.totals.failures(), counts.requests()), (2, 0));
    // It does not speak TLS; it closes instead of speaking.
    let (address, _) = tcp(|mut visit| {
        visit.say(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        visit.until_closed();
    });
    assert_eq!(reasons(&go(closed(2, 2), over_tls(address, &Trust::anyone()))), [(Reason::TlsHandshake, 2)]);
    let (address, _) = tcp(|mut visit| drop(std::io::Read::read(&mut visit.stream, &mut [0; 4096])));
    let found = go(closed(2, 2), over_tls(address, &Trust::anyone()));
    let known = [Reason::TlsHandshake, Reason::ConnectReset];
    assert!(reasons(&found).iter().all(|(reason, _)| known.contains(reason)), "{:?}", reasons(&found));
}
