//! What is seen of servers that are this test, or openssl with certificates that rustls does not serve.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};
use tokio::sync::Semaphore;

use super::*;
use crate::reason::Reason;

fn endpoint(port: u16) -> Endpoint {
    let (host, server_name) = ("127.0.0.1".to_owned(), Some("app.test".to_owned()));
    Endpoint { host, port, server_name, starttls: None, http_path: None }
}

async fn seen(
    address: SocketAddr,
    depth: Depth,
    step: Duration,
    identity: Option<Arc<CertifiedKey>>,
) -> (Result<Session, Fault>, u64) {
    // One place: connections that held on to theirs would wait for each other.
    let dial = Dial::new((address, "app.test"), None, step, (1, Arc::new(Semaphore::new(1))));
    let session = observe(&dial, &endpoint(address.port()), depth, identity).await;
    (session, dial.opened())
}

const LONG: Duration = Duration::from_secs(20);

fn identity(name: &str) -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().der().clone(), key)
}

/// A chain and a key, which need not belong to each other.
fn certified(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> CertifiedKey {
    let secret = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    CertifiedKey::new(chain, rustls::crypto::aws_lc_rs::sign::any_supported_type(&secret).unwrap())
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

fn config(served: CertifiedKey, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(Arc::new(served))))
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12, &rustls::version::TLS13];

fn listen(each: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let each = Arc::new(each);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let each = each.clone();
            thread::spawn(move || each(stream));
        }
    });
    address
}

/// Shakes hands, and stays until the client goes.
fn serve(config: ServerConfig) -> SocketAddr {
    let config = Arc::new(config);
    listen(move |stream| {
        let mut stream = rustls::StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
        let _ = stream.read_to_end(&mut Vec::new());
        stream.conn.send_close_notify();
        let _ = stream.conn.complete_io(&mut stream.sock);
    })
}

#[tokio::test]
async fn the_chain_comes_as_it_was_sent_whatever_it_is() {
    let ((leaf, key), (other, _)) = (identity("app.test"), identity("other"));
    let garbage = CertificateDer::from(b"no certificate".to_vec());
    let chain = vec![leaf, garbage, other];
    for versions in [&BOTH[..1], &BOTH[1..]] {
        let mut served = certified(chain.clone(), &key);
        served.ocsp = Some(b"a staple".to_vec());
        let (session, opened) = seen(serve(config(served, versions)), Depth::Fast, LONG, None).await;
        let session = session.unwrap();
        assert_eq!((session.chain, session.staple.as_deref()), (chain.clone(), Some(&b"a staple"[..])));
        assert_eq!((session.has_key, session.asks_client_certificate), (Fact::Known(true), false));
        assert_eq!(opened, 1);
    }
}

#[tokio::test]
async fn a_server_without_its_key_is_found_out() {
    let ((leaf, _), (_, key)) = (identity("app.test"), identity("other"));
    for versions in [&BOTH[..1], &BOTH[1..]] {
        let served = certified(vec![leaf.clone()], &key);
        let (session, _) = seen(serve(config(served, versions)), Depth::Fast, LONG, None).await;
        assert_eq!(session.unwrap().has_key, Fact::Known(false));
    }
}

#[tokio::test]
async fn what_is_agreed_on_has_the_names_of_iana() {
    let (leaf, key) = identity("app.test");
    let mut config = config(certified(vec![leaf], &key), BOTH);
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    let session = seen(serve(config), Depth::Fast, LONG, None).await.0.unwrap();
    let agreed = (session.version.as_str(), session.suite.as_str(), session.group.as_deref());
    assert_eq!(agreed, ("tls1_3", "TLS_AES_256_GCM_SHA384", Some("X25519MLKEM768")));
    assert_eq!(session.alpn.as_deref(), Some("http/1.1"));
    assert!(matches!(session.protocols, Fact::Skipped { .. }));
}

#[tokio::test]
async fn names_of_protocols_are_offered_alone() {
    let (leaf, key) = identity("app.test");
    // One that tells it all; one without SNI; one with the ticket; two of TLS 1.2; one for each other name.
    for (known, agreed, opened) in [
        (&["h2", "http/1.1"][..], &["h2", "http/1.1"][..], 6),
        (&["http/1.1"], &["http/1.1"], 6),
        (&[], &[], 5),
        // It refuses the first hello, which is made again without any name.
        (&["imap"], &[], 6),
    ] {
        let mut config = config(certified(vec![leaf.clone()], &key), BOTH);
        config.alpn_protocols = known.iter().map(|name| name.as_bytes().to_vec()).collect();
        let (session, count) = seen(serve(config), Depth::Full, LONG, None).await;
        let protocols = session.unwrap().protocols;
        assert_eq!(protocols.known().unwrap(), agreed);
        assert_eq!(count, opened, "{known:?}");
    }
}

#[tokio::test]
async fn sessions_are_taken_up_where_the_server_allows_it() {
    let (leaf, key) = identity("app.test");
    type Change = fn(&mut ServerConfig);
    let tickets: Change = |config| {
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    };
    // By id and ticket of TLS 1.2, and by ticket of TLS 1.3.
    type Case<'a> = (&'a [&'static SupportedProtocolVersion], Change, [Option<bool>; 3], bool);
    let cases: [Case<'_>; 9] = [
        (&BOTH[1..], |_| {}, [None, None, Some(true)], false),
        (&BOTH[1..], |config| config.max_early_data_size = 1024, [None, None, Some(true)], true),
        (&BOTH[1..], |config| config.send_tls13_tickets = 0, [None, None, Some(false)], false),
        (&BOTH[..1], |_| {}, [Some(true), Some(false), None], false),
        (&BOTH[..1], tickets, [Some(true), Some(true), None], false),
        (
            &BOTH[..1],
            |config| config.session_storage = Arc::new(NoServerSessionStorage {}),
            [Some(false), Some(false), None],
            false,
        ),
        (BOTH, |_| {}, [Some(true), Some(false), Some(true)], false),
        (BOTH, tickets, [Some(true), Some(true), Some(true)], false),
        (BOTH, |config| config.send_tls13_tickets = 0, [Some(true), Some(false), Some(false)], false),
    ];
    for (number, (versions, change, expected, early_data)) in cases.into_iter().enumerate() {
        let mut config = config(certified(vec![leaf.clone()], &key), versions);
        change(&mut config);
        let session = seen(serve(config), Depth::Full, LONG, None).await.0.unwrap();
        let ways = session.resumption.known().unwrap();
        let known = [&ways.tls1_2_id, &ways.tls1_2_ticket, &ways.tls1_3_ticket];
        let refused = known.iter().filter(|way| matches!(way, Fact::Skipped { .. })).count();
        assert_eq!(known.map(|way| way.known().copied()), expected, "{number}: {ways:?}");
        assert_eq!(refused, 3 - expected.iter().flatten().count(), "{number}: {ways:?}");
        assert_eq!(session.early_data, Fact::Known(early_data), "{number}");
    }
}

#[tokio::test]
async fn who_wants_to_hear_a_protocol_hears_it() {
    let (leaf, key) = identity("app.test");
    let demanding = |name: &str| {
        let mut config = config(certified(vec![leaf.clone()], &key), BOTH);
        config.alpn_protocols = vec![name.as_bytes().to_vec()];
        listen(move |stream| {
            let stream =
                rustls::StreamOwned::new(ServerConnection::new(Arc::new(config.clone())).unwrap(), stream);
            demand(stream);
        })
    };
    for name in ["postgresql", "h2"] {
        let session = seen(demanding(name), Depth::Full, LONG, None).await.0.unwrap();
        assert_eq!(
            (session.alpn.as_deref(), &session.without_sni),
            (Some(name), &Fact::Known(WithoutSni::Same))
        );
        let ways = session.resumption.known().unwrap();
        assert_eq!((&ways.tls1_2_id, &ways.tls1_3_ticket), (&Fact::Known(true), &Fact::Known(true)));
    }
}

/// Shakes hands only with who names a protocol.
fn demand(mut stream: rustls::StreamOwned<ServerConnection, TcpStream>) {
    let mut hello = [0; 4096];
    let length = stream.sock.peek(&mut hello).unwrap_or(0);
    // The only extension with two bytes of its number, of its length, and of the length of its list that fit.
    let names_some = hello[..length]
        .windows(6)
        .any(|bytes| matches!(bytes, [0, 16, 0, whole, 0, list] if *whole == list + 2));
    if !names_some {
        let _ = stream.sock.read(&mut hello);
        let _ = stream.sock.write_all(b"\x15\x03\x03\0\x02\x02\x78");
        return;
    }
    let _ = stream.read_to_end(&mut Vec::new());
    stream.conn.send_close_notify();
    let _ = stream.conn.complete_io(&mut stream.sock);
}

#[tokio::test]
async fn a_header_that_cannot_be_asked_for_is_not_called_missing() {
    let (leaf, key) = identity("app.test");
    let mut config = config(certified(vec![leaf], &key), BOTH);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let address = serve(config);
    let dial = Dial::new((address, "app.test"), None, LONG, (8, Arc::new(Semaphore::new(8))));
    let endpoint = Endpoint { http_path: Some("/".to_owned()), ..endpoint(address.port()) };
    let session = observe(&dial, &endpoint, Depth::Full, None).await.unwrap();
    let why = "only h2 is spoken here; the header is asked for with http/1.1";
    assert_eq!(session.hsts, Fact::skipped(why));
    assert_eq!(session.protocols, Fact::Known(vec!["h2".to_owned()]));
}

/// Demands a client certificate of this issuer.
fn demanding(versions: &[&'static SupportedProtocolVersion], of: &CertificateDer<'static>) -> SocketAddr {
    let (leaf, key) = identity("app.test");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(of.clone()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(Always(Arc::new(certified(vec![leaf], &key)))));
    serve(config)
}

#[tokio::test]
async fn who_demands_a_client_certificate_shows_its_own() {
    let (known, key) = identity("client");
    for versions in [&BOTH[..1], &BOTH[1..], BOTH] {
        let address = demanding(versions, &known);
        let without = seen(address, Depth::Full, LONG, None).await.0.unwrap();
        assert!(without.asks_client_certificate && without.chain.len() == 1, "{without:?}");
        // TLS 1.3 shakes hands before it demands.
        let unknown = match &without.resumption {
            Fact::Known(Resumption { tls1_3_ticket: Fact::Unknown { unknown }, tls1_2_id, .. }) => {
                assert_eq!(matches!(tls1_2_id, Fact::Unknown { .. }), versions.len() == 2, "{tls1_2_id:?}");
                unknown
            }
            Fact::Unknown { unknown } => unknown,
            other => panic!("{other:?}"),
        };
        assert!(unknown.contains("the server sent the alert certificate_required"), "{unknown}");
        let identity = Arc::new(certified(vec![known.clone()], &key));
        let with = seen(address, Depth::Full, LONG, Some(identity)).await.0.unwrap();
        assert!(with.asks_client_certificate && with.resumption.known().is_some(), "{with:?}");
    }
}

#[tokio::test]
async fn every_end_of_a_handshake_has_its_reason() {
    type Each = fn(TcpStream);
    fn hear(mut stream: &TcpStream) {
        let _ = stream.read(&mut [0; 4096]);
    }
    let cases: [(Each, Reason, &str); 6] = [
        (|stream| hear(&stream), Reason::Closed, "the server closed the connection in the TLS handshake"),
        (
            |mut stream| {
                hear(&stream);
                let _ = stream.write_all(b"\x15\x03\x03\0\x02\x02\x28");
            },
            Reason::TlsHandshake,
            "the server sent the alert handshake_failure",
        ),
        (
            |mut stream| {
                hear(&stream);
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            },
            Reason::TlsHandshake,
            "the server speaks HTTP, not TLS",
        ),
        (
            |mut stream| {
                let _ = stream.write_all(b"SSH-2.0-x\r\n");
                hear(&stream);
            },
            Reason::TlsHandshake,
            "the server speaks SSH, not TLS",
        ),
        (
            |mut stream| {
                hear(&stream);
                // A certificate message of 16 MiB.
                let _ = stream.write_all(b"\x16\x03\x03\0\x04\x0b\xff\xff\xff");
            },
            Reason::TlsHandshake,
            "message",
        ),
        (|stream| drop(stream), Reason::Closed, ""),
    ];
    for (each, reason, detail) in cases {
        let fault = seen(listen(each), Depth::Full, LONG, None).await.0.unwrap_err();
        // Who closes with something unread resets.
        let reset = fault.reason == Reason::ConnectReset && reason == Reason::Closed;
        assert!(reset || fault.reason == reason && fault.detail.contains(detail), "{fault:?}, not {detail}");
    }
}

#[tokio::test]
async fn a_server_that_stalls_costs_its_own_time() {
    let silent = listen(|stream| {
        thread::park_timeout(LONG);
        drop(stream);
    });
    let step = Duration::from_millis(50);
    let (fault, opened) = seen(silent, Depth::Full, step, None).await;
    assert_eq!((fault.unwrap_err().reason, opened), (Reason::Timeout, 1));
}

struct Openssl(Child);

impl Drop for Openssl {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Weak in more than one way, and shown all the same; nothing is called proven that was not.
#[tokio::test]
async fn weak_certificates_are_seen() {
    let directory = tempfile::tempdir().unwrap();
    let (key, certificate) = (directory.path().join("key"), directory.path().join("cert"));
    run(Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:1024",
            "-sha1",
            "-nodes",
            "-subj",
            "/CN=app.test",
            "-days",
            "9",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate));
    for version in ["-tls1_2", "-tls1_3"] {
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", version, "-cipher", "ALL:@SECLEVEL=0", "-cert"])
            .arg(&certificate)
            .arg("-key")
            .arg(&key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let port = accepts_on(&mut child);
        let _server = Openssl(child);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let session = seen(address, Depth::Fast, LONG, None).await.0.unwrap();
        assert_eq!(session.chain.len(), 1);
        let why = "signatures of an RSA key of 1024 bits are not checked".to_owned();
        assert_eq!(session.has_key, Fact::Unknown { unknown: why });
    }
}

/// The port in the line `ACCEPT 127.0.0.1:PORT`.
fn accepts_on(child: &mut Child) -> u16 {
    let stdout = child.stdout.as_mut().unwrap();
    let (mut text, mut byte, end) = (String::new(), [0; 1], Instant::now() + LONG);
    loop {
        assert!(Instant::now() < end, "no port in {text:?}");
        match stdout.read(&mut byte) {
            Ok(1) => text.push(char::from(byte[0])),
            Ok(_) => panic!("ended after {text:?}"),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
        let line = text.strip_suffix('\n').and_then(|text| text.lines().last()).unwrap_or_default();
        if let Some((_, port)) = line.strip_prefix("ACCEPT ").and_then(|address| address.rsplit_once(':')) {
            return port.parse().unwrap();
        }
    }
}
