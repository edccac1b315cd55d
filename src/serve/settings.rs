//! What a server is told: plain values, every option decided. It reads no file and no environment.

use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::fault::Rule;
use super::feed::Feed;
use super::respond::Answer;
use super::tls;
use crate::metrics::Metric;

/// Everything [`bind`](super::bind) needs.
#[derive(Debug)]
pub struct Settings {
    /// Where clients connect; at least one.
    pub listen: Vec<Address>,
    /// Where `/healthz`, `/readyz` and `/metrics` are served apart from clients.
    pub admin: Option<Address>,
    /// What clients get.
    pub content: Content,
    /// `None`: cleartext.
    pub tls: Option<tls::Settings>,
    /// What goes wrong on purpose, in the order given.
    pub faults: Vec<Rule>,
    /// Makes the faults the same in every run.
    pub seed: u64,
    /// What one client may take.
    pub limits: Limits,
    /// How the end goes.
    pub drain: Drain,
    /// Where one line per request goes.
    pub access_log: Option<AccessLog>,
    /// Lets a second server share the TCP port, for a restart without a gap.
    pub reuse_port: bool,
}

impl Settings {
    /// A server for few clients beside other work: in cleartext, without faults and without a log.
    pub fn beside(listen: Address, content: Content, limits: Limits) -> Settings {
        Settings {
            listen: vec![listen],
            admin: None,
            content,
            tls: None,
            faults: Vec::new(),
            seed: 0,
            limits,
            drain: Drain::default(),
            access_log: None,
            reuse_port: false,
        }
    }
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `HOST:PORT` with a numeric host.
    Tcp(SocketAddr),
    /// `unix:PATH`.
    Unix(PathBuf),
}

/// What clients get.
#[derive(Clone, Debug)]
pub enum Content {
    /// Always the same answer.
    Respond(Answer),
    /// What the client sent, as JSON.
    Echo,
    /// Files below a directory.
    Files(PathBuf),
    /// Nothing but `/healthz`, `/readyz` and `/metrics` with these values.
    Metrics(Source),
    /// What is sent through this, for as long as the client listens.
    Feed(Feed),
}

/// Where the values of `/metrics` come from; asked at each request.
#[derive(Clone)]
pub struct Source(pub Arc<dyn Fn() -> Vec<Metric> + Send + Sync>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// What one client may take before it is refused or cut off.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open client connections; above it the server stops accepting.
    pub connections: usize,
    /// From a request's first byte to the end of its header.
    pub header_timeout: Duration,
    /// Request line and header fields together, in bytes.
    pub header_size: usize,
    /// From the header to the end of the request's body.
    pub body_timeout: Duration,
    /// A request's body, in bytes.
    pub body_size: u64,
    /// Without a request on an open connection.
    pub keep_alive: Duration,
    /// From the connection to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// Without the client taking a byte of an answer.
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 16_384,
            header_timeout: Duration::from_secs(10),
            header_size: 32 << 10,
            body_timeout: Duration::from_secs(30),
            body_size: 1 << 20,
            keep_alive: Duration::from_secs(75),
            handshake_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
        }
    }
}

/// How the end goes, once it was asked for.
#[derive(Clone, Debug)]
pub struct Drain {
    /// Not ready any more, but still serving everybody.
    pub delay: Duration,
    /// From then on: what is in flight may take this long.
    pub timeout: Duration,
}

impl Default for Drain {
    fn default() -> Drain {
        Drain { delay: Duration::ZERO, timeout: Duration::from_secs(20) }
    }
}

/// Where one line per request goes.
pub enum AccessLog {
    /// Appended to; opened again on reload, so that it can be rotated.
    File(PathBuf),
    /// Anything else, such as standard output.
    Writer(Box<dyn Write + Send>),
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccessLog::File(path) => write!(f, "File({})", path.display()),
            AccessLog::Writer(_) => f.write_str("Writer"),
        }
    }
}

impl std::str::FromStr for Address {
    type Err = String;

    /// `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `:8080` (every address) or `unix:PATH`.
    fn from_str(text: &str) -> Result<Address, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("`unix:` needs a path, such as `unix:/run/hardy.sock`".into()),
                path => Ok(Address::Unix(PathBuf::from(path))),
            };
        }
        let spelled = match (text.strip_prefix(':'), text.strip_prefix("localhost:")) {
            (Some(port), _) => format!("[::]:{port}"),
            (_, Some(port)) => format!("127.0.0.1:{port}"),
            _ => text.to_owned(),
        };
        spelled.parse().map(Address::Tcp).map_err(|_| {
            format!("`{text}` is not an address to listen on; use 127.0.0.1:8080, [::1]:8080, :8080 (every address) or unix:PATH")
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, shown) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::1]:0", "[::1]:0"),
            (":8080", "[::]:8080"),
            ("localhost:1", "127.0.0.1:1"),
            ("unix:/run/x.sock", "unix:/run/x.sock"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for text in ["", "8080", "unix:", "example.com:80", "127.0.0.1:99999"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
