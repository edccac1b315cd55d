//! A server of the test's own process, which knows exactly what it was asked.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

use super::super::super::endpoint::{Endpoint, Tls, Way};
use super::super::wire::Carrier;

/// What to do with a request.
#[derive(Clone, Copy)]
pub enum Answer {
    /// So many bytes, with this status.
    Bytes(u16, usize),
    /// None, ever.
    Never,
    /// A reset of the stream.
    Reset,
}

/// How a server behaves.
#[derive(Clone, Copy)]
pub struct Manners {
    /// The answer to its nth request, from 0.
    pub answer: fn(u64) -> Answer,
    pub max_streams: u32,
    /// After so many requests a connection is told to go away, in good order.
    pub farewell_after: u64,
}

impl Default for Manners {
    fn default() -> Manners {
        Manners { answer: |_| Answer::Bytes(200, 6), max_streams: 100, farewell_after: u64::MAX }
    }
}

/// What it knows.
#[derive(Debug, Default)]
pub struct Truth {
    pub connections: AtomicU64,
    pub requests: AtomicU64,
    pub body_bytes: AtomicU64,
    pub resets: AtomicU64,
    under_way: AtomicU64,
    pub most_under_way: AtomicU64,
}

impl Truth {
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }
}

/// One server.
pub struct Server {
    pub endpoint: Endpoint,
    pub truth: Arc<Truth>,
}

impl Server {
    pub async fn plain(manners: Manners) -> Server {
        let (listener, way) = bind().await;
        let truth = Arc::new(Truth::default());
        let server = Server { endpoint: Endpoint { way, tls: None }, truth: truth.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, manners, truth.clone()));
            }
        });
        server
    }

    pub async fn unix(manners: Manners, path: &Path) -> Server {
        let listener = UnixListener::bind(path).unwrap();
        let truth = Arc::new(Truth::default());
        let endpoint = Endpoint { way: Way::Unix(path.to_owned()), tls: None };
        let server = Server { endpoint, truth: truth.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, manners, truth.clone()));
            }
        });
        server
    }

    /// `alpn` is what the server offers; with `trusted` the client knows the root.
    pub async fn tls(manners: Manners, alpn: &[&str], trusted: bool) -> Server {
        let (listener, way) = bind().await;
        let truth = Arc::new(Truth::default());
        let (acceptor, tls) = both_sides(alpn, trusted);
        let server = Server { endpoint: Endpoint { way, tls: Some(tls) }, truth: truth.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, truth) = (acceptor.clone(), truth.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, manners, truth).await;
                    }
                });
            }
        });
        server
    }
}

pub async fn bind() -> (TcpListener, Way) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = Way::Tcp(vec![listener.local_addr().unwrap()]);
    (listener, way)
}

fn both_sides(alpn: &[&str], trusted: bool) -> (TlsAcceptor, Tls) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let made = rcgen::generate_simple_self_signed(["load.test".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    if trusted {
        roots.add(made.cert.der().clone()).unwrap();
    }
    let mut client = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    server.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("load.test").unwrap();
    (TlsAcceptor::from(Arc::new(server)), Tls { config: Arc::new(client), name })
}

async fn serve(stream: impl Carrier + Send + 'static, manners: Manners, truth: Arc<Truth>) {
    truth.connections.fetch_add(1, Relaxed);
    let asked = Arc::new(AtomicU64::new(0));
    let farewell = Arc::new(tokio::sync::Notify::new());
    let service = {
        let farewell = farewell.clone();
        service_fn(move |request| {
            let asked = asked.fetch_add(1, Relaxed) + 1;
            if asked == manners.farewell_after {
                farewell.notify_one();
            }
            answer(request, manners, truth.clone())
        })
    };
    let connection = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(manners.max_streams)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = &mut connection => return,
        () = farewell.notified() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn answer(
    request: Request<Incoming>,
    manners: Manners,
    truth: Arc<Truth>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let number = truth.requests.fetch_add(1, Relaxed);
    let under_way = truth.under_way.fetch_add(1, Relaxed) + 1;
    truth.most_under_way.fetch_max(under_way, Relaxed);
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    truth.body_bytes.fetch_add(body.len() as u64, Relaxed);
    let answer = match (manners.answer)(number) {
        Answer::Bytes(status, bytes) => {
            let body = Full::new(Bytes::from(vec![b'x'; bytes]));
            Ok(Response::builder().status(status).body(body).unwrap())
        }
        Answer::Never => {
            std::future::pending::<Result<_, Infallible>>().await.map_err(|never| match never {})
        }
        Answer::Reset => {
            truth.resets.fetch_add(1, Relaxed);
            Err(io::Error::other("reset on purpose"))
        }
    };
    truth.under_way.fetch_sub(1, Relaxed);
    answer
}
