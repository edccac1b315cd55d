//! What takes more than one connection to find out. All of them are made side by side, as far as the limits let them.
//!
//! Refuses to take a failure for an answer: only an alert says no.

use rustls::AlertDescription;
use rustls::pki_types::CertificateDer;

use super::client::{Attempt, Client};
use super::resumption::{self, First};
use super::{HTTP, Session, WithoutSni, hsts, unknown};
use crate::reason::Fault;
use crate::tls::fact::Fact;
use crate::tls::target::Endpoint;

/// Looks at all of it; `first` is the connection that the session is of, and `names` the protocols that it named.
pub(super) async fn look(
    client: &Client<'_>,
    endpoint: &Endpoint,
    session: Session,
    first: First,
    names: &[&str],
) -> Session {
    let leaf = session.chain.first();
    let (without_sni, (resumption, early_data), (protocols, hsts)) = tokio::join!(
        without_sni(client, endpoint, names, leaf),
        resumption::look(client, first, names),
        http(client, endpoint, session.alpn.as_deref()),
    );
    Session { protocols, without_sni, resumption, early_data, hsts, ..session }
}

async fn without_sni(
    client: &Client<'_>,
    endpoint: &Endpoint,
    names: &[&str],
    leaf: Option<&CertificateDer<'static>>,
) -> Fact<WithoutSni> {
    if endpoint.sni().is_none() {
        return Fact::skipped("an address is never sent as SNI");
    }
    let attempt =
        async |names| client.attempt(&client.offer(names).with(|config| config.enable_sni = false)).await;
    let attempt = match attempt(&[]).await {
        Ok(refused) if wants_protocols(&refused) => {
            // Its place may be needed by the next.
            drop(refused);
            attempt(names).await
        }
        attempt => attempt,
    };
    let attempt = match attempt {
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
    let [h2, http1] = HTTP;
    let (h2, (http1, hsts)) =
        tokio::join!(alone(client, h2, agreed), http1_and_hsts(client, endpoint, http1, agreed));
    let mut protocols = Vec::new();
    for (protocol, agreed) in HTTP.into_iter().zip([h2, http1]) {
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
        Err(_) if wants_protocols(attempt) => Ok(false),
        Err(fault) => Err(fault.clone()),
    }
}

/// None of the names was one that the server wants to hear.
pub(super) fn wants_protocols(attempt: &Attempt) -> bool {
    attempt.stream.alert == Some(AlertDescription::NoApplicationProtocol)
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
    let asked = match attempt.shaken.clone() {
        Err(fault) => Err(fault),
        Ok(()) => hsts::ask(&mut attempt.stream, endpoint, path).await,
    };
    let only = agreed.filter(|_| matches!(is_agreed, Ok(false)));
    let in_vain = attempt.asked.so() && !client.has_identity();
    let hsts = match (asked, only) {
        // The page that says so is not the site's.
        (Ok(answer), _) if answer.header.is_none() && answer.code >= 400 && in_vain => Fact::skipped(
            "the server asks for a client certificate, and answers without one with an error: give --client-cert",
        ),
        (Ok(answer), _) => Fact::Known(answer.header),
        (Err(_), Some(only)) => {
            Fact::skipped(format!("only {only} is spoken here; the header is asked for with {protocol}"))
        }
        (Err(fault), None) => unknown(&fault),
    };
    (is_agreed, hsts)
}
