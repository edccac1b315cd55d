//! Where a run connects to: one origin, looked up beforehand, so that no name server is measured.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

/// The one peer of a run.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// How to get there.
    pub way: Way,
    /// With TLS, how.
    pub tls: Option<Tls>,
}

/// How to get there.
#[derive(Clone, Debug)]
pub enum Way {
    /// At least one address; connections are spread over all of them in turn.
    Tcp(Vec<SocketAddr>),
    /// A socket file.
    Unix(PathBuf),
}

/// The client's side of TLS. Its ALPN says which HTTP is wanted.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Trust, identity and ALPN.
    pub config: Arc<ClientConfig>,
    /// Sent as SNI, and what the certificate must be for.
    pub name: ServerName<'static>,
}
