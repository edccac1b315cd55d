//! Small servers that misbehave on purpose: one thread per connection, gone with the test process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Answers the request with this number, from 0, by its head and body.
pub trait Answer: Fn(usize, &str) -> Vec<u8> + Send + Sync + 'static {}
impl<F: Fn(usize, &str) -> Vec<u8> + Send + Sync + 'static> Answer for F {}

/// A server on a free port of 127.0.0.1.
pub struct Server {
    pub address: SocketAddr,
    hits: Arc<AtomicUsize>,
}

impl Server {
    /// Plain HTTP: each connection gets one answer and is closed.
    pub fn http(answer: impl Answer) -> Server {
        Server::start(move |mut stream, hits| exchange(&mut stream, hits, &answer))
    }

    /// The same over TLS.
    pub fn https(identity: &rcgen::CertifiedKey<rcgen::KeyPair>, answer: impl Answer) -> Server {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der()));
        let config = Arc::new(tls(identity.cert.der().clone(), key));
        Server::start(move |stream, hits| {
            let session = rustls::ServerConnection::new(config.clone()).expect("a session");
            let mut stream = rustls::StreamOwned::new(session, stream);
            exchange(&mut stream, hits, &answer);
            stream.conn.send_close_notify();
            let _ = stream.flush();
        })
    }

    /// Whatever `each` does with a connection.
    pub fn start(each: impl Fn(TcpStream, &AtomicUsize) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let hits = Arc::new(AtomicUsize::new(0));
        let (each, counted) = (Arc::new(each), hits.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (each, counted) = (each.clone(), counted.clone());
                thread::spawn(move || each(stream, &counted));
            }
        });
        Server { address, hits }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Requests answered.
    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}

/// TLS with this certificate.
pub fn tls(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> rustls::ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    builder.with_single_cert(vec![certificate], key).expect("an identity")
}

/// HTTP on a socket file.
pub fn unix(path: &Path, answer: impl Answer) {
    let listener = UnixListener::bind(path).expect("a socket file");
    thread::spawn(move || {
        let hits = AtomicUsize::new(0);
        for mut stream in listener.incoming().map_while(Result::ok) {
            exchange(&mut stream, &hits, &answer);
        }
    });
}

fn exchange(stream: &mut (impl Read + Write), hits: &AtomicUsize, answer: &impl Answer) {
    if let Some(request) = read_request(stream) {
        let answer = answer(hits.fetch_add(1, Ordering::SeqCst), &request);
        let _ = stream.write_all(&answer).and_then(|()| stream.flush());
    }
}

/// Head and body; `None` when the client goes away before they are complete.
pub fn read_request(stream: &mut impl Read) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some(head) = text.find("\r\n\r\n") {
            let lower = text[..head].to_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
            if bytes.len() >= head + 4 + length {
                return Some(text.into_owned());
            }
        }
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => bytes.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
}

/// A response with these headers, each line ended by CR LF.
pub fn response(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
        .into()
}

pub fn ok(_: usize, _: &str) -> Vec<u8> {
    response(200, "content-type: application/json\r\n", r#"{"status":"up","n":3}"#)
}

/// 503 for the first `count` requests.
pub fn first_503(count: usize) -> impl Answer {
    move |number, _: &str| if number < count { response(503, "", "not yet") } else { response(200, "", "ok") }
}

/// A port where nobody listens.
pub fn refused() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// Accepts connections and never says a word.
pub fn silent() -> Server {
    Server::start(|stream, hits| {
        hits.fetch_add(1, Ordering::SeqCst);
        loop {
            thread::park_timeout(Duration::from_secs(60));
            let _ = &stream;
        }
    })
}

/// A listener whose queue is full, so that no further connection comes about; it lasts as long as the result.
pub fn black_hole() -> (SocketAddr, Vec<Box<dyn Send>>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).expect("a free port");
    socket.listen(0).expect("listening");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
    let mut kept: Vec<Box<dyn Send>> = vec![Box::new(socket)];
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        kept.push(Box::new(stream));
    }
    (address, kept)
}
