//! The messages of a server's first flight.

use super::cursor::Cursor;
use super::extension;
use crate::tls::registry::{Group, Suite, Version};

/// SHA-256 of "HelloRetryRequest": a hello with this instead of random bytes asks for another one (RFC 8446, 4.1.3).
pub(super) const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// What a server chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// The version that is spoken from here on.
    pub version: Version,
    /// The suite.
    pub suite: Suite,
    /// What follows would be compressed.
    pub compresses: bool,
    /// It asks for another hello with a share of `group`.
    pub is_retry: bool,
    /// The group, of TLS 1.3.
    pub group: Option<Group>,
    /// It knows how to renegotiate safely (RFC 5746).
    pub renegotiates_safely: bool,
    /// It binds the master secret to the handshake (RFC 7627).
    pub extends_master_secret: bool,
}

/// The key exchange of TLS 1.2 and older.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Over a curve with a number.
    Group(Group),
    /// Over a prime of so many bits, and whether it is one of RFC 7919.
    Prime {
        /// Without leading zeros.
        bits: u32,
        /// Whether it begins as those of RFC 7919 do.
        is_ffdhe: bool,
    },
    /// Something else: a curve in full, an RSA key, a hint for a shared key.
    Other,
}

/// `None` where it is malformed.
pub(super) fn server_hello(body: &[u8]) -> Option<ServerHello> {
    let mut body = Cursor(body);
    let legacy = version(body.u16()?)?;
    let is_retry = body.take(32)? == RETRY;
    if body.vector(1)?.0.len() > 32 {
        return None;
    }
    let suite = Suite(body.u16()?.into());
    let compresses = body.u8()? != 0;
    let mut hello = ServerHello {
        version: legacy,
        suite,
        compresses,
        is_retry,
        group: None,
        renegotiates_safely: false,
        extends_master_secret: false,
    };
    if !body.is_empty() {
        let mut extensions = body.vector(2)?;
        while !extensions.is_empty() {
            extend(&mut hello, extensions.u16()?, extensions.vector(2)?)?;
        }
    }
    body.is_empty().then_some(hello)
}

fn extend(hello: &mut ServerHello, number: u16, mut value: Cursor<'_>) -> Option<()> {
    match number {
        extension::SUPPORTED_VERSIONS => hello.version = version(value.u16()?)?,
        extension::KEY_SHARE => hello.group = Some(Group(value.u16()?)),
        extension::RENEGOTIATION_INFO => hello.renegotiates_safely = true,
        extension::EXTENDED_MASTER_SECRET => hello.extends_master_secret = true,
        _ => {}
    }
    Some(())
}

fn version(wire: u16) -> Option<Version> {
    Version::ALL.into_iter().find(|version| version.wire() == wire)
}

/// The certificates of TLS 1.2 and older, in DER, as they were sent. `None` where the message is malformed.
pub(super) fn certificates(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut body = Cursor(body);
    let mut list = body.vector(3)?;
    let mut chain = Vec::new();
    while !list.is_empty() {
        chain.push(list.vector(3)?.0.to_vec());
    }
    body.is_empty().then_some(chain)
}

/// The parameters, which the suite gives a meaning. `None` where they are malformed.
pub(super) fn exchange(suite: Suite, body: &[u8]) -> Option<Exchange> {
    let name = suite.to_string();
    let mut body = Cursor(body);
    if name.contains("_PSK_") {
        // A hint which shared key is meant.
        body.vector(2)?;
    }
    if name.contains("_ECDH") {
        const NAMED: u8 = 3;
        return match body.u8()? {
            NAMED => Some(Exchange::Group(Group(body.u16()?))),
            _ => Some(Exchange::Other),
        };
    }
    if !name.contains("_DHE_") && !name.contains("_DH_anon_") {
        return Some(Exchange::Other);
    }
    let prime = body.vector(2)?.0;
    let zeros = prime.iter().take_while(|byte| **byte == 0).count();
    let digits = &prime[zeros..];
    let spare = digits.first()?.leading_zeros();
    let bits = u32::try_from(digits.len()).ok()? * 8 - spare;
    // 64 ones, and then the digits of e.
    let is_ffdhe = digits.get(8..12) == Some(&[0xad, 0xf8, 0x54, 0x58]);
    Some(Exchange::Prime { bits, is_ffdhe })
}
