//! `hardy probe https://...`: which certificates are believed, and what is wrong with the others.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::thread;

use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd};
use serde_json::Value;

use super::fixtures::{Server, ok, read_request};
use super::support::{Run, hardy};

/// A certificate that vouches for itself.
fn identity(name: &str, years: (i32, i32)) -> CertifiedKey<KeyPair> {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
    let signing_key = KeyPair::generate().unwrap();
    CertifiedKey { cert: params.self_signed(&signing_key).unwrap(), signing_key }
}

struct Files {
    _directory: tempfile::TempDir,
    ca: PathBuf,
    other: PathBuf,
}

fn files(identity: &CertifiedKey<KeyPair>) -> Files {
    let directory = tempfile::tempdir().unwrap();
    let (ca, other) = (directory.path().join("ca.pem"), directory.path().join("other.pem"));
    fs::write(&ca, identity.cert.pem()).unwrap();
    fs::write(&other, self::identity("other", (2000, 2999)).cert.pem()).unwrap();
    Files { _directory: directory, ca, other }
}

/// The roots of the system are those of `roots`, whatever this machine has.
fn probe(server: &Server, name: &str, roots: &PathBuf, args: &[&str]) -> (Option<i32>, Value) {
    let port = server.address.port();
    let run: Run = hardy()
        .env("SSL_CERT_FILE", roots)
        .env_remove("SSL_CERT_DIR")
        .args(["probe", &format!("https://{name}:{port}/"), "--json", "--timeout", "20s"])
        .args(["--resolve", &format!("{name}:{port}:127.0.0.1")])
        .args(args)
        .output()
        .unwrap()
        .into();
    (run.code, run.json()["data"]["targets"][0].clone())
}

#[test]
fn a_trusted_certificate_is_up_with_its_handshake_timed() {
    let identity = identity("app.test", (2000, 2999));
    let (server, files) = (Server::https(&identity, ok), files(&identity));
    for (roots, args) in [(&files.ca, &[][..]), (&files.other, &["--ca", files.ca.to_str().unwrap()])] {
        let (code, target) = probe(&server, "app.test", roots, args);
        assert_eq!(code, Some(0), "{target}");
        let phases = &target["last"]["phases_us"];
        for phase in ["dns", "connect", "tls", "first_byte", "body"] {
            assert!(phases[phase].is_u64(), "no {phase} in {phases}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_certificate_is_told_apart() {
    let cases = [
        ("app.test", (2000, 2999), false, "tls.certificate.untrusted"),
        ("app.test", (2000, 2001), true, "tls.certificate.expired"),
        ("app.test", (2998, 2999), true, "tls.certificate.not_yet_valid"),
        ("else.test", (2000, 2999), true, "tls.certificate.name"),
    ];
    for (name, years, trusted, reason) in cases {
        let identity = identity(name, years);
        let (server, files) = (Server::https(&identity, ok), files(&identity));
        let roots = if trusted { &files.ca } else { &files.other };
        let (code, target) = probe(&server, "app.test", roots, &[]);
        assert_eq!((code, target["last"]["reason"].as_str()), (Some(1), Some(reason)), "{target}");
        assert_eq!(probe(&server, "app.test", roots, &["--insecure"]).0, Some(0), "{reason}");
    }
}

#[test]
fn without_any_root_nothing_is_known_about_the_target() {
    let identity = identity("app.test", (2000, 2999));
    let (server, files) = (Server::https(&identity, ok), files(&identity));
    let empty = files.ca.with_file_name("empty.pem");
    fs::write(&empty, "").unwrap();
    let (code, target) = probe(&server, "app.test", &empty, &[]);
    assert_eq!((code, target["last"]["reason"].as_str()), (Some(3), Some("local.roots")), "{target}");
    assert_eq!(probe(&server, "app.test", &empty, &["--ca", files.ca.to_str().unwrap()]).0, Some(0));
}

#[test]
fn a_server_without_tls_fails_the_handshake() {
    let files = files(&identity("app.test", (2000, 2999)));
    let plain = Server::start(|mut stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        // Reading on keeps the answer from being lost in a reset.
        let _ = read_request(&mut stream);
    });
    let closing = Server::start(|stream, _| drop(stream));
    for server in [plain, closing] {
        let (_, target) = probe(&server, "127.0.0.1.test", &files.ca, &[]);
        let reason = target["last"]["reason"].as_str().unwrap();
        assert!(reason == "tls.handshake" || reason == "connect.reset", "{target}");
    }
}

#[test]
fn https_goes_through_the_tunnel_of_a_proxy() {
    let identity = identity("app.test", (2000, 2999));
    let (server, files) = (Server::https(&identity, ok), files(&identity));
    let address = server.address;
    let proxy = Server::start(move |mut client, hits| {
        let request = read_request(&mut client).unwrap();
        if !request.starts_with("CONNECT app.test:443 ") {
            let _ = client.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n");
            return;
        }
        hits.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        splice(client, TcpStream::connect(address).unwrap());
    });
    let through = |url: &str| -> Run {
        let mut command = hardy();
        command.env("https_proxy", format!("http://{}", proxy.address)).env("SSL_CERT_FILE", &files.ca);
        command.env_remove("SSL_CERT_DIR");
        command.args(["probe", url, "--json", "--timeout", "20s"]).output().unwrap().into()
    };
    let good = through("https://app.test/");
    assert_eq!((good.code, proxy.hits()), (Some(0), 1), "{good:?}");
    let refused = through("https://other.test/");
    assert_eq!(refused.json()["data"]["targets"][0]["last"]["reason"], "proxy", "{refused:?}");
}

/// Copies both ways until either side ends.
fn splice(client: TcpStream, server: TcpStream) {
    let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || copy(from, to));
    copy(server, client);
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}
