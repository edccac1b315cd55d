//! Whether a session is taken up by a second connection: by a ticket of TLS 1.3, and by an id and a ticket of TLS 1.2.
//!
//! Refuses to judge: there are reasons for and against each.

use std::sync::Arc;

use rustls::client::{Resumption as Reuse, Tls12Resumption};
use rustls::version::TLS12;
use rustls::{HandshakeKind, ProtocolVersion};
use schemars::JsonSchema;
use serde::Serialize;

use super::client::{Attempt, Client, Offer};
use super::tickets::{self, Sessions};
use super::unknown;
use crate::reason::Fault;
use crate::tls::fact::Fact;

/// Whether a session is taken up again, by each of the ways that there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Resumption {
    /// By an id, which the server of TLS 1.2 remembers (RFC 5246).
    pub tls1_2_id: Fact<bool>,
    /// By a ticket of TLS 1.2 (RFC 5077).
    pub tls1_2_ticket: Fact<bool>,
    /// By a ticket of TLS 1.3, which stands for a shared key (RFC 8446).
    pub tls1_3_ticket: Fact<bool>,
}

/// A connection, what it offered, and what it left behind.
pub(super) struct First {
    pub attempt: Attempt,
    pub offer: Offer,
    pub sessions: Arc<Sessions>,
}

impl First {
    /// A handshake on a connection that has nothing to take up yet.
    pub(super) async fn new(
        client: &Client<'_>,
        offer: Offer,
        ways: Tls12Resumption,
    ) -> Result<First, Fault> {
        let sessions = Arc::new(Sessions::new());
        let store = Reuse::store(sessions.clone()).tls12_resumption(ways);
        let offer = offer.with(|config| config.resumption = store);
        Ok(First { attempt: client.attempt(&offer).await?, offer, sessions })
    }

    /// Whether a second connection takes up its session.
    async fn again(self, client: &Client<'_>) -> Fact<bool> {
        let First { attempt, offer, sessions } = self;
        if !sessions.has_any() {
            return Fact::Known(false);
        }
        // Its place may be needed by the second.
        drop(attempt);
        match client.attempt(&offer).await.and_then(Attempt::done) {
            Err(fault) => unknown(&fault),
            Ok(second) => Fact::Known(second.stream.tls.handshake_kind() == Some(HandshakeKind::Resumed)),
        }
    }
}

/// All of it, and whether tickets allow early data. `names`: the protocols to offer.
pub(super) async fn look(
    client: &Client<'_>,
    first: First,
    names: &[&str],
) -> (Fact<Resumption>, Fact<bool>) {
    if first.attempt.stream.tls.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        let (tls1_2_id, tls1_2_ticket) = older(client, first, names).await;
        let tls1_3_ticket = Fact::skipped("TLS 1.3 is not spoken");
        return (Fact::Known(Resumption { tls1_2_id, tls1_2_ticket, tls1_3_ticket }), Fact::Known(false));
    }
    let of_older = async {
        match First::new(client, client.offer_of(&[&TLS12], names), Tls12Resumption::SessionIdOrTickets).await
        {
            Err(fault) => (unknown(&fault), unknown(&fault)),
            Ok(first) => match &first.attempt.shaken {
                Ok(()) => older(client, first, names).await,
                Err(fault) if first.attempt.stream.alert.is_some() && !first.attempt.asked.so() => {
                    let skipped =
                        || Fact::skipped(format!("no handshake of TLS 1.2 came about: {}", fault.detail));
                    (skipped(), skipped())
                }
                Err(fault) => (unknown(fault), unknown(fault)),
            },
        }
    };
    let ((tls1_3_ticket, early_data), (tls1_2_id, tls1_2_ticket)) =
        tokio::join!(Box::pin(newest(client, first)), Box::pin(of_older));
    (Fact::Known(Resumption { tls1_2_id, tls1_2_ticket, tls1_3_ticket }), early_data)
}

/// By a ticket of TLS 1.3, and whether it allows early data.
async fn newest(client: &Client<'_>, mut first: First) -> (Fact<bool>, Fact<bool>) {
    // The tickets come after the handshake, and before the server's goodbye.
    if let Err(fault) = first.attempt.stream.finish_or_ticket().await {
        return (unknown(&fault), unknown(&fault));
    }
    let early_data = Fact::Known(first.sessions.allow_early_data());
    (first.again(client).await, early_data)
}

/// By an id and by a ticket of TLS 1.2. A server that gives a ticket is asked for an id alone once more.
async fn older(client: &Client<'_>, first: First, names: &[&str]) -> (Fact<bool>, Fact<bool>) {
    let has_ticket = tickets::is_in(&first.attempt.stream.received);
    let taken = first.again(client).await;
    if !has_ticket {
        return (taken, Fact::Known(false));
    }
    let offer = client.offer_of(&[&TLS12], names);
    let by_id = match First::new(client, offer, Tls12Resumption::SessionIdOnly).await {
        Err(fault) => unknown(&fault),
        Ok(first) => match first.attempt.shaken.clone() {
            Err(fault) => unknown(&fault),
            Ok(()) => first.again(client).await,
        },
    };
    (by_id, taken)
}
