//! TLS of every kind against real servers: believed or not, with certificates of clients or without, and down.

use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConnection, StreamOwned};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};
use tonic_health::ServingStatus;

use super::authority::Authority;
use super::grpc::Health;
use super::servers::{mariadb_of, nginx, password, postgres_of, redis_over_tls};
use super::{assert_down, assert_up, target};
use crate::etcd::{Etcd, Options, Tls};
use crate::fixtures;
use crate::support::DEADLINE;

/// Its certificate is in the report, and can be expected to last.
fn assert_certificate(url: &str, flags: &[&str]) {
    let (code, target) = target(url, &[flags, &["--expect-cert-life", "14d"]].concat());
    let days = target["certificate"]["days_left"].as_i64();
    assert!(code == Some(0) && days.is_some_and(|days| days > 100_000), "{url}: {target}");
    let all = [flags, &["--expect-cert-life", "100%"]].concat();
    assert_down(url, &all, "tls.certificate.expires_soon", "expected 100% left");
}

/// Nobody else is believed, and who is no authority of the system only when that is said.
fn assert_unbelieved(url: &str) {
    let other = Authority::named("other");
    let detail = "the certificate was issued by \"authority\", which is not trusted here";
    assert_down(url, &other.believed(), "tls.certificate.untrusted", detail);
}

const WANTED: &str = "the server asked for a client certificate and got none";

#[test]
fn redis() {
    let authority = Authority::new();
    for demanding in [false, true] {
        let mut server = redis_over_tls(&authority, demanding);
        let url = server.url("");
        assert_unbelieved(&url);
        assert_up(&url, &authority.shown(), "master");
        assert_certificate(&url, &authority.shown());
        if demanding {
            assert_down(&url, &authority.believed(), "tls.client_certificate", WANTED);
        } else {
            assert_up(&url, &authority.believed(), "master");
            let name = url.replace("127.0.0.1", "localhost");
            assert_down(&name, &[&authority.believed()[..], &["-4"]].concat(), "tls.certificate.name", "");
            let plain = url.replace("rediss", "redis");
            assert_eq!(super::call(&plain, &[]).0, Some(1));
        }
        server.kill();
        assert_down(&url, &authority.shown(), "connect.refused", "connection refused");
    }
}

#[test]
fn etcd() {
    let authority = Authority::new();
    // etcd's own client in the tests shows this certificate, too.
    let (ca, cert, key) = (&authority.ca, &authority.cert, &authority.key);
    for mutual in [false, true] {
        let tls = Tls { ca: ca.into(), cert: cert.into(), key: key.into(), mutual };
        let mut etcd = Etcd::start(1, Options { tls: Some(tls), ..Options::default() });
        let url = etcd.urls()[0].replace("https", "etcds");
        assert_unbelieved(&url);
        assert_up(&url, &authority.shown(), "leader, version 3.");
        assert_certificate(&url, &authority.shown());
        if mutual {
            assert_down(&url, &authority.believed(), "tls.client_certificate", WANTED);
        } else {
            assert_up(&url, &authority.believed(), "leader, version 3.");
        }
        etcd.kill(0);
        assert_down(&url, &authority.shown(), "connect.refused", "connection refused");
    }
}

#[test]
fn grpc_of_tonic() {
    let authority = Authority::new();
    let read = |path: &str| std::fs::read(path).unwrap();
    let config =
        ServerTlsConfig::new().identity(Identity::from_pem(read(&authority.cert), read(&authority.key)));
    let demanding = config.clone().client_ca_root(Certificate::from_pem(read(&authority.ca)));
    for (config, demanding) in [(config, false), (demanding, true)] {
        let health = Health::start(Some(config));
        let url = format!("grpcs://{}", health.address);
        health.set("shop.Cart", ServingStatus::NotServing);
        assert_unbelieved(&url);
        for watch in ["", "?watch"] {
            assert_up(&format!("{url}{watch}"), &authority.shown(), "SERVING");
        }
        let cart = format!("{url}/shop.Cart");
        assert_down(&cart, &authority.shown(), "grpc.not_serving", "service shop.Cart is NOT_SERVING");
        assert_certificate(&url, &authority.shown());
        if demanding {
            assert_down(&url, &authority.believed(), "tls.client_certificate", WANTED);
        } else {
            assert_up(&url, &authority.believed(), "SERVING");
        }
        drop(health);
        assert_down(&url, &authority.shown(), "connect.refused", "connection refused");
    }
}

/// nginx in front of a server of WebSockets, and of one of gRPC.
#[test]
fn websockets_and_grpc_behind_nginx() {
    let authority = Authority::new();
    let sockets = fixtures::Server::start(|stream, _| {
        if let Ok(mut socket) = tungstenite::accept(stream) {
            while socket.read().is_ok() {}
        }
    });
    let health = Health::start(None);
    let mut server = nginx("wss", |at| {
        format!(
            "server {{ listen {at} ssl http2; ssl_certificate {}; ssl_certificate_key {}; \
               ssl_client_certificate {}; ssl_verify_client optional; \
               location /grpc.health.v1.Health/ {{ grpc_pass grpc://{}; }} \
               location /mine {{ if ($ssl_client_verify != SUCCESS) {{ return 403; }} return 404; }} \
               location / {{ proxy_pass http://{}; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
                 proxy_set_header Connection upgrade; }} }}",
            authority.cert, authority.key, authority.ca, health.address, sockets.address
        )
    });
    let url = server.url("") + "/chat";
    assert_unbelieved(&url);
    assert_up(&url, &authority.believed(), "101");
    assert_certificate(&url, &authority.believed());
    let mine = server.url("") + "/mine";
    assert_down(&mine, &authority.believed(), "http.status", "expected 101, got 403");
    assert_down(&mine, &authority.shown(), "http.status", "expected 101, got 404");
    let grpc = server.url("").replace("wss", "grpcs");
    assert_up(&grpc, &authority.believed(), "SERVING");
    drop(health);
    assert_down(&grpc, &authority.believed(), "http.status", "expected 200, got 502");
    server.kill();
    for url in [url, grpc] {
        assert_down(&url, &authority.believed(), "connect.refused", "connection refused");
    }
}

/// nginx completes the handshake with everybody, and then answers 400.
#[test]
fn nginx_that_demands_a_client_certificate() {
    let authority = Authority::new();
    let server = nginx("https", |at| {
        format!(
            "server {{ listen {at} ssl http2; ssl_certificate {}; ssl_certificate_key {}; \
               ssl_client_certificate {}; ssl_verify_client on; return 200 'hi'; }}",
            authority.cert, authority.key, authority.ca
        )
    });
    let detail = format!("expected 200-399, got 400; {WANTED}");
    assert_down(&server.url(""), &authority.believed(), "http.status", &detail);
    assert_up(&server.url(""), &authority.shown(), "");
    for (scheme, status) in [("wss", "expected 101, got 400: "), ("grpcs", "expected 200, got 400; ")] {
        let url = server.url("").replace("https", scheme);
        assert_down(&url, &authority.believed(), "http.status", status);
        assert_down(&url, &authority.believed(), "http.status", WANTED);
    }
}

#[test]
fn postgres() {
    let authority = Authority::new();
    let rules = "hostssl all me 127.0.0.1/32 scram-sha-256\n\
                 hostssl all trusted 127.0.0.1/32 trust clientcert=verify-ca\n";
    let mut server = postgres_of(rules, Some(&authority));
    let right = password(&server, "secret");
    let me = server.url("me@");
    let secret = ["--password-file", right.as_str()];
    assert_down(&me, &secret, "refused.by_server", "28000: no pg_hba.conf entry");
    let required = format!("{me}?sslmode=require");
    assert_up(&required, &secret, "SELECT 1 succeeds");
    assert_certificate(&required, &secret);
    let verified = format!("{me}?sslmode=verify-full");
    let believed = [&secret[..], &authority.believed()].concat();
    assert_unbelieved(&verified);
    assert_up(&verified, &believed, "SELECT 1 succeeds");
    let name = [&believed[..], &["-4"]].concat();
    assert_down(
        &verified.replace("127.0.0.1", "localhost"),
        &name,
        "tls.certificate.name",
        "not for localhost",
    );
    assert_up(&required.replace("127.0.0.1", "localhost"), &name, "SELECT 1 succeeds");
    let trusted = server.url("trusted@") + "/postgres?sslmode=verify-full";
    assert_up(&trusted, &authority.shown(), "ready for queries");
    let detail = "28000: connection requires a valid client certificate";
    assert_down(&trusted, &authority.believed(), "refused.by_server", detail);
    server.kill();
    assert_down(&required, &secret, "connect.refused", "connection refused");
    let plain = super::servers::postgres();
    let detail = "postgres: the server does not offer TLS";
    assert_down(&(plain.url("me@") + "?sslmode=require"), &[], "tls.handshake", detail);
}

#[test]
fn mysql_of_mariadb() {
    let authority = Authority::new();
    let mut server = mariadb_of(Some(&authority));
    let right = password(&server, "secret");
    let secret = ["--password-file", right.as_str()];
    assert_up(&server.url(""), &[], "MariaDB");
    let required = server.url("me@") + "?ssl-mode=REQUIRED";
    assert_up(&required, &secret, ", the log-in succeeds");
    assert_up(&(server.url("") + "?ssl-mode=required"), &[], "MariaDB");
    assert_certificate(&required, &secret);
    let verified = server.url("me@") + "?ssl-mode=VERIFY_IDENTITY";
    assert_unbelieved(&verified);
    assert_up(&verified, &[&secret[..], &authority.believed()].concat(), "the log-in succeeds");
    // Who has to show a certificate.
    let shown = server.url("shown@") + "?ssl-mode=VERIFY_IDENTITY";
    assert_up(&shown, &[&secret[..], &authority.shown()].concat(), "the log-in succeeds");
    let believed = [&secret[..], &authority.believed()].concat();
    assert_down(&shown, &believed, "refused.by_server", "error 1045: Access denied for user 'shown'");
    server.kill();
    assert_down(&required, &secret, "connect.refused", "connection refused");
    let plain = super::servers::mariadb();
    let url = plain.url("root@") + "?ssl-mode=REQUIRED";
    assert_down(&url, &[], "tls.handshake", "the server does not offer TLS");
}

/// The greeting of MySQL 8, whose log-ins begin with a proof by SHA-256.
fn greeting_of_mysql_8() -> Vec<u8> {
    let begin = b"\x4a\0\0\0\x0a8.4.10\0\x01\0\0\x0012345678\0\xff\xff\xff\x02\0\xff\xdf\x15";
    [&begin[..], &[0; 10], b"90abcdefghij\0caching_sha2_password\0"].concat()
}

/// A server that has forgotten the password gets it, once it is believed.
#[test]
fn mysql_8_gets_the_password_over_tls_that_is_verified_and_nowhere_else() {
    let authority = Authority::new();
    let certificate = CertificateDer::from_pem_file(&authority.cert).unwrap();
    let key = PrivateKeyDer::from_pem_file(&authority.key).unwrap();
    let config = Arc::new(fixtures::tls(certificate, key));
    let (told, heard) = channel();
    let told = Mutex::new(told);
    let server = fixtures::Server::start(move |mut stream, _| {
        let _ = stream.write_all(&greeting_of_mysql_8());
        if stream.read_exact(&mut [0; 36]).is_err() {
            return;
        }
        let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
        let mut log_in = [0; 512];
        let Ok(_) = stream.read(&mut log_in) else { return };
        let _ = stream.write_all(b"\x02\0\0\x03\x01\x04");
        let count = stream.read(&mut log_in).unwrap_or_default();
        told.lock().unwrap().send(log_in[..count].to_vec()).unwrap();
        let _ = stream.write_all(b"\x07\0\0\x05\0\0\0\x02\0\0\0");
        let _ = stream.read(&mut log_in);
    });
    let file = authority.write("password", "secret");
    let flags = [&authority.believed()[..], &["--password-file", &file]].concat();
    let url = |mode: &str| format!("mysql://me@{}?ssl-mode={mode}", server.address);
    let detail = "only sent over TLS with ssl-mode=VERIFY_IDENTITY";
    assert_down(&url("REQUIRED"), &flags, "refused.by_server", detail);
    assert_eq!(heard.recv_timeout(DEADLINE).unwrap(), b"");
    assert_up(&url("VERIFY_IDENTITY"), &flags, "8.4.10, the log-in succeeds");
    assert_eq!(heard.recv_timeout(DEADLINE).unwrap(), b"\x07\0\0\x04secret\0");
}

/// Bytes before TLS that anybody on the way could have put there.
#[test]
fn what_mysql_says_in_advance_is_refused() {
    let server = fixtures::Server::start(|mut stream, _| {
        let _ = stream.write_all(&[&greeting_of_mysql_8()[..], b"\x07\0\0\x02\0\0\0\x02\0\0\0"].concat());
        let _ = stream.read(&mut [0; 512]);
    });
    let url = format!("mysql://me@{}?ssl-mode=REQUIRED", server.address);
    assert_down(&url, &[], "tls.handshake", "said in the clear before TLS: ");
}
