//! The way to a server, up to where its protocol begins: look-up, connection, TLS; each step timed, all within one deadline.
//!
//! Refuses to speak any protocol, and to repeat a step.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::blame::{Scene, blame};
use super::http::timed_out;
use super::{Call, Means, certificate_of};
use crate::address::{Encryption, Endpoint, StartTls};
use crate::http::{Asked, Phase, PhaseClock, Phases, Served, Trust, lookup};
use crate::probe::classify::{io_fault, lookup_fault, stream_fault};
use crate::probe::target::Target;
use crate::reason::{Fault, Reason};
use crate::tls::starttls::upgrade;

/// What came back.
#[derive(Debug, Default)]
pub struct Said {
    /// What the server says of itself, one line.
    pub answer: Option<String>,
    /// What is not as expected.
    pub unmet: Vec<Fault>,
}

/// The way of one call to its target.
pub struct Way<'a> {
    pub target: &'a Target,
    pub means: &'a Means,
    pub clock: Arc<PhaseClock>,
    pub deadline: Instant,
    /// Where it is noted that the server asked for a client certificate.
    pub asked: Asked,
    /// Where it is noted which certificate the server showed.
    pub served: Served,
}

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl<'a> Way<'a> {
    /// The call begins now.
    pub fn new(target: &'a Target, means: &'a Means) -> Self {
        let (asked, served) = (Asked::default(), Served::default());
        let deadline = Instant::now() + target.timeout();
        Way { target, means, clock: PhaseClock::start(), deadline, asked, served }
    }

    /// Does `work`, cut off at the deadline.
    pub async fn within(&self, work: impl Future<Output = Result<Said, Fault>>) -> Call {
        let done = self.by_deadline(work).await;
        self.end(done, self.clock.stop())
    }

    /// What came of `work`, which is cut off at the deadline.
    ///
    /// # Errors
    /// Its own, or that the time was over.
    pub async fn by_deadline<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let done = timeout_at(self.deadline, work).await;
        done.unwrap_or_else(|_| Err(timed_out(self.clock.stop().0, self.target.timeout())))
    }

    /// The call as it was when its clock was stopped.
    pub fn end(
        &self,
        done: Result<Said, Fault>,
        (phase, phases, latency): (Phase, Phases, Duration),
    ) -> Call {
        let (certificate, too_short) = certificate_of(self.target, &self.served);
        let (answer, result) = match done {
            Ok(Said { answer, mut unmet }) => {
                unmet.extend(too_short);
                unmet.extend(self.target.expect.check_latency(latency).err());
                (answer, Fault::first_of(unmet))
            }
            Err(fault) => {
                let scene = Scene { phase, proxy: None, asked: self.asked.in_vain() };
                (None, Err(blame(fault, &scene)))
            }
        };
        Call { result, latency, phases, status: None, answer, certificate }
    }

    /// The addresses of a host, at least one.
    ///
    /// # Errors
    /// When there is none, or none of the wanted family.
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Fault> {
        if host.parse::<IpAddr>().is_err() {
            self.clock.enter(Phase::Dns);
        }
        let overrides = self.means.overrides.seen_from(host, port);
        let found = lookup::lookup(host, port, &overrides).await;
        let found = found.and_then(|found| lookup::of_family(host, found, self.means.family));
        self.clock.enter(Phase::Connect);
        found.map_err(|error| lookup_fault(&error))
    }

    /// A connection to the first address that accepts one.
    ///
    /// # Errors
    /// The last address's, when none does.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, Fault> {
        let addresses = self.addresses(host, port).await?;
        let mut last = None;
        for (tried, address) in addresses.iter().enumerate() {
            match connect_one(*address, self.deadline, addresses.len() - tried).await {
                Ok(stream) => return Ok(stream),
                // The share of this address is used up; the next one has its own.
                Err(None) => {}
                Err(Some(error)) => last = Some(error),
            }
        }
        match last {
            Some(error) => Err(io_fault(&error, Phase::Connect)),
            // None answered, and the last share ended with the deadline: the caller says so.
            None => std::future::pending().await,
        }
    }

    /// A connection on which the protocol can begin; over TLS one of `alpn` is offered.
    ///
    /// # Errors
    /// When it does not come about.
    pub async fn open(&self, at: &Endpoint, alpn: &[&[u8]]) -> Result<Box<dyn Stream>, Fault> {
        let stream = self.connect(&at.host, at.port).await?;
        // Small messages that must not wait for each other.
        let _ = stream.set_nodelay(true);
        if !at.tls {
            self.clock.enter(Phase::FirstByte);
            return Ok(Box::new(stream));
        }
        let stream = self.secure(&at.host, stream, alpn, &self.means.trust).await?;
        self.clock.enter(Phase::FirstByte);
        Ok(Box::new(stream))
    }

    /// A connection on which TLS has begun, after what is spoken `before` it; no protocol is offered.
    ///
    /// # Errors
    /// When it does not come about.
    pub async fn open_tls(
        &self,
        host: &str,
        port: u16,
        before: Option<StartTls>,
        trust: &Trust,
    ) -> Result<TlsStream<TcpStream>, Fault> {
        let mut stream = self.connect(host, port).await?;
        let _ = stream.set_nodelay(true);
        self.clock.enter(Phase::Tls);
        if let Some(kind) = before {
            upgrade(kind, &mut stream, host, self.target.timeout()).await?;
        }
        self.secure(host, stream, &[], trust).await
    }

    /// Which servers of a database are believed.
    pub fn trust(&self, encryption: Encryption) -> Trust {
        match encryption {
            Encryption::Required => self.means.trust.of_anyone(),
            Encryption::Off | Encryption::Verified => self.means.trust.clone(),
        }
    }

    /// TLS on a connection to `host`, with one of `alpn`.
    ///
    /// # Errors
    /// When the handshake fails, or the certificate is not believed.
    pub async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        stream: S,
        alpn: &[&[u8]],
        trust: &Trust,
    ) -> Result<TlsStream<S>, Fault> {
        self.clock.enter(Phase::Tls);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Reason::Dns.because(format!("{host} is no name of a host")))?;
        let mut config = trust.config_of_call(self.asked.clone(), self.served.clone());
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        stream.map_err(|error| stream_fault(&error, Phase::Tls))
    }
}

/// Each of the `left` addresses gets an equal share of the time left, so that a silent one cannot hide another.
async fn connect_one(
    address: SocketAddr,
    deadline: Instant,
    left: usize,
) -> Result<TcpStream, Option<std::io::Error>> {
    let share = deadline.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(u32::MAX);
    timeout(share, TcpStream::connect(address)).await.map_err(|_| None)?.map_err(Some)
}
