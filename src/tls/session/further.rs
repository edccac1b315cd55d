//! What takes more than one connection to find out. All of them are made side by side, as far as the limits let them.
//!
//! Refuses to take a failure for an answer: only an alert says no.

use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, HandshakeKind, ProtocolVersion};

use super::client::{Attempt, Client, Offer};
use super::tickets::{self, Sessions};
use super::{PROTOCOLS, Resumption, Session, WithoutSni, hsts, unknown};
use crate::reason::Fault;
use crate::tls::fact::Fact;
use crate::tls::target::Endpoint;

/// Looks at all of it; `first` is the connection that the session is of, `offer` what it offered, and `sessions` what it
/// left behind.
pub(super) async fn look(
    client: &Client<'_>,
    endpoint: &Endpoint,
    session: Session,
    first: Attempt,
    (offer, sessions): (&Offer, &Sessions),
) -> Session {
    let leaf = session.chain.first();
    let (without_sni, (resumption, early_data), (protocols, hsts)) = tokio::join!(
        without_sni(client, endpoint, leaf),
        again(client, first, offer, sessions),
        http(client, endpoint, session.alpn.as_deref()),
    );
    Session { protocols, without_sni, resumption, early_data, hsts, ..session }
}

async fn without_sni(
    client: &Client<'_>,
    endpoint: &Endpoint,
    leaf: Option<&CertificateDer<'static>>,
) -> Fact<WithoutSni> {
    if endpoint.sni().is_none() {
        return Fact::skipped("an address is never sent as SNI");
    }
    let attempt = match client.attempt(&client.offer(&[]).with(|config| config.enable_sni = false)).await {
        Err(fault) => return unknown(&fault),
        Ok(attempt) => attempt,
    };
    match (attempt.witness.shown().chain.first(), &attempt.shaken) {
        (Some(other), _) if Some(other) == leaf => Fact::Known(WithoutSni::Same),
        (Some(other), _) => Fact::Known(WithoutSni::Other(subject(other))),
        (None, Err(_)) if attempt.stream.alert.is_some() => Fact::Known(WithoutSni::Refused),
        (None, Err(fault)) => unknown(fault),
        (None, Ok(())) => Fact::unknown("no certificate came"),
    }
}

fn subject(certificate: &CertificateDer<'_>) -> String {
    x509_parser::parse_x509_certificate(certificate).map_or_else(
        |_| "a certificate that cannot be read".to_owned(),
        |(_, read)| read.subject().to_string(),
    )
}

/// Whether the session is taken up by a second connection, and whether early data might be sent then.
async fn again(
    client: &Client<'_>,
    mut first: Attempt,
    offer: &Offer,
    sessions: &Sessions,
) -> (Fact<Resumption>, Fact<bool>) {
    // The tickets of TLS 1.3 come after the handshake, and before the server's goodbye.
    let is_latest = first.stream.tls.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    if is_latest && let Err(fault) = first.stream.finish_or_ticket().await {
        return (unknown(&fault), unknown(&fault));
    }
    let has_tickets = is_latest || tickets::is_in(&first.stream.received);
    let early_data = Fact::Known(sessions.allow_early_data());
    if !sessions.has_any() {
        return (Fact::Known(Resumption { resumed: false, tickets: false }), early_data);
    }
    // Its place may be needed by the second.
    drop(first);
    let resumption = match client.attempt(offer).await.and_then(Attempt::done) {
        Err(fault) => unknown(&fault),
        Ok(second) => {
            let resumed = second.stream.tls.handshake_kind() == Some(HandshakeKind::Resumed);
            Fact::Known(Resumption { resumed, tickets: has_tickets })
        }
    };
    (resumption, early_data)
}

/// Protocols that are agreed to when they are offered alone, and the header. `agreed` is what was chosen among all.
async fn http(
    client: &Client<'_>,
    endpoint: &Endpoint,
    agreed: Option<&str>,
) -> (Fact<Vec<String>>, Fact<Option<String>>) {
    if let Some(kind) = endpoint.starttls {
        let why = format!("{kind} is spoken here, not HTTP");
        return (Fact::skipped(why.clone()), Fact::skipped(why));
    }
    let [h2, http1] = PROTOCOLS;
    let (h2, (http1, hsts)) =
        tokio::join!(alone(client, h2, agreed), http1_and_hsts(client, endpoint, http1, agreed));
    let mut protocols = Vec::new();
    for (protocol, agreed) in PROTOCOLS.into_iter().zip([h2, http1]) {
        match agreed {
            Ok(true) => protocols.push(protocol.to_owned()),
            Ok(false) => {}
            Err(fault) => return (unknown(&fault), hsts),
        }
    }
    (Fact::Known(protocols), hsts)
}

/// Whether this protocol is agreed to, without another connection where that is known.
async fn alone(client: &Client<'_>, protocol: &str, agreed: Option<&str>) -> Result<bool, Fault> {
    match agreed {
        None => Ok(false),
        Some(agreed) if agreed == protocol => Ok(true),
        Some(_) => is_agreed(&client.attempt(&client.offer(&[protocol])).await?, protocol),
    }
}

fn is_agreed(attempt: &Attempt, protocol: &str) -> Result<bool, Fault> {
    match &attempt.shaken {
        Ok(()) => Ok(attempt.stream.tls.alpn_protocol() == Some(protocol.as_bytes())),
        Err(_) if attempt.stream.alert == Some(AlertDescription::NoApplicationProtocol) => Ok(false),
        Err(fault) => Err(fault.clone()),
    }
}

/// The same for HTTP/1.1, whose connection serves to ask for the header as well.
async fn http1_and_hsts(
    client: &Client<'_>,
    endpoint: &Endpoint,
    protocol: &str,
    agreed: Option<&str>,
) -> (Result<bool, Fault>, Fact<Option<String>>) {
    let Some(path) = &endpoint.http_path else {
        let hsts = Fact::skipped("not asked for: the target is no https:// URL");
        return (alone(client, protocol, agreed).await, hsts);
    };
    // Who agreed to none of the names does not know them.
    let offered: &[&str] = if agreed.is_some() { &[protocol] } else { &[] };
    let mut attempt = match client.attempt(&client.offer(offered)).await {
        Ok(attempt) => attempt,
        Err(fault) => return (Err(fault.clone()), unknown(&fault)),
    };
    let is_agreed = if agreed.is_some() { is_agreed(&attempt, protocol) } else { Ok(false) };
    let hsts = match &attempt.shaken {
        Err(fault) => unknown(fault),
        Ok(()) => hsts::ask(&mut attempt.stream, endpoint, path)
            .await
            .map_or_else(|fault| unknown(&fault), Fact::Known),
    };
    (is_agreed, hsts)
}
