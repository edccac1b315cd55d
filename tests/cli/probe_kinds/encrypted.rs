//! TLS of every kind against real servers: believed or not, with certificates of clients or without, and down.

use tonic::transport::{Certificate, Identity, ServerTlsConfig};
use tonic_health::ServingStatus;

use super::authority::Authority;
use super::grpc::Health;
use super::servers::{mariadb_of, nginx, password, postgres_of, redis_over_tls};
use super::{assert_down, assert_up, target};
use crate::etcd::{Etcd, Options, Tls};
use crate::fixtures;

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
