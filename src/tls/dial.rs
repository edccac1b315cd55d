//! Connections to one address of an endpoint: opens them, counts them, and keeps to the limits.
//!
//! Refuses to retry, and to read or write anything but what must be said before TLS begins.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::starttls;
use crate::address::StartTls;
use crate::reason::{Fault, Reason};

/// The way to one address. Cheap to clone; clones share their counts and limits.
#[derive(Clone, Debug)]
pub struct Dial {
    way: Arc<Way>,
}

#[derive(Debug)]
struct Way {
    address: SocketAddr,
    starttls: Option<StartTls>,
    host: String,
    timeout: Duration,
    here: Arc<Semaphore>,
    everywhere: Arc<Semaphore>,
    opened: AtomicU64,
    reached: AtomicBool,
}

/// A connection on which TLS may begin; while it lives it counts against the limits.
#[derive(Debug)]
pub struct Connection {
    /// The connection.
    pub stream: TcpStream,
    _permits: [OwnedSemaphorePermit; 2],
}

impl Dial {
    /// A way to `address` that allows so many connections at a time, of those that are allowed `everywhere`. Each step,
    /// such as a connection or an answer, may take as long as `timeout`.
    pub fn new(
        (address, host): (SocketAddr, &str),
        starttls: Option<StartTls>,
        timeout: Duration,
        (here, everywhere): (usize, Arc<Semaphore>),
    ) -> Dial {
        let (host, here) = (host.to_owned(), Arc::new(Semaphore::new(here)));
        let (opened, reached) = (AtomicU64::new(0), AtomicBool::new(false));
        let way = Way { address, starttls, host, timeout, here, everywhere, opened, reached };
        Dial { way: Arc::new(way) }
    }

    /// A connection, after what must be said before TLS.
    ///
    /// # Errors
    /// When none comes about in time, or the server does not agree to TLS.
    pub async fn open(&self) -> Result<Connection, Fault> {
        let way = &self.way;
        let ended = |_| Reason::LocalResources.because("the check has ended");
        let here = way.here.clone().acquire_owned().await.map_err(ended)?;
        let everywhere = way.everywhere.clone().acquire_owned().await.map_err(ended)?;
        way.opened.fetch_add(1, Ordering::Relaxed);
        let connected = tokio::time::timeout(way.timeout, TcpStream::connect(way.address)).await;
        let mut stream = match connected {
            Err(_) => {
                return Err(Reason::ConnectTimeout.because(format!("no connection to {}", way.address)));
            }
            Ok(Err(error)) => return Err(refused(&error, way.address)),
            Ok(Ok(stream)) => stream,
        };
        way.reached.store(true, Ordering::Relaxed);
        // Small messages that must not wait for each other.
        let _ = stream.set_nodelay(true);
        if let Some(kind) = way.starttls {
            starttls::upgrade(kind, &mut stream, &way.host, way.timeout).await?;
        }
        Ok(Connection { stream, _permits: [here, everywhere] })
    }

    /// How long each step may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.way.timeout
    }

    /// Whether any connection came about, whatever was said on it.
    #[must_use]
    pub fn has_reached(&self) -> bool {
        self.way.reached.load(Ordering::Relaxed)
    }

    /// Connections that were begun until now.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.way.opened.load(Ordering::Relaxed)
    }
}

fn refused(error: &std::io::Error, address: SocketAddr) -> Fault {
    use std::io::ErrorKind;
    let reason = Reason::local(error).unwrap_or(match error.kind() {
        ErrorKind::ConnectionReset => Reason::ConnectReset,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Reason::ConnectUnreachable,
        ErrorKind::TimedOut => Reason::ConnectTimeout,
        _ => Reason::ConnectRefused,
    });
    reason.because(format!("{address}: {error}"))
}
