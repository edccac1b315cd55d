//! Versions, suites, groups and keys as people write them: `1.2`, `TLS_AES_128_GCM_SHA256`, `P-256`, `RSA 2048`.

use std::fmt;
use std::str::FromStr;

use rustls::{CipherSuite, NamedGroup};

use crate::tls::registry::{Group, Suite, Version};

/// A version: `1.2`, `TLS 1.2`, `TLSv1.2`, `tls1_2`, `SSL 3`.
pub(super) fn version(text: &str) -> Option<Version> {
    let plain = |text: &str| -> String {
        let kept = text.chars().filter(char::is_ascii_alphanumeric);
        kept.map(|c| c.to_ascii_lowercase()).collect::<String>().replace("lsv", "ls").replace("slv", "sl")
    };
    let wanted = plain(text);
    Version::ALL.into_iter().find(|version| {
        let id = plain(version.id());
        id == wanted || id.strip_prefix("tls") == Some(&wanted)
    })
}

/// A suite by IANA's name or as a number such as `0x1301`.
pub(super) fn suite(text: &str) -> Option<Suite> {
    let named = || suites().find(|suite| suite.to_string().eq_ignore_ascii_case(text));
    number(text).map(|number| Suite(number.into())).or_else(named)
}

/// Every suite that has a name.
pub(super) fn suites() -> impl Iterator<Item = Suite> {
    let known = (0..=u16::MAX).filter(|wire| CipherSuite::from(*wire).as_str().is_some());
    known.map(|wire| Suite(wire.into()))
}

/// Other names than IANA's for the groups that are in use.
const ALIASES: [(&str, u16); 6] = [
    ("P-256", 0x0017),
    ("prime256v1", 0x0017),
    ("P-384", 0x0018),
    ("P-521", 0x0019),
    ("Curve25519", 0x001d),
    ("ML-KEM-768", 0x0201),
];

/// A group by IANA's name, by that of NIST, or as a number such as `0x11ec`.
pub(super) fn group(text: &str) -> Option<Group> {
    let same = |name: &str| name.eq_ignore_ascii_case(text);
    let alias = || ALIASES.iter().find(|(name, _)| same(name)).map(|(_, wire)| Group(*wire));
    let named =
        || (0..=u16::MAX).map(Group).find(|group| NamedGroup::from(group.0).as_str().is_some_and(same));
    number(text).map(Group).or_else(alias).or_else(named)
}

/// The names of all groups.
pub(super) fn groups() -> impl Iterator<Item = &'static str> {
    let known = (0..=u16::MAX).filter_map(|wire| NamedGroup::from(wire).as_str());
    known.chain(ALIASES.iter().map(|(name, _)| *name))
}

fn number(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// A kind of key that a certificate may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA with at least so many bits.
    Rsa(u32),
    /// Any other by its name: `ECDSA P-256`, `Ed25519`.
    Named(String),
}

impl KeyKind {
    /// Whether a key, named as reports name it, is of this kind.
    #[must_use]
    pub fn allows(&self, key: &str) -> bool {
        match self {
            KeyKind::Rsa(least) => rsa_bits(key).is_some_and(|bits| bits >= *least),
            KeyKind::Named(name) => name.eq_ignore_ascii_case(key),
        }
    }
}

fn rsa_bits(key: &str) -> Option<u32> {
    let (kind, bits) = key.split_once([' ', '-'])?;
    bits.parse().ok().filter(|_| kind.eq_ignore_ascii_case("RSA"))
}

impl FromStr for KeyKind {
    type Err = ();

    fn from_str(text: &str) -> Result<KeyKind, ()> {
        if let Some(bits) = rsa_bits(text) {
            return Ok(KeyKind::Rsa(bits));
        }
        const NAMES: [&str; 5] = ["ECDSA P-256", "ECDSA P-384", "ECDSA P-521", "Ed25519", "Ed448"];
        let named = NAMES.iter().find(|name| name.eq_ignore_ascii_case(text));
        named.map(|name| KeyKind::Named((*name).to_owned())).ok_or(())
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyKind::Rsa(bits) => write!(f, "RSA >= {bits}"),
            KeyKind::Named(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_people_write_them() {
        for text in ["1.2", "TLS 1.2", "TLSv1.2", "tls1_2", "TLSv1_2"] {
            assert_eq!(version(text), Some(Version::Tls12), "{text}");
        }
        assert_eq!(version("SSLv3"), Some(Version::Ssl3));
        assert_eq!((version("1.4"), version("")), (None, None));
        assert_eq!(suite("TLS_AES_128_GCM_SHA256"), Some(Suite(0x1301)));
        assert_eq!(suite("tls_ecdhe_rsa_with_aes_128_gcm_sha256"), Some(Suite(0xc02f)));
        assert_eq!(suite("0xc02f"), Some(Suite(0xc02f)));
        assert_eq!(suite("AES"), None);
        assert_eq!(group("X25519MLKEM768"), Some(Group(0x11ec)));
        assert_eq!([group("P-256"), group("secp256r1")], [Some(Group(0x17)); 2]);
        assert_eq!(group("P-999"), None);
    }

    #[test]
    fn a_key_of_rsa_has_a_least_size() {
        let rsa: KeyKind = "RSA 2048".parse().unwrap();
        assert!(rsa.allows("RSA 2048") && rsa.allows("RSA 4096") && !rsa.allows("RSA 1024"));
        assert!(!rsa.allows("ECDSA P-256"));
        let ecdsa: KeyKind = "ecdsa p-256".parse().unwrap();
        assert!(ecdsa.allows("ECDSA P-256") && !ecdsa.allows("ECDSA P-384"));
        assert!("DSA 1024".parse::<KeyKind>().is_err());
    }
}
