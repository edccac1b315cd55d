//! The policies that are built in.
//!
//! Mozilla's guidelines for server-side TLS, version 6.0 of 2026-04-06, and that of the article which this program comes
//! from. Of Mozilla's, OCSP staples are left to the judge of chains: most authorities have ended OCSP.

use std::time::Duration;

use super::{KeyKind, Policy};
use crate::tls::finding::Status;
use crate::tls::registry::{Group, Suite, Version};

/// Their names.
pub const BUILT_IN: [&str; 3] = ["intermediate", "modern", "article"];

const DAY: Duration = Duration::from_secs(86_400);
/// Two years, in seconds.
const HSTS: Duration = Duration::from_secs(63_072_000);

/// TLS 1.3: AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305.
const SUITES_1_3: [u32; 3] = [0x1301, 0x1302, 0x1303];
/// ECDHE with ECDSA and RSA, and the same three ciphers.
const SUITES_1_2: [u32; 6] = [0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8];
/// X25519MLKEM768, X25519, P-256, P-384.
const GROUPS: [u16; 4] = [0x11ec, 0x001d, 0x0017, 0x0018];
const ECDSA: [&str; 2] = ["P-256", "P-384"];
const ECDSA_SIGNATURES: [&str; 3] = ["ecdsa-with-SHA256", "ecdsa-with-SHA384", "ecdsa-with-SHA512"];

impl Policy {
    /// A policy of [`BUILT_IN`] by its name.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Policy> {
        match name {
            "modern" => Some(modern()),
            "intermediate" => Some(intermediate()),
            "article" => Some(article()),
            _ => None,
        }
    }
}

fn modern() -> Policy {
    Policy {
        versions: Some(vec![Version::Tls13]),
        require_versions: vec![Version::Tls13],
        suites: Some(SUITES_1_3.map(Suite).to_vec()),
        groups: Some(GROUPS.map(Group).to_vec()),
        keys: Some(ecdsa()),
        signatures: Some(ECDSA_SIGNATURES.map(str::to_owned).to_vec()),
        max_lifetime: Some(DAY * 90),
        hsts_min_age: Some(HSTS),
        severity: [("http.hsts".to_owned(), Status::Warn)].into(),
        ..Policy::unbounded("modern-6.0")
    }
}

pub(super) fn intermediate() -> Policy {
    let mut keys = ecdsa();
    keys.push(KeyKind::Rsa(2048));
    let mut signatures = vec!["sha256WithRSAEncryption".to_owned()];
    signatures.extend(ECDSA_SIGNATURES.map(str::to_owned));
    let suites = SUITES_1_3.into_iter().chain(SUITES_1_2);
    Policy {
        name: "intermediate-6.0".to_owned(),
        versions: Some(vec![Version::Tls12, Version::Tls13]),
        require_versions: vec![Version::Tls13],
        suites: Some(suites.map(Suite).collect()),
        keys: Some(keys),
        signatures: Some(signatures),
        max_lifetime: Some(DAY * 366),
        // What speaks TLS 1.2 only is old, and not broken.
        severity: ["http.hsts", "proto.tls1_3"].map(|rule| (rule.to_owned(), Status::Warn)).into(),
        ..modern()
    }
}

/// TLS 1.2 or newer, the server's order, P-256 and X25519.
fn article() -> Policy {
    Policy {
        versions: Some(vec![Version::Tls12, Version::Tls13]),
        groups: Some([0x0017, 0x001d].map(Group).to_vec()),
        server_order: true,
        ..Policy::unbounded("article")
    }
}

fn ecdsa() -> Vec<KeyKind> {
    ECDSA.map(|curve| KeyKind::Named(format!("ECDSA {curve}"))).to_vec()
}
