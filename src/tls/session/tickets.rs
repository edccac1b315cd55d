//! Sessions that a server gives away, to be taken up again.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;

const HANDSHAKE: u8 = 22;
const CHANGE_CIPHER_SPEC: u8 = 20;
const NEW_SESSION_TICKET: u8 = 4;

/// Keeps them, and how much early data they allow.
#[derive(Debug)]
pub(super) struct Sessions {
    kept: ClientSessionMemoryCache,
    has_any: AtomicBool,
    early_data: AtomicU32,
}

impl Sessions {
    pub(super) fn new() -> Sessions {
        let (has_any, early_data) = (AtomicBool::new(false), AtomicU32::new(0));
        Sessions { kept: ClientSessionMemoryCache::new(1), has_any, early_data }
    }

    /// Whether there ever was one.
    pub(super) fn has_any(&self) -> bool {
        self.has_any.load(Ordering::Relaxed)
    }

    /// Whether any ticket allowed early data.
    pub(super) fn allow_early_data(&self) -> bool {
        self.early_data.load(Ordering::Relaxed) > 0
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.kept.set_kx_hint(name, group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept.kx_hint(name)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.has_any.store(true, Ordering::Relaxed);
        self.kept.set_tls12_session(name, session);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept.tls12_session(name)
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.kept.remove_tls12_session(name);
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.has_any.store(true, Ordering::Relaxed);
        self.early_data.fetch_max(ticket.max_early_data_size(), Ordering::Relaxed);
        self.kept.insert_tls13_ticket(name, ticket);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept.take_tls13_ticket(name)
    }
}

/// Whether a handshake of TLS 1.2 gave a ticket (RFC 5077, section 3.3), told from what came on the wire: rustls does
/// not say. The ticket is the message in the clear right before ChangeCipherSpec, and begins a flight, so a record.
pub(super) fn is_in(mut received: &[u8]) -> bool {
    let mut last: &[u8] = &[];
    while let [kind, _, _, high, low, rest @ ..] = received {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((record, rest)) = rest.split_at_checked(length) else { return false };
        match *kind {
            HANDSHAKE => last = record,
            CHANGE_CIPHER_SPEC => break,
            _ => {}
        }
        received = rest;
    }
    match last {
        [NEW_SESSION_TICKET, a, b, c, body @ ..] => {
            usize::try_from(u32::from_be_bytes([0, *a, *b, *c])) == Ok(body.len())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind, 3, 3, 0, u8::try_from(body.len()).unwrap()], body].concat()
    }

    #[test]
    fn a_ticket_stands_right_before_the_change_of_ciphers() {
        let (hello, done) = (record(22, &[2, 0, 0, 1, 0]), record(22, &[14, 0, 0, 0]));
        let (ticket, change) = (record(22, &[4, 0, 0, 2, 9, 9]), record(20, &[1]));
        let secret = record(22, &[4, 0, 0, 2, 9, 9]);
        assert!(is_in(&[&hello[..], &done, &ticket, &change, &secret].concat()));
        assert!(!is_in(&[&hello[..], &done, &change, &secret].concat()));
        let fragment = record(22, &[4, 0, 0, 2, 9, 9, 14, 0, 0, 0]);
        assert!(!is_in(&[&hello[..], &fragment, &change].concat()));
        assert!(!is_in(&ticket[..7]) && !is_in(&[]));
    }
}
