//! HTTP: client certificates, the family of addresses, compressed bodies.

use std::fs;
use std::process::Stdio;

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
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, br#"{"status":"up"}"#).unwrap();
    let packed = packed.finish().unwrap();
    let server = Server::http(move |_, request| {
        assert!(request.to_lowercase().contains("accept-encoding: "), "{request}");
        let mut answer =
            format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", packed.len())
                .into_bytes();
        answer.extend_from_slice(&packed);
        answer
    });
    assert_up(&server.url("/"), &["--expect-json", "$.status=up"], "");
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
