//! What is spoken with real servers.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::super::fixtures::{self, Server};
use super::super::serve::client;
use super::super::support::{Run, hardy};
use super::servers::{Home, nginx, openssl};

/// The report about one target.
pub fn check(target: &str, args: &[&str]) -> Value {
    let run: Run = hardy().args(["tls", "check", target, "--json"]).args(args).output().unwrap().into();
    let report = run.json()["data"]["targets"][0].clone();
    assert!(report.is_object(), "{run:?}");
    report
}

/// Why the target could not be spoken with.
pub fn unreached(report: &Value) -> &str {
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["id"] == "endpoint.reachable");
    finding.map_or_else(|| panic!("{report}"), |finding| finding["actual"].as_str().unwrap())
}

fn negotiated(port: u16, args: &[&str]) -> Value {
    let report = check(&format!("https://localhost:{port}"), args);
    assert!(report["observed"]["negotiated"].is_object(), "{report}");
    report["observed"]["negotiated"].clone()
}

#[test]
fn one_connection_tells_what_was_negotiated() {
    let home = Home::new();
    let cases: [(&[&str], &str, &str, &str); 3] = [
        (&["-tls1_3", "-curves", "P-256"], "tls1_3", "TLS_AES_256_GCM_SHA384", "secp256r1"),
        (
            &["-tls1_2", "-cipher", "ECDHE+CHACHA20"],
            "tls1_2",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            "X25519",
        ),
        (
            &["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
            "tls1_3",
            "TLS_CHACHA20_POLY1305_SHA256",
            "X25519",
        ),
    ];
    for (args, version, suite, group) in cases {
        let server = openssl(&home, &[args, &["-www"]].concat());
        let report = check(&format!("https://localhost:{}", server.port), &["--fast"]);
        let negotiated = &report["observed"]["negotiated"];
        assert_eq!(negotiated["version"], version, "{report}");
        assert_eq!(negotiated["suite"], suite);
        assert_eq!(negotiated["group"], group);
        assert_eq!(negotiated["asks_client_certificate"], false);
        assert!(negotiated["resumption"]["skipped"].is_string());
        assert_eq!(report["connections"], 1);
    }
}

#[test]
fn sessions_are_taken_up_as_the_server_allows() {
    let home = Home::new();
    // By id and ticket of TLS 1.2, and by ticket of TLS 1.3.
    let cases: [(&[&str], [Option<bool>; 3]); 7] = [
        (&[], [Some(true); 3]),
        (&["-no_ticket"], [Some(true), Some(false), Some(true)]),
        (&["-tls1_3"], [None, None, Some(true)]),
        (&["-tls1_3", "-num_tickets", "0"], [None, None, Some(false)]),
        (&["-tls1_2"], [Some(true), Some(true), None]),
        (&["-tls1_2", "-no_ticket"], [Some(true), Some(false), None]),
        (&["-tls1_2", "-no_ticket", "-no_cache"], [Some(false), Some(false), None]),
    ];
    for (args, expected) in cases {
        let server = openssl(&home, &[args, &["-www"]].concat());
        let negotiated = negotiated(server.port, &[]);
        let ways = ["tls1_2_id", "tls1_2_ticket", "tls1_3_ticket"].map(|way| &negotiated["resumption"][way]);
        assert_eq!(ways.map(Value::as_bool), expected, "{args:?}: {ways:?}");
        assert_eq!(negotiated["early_data"], false);
    }
}

#[test]
fn early_data_is_seen_in_tickets() {
    let home = Home::new();
    let server = openssl(&home, &["-early_data", "-quiet"]);
    // Without HTTP, so that its one connection at a time is not held up by a request.
    let report = check(&format!("tls://localhost:{}", server.port), &[]);
    assert_eq!(report["observed"]["negotiated"]["early_data"], true, "{report}");
}

#[test]
fn a_wish_for_a_client_certificate_is_seen_and_hides_nothing() {
    let home = Home::new();
    for version in ["-tls1_2", "-tls1_3"] {
        for wish in ["-verify", "-Verify"] {
            let server = openssl(&home, &[version, wish, "1", "-www"]);
            for args in [&["--fast"][..], &[]] {
                let negotiated = negotiated(server.port, args);
                assert_eq!(negotiated["asks_client_certificate"], true, "{version} {wish}");
            }
        }
    }
}

#[test]
fn nginx_speaks_both_kinds_of_http_and_says_its_policy() {
    let home = Home::new();
    let server = nginx(
        &home,
        "server { listen PORT ssl http2; location / { add_header Strict-Transport-Security 'max-age=63072000; preload';
         return 204; } location /bare { return 204; } }",
    );
    let negotiated = negotiated(server.port, &[]);
    assert_eq!(negotiated["alpn"], "h2");
    assert_eq!(negotiated["protocols"], json!(["h2", "http/1.1"]));
    assert_eq!(negotiated["hsts"], "max-age=63072000; preload");
    assert_eq!(negotiated["without_sni"], "same");
    let bare = check(&format!("https://localhost:{}/bare", server.port), &[]);
    assert_eq!(bare["observed"]["negotiated"]["hsts"], Value::Null);
    let by_address = check(&format!("https://127.0.0.1:{}", server.port), &[]);
    let skipped = &by_address["observed"]["negotiated"]["without_sni"]["skipped"];
    assert_eq!(skipped, "an address is never sent as SNI");
}

#[test]
fn a_server_that_wants_a_client_certificate_first_does_not_lack_the_header() {
    let home = Home::new();
    let server = nginx(
        &home,
        "server { listen PORT ssl; ssl_client_certificate HOME/cert.pem; ssl_verify_client on;
         location / { add_header Strict-Transport-Security 'max-age=63072000'; return 204; } }",
    );
    let hsts = |args: &[&str]| {
        let report = check(&format!("https://localhost:{}", server.port), args);
        let findings = report["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["id"] == "http.hsts").unwrap().clone()
    };
    let without = hsts(&[]);
    assert_eq!(without["status"], "skip", "{without}");
    assert!(without["actual"].as_str().unwrap().contains("--client-cert"), "{without}");
    let with = hsts(&["--client-cert", &home.path("cert.pem"), "--client-key", &home.path("key.pem")]);
    assert_eq!(with["status"], "pass", "{with}");
}

#[test]
fn what_comes_without_a_name_is_told_apart() {
    let home = Home::new();
    home.identity("other.pem", "other.key", "other.test");
    let named = "server { listen PORT ssl; server_name localhost; return 204; }";
    let other = "server { listen PORT ssl default_server; server_name _; return 204;
        ssl_certificate HOME/other.pem; ssl_certificate_key HOME/other.key; }";
    let server = nginx(&home, &format!("{named} {other}"));
    assert_eq!(negotiated(server.port, &[])["without_sni"], json!({"other": "CN=other.test"}));
    let refuses = "server { listen PORT ssl default_server; server_name _; ssl_reject_handshake on; }";
    let server = nginx(&home, &format!("{named} {refuses}"));
    assert_eq!(negotiated(server.port, &[])["without_sni"], "refused");
}

#[test]
fn names_that_the_server_refuses_are_not_insisted_on() {
    let home = Home::new();
    let server = openssl(&home, &["-www", "-alpn", "http/1.1"]);
    assert_eq!(negotiated(server.port, &[])["protocols"], json!(["http/1.1"]));
    let server = openssl(&home, &["-www", "-alpn", "imap"]);
    assert_eq!(negotiated(server.port, &[])["protocols"], json!([]));
}

#[test]
fn a_header_that_cannot_be_asked_for_is_skipped() {
    let server = openssl(&Home::new(), &["-www", "-alpn", "h2"]);
    let report = check(&format!("https://localhost:{}", server.port), &[]);
    let finding = report["findings"].as_array().unwrap().iter().find(|finding| finding["id"] == "http.hsts");
    let finding = finding.unwrap_or_else(|| panic!("{report}"));
    assert_eq!(finding["status"], "skip");
    assert_eq!(finding["actual"], "only h2 is spoken here; the header is asked for with http/1.1");
}

#[test]
fn hardy_itself_agrees_on_a_group_for_after_quantum_computers() {
    let server = client::Server::start(&["--tls", "self-signed"]);
    let negotiated = negotiated(server.address().port(), &[]);
    assert_eq!(negotiated["group"], "X25519MLKEM768");
    assert_eq!(negotiated["protocols"], json!(["h2", "http/1.1"]));
    assert_eq!(negotiated["hsts"], Value::Null);
}

#[test]
fn what_is_no_tls_is_named() {
    // One waits for what it understands, the other does not.
    let web: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n";
    let shell: &[u8] = b"SSH-2.0-OpenSSH_9.2p1\r\n";
    for (greeting, answer, spoken) in [(&b""[..], web, "HTTP"), (shell, b"", "SSH")] {
        let server = Server::start(move |mut stream: TcpStream, _| {
            let _ = stream.write_all(greeting);
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        });
        let report = check(&format!("tls://{}", server.address), &["--fast"]);
        assert_eq!(report["status"], "error");
        assert_eq!(unreached(&report), format!("tls.handshake: the server speaks {spoken}, not TLS"));
    }
    let report = check(&format!("tls://{}", fixtures::refused()), &["--fast"]);
    assert!(unreached(&report).starts_with("connect.refused: "), "{report}");
}

#[test]
fn what_refuses_everything_is_not_said_to_refuse_old_versions() {
    let alert = [21, 3, 3, 0, 2, 2, 80];
    let server = Server::start(move |mut stream: TcpStream, _| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(&alert);
    });
    let report = check(&format!("tls://{}", server.address), &[]);
    assert_eq!((&report["status"], unreached(&report).contains("internal_error")), (&json!("error"), true));
    let passed = report["findings"].as_array().unwrap().iter().find(|finding| finding["status"] == "pass");
    assert_eq!(passed, None, "{report}");
}

#[test]
fn a_name_that_no_server_has_is_asked_of_none() {
    let server = Server::start(|_: TcpStream, _| {});
    for name in ["bad_name!", "a b", "a\u{1b}[2J", "", "*.example"] {
        let run: Run = hardy()
            .args(["tls", "check", &server.address.to_string(), "--name", name])
            .output()
            .unwrap()
            .into();
        assert_eq!((run.code, server.hits()), (Some(2), 0), "{name:?}: {run:?}");
        assert!(run.stderr.contains("--name") && !run.stderr.contains('\u{1b}'), "{run:?}");
    }
}
