//! What is spoken with a server, through rustls: what was negotiated, the chain as it was sent, ALPN, names, resumption,
//! and the headers above.
//!
//! Refuses to verify the chain: that is for `chain`, which says every reason. The handshake's own signature is checked.

use rustls::pki_types::CertificateDer;

use super::dial::Dial;
use super::fact::Fact;
use super::target::Endpoint;
use crate::reason::{Fault, Reason};

/// What was spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The version that was negotiated, as rustls writes it.
    pub version: String,
    /// The suite that was negotiated.
    pub suite: String,
    /// The group that was negotiated.
    pub group: Option<String>,
    /// The protocol that was chosen among `h2` and `http/1.1`.
    pub alpn: Option<String>,
    /// The chain as it was sent, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The OCSP answer that was stapled to it, as DER.
    pub staple: Option<Vec<u8>>,
    /// Whether the server has the key of its certificate, as its signature shows.
    pub has_key: bool,
    /// The server asked for a client certificate.
    pub asks_client_certificate: bool,
    /// Protocols that the server agrees to, of those that were offered alone.
    pub protocols: Fact<Vec<String>>,
    /// What comes without SNI.
    pub without_sni: Fact<WithoutSni>,
    /// How a session is taken up again.
    pub resumption: Fact<Resumption>,
    /// Whether tickets allow early data (0-RTT).
    pub early_data: Fact<bool>,
    /// The header `strict-transport-security` as it was sent, of an HTTP endpoint.
    pub hsts: Fact<Option<String>>,
}

/// What comes without SNI.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WithoutSni {
    /// The same certificate.
    Same,
    /// Another one, with this subject.
    Other(String),
    /// No handshake.
    Refused,
}

/// How a session is taken up again.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Resumption {
    /// Whether a second connection took up the session of the first.
    pub resumed: bool,
    /// Whether the server gave tickets.
    pub tickets: bool,
}

/// Whether only one connection may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// One connection: what it says, and nothing else.
    Fast,
    /// As many as it takes.
    Full,
}

/// Speaks with the server.
///
/// # Errors
/// When no handshake comes about.
pub async fn observe(_: &Dial, endpoint: &Endpoint, _: Depth) -> Result<Session, Fault> {
    Err(Reason::TlsHandshake.because(format!("{} is not spoken with yet", endpoint.host)))
}
