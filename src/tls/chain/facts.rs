//! What a certificate says of itself, in the words that people and reports use.
//!
//! Refuses to judge, and to repeat more of a certificate than a report can bear.

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use x509_parser::asn1_rs::{Oid, oid};
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2sn};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::{PublicKey, RSAPublicKey};
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo, X509Name};

/// Names that a report lists.
const NAMES: usize = 100;
/// Characters of one name or number that a report repeats.
const TEXT: usize = 256;

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Certificate {
    /// The distinguished name of its owner.
    pub subject: String,
    /// That of its issuer.
    pub issuer: String,
    /// DNS names and addresses, at most the first hundred.
    pub names: Vec<String>,
    /// How many there are.
    pub names_total: usize,
    /// Hexadecimal.
    pub serial: String,
    /// Valid from; RFC 3339, UTC.
    pub not_before: String,
    /// Valid until.
    pub not_after: String,
    /// Whole days until then, negative after it.
    pub days_left: i64,
    /// `RSA 2048`, `ECDSA P-256`, `Ed25519`.
    pub key: String,
    /// `sha256WithRSAEncryption` and the like.
    pub signature: String,
    /// Hexadecimal, of the DER form.
    pub sha256: String,
    /// Whether it may issue others.
    pub is_authority: bool,
}

impl Certificate {
    /// What a certificate in DER says of itself; nothing where it is none.
    #[must_use]
    pub fn of(der: &[u8], at: Timestamp) -> Option<Certificate> {
        parse(der).map(|x509| Certificate::of_parsed(&x509, at))
    }

    pub(super) fn of_parsed(x509: &X509Certificate<'_>, at: Timestamp) -> Certificate {
        let names = names(x509);
        Certificate {
            subject: short(&x509.subject().to_string()),
            issuer: short(&x509.issuer().to_string()),
            names_total: names.len(),
            names: names.into_iter().take(NAMES).map(|name| short(&name)).collect(),
            serial: short(&hex(x509.raw_serial())),
            not_before: time(x509.validity().not_before).to_string(),
            not_after: time(x509.validity().not_after).to_string(),
            days_left: days_until(x509, at),
            key: Key::of(x509.public_key()).to_string(),
            signature: algorithm(&x509.signature_algorithm),
            sha256: hex(digest(&SHA256, x509.as_raw()).as_ref()),
            is_authority: x509.is_ca(),
        }
    }
}

/// Whole days until a certificate in DER ends, negative after it; nothing where it is no certificate.
#[must_use]
pub fn days_left(der: &[u8], now: Timestamp) -> Option<i64> {
    parse(der).map(|x509| days_until(&x509, now))
}

fn days_until(x509: &X509Certificate<'_>, now: Timestamp) -> i64 {
    (x509.validity().not_after.timestamp() - now.as_second()).div_euclid(86_400)
}

/// The certificate, if the bytes are one and nothing else.
pub(super) fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, x509)| x509)
}

/// A time of a certificate; they lie between the years 0 and 9999, as those of a timestamp do.
pub(super) fn time(time: ASN1Time) -> Timestamp {
    Timestamp::from_second(time.timestamp()).unwrap_or(Timestamp::MAX)
}

/// DNS names and addresses that it is for.
pub(super) fn names(x509: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternative)) = x509.subject_alternative_name() else { return Vec::new() };
    let shown = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    };
    alternative.value.general_names.iter().filter_map(shown).collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| v6()).ok().map(|address| address.to_string())
}

/// What people call it: its common name, or the last part of its distinguished name.
pub(super) fn called(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().last().and_then(|name| name.as_str().ok());
    short(&common.map_or_else(|| name.to_string(), str::to_owned))
}

/// At most as much of a text as a report can bear.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(TEXT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name of an algorithm, or its number where it has none here.
pub(super) fn algorithm(identifier: &AlgorithmIdentifier<'_>) -> String {
    let oid = &identifier.algorithm;
    let rare = || ml_dsa(oid).map_or_else(|| short(&oid.to_id_string()), str::to_owned);
    oid2sn(oid, oid_registry()).map_or_else(|_| rare(), str::to_owned)
}

fn ml_dsa(oid: &Oid<'_>) -> Option<&'static str> {
    [
        (oid!(2.16.840.1.101.3.4.3.17), "ML-DSA-44"),
        (oid!(2.16.840.1.101.3.4.3.18), "ML-DSA-65"),
        (oid!(2.16.840.1.101.3.4.3.19), "ML-DSA-87"),
    ]
    .into_iter()
    .find_map(|(known, name)| (known == *oid).then_some(name))
}

/// The kind and size of a public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Rsa { bits: usize },
    Curve(String, Option<usize>),
    Dsa,
    Other(String),
}

impl Key {
    pub(super) fn of(info: &SubjectPublicKeyInfo<'_>) -> Key {
        let kind = &info.algorithm.algorithm;
        if *kind == oid!(1.2.840.113549.1.1.10) {
            // A key that is for PSS alone has the form of any other RSA key.
            let key = RSAPublicKey::from_der(&info.subject_public_key.data);
            return Key::Rsa { bits: key.map_or(0, |(_, key)| bits(key.modulus)) };
        }
        match info.parsed() {
            Ok(PublicKey::RSA(key)) => Key::Rsa { bits: bits(key.modulus) },
            Ok(PublicKey::EC(_)) => curve(&info.algorithm),
            Ok(PublicKey::DSA(_)) => Key::Dsa,
            _ if *kind == oid!(1.3.101.112) => Key::Other("Ed25519".to_owned()),
            _ if *kind == oid!(1.3.101.113) => Key::Other("Ed448".to_owned()),
            _ => Key::Other(algorithm(&info.algorithm)),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Rsa { bits } => write!(f, "RSA {bits}"),
            Key::Curve(name, _) => write!(f, "ECDSA {name}"),
            Key::Dsa => f.write_str("DSA"),
            Key::Other(name) => f.write_str(name),
        }
    }
}

fn bits(number: &[u8]) -> usize {
    let zeros: usize = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros).map_or(0, |first| (number.len() - zeros) * 8 - first.leading_zeros() as usize)
}

fn curve(identifier: &AlgorithmIdentifier<'_>) -> Key {
    let named = identifier.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    let Some(oid) = named else { return Key::Curve("of its own curve".to_owned(), None) };
    let known = [
        (oid!(1.2.840.10045.3.1.7), "P-256", 256),
        (oid!(1.3.132.0.34), "P-384", 384),
        (oid!(1.3.132.0.35), "P-521", 521),
        (oid!(1.3.132.0.33), "P-224", 224),
        (oid!(1.2.840.10045.3.1.1), "P-192", 192),
        (oid!(1.3.132.0.10), "secp256k1", 256),
        (oid!(1.3.36.3.3.2.8.1.1.7), "brainpoolP256r1", 256),
        (oid!(1.3.36.3.3.2.8.1.1.11), "brainpoolP384r1", 384),
        (oid!(1.3.36.3.3.2.8.1.1.13), "brainpoolP512r1", 512),
    ];
    match known.into_iter().find(|(known, ..)| *known == oid) {
        Some((_, name, bits)) => Key::Curve(name.to_owned(), Some(bits)),
        None => Key::Curve(short(&oid.to_id_string()), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_tells_its_facts() {
        let mut params = rcgen::CertificateParams::new(["a.example".to_owned(), "::1".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let facts = Certificate::of(made.der(), at("2026-03-30T12:00:00Z")).unwrap();
        assert_eq!(facts.names, ["a.example", "::1"]);
        assert_eq!((facts.days_left, facts.names_total), (1, 2));
        assert_eq!(facts.not_after, "2026-04-01T00:00:00Z");
        assert_eq!((facts.key.as_str(), facts.signature.as_str()), ("ECDSA P-256", "ecdsa-with-SHA256"));
        assert_eq!(facts.sha256.len(), 64);
        assert!(!facts.is_authority);
        assert_eq!(days_left(made.der(), at("2026-04-01T00:00:01Z")), Some(-1));
        assert_eq!(days_left(b"no certificate", at("2026-04-01T00:00:01Z")), None);
        let mut longer = made.der().to_vec();
        longer.push(0);
        assert_eq!(Certificate::of(&longer, at("2026-04-01T00:00:01Z")), None);
    }

    #[test]
    fn the_size_of_a_number_leaves_out_its_zeros() {
        assert_eq!([bits(&[]), bits(&[0]), bits(&[0, 0x80]), bits(&[1, 0])], [0, 0, 8, 9]);
    }
}
