//! What is spoken with a server, through rustls: what was negotiated, the chain as it was sent, ALPN, names, resumption,
//! and the headers above.
//!
//! Refuses to verify the chain: that is for `chain`, which says every reason. The handshake's own signature is checked.

mod client;
mod foreign;
mod further;
mod hsts;
mod resumption;
mod stream;
#[cfg(test)]
mod tests;
mod tickets;
mod witness;

use std::sync::Arc;

use rustls::client::Tls12Resumption;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use schemars::JsonSchema;
use serde::Serialize;

use self::client::{Attempt, Client};
use self::resumption::First;
use super::dial::Dial;
use super::fact::Fact;
use super::registry::{Group, PROTOCOLS, Suite, Version};
use super::target::Endpoint;
use crate::reason::{Fault, Reason};

pub use self::resumption::Resumption;

/// What HTTP is called in ALPN, the best first.
const HTTP: [&str; 2] = ["h2", "http/1.1"];

/// What was spoken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Session {
    /// The id of the version that was negotiated, as in [`Version::id`].
    pub version: String,
    /// The suite that was negotiated, by the name that IANA gave it.
    pub suite: String,
    /// The group that was negotiated; none where the handshake ended before.
    pub group: Option<String>,
    /// The protocol that was chosen, by its name in ALPN.
    pub alpn: Option<String>,
    /// The chain as it was sent, leaf first.
    #[serde(skip)]
    pub chain: Vec<CertificateDer<'static>>,
    /// The OCSP answer that was stapled to it, as DER.
    #[serde(skip)]
    pub staple: Option<Vec<u8>>,
    /// Whether the server has the key of its certificate, as its signature shows.
    pub has_key: Fact<bool>,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WithoutSni {
    /// The same certificate.
    Same,
    /// Another one, with this subject.
    Other(String),
    /// No handshake.
    Refused,
}

/// Whether only one connection may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// One connection: what it says, and nothing else.
    Fast,
    /// As many as it takes.
    Full,
}

/// Speaks with the server; `identity` is for servers that ask for a client certificate.
///
/// # Errors
/// When no handshake comes about.
pub async fn observe(
    dial: &Dial,
    endpoint: &Endpoint,
    depth: Depth,
    identity: Option<Arc<CertifiedKey>>,
) -> Result<Session, Fault> {
    let client = Client::new(dial, endpoint, identity)?;
    let (first, names) = meet(&client, endpoint.starttls.is_none()).await?;
    let session = negotiated(&first.attempt)?;
    if depth == Depth::Fast {
        return Ok(session);
    }
    Ok(match first.attempt.shaken.clone() {
        Ok(()) => further::look(&client, endpoint, session, first, names).await,
        // No client certificate: the others would end in the same way.
        Err(fault) => Session {
            protocols: unknown(&fault),
            without_sni: unknown(&fault),
            resumption: unknown(&fault),
            early_data: unknown(&fault),
            hsts: unknown(&fault),
            ..session
        },
    })
}

/// The first connection, and the protocols that it named: those of HTTP, or none where a server knows neither, or all that
/// are known where it wants to hear one. Who speaks something else before TLS need not know the names of HTTP.
async fn meet(client: &Client<'_>, is_http: bool) -> Result<(First, &'static [&'static str]), Fault> {
    let offers: [&[&str]; 3] = [&HTTP, &[], &PROTOCOLS];
    let mut offers = offers.into_iter().skip(usize::from(!is_http)).peekable();
    while let Some(names) = offers.next() {
        let ways = Tls12Resumption::SessionIdOrTickets;
        let first = First::new(client, client.offer(names), ways).await?;
        if !further::wants_protocols(&first.attempt) || offers.peek().is_none() {
            return Ok((first, names));
        }
        // Its place may be needed by the next.
        drop(first);
    }
    Err(Reason::LocalResources.because("no protocol was offered"))
}

/// What one handshake says, all else skipped. A handshake that the server ended for want of a client certificate says
/// as much.
fn negotiated(attempt: &Attempt) -> Result<Session, Fault> {
    let (shown, asked) = (attempt.witness.shown(), attempt.asked.so());
    if let Err(fault) = &attempt.shaken
        && (shown.chain.is_empty() || !asked)
    {
        return Err(fault.clone());
    }
    let tls = &attempt.stream.tls;
    let suite = tls.negotiated_cipher_suite().map(|suite| Suite(u16::from(suite.suite()).into()));
    let version = tls.protocol_version().map(u16::from);
    let version = Version::ALL.into_iter().find(|known| Some(known.wire()) == version);
    let skipped = "--fast looks at one connection only";
    Ok(Session {
        version: version.map(|version| version.id().to_owned()).unwrap_or_default(),
        suite: suite.map(|suite| suite.to_string()).unwrap_or_default(),
        group: tls.negotiated_key_exchange_group().map(|group| Group(group.name().into()).to_string()),
        alpn: tls.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned()),
        chain: shown.chain,
        staple: shown.staple,
        has_key: shown.has_key,
        asks_client_certificate: asked,
        protocols: Fact::skipped(skipped),
        without_sni: Fact::skipped(skipped),
        resumption: Fact::skipped(skipped),
        early_data: Fact::skipped(skipped),
        hsts: Fact::skipped(skipped),
    })
}

fn unknown<T>(fault: &Fault) -> Fact<T> {
    Fact::unknown(format!("{}: {}", fault.reason, fault.detail))
}
