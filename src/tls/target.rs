//! What is checked: an endpoint, or files.

use std::path::PathBuf;

use crate::address::StartTls;

/// One thing to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it was named: a name of the config, a URL, a path.
    pub shown: String,
    /// Where it is.
    pub place: Place,
}

/// Where a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A server.
    Endpoint(Endpoint),
    /// A file with certificates and keys, or a directory of such files.
    File(PathBuf),
}

/// A server that speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address, an IPv6 one without brackets: it is looked up, sent as SNI where it is a name, and the
    /// certificate must be for it.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
    /// Another name to send and to match than `host`.
    pub server_name: Option<String>,
    /// What is spoken before TLS.
    pub starttls: Option<StartTls>,
    /// HTTP is spoken above TLS, so that its headers can be looked at; the path to ask for.
    pub http_path: Option<String>,
}

impl Endpoint {
    /// The name, or the address, that the certificate must be for.
    #[must_use]
    pub fn name(&self) -> &str {
        self.server_name.as_deref().unwrap_or(&self.host)
    }

    /// The name to send as SNI: none for an address.
    #[must_use]
    pub fn sni(&self) -> Option<&str> {
        Some(self.name()).filter(|name| name.parse::<std::net::IpAddr>().is_err())
    }
}
