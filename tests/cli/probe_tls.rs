//! `hardy probe` of `https://` and `tls://`: which certificates are believed, and what is wrong with the others.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd};
use serde_json::Value;

use super::fixtures::{Server, ok, read_request, tls};
use super::support::{Process, Run, hardy, wait_for};

/// A certificate that vouches for itself.
fn identity(name: &str, years: (i32, i32)) -> CertifiedKey<KeyPair> {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
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
    probe_by("https", server, name, roots, args)
}

fn probe_by(
    scheme: &str,
    server: &Server,
    name: &str,
    roots: &PathBuf,
    args: &[&str],
) -> (Option<i32>, Value) {
    let port = server.address.port();
    let run: Run = hardy()
        .env("SSL_CERT_FILE", roots)
        .env_remove("SSL_CERT_DIR")
        .args(["probe", &format!("{scheme}://{name}:{port}/"), "--json", "--timeout", "20s"])
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
        (
            "app.test",
            (2000, 2999),
            false,
            "untrusted",
            "self-signed and not trusted here; trust it with --ca FILE",
        ),
        ("app.test", (2000, 2001), true, "expired", "ran out at 2001-01-01T00:00:00Z"),
        ("app.test", (2998, 2999), true, "not_yet_valid", "not valid before 2998-01-01T00:00:00Z"),
        ("else.test", (2000, 2999), true, "name", "is for else.test, not for app.test"),
    ];
    for (name, years, trusted, reason, detail) in cases {
        let reason = format!("tls.certificate.{reason}");
        let identity = identity(name, years);
        let (server, files) = (Server::https(&identity, ok), files(&identity));
        let roots = if trusted { &files.ca } else { &files.other };
        for scheme in ["https", "tls", "wss", "grpcs", "etcds", "rediss"] {
            let (code, target) = probe_by(scheme, &server, "app.test", roots, &[]);
            assert_eq!((code, target["last"]["reason"].as_str()), (Some(1), Some(&*reason)), "{target}");
            assert!(target["last"]["detail"].as_str().unwrap().ends_with(detail), "{target}");
            // It was shown, whoever believes it.
            let end = &target["certificate"]["not_after"];
            assert_eq!(end, &format!("{}-01-01T00:00:00Z", years.1), "{target}");
        }
        for scheme in ["https", "tls"] {
            let (code, target) = probe_by(scheme, &server, "app.test", roots, &["--insecure"]);
            assert_eq!(code, Some(0), "{reason}: {target}");
        }
    }
}

#[test]
fn the_issuer_that_nobody_trusts_is_named() {
    let issuer_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Corp CA 7");
    let issuer = rcgen::Issuer::new(params, issuer_key);
    let signing_key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(["app.test".to_owned()]).unwrap();
    leaf.distinguished_name.push(rcgen::DnType::CommonName, "app.test");
    let cert = leaf.signed_by(&signing_key, &issuer).unwrap();
    let identity = CertifiedKey { cert, signing_key };
    let (server, files) = (Server::https(&identity, ok), files(&identity));
    let (_, target) = probe(&server, "app.test", &files.other, &[]);
    assert_eq!(target["last"]["reason"], "tls.certificate.untrusted", "{target}");
    let detail =
        "the certificate was issued by \"Corp CA 7\", which is not trusted here; trust it with --ca FILE";
    assert_eq!(target["last"]["detail"], detail);
}

/// The roots come from a pipe that nobody has written to yet: a call that had begun would have connected.
#[test]
fn the_roots_are_read_before_the_call_begins() {
    let identity = identity("app.test", (2000, 2999));
    let files = files(&identity);
    let roots = files.ca.with_file_name("roots");
    assert!(Command::new("mkfifo").arg(&roots).status().unwrap().success());
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = accepted.clone();
    let server = Server::start(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let start = || {
        let args = ["probe", &format!("https://{}/", server.address), "--timeout", "20s"];
        let mut command = hardy();
        command.stdout(Stdio::null());
        Process::start(command.env("SSL_CERT_FILE", &roots).env_remove("SSL_CERT_DIR").args(args))
    };
    let mut process = start();
    // It opens for writing once somebody reads.
    let open = || {
        let mut options = fs::File::options();
        options.write(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
        wait_for("a reader of the roots", || options.open(&roots).ok())
    };
    let mut pipe = open();
    assert_eq!(accepted.load(Ordering::SeqCst), 0, "connected before the roots were read");
    pipe.write_all(identity.cert.pem().as_bytes()).unwrap();
    drop(pipe);
    assert_eq!(process.wait().code(), Some(1));
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
    let mut process = start();
    let pipe = open();
    process.signal("INT");
    assert_eq!(process.wait().code(), Some(130), "roots that never come must not hold an interruption");
    drop(pipe);
}

#[test]
fn a_server_that_wants_a_client_certificate_is_told_apart() {
    let identity = identity("app.test", (2000, 2999));
    let files = files(&identity);
    let versions: [&[&'static rustls::SupportedProtocolVersion]; 2] =
        [&[&rustls::version::TLS12], &[&rustls::version::TLS13]];
    for (versions, alpn) in versions.into_iter().flat_map(|v| [(v, "http/1.1"), (v, "h2")]) {
        let server = demanding(&identity, versions, alpn);
        for scheme in ["https", "tls"] {
            let (code, target) = probe_by(scheme, &server, "app.test", &files.ca, &[]);
            let last = &target["last"];
            let reason = last["reason"].as_str();
            assert_eq!((code, reason), (Some(1), Some("tls.client_certificate")), "{scheme} {alpn}: {last}");
            let detail = last["detail"].as_str().unwrap();
            assert!(
                detail.starts_with("the server asked for a client certificate and got none: "),
                "{detail}"
            );
        }
    }
}

#[test]
fn a_server_that_gets_a_client_certificate_may_still_refuse_it() {
    let (identity, stranger) = (identity("app.test", (2000, 2999)), identity("stranger", (2000, 2999)));
    let files = files(&identity);
    let key = files.ca.with_file_name("key.pem");
    let show = |who: &CertifiedKey<KeyPair>, version: &'static rustls::SupportedProtocolVersion| {
        fs::write(&files.other, who.cert.pem()).unwrap();
        fs::write(&key, who.signing_key.serialize_pem()).unwrap();
        let server = demanding(&identity, &[version], "h2");
        let args = ["--cert", files.other.to_str().unwrap(), "--key", key.to_str().unwrap()];
        probe_by("tls", &server, "app.test", &files.ca, &args)
    };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (code, target) = show(&identity, version);
        assert_eq!(code, Some(0), "{target}");
        let (code, target) = show(&stranger, version);
        let detail = target["last"]["detail"].as_str().unwrap();
        assert!(code == Some(1) && !detail.contains("got none"), "{target}");
    }
}

/// A server that hangs up on clients without a certificate.
fn demanding(
    identity: &CertifiedKey<KeyPair>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &str,
) -> Server {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(identity.cert.der().clone()).unwrap();
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![identity.cert.der().clone()], key.into())
        .unwrap();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let config = Arc::new(config);
    Server::start(move |mut stream, _| {
        let mut session = rustls::ServerConnection::new(config.clone()).unwrap();
        while session.complete_io(&mut stream).is_ok() && session.is_handshaking() {}
        let _ = session.complete_io(&mut stream);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    })
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
    for server in [&plain, &closing] {
        let (code, target) = probe_by("tls", server, "app.test", &files.ca, &[]);
        let reason = target["last"]["reason"].as_str().unwrap();
        assert!(code == Some(1) && (reason == "tls.handshake" || reason == "connect.reset"), "{target}");
        assert!(target["certificate"].is_null());
    }
    for (server, speaks) in [(plain, true), (closing, false)] {
        let (_, target) = probe(&server, "127.0.0.1.test", &files.ca, &[]);
        let reason = target["last"]["reason"].as_str().unwrap();
        assert!(reason == "tls.handshake" || reason == "connect.reset", "{target}");
        let detail = target["last"]["detail"].as_str().unwrap();
        assert_eq!(
            detail.starts_with("it does not speak TLS; try http://127.0.0.1.test:"),
            speaks,
            "{detail}"
        );
    }
}

#[test]
fn a_tls_target_is_up_when_its_handshake_is_complete() {
    let identity = identity("app.test", (2000, 2999));
    let (server, files) = (Server::https(&identity, ok), files(&identity));
    let (code, target) = probe_by("tls", &server, "app.test", &files.ca, &[]);
    assert_eq!((code, &target["kind"]), (Some(0), &"tls".into()), "{target}");
    let phases = &target["last"]["phases_us"];
    assert!(phases["dns"].is_u64() && phases["connect"].is_u64() && phases["tls"].is_u64(), "{phases}");
    assert!(phases["first_byte"].is_null() && target["last"]["status"].is_null(), "{target}");
    let sum: u64 = ["dns", "connect", "tls"].iter().map(|phase| phases[phase].as_u64().unwrap()).sum();
    assert!(target["last"]["latency_us"].as_u64().unwrap() - sum < 5, "{target}");
    let refused = super::fixtures::refused();
    let run = hardy().args(["probe", &format!("tls://{refused}"), "--json"]).output().unwrap();
    assert_eq!(Run::from(run).json()["data"]["targets"][0]["last"]["reason"], "connect.refused");
}

#[test]
fn a_server_that_stalls_in_the_handshake_runs_into_the_timeout() {
    let url = format!("tls://{}", super::fixtures::silent().address);
    let run: Run = hardy().args(["probe", &url, "--json", "--timeout", "2s"]).output().unwrap().into();
    let json = run.json();
    let last = &json["data"]["targets"][0]["last"];
    assert_eq!((run.code, &last["reason"]), (Some(1), &"timeout".into()), "{last}");
    assert_eq!(last["detail"], "no answer within 2s, while in the TLS handshake");
}

#[test]
fn tls_begins_on_request() {
    let identity = identity("app.test", (2000, 2999));
    let files = files(&identity);
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der());
    let config = Arc::new(tls(identity.cert.der().clone(), key.into()));
    let smtp = Server::start(move |mut stream, _| {
        let mut lines = std::io::BufReader::new(stream.try_clone().unwrap());
        let mut say = |text: &str| stream.write_all(text.as_bytes()).unwrap();
        let mut hear = || {
            let mut line = String::new();
            std::io::BufRead::read_line(&mut lines, &mut line).map(|_| line.to_uppercase()).unwrap()
        };
        say("220 mail.test ESMTP\r\n");
        assert!(hear().starts_with("EHLO "));
        say("250-mail.test\r\n250 STARTTLS\r\n");
        assert_eq!(hear(), "STARTTLS\r\n");
        say("220 go ahead\r\n");
        let mut session = rustls::ServerConnection::new(config.clone()).unwrap();
        while session.complete_io(&mut stream).is_ok() && session.is_handshaking() {}
    });
    let (code, target) = probe_by("tls+smtp", &smtp, "app.test", &files.ca, &[]);
    assert_eq!(code, Some(0), "{target}");
    assert_eq!(target["certificate"]["not_after"], "2999-01-01T00:00:00Z");
    let refusing = Server::start(|mut stream, _| {
        let _ = stream.write_all(b"554 go away\r\n");
        let _ = stream.read(&mut [0; 64]);
    });
    let (code, target) = probe_by("tls+smtp", &refusing, "app.test", &files.ca, &[]);
    let detail = target["last"]["detail"].as_str().unwrap();
    assert!(code == Some(1) && detail.starts_with("smtp: ") && detail.contains("go away"), "{target}");
}

#[test]
fn a_certificate_that_ends_too_soon_is_a_failure_where_that_is_asked() {
    let identity = identity("app.test", (2000, 2999));
    let (server, files) = (Server::https(&identity, ok), files(&identity));
    let prometheus = files.ca.with_file_name("metrics");
    let report = format!("prometheus={}", prometheus.display());
    for scheme in ["https", "tls"] {
        let good = ["--expect-cert-life", "14d", "--report", &report];
        let (code, target) = probe_by(scheme, &server, "app.test", &files.ca, &good);
        assert_eq!(code, Some(0), "{target}");
        let days = target["certificate"]["days_left"].as_i64().unwrap();
        assert!((100_000..400_000).contains(&days), "{target}");
        let metrics = fs::read_to_string(&prometheus).unwrap();
        let line = metrics.lines().find(|line| line.starts_with("hardy_probe_certificate_days_left{"));
        assert!(line.unwrap().ends_with(&format!("}} {days}")), "{metrics}");
        let (code, target) =
            probe_by(scheme, &server, "app.test", &files.ca, &["--expect-cert-life", "100%"]);
        let last = &target["last"];
        let reason = last["reason"].as_str();
        assert_eq!((code, reason), (Some(1), Some("tls.certificate.expires_soon")), "{last}");
        assert!(
            last["detail"].as_str().unwrap().starts_with("expected 100% left of the certificate"),
            "{last}"
        );
    }
}

#[test]
fn people_are_told_of_certificates_that_end_soon() {
    let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(5 * 86_400 + 3600);
    let mut params = CertificateParams::new(["app.test".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(1970, 1, 1) + end);
    let signing_key = KeyPair::generate().unwrap();
    let identity = CertifiedKey { cert: params.self_signed(&signing_key).unwrap(), signing_key };
    let server = Server::https(&identity, ok);
    let told = |paths: usize| -> String {
        let urls = (0..paths).map(|path| format!("https://{}/{path}", server.address));
        let args = ["probe", "--insecure", "--timeout", "20s"];
        let run: Run = hardy().args(args).args(urls).output().unwrap().into();
        assert_eq!(run.code, Some(0), "{run:?}");
        run.stdout
    };
    let one = told(1);
    assert!(one.contains("  certificate  ends in 5 days, at 2"), "{one}");
    assert!(!one.contains(": the certificate"), "once is enough: {one}");
    // Details of many that are up would be too much.
    let many = told(7);
    assert_eq!(many.matches(": the certificate ends in 5 days, at 2").count(), 7, "{many}");
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
