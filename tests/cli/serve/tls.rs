//! TLS: policies, HTTP/2, client certificates, and certificates that change while clients come and go.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use tempfile::TempDir;

use super::super::support::{DEADLINE, wait_for};
use super::client::{Server, curl, make_pipe};

/// What `openssl s_client` says about a handshake.
fn openssl(address: SocketAddr, args: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string()]).args(args).stdin(Stdio::null());
    let output = command.output().expect("openssl runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn agrees(answer: &str) -> bool {
    answer.contains("Cipher is ") && !answer.contains("Cipher is (NONE)")
}

#[test]
fn a_certificate_on_the_spot() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(&["--tls", "self-signed"]);
    let line = server.process.line("self-signed certificate, SHA-256 ");
    let pem = openssl(server.address(), &[]);
    let file = directory.path().join("pem");
    fs::write(&file, pem).unwrap();
    let file = file.to_str().unwrap();
    let output =
        Command::new("openssl").args(["x509", "-in", file, "-noout", "-fingerprint", "-sha256"]).output();
    let shown = String::from_utf8(output.expect("openssl runs").stdout).unwrap();
    assert_eq!(shown.trim().rsplit('=').next(), line.rsplit(' ').next());
    let port = server.address().port();
    for host in ["localhost", "127.0.0.1"] {
        let run = curl(&["--cacert", file, &format!("https://{host}:{port}/")]);
        assert_eq!(run.stdout, "Hello World!\n", "{run:?}");
    }
}

#[test]
fn versions() {
    let server = Server::start(&["--tls", "self-signed"]);
    assert!(agrees(&openssl(server.address(), &["-tls1_2"])));
    assert!(agrees(&openssl(server.address(), &["-tls1_3"])));
    for old in ["-tls1_1", "-tls1"] {
        assert!(!agrees(&openssl(server.address(), &[old, "-cipher", "DEFAULT@SECLEVEL=0"])), "{old}");
    }
    let strict = Server::start(&["--tls", "self-signed", "--tls-min", "1.3"]);
    assert!(!agrees(&openssl(strict.address(), &["-tls1_2"])));
    assert!(agrees(&openssl(strict.address(), &["-tls1_3"])));
}

#[test]
fn groups_and_whose_order_counts() {
    let article = ["--tls", "self-signed", "--echo", "--tls-groups", "P-256,X25519"];
    let group = |server: &Server, curves: &str| {
        let run = curl(&["-k", "--curves", curves, &server.url("/")]);
        let echo: serde_json::Value = serde_json::from_str(&run.stdout).unwrap_or_default();
        echo["tls"]["group"].as_str().map(str::to_owned)
    };
    let server = Server::start(&article);
    assert_eq!(group(&server, "X25519:P-256").as_deref(), Some("X25519"));
    assert_eq!(group(&server, "P-256:X25519").as_deref(), Some("P-256"));
    assert_eq!(group(&server, "P-521"), None);
    let ordered = Server::start(&[&article[..], &["--tls-prefer-server-order"]].concat());
    for offer in ["X25519:P-256", "P-256:X25519", "P-521:P-256"] {
        assert_eq!(group(&ordered, offer).as_deref(), Some("P-256"), "{offer}");
    }
    assert_eq!(group(&ordered, "P-521:X25519").as_deref(), Some("X25519"));
    assert!(agrees(&openssl(ordered.address(), &["-tls1_2"])));
}

#[test]
fn suites_by_our_order_or_theirs() {
    let suite = |server: &Server| {
        let args = ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"];
        let answer = openssl(server.address(), &args);
        answer.lines().find_map(|line| line.split("Cipher is ").nth(1)).map(str::to_owned)
    };
    let theirs = Server::start(&["--tls", "self-signed"]);
    assert_eq!(suite(&theirs).as_deref(), Some("ECDHE-ECDSA-AES128-GCM-SHA256"));
    let ours = Server::start(&["--tls", "self-signed", "--tls-prefer-server-order"]);
    assert_eq!(suite(&ours).as_deref(), Some("ECDHE-ECDSA-AES256-GCM-SHA384"));
}

#[test]
fn the_hybrid_group_is_there_and_first() {
    for order in [&[][..], &["--tls-prefer-server-order"]] {
        let server = Server::start(&[&["--tls", "self-signed", "--echo"][..], order].concat());
        let mut tls = connect(server.address());
        let echo = exchange(&mut tls, "/").expect("an answer");
        assert!(echo.contains("\"group\": \"X25519MLKEM768\""), "{echo}");
    }
}

#[test]
fn http_2_where_both_want_it() {
    let server = Server::start(&["--tls", "self-signed", "--echo"]);
    for (flag, version, alpn) in [("--http2", "HTTP/2.0", "h2"), ("--http1.1", "HTTP/1.1", "http/1.1")] {
        let run = curl(&["-k", flag, &server.url("/x")]);
        let echo: serde_json::Value = serde_json::from_str(&run.stdout).expect(&run.stderr);
        assert_eq!((&echo["version"], &echo["tls"]["alpn"]), (&version.into(), &alpn.into()));
        assert_eq!(echo["tls"]["version"], "TLSv1.3");
    }
    let many: Vec<String> = (0..200).map(|n| server.url(&format!("/{n}"))).collect();
    let mut args = vec!["-k", "--http2", "--parallel", "-o", "/dev/null", "-w", "%{http_code}\n"];
    args.extend(many.iter().map(String::as_str));
    let run = curl(&args);
    assert_eq!(run.stdout.lines().filter(|line| *line == "200").count(), 200, "{}", run.stderr);
    let large = "x".repeat(20_000);
    let run = curl(&["-k", "--http2", "-H", &format!("X: {large}"), &server.url("/")]);
    assert!(!run.stdout.contains("\"method\""), "a header list above 16 KiB is refused");
}

/// An authority with a server and a client certificate, as PEM files.
fn authority() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let named = |name: &str| {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut params = named("authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(directory.path().join("ca.pem"), authority.pem()).unwrap();
    for name in ["server", "alice"] {
        let key = KeyPair::generate().unwrap();
        let certificate = named(name).signed_by(&key, &authority).unwrap();
        fs::write(directory.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(directory.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
    directory
}

#[test]
fn clients_show_their_certificates() {
    let directory = authority();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let server = Server::start(&[
        "--tls-cert",
        &at("server.pem"),
        "--tls-key",
        &at("server.key"),
        "--tls-client-ca",
        &at("ca.pem"),
        "--echo",
    ]);
    let url = format!("https://localhost:{}/", server.address().port());
    let anonymous = curl(&["--cacert", &at("ca.pem"), &url]);
    assert_ne!(anonymous.code, Some(0), "{anonymous:?}");
    let alice =
        curl(&["--cacert", &at("ca.pem"), "--cert", &at("alice.pem"), "--key", &at("alice.key"), &url]);
    assert!(alice.stdout.contains("\"client_subject\": \"CN=alice\""), "{alice:?}");
    let stranger = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
    fs::write(at("x.pem"), stranger.cert.pem()).unwrap();
    fs::write(at("x.key"), stranger.signing_key.serialize_pem()).unwrap();
    let stranger = curl(&["--cacert", &at("ca.pem"), "--cert", &at("x.pem"), "--key", &at("x.key"), &url]);
    assert_ne!(stranger.code, Some(0), "{stranger:?}");
}

/// Writes a new pair; returns the certificate's serial number in DER for comparison.
fn renew(directory: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(directory.join("new.pem"), made.cert.pem()).unwrap();
    fs::write(directory.join("new.key"), made.signing_key.serialize_pem()).unwrap();
    fs::rename(directory.join("new.pem"), directory.join("cert.pem")).unwrap();
    fs::rename(directory.join("new.key"), directory.join("key.pem")).unwrap();
}

fn start_from_files(directory: &Path) -> Server {
    let at = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    Server::start(&["--tls-cert", &at("cert.pem"), "--tls-key", &at("key.pem")])
}

fn leaf(server: &Server) -> Vec<u8> {
    let mut tls = connect(server.address());
    exchange(&mut tls, "/").expect("an answer");
    tls.conn.peer_certificates().expect("a certificate")[0].to_vec()
}

#[test]
fn a_certificate_is_reloaded_when_it_changes_and_on_request() {
    let directory = tempfile::tempdir().unwrap();
    renew(directory.path());
    let mut server = start_from_files(directory.path());
    let first = leaf(&server);
    let mut kept = connect(server.address());
    renew(directory.path());
    server.process.line("certificate reloaded");
    let second = leaf(&server);
    assert_ne!(first, second);
    assert!(exchange(&mut kept, "/").is_ok(), "an open connection does not notice");

    fs::write(directory.path().join("key.pem"), "garbage").unwrap();
    let line = server.process.line("the old one is still served");
    assert!(line.contains("key.pem"), "{line}");
    assert_eq!(leaf(&server), second);
    server.process.signal("HUP");
    server.process.line("the old one is still served");
    assert_eq!(leaf(&server), second);

    // A pipe that nobody writes to must not hold up whoever looks at the next file.
    fs::remove_file(directory.path().join("key.pem")).unwrap();
    make_pipe(&directory.path().join("key.pem"));
    let line = server.process.line("the old one is still served");
    assert!(line.contains("named pipe"), "{line}");

    renew(directory.path());
    server.process.signal("HUP");
    server.process.line("certificate reloaded");
    assert_ne!(leaf(&server), second);
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn no_request_fails_while_certificates_are_replaced() {
    const REQUESTS: usize = 100_000;
    const WORKERS: usize = 4;
    let directory = tempfile::tempdir().unwrap();
    renew(directory.path());
    let server = start_from_files(directory.path());
    let address = server.address();
    let done = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            std::thread::spawn(move || {
                let mut failures = Vec::new();
                let mut tls = connect(address);
                for n in 0..REQUESTS / WORKERS {
                    if n % 100 == 0 {
                        tls = connect(address);
                    }
                    failures.extend(exchange(&mut tls, "/").err());
                }
                failures
            })
        })
        .collect();
    let replacing = {
        let (done, path, pid) = (Arc::clone(&done), directory.path().to_owned(), server.process.id());
        std::thread::spawn(move || {
            let mut times = 0;
            while !done.load(Relaxed) {
                renew(&path);
                let status = Command::new("kill").args(["-s", "HUP", &pid.to_string()]).status();
                assert!(status.expect("kill runs").success());
                times += 1;
            }
            times
        })
    };
    let failures: Vec<String> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
    done.store(true, Relaxed);
    let times = replacing.join().unwrap();
    assert_eq!(failures, [""; 0]);
    assert!(times > 10, "only {times} certificates");
    assert!(server.stop().stdout.starts_with(&format!("served {REQUESTS} requests")));
}

#[test]
fn a_client_without_tls_harms_nobody() {
    let server = Server::start(&["--tls", "self-signed", "--handshake-timeout", "200ms"]);
    let mut plain = server.connect();
    plain.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(plain.answer().is_none());
    let mut silent = server.connect();
    assert!(silent.end().is_ok());
    wait_for("an answer", || (curl(&["-k", &server.url("/")]).stdout == "Hello World!\n").then_some(()));
}

/// A TLS connection that trusts anybody: what is tested here is who answers, not who vouches.
pub fn connect(address: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
    connect_for(address, &[])
}

/// The same with a protocol agreed upon.
pub fn connect_for(address: SocketAddr, protocols: &[&str]) -> StreamOwned<ClientConnection, TcpStream> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

/// One request; the body of a 200.
fn exchange(tls: &mut StreamOwned<ClientConnection, TcpStream>, path: &str) -> Result<String, String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    tls.write_all(request.as_bytes()).map_err(|e| format!("request: {e}"))?;
    let mut text = String::new();
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).ok_or("no length")?;
            if body.len() >= length.parse::<usize>().map_err(|e| e.to_string())? {
                return if head.starts_with("HTTP/1.1 200") { Ok(body.to_owned()) } else { Err(text) };
            }
        }
        let mut chunk = [0; 4096];
        match tls.read(&mut chunk).map_err(|e| format!("answer: {e}"))? {
            0 => return Err(format!("ended after {text:?}")),
            count => text += &String::from_utf8_lossy(&chunk[..count]),
        }
    }
}

#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
