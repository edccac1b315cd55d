//! The HTTP server: a fixed answer, an echo, files or a stream without an end, over TCP, Unix sockets and TLS, with
//! faults on purpose and an end that loses no request.
//!
//! ```text
//! listener -> limits -> probes -> faults -> {respond | echo | files | feed}
//! ```
//!
//! [`bind`] does everything that can fail because of the settings; [`Server::run`] serves until it is told to
//! stop and then drains. The engine prints nothing and reads no configuration; what an operator should hear
//! comes as [`Event`]s. Serving files needs a multi-threaded tokio runtime.

mod accept;
mod access_log;
mod body;
mod connection;
mod counters;
mod drain;
mod drive;
mod echo;
mod error;
mod event;
pub mod fault;
mod feed;
mod files;
mod input;
mod io;
mod listen;
mod probes;
pub mod respond;
mod service;
pub mod settings;
mod shared;
mod stream;
mod summary;
mod sweep;
pub mod tls;

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::connection::Role;
use self::event::Events;
use self::files::Root;
use self::listen::Listener;
use self::shared::{Handler, Shared};
use self::tls::Tls;

pub use self::error::Error;
pub use self::event::Event;
pub use self::feed::Feed;
pub use self::settings::{AccessLog, Address, Content, Drain, Limits, Settings, Source};
pub use self::summary::{Snapshot, Summary};

/// A server whose sockets are bound, and which accepts nobody yet.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    shared: Arc<Shared>,
    drain: Drain,
}

/// Where a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// `http://`, `https://`, `unix+http://`: as a client would name it, where one could.
    pub url: String,
    /// Probes and metrics only.
    pub admin: bool,
    /// Reachable from other hosts.
    pub routable: bool,
}

/// Binds all sockets and loads all files. Whatever is wrong with the settings shows here.
pub async fn bind(settings: Settings, events: Option<UnboundedSender<Event>>) -> Result<Server, Error> {
    let events = Events::new(events);
    accept::raise_open_files(settings.limits.connections, &events);
    let handler = match settings.content {
        Content::Respond(answer) => Handler::Respond(answer.prepare()?),
        Content::Echo => Handler::Echo,
        Content::Files(path) => Handler::Files(Root::open(&path)?),
        Content::Metrics(source) => Handler::Metrics(source),
        Content::Feed(feed) => Handler::Feed(feed),
    };
    let role = if matches!(handler, Handler::Metrics(_)) { Role::Admin } else { Role::Main };
    let tls = settings.tls.map(Tls::load).transpose()?;
    let mut listeners = Vec::new();
    for address in &settings.listen {
        listeners.push(listen::bind(address, role, settings.reuse_port).await?);
    }
    if listeners.is_empty() {
        return Err(Error::NoListener);
    }
    if let Some(address) = &settings.admin {
        listeners.push(listen::bind(address, Role::Admin, settings.reuse_port).await?);
    }
    let log = settings.access_log.map(|target| access_log::open(target, events.clone())).transpose()?;
    let plan = fault::Plan::new(settings.faults, settings.seed);
    let shared = Shared::new(handler, plan, settings.limits, tls, log, events);
    Ok(Server { listeners, shared: Arc::new(shared), drain: settings.drain })
}

impl Server {
    /// Where the server is reached, with the ports that were chosen.
    pub fn addresses(&self) -> Vec<Bound> {
        self.listeners.iter().map(|listener| self.bound(listener)).collect()
    }

    fn bound(&self, listener: &Listener) -> Bound {
        let admin = listener.role == Role::Admin;
        let scheme = if self.shared.tls.is_some() && !admin { "https" } else { "http" };
        let (url, routable) = match listener.socket.address() {
            Address::Tcp(at) => (format!("{scheme}://{at}"), !at.ip().is_loopback()),
            Address::Unix(path) => {
                let path = std::path::absolute(&path).unwrap_or(path);
                let name = match scheme {
                    "http" => format!("unix+http://{}", path.display()),
                    // No client has a URL for it.
                    _ => format!("unix:{} with TLS", path.display()),
                };
                (name, false)
            }
        };
        Bound { url, admin, routable }
    }

    /// SHA-256 of the certificate, if it was made for this run.
    pub fn self_signed_fingerprint(&self) -> Option<String> {
        self.shared.tls.as_ref().filter(|tls| tls.self_signed()).map(Tls::fingerprint)
    }

    /// Serves until `stop`, then drains. `reload` reads the certificate again, reopens the access log and
    /// the directory. `live` gets the state a few times a second.
    pub async fn run(
        self,
        stop: CancellationToken,
        reload: UnboundedReceiver<()>,
        live: Option<watch::Sender<Snapshot>>,
    ) -> Summary {
        drain::run(self, stop, reload, live).await
    }
}
