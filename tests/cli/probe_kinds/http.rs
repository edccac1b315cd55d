//! HTTP: client certificates, the family of addresses, compressed bodies.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use super::servers::nginx;
use super::{assert_down, assert_up};
use crate::fixtures::Server;
use crate::support::{Process, hardy, run};

/// `hardy serve` on a free port; its URL.
fn serve(args: &[&str]) -> (Process, String) {
    let mut command = hardy();
    command.args(["serve", "--listen", "127.0.0.1:0"]).args(args).stdout(Stdio::null());
    let mut process = Process::start(&mut command);
    let line = process.line("127.0.0.1:");
    let port: String =
        line.split("127.0.0.1:").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    (process, format!("127.0.0.1:{port}"))
}

#[test]
fn compressed_bodies_are_read() {
    let body = br#"{"status":"up"}"#;
    let level = flate2::Compression::default();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
    gzip.write_all(body).unwrap();
    let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), level);
    deflate.write_all(body).unwrap();
    // RFC 7932, sections 9.1 and 9.2: 15 bytes as they are, then the end.
    let brotli = [b"\xe0\x00\x10", &body[..], b"\x03"].concat();
    let all = [("gzip", gzip.finish().unwrap()), ("deflate", deflate.finish().unwrap()), ("br", brotli)];
    for (coding, packed) in all {
        let server = |packed: Vec<u8>| {
            Server::http(move |_, request| {
                let accepted = request.to_lowercase();
                let accepted = accepted.lines().find_map(|line| line.strip_prefix("accept-encoding: "));
                assert!(accepted.unwrap().split(',').any(|name| name == coding), "{request}");
                let length = packed.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {length}\r\n\r\n"
                );
                [head.as_bytes(), &packed].concat()
            })
        };
        assert_up(&server(packed.clone()).url("/"), &["--expect-json", "$.status=up"], "");
        let broken = server(body.to_vec());
        assert_down(&broken.url("/"), &["--expect-json", "$.status=up"], "http.protocol", "");
    }
}

/// HTTP/2 from the first byte, which the same server speaks or does not.
#[test]
fn h2c_of_nginx() {
    let mut server = nginx("h2c", |at| {
        format!(
            "server {{ listen {at} http2; location /up {{ return 200 'hi'; }} location / {{ return 503; }} }}"
        )
    });
    let up = server.url("") + "/up";
    let (code, last) = super::call(&up, &["--expect-body", "hi", "--expect-header", "server: /^nginx/"]);
    assert_eq!((code, last["status"].as_u64()), (Some(0), Some(200)), "{last}");
    assert_down(&server.url(""), &[], "http.status", "expected 200-399, got 503");
    server.signal("STOP");
    assert_down(&up, &["--timeout", "300ms"], "timeout", "no answer within 300ms");
    server.signal("CONT");
    server.kill();
    assert_down(&up, &[], "connect.refused", "connection refused");
    let plain = nginx("http", |at| format!("server {{ listen {at}; return 200 'hi'; }}"));
    assert_up(&plain.url(""), &[], "");
    let (code, last) = super::call(&plain.url("").replace("http", "h2c"), &[]);
    assert!(code == Some(1) && last["reason"] != "timeout", "{last}");
}

#[test]
fn only_the_wanted_family_is_connected_to() {
    let server = Server::http(crate::fixtures::ok);
    let port = server.address.port();
    let url = format!("http://both.test:{port}/");
    let both = format!("both.test:{port}:127.0.0.1,[::1]");
    assert_up(&url, &["--resolve", &both, "--ipv4"], "");
    assert_down(&url, &["--resolve", &both, "--ipv6"], "connect.refused", "");
    let only = format!("both.test:{port}:127.0.0.1");
    assert_down(&url, &["--resolve", &only, "-6"], "dns", "no address of Ipv6");
    let tcp = format!("tcp://both.test:{port}");
    assert_up(&tcp, &["--resolve", &both, "-4"], "");
    assert_down(&tcp, &["--resolve", &both, "-6"], "connect.refused", "");
    let never = run(&["probe", &server.url("/"), "--ipv6"]);
    assert_eq!(never.code, Some(2));
    assert!(never.stderr.contains("--ipv6 leaves no address"), "{never:?}");
}

#[test]
fn a_client_certificate_is_shown_where_it_is_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let identity = rcgen::generate_simple_self_signed(["app.test".to_owned()]).unwrap();
    let (cert, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    fs::write(&cert, identity.cert.pem()).unwrap();
    fs::write(&key, identity.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let (_server, at) = serve(&["--tls-cert", cert, "--tls-key", key, "--tls-client-ca", cert]);
    let port = at.rsplit(':').next().unwrap();
    let resolve = format!("app.test:{port}:127.0.0.1");
    let url = format!("https://app.test:{port}/");
    let trusting = ["--resolve", &resolve, "--ca", cert];
    assert_down(&url, &trusting, "tls.client_certificate", "asked for a client certificate");
    assert_up(&url, &[&trusting[..], &["--cert", cert, "--key", key]].concat(), "");
    let half = run(&["probe", &url, "--cert", cert]);
    assert_eq!(half.code, Some(2), "{half:?}");
    assert!(half.stderr.contains("belong together"), "{half:?}");
}
