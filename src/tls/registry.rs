//! Versions, suites and groups of TLS by their numbers on the wire, with the names that IANA gave them.
//!
//! Refuses to judge: which of them are good is the policy's matter.

use std::fmt;

use rustls::{CipherSuite, NamedGroup};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// A protocol version, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// SSL 2.0, with a hello format of its own.
    Ssl2,
    /// SSL 3.0, without extensions.
    Ssl3,
    /// TLS 1.0.
    Tls10,
    /// TLS 1.1.
    Tls11,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl Version {
    /// All of them, the oldest first.
    pub const ALL: [Version; 6] =
        [Version::Ssl2, Version::Ssl3, Version::Tls10, Version::Tls11, Version::Tls12, Version::Tls13];

    /// The number on the wire.
    #[must_use]
    pub const fn wire(self) -> u16 {
        match self {
            Version::Ssl2 => 0x0002,
            Version::Ssl3 => 0x0300,
            Version::Tls10 => 0x0301,
            Version::Tls11 => 0x0302,
            Version::Tls12 => 0x0303,
            Version::Tls13 => 0x0304,
        }
    }

    /// As reports and ids write it: `tls1_2`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Version::Ssl2 => "ssl2",
            Version::Ssl3 => "ssl3",
            Version::Tls10 => "tls1_0",
            Version::Tls11 => "tls1_1",
            Version::Tls12 => "tls1_2",
            Version::Tls13 => "tls1_3",
        }
    }

    /// As people write it: `TLS 1.2`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Version::Ssl2 => "SSL 2",
            Version::Ssl3 => "SSL 3",
            Version::Tls10 => "TLS 1.0",
            Version::Tls11 => "TLS 1.1",
            Version::Tls12 => "TLS 1.2",
            Version::Tls13 => "TLS 1.3",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl JsonSchema for Version {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Version::ALL.map(Version::id) })
    }
}

/// A cipher suite: two bytes, or the three of an SSL 2 cipher kind (which begins with a byte that is not 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suite(pub u32);

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = u16::try_from(self.0).ok().and_then(|wire| CipherSuite::from(wire).as_str());
        match name {
            // rustls puts the version into the names of TLS 1.3.
            Some(name) => write!(f, "{}", name.replacen("TLS13_", "TLS_", 1)),
            None => match SUITES.iter().find(|(wire, _)| *wire == self.0) {
                Some((_, name)) => f.write_str(name),
                None => write!(f, "{:#06x}", self.0),
            },
        }
    }
}

/// A key exchange group, by its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(pub u16);

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NamedGroup::from(self.0).as_str() {
            Some(name) => f.write_str(name),
            None => match GROUPS.iter().find(|(wire, _)| *wire == self.0) {
                Some((_, name)) => f.write_str(name),
                None => write!(f, "{:#06x}", self.0),
            },
        }
    }
}

/// Protocols by their names in ALPN (IANA), for servers that turn away whoever names none; those of HTTP first.
pub const PROTOCOLS: [&str; 10] =
    ["h2", "http/1.1", "imap", "pop3", "ftp", "xmpp-client", "postgresql", "tds/8.0", "mqtt", "dot"];

/// Suites that rustls has no name for: SM, GOST, later ones, drafts that were in use, and the kinds of SSL 2.
const SUITES: &[(u32, &str)] = &[
    (0x00c6, "TLS_SM4_GCM_SM3"),
    (0x00c7, "TLS_SM4_CCM_SM3"),
    (0xc0b0, "TLS_ECCPWD_WITH_AES_128_GCM_SHA256"),
    (0xc0b1, "TLS_ECCPWD_WITH_AES_256_GCM_SHA384"),
    (0xc0b2, "TLS_ECCPWD_WITH_AES_128_CCM_SHA256"),
    (0xc0b3, "TLS_ECCPWD_WITH_AES_256_CCM_SHA384"),
    (0xc100, "TLS_GOSTR341112_256_WITH_KUZNYECHIK_CTR_OMAC"),
    (0xc101, "TLS_GOSTR341112_256_WITH_MAGMA_CTR_OMAC"),
    (0xc102, "TLS_GOSTR341112_256_WITH_28147_CNT_IMIT"),
    (0xcc13, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256_draft"),
    (0xcc14, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256_draft"),
    (0xcc15, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256_draft"),
    (0xd001, "TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256"),
    (0xd002, "TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384"),
    (0xd003, "TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256"),
    (0xd005, "TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256"),
    (0xff85, "TLS_GOSTR341112_256_WITH_28147_CNT_IMIT_draft"),
    (0x01_0080, "SSL_CK_RC4_128_WITH_MD5"),
    (0x02_0080, "SSL_CK_RC4_128_EXPORT40_WITH_MD5"),
    (0x03_0080, "SSL_CK_RC2_128_CBC_WITH_MD5"),
    (0x04_0080, "SSL_CK_RC2_128_CBC_EXPORT40_WITH_MD5"),
    (0x05_0080, "SSL_CK_IDEA_128_CBC_WITH_MD5"),
    (0x06_0040, "SSL_CK_DES_64_CBC_WITH_MD5"),
    (0x06_0140, "SSL_CK_DES_64_CBC_WITH_SHA"),
    (0x07_00c0, "SSL_CK_DES_192_EDE3_CBC_WITH_MD5"),
    (0x07_01c0, "SSL_CK_DES_192_EDE3_CBC_WITH_SHA"),
    (0x08_0080, "SSL_CK_RC4_64_WITH_MD5"),
];

/// Groups that rustls has no name for.
const GROUPS: &[(u16, &str)] = &[
    (1, "sect163k1"),
    (2, "sect163r1"),
    (3, "sect163r2"),
    (4, "sect193r1"),
    (5, "sect193r2"),
    (6, "sect233k1"),
    (7, "sect233r1"),
    (8, "sect239k1"),
    (9, "sect283k1"),
    (10, "sect283r1"),
    (11, "sect409k1"),
    (12, "sect409r1"),
    (13, "sect571k1"),
    (14, "sect571r1"),
    (15, "secp160k1"),
    (16, "secp160r1"),
    (17, "secp160r2"),
    (18, "secp192k1"),
    (19, "secp192r1"),
    (20, "secp224k1"),
    (21, "secp224r1"),
    (22, "secp256k1"),
    (26, "brainpoolP256r1"),
    (27, "brainpoolP384r1"),
    (28, "brainpoolP512r1"),
    (31, "brainpoolP256r1tls13"),
    (32, "brainpoolP384r1tls13"),
    (33, "brainpoolP512r1tls13"),
    (34, "GC256A"),
    (35, "GC256B"),
    (36, "GC256C"),
    (37, "GC256D"),
    (38, "GC512A"),
    (39, "GC512B"),
    (40, "GC512C"),
    (41, "curveSM2"),
    (0x11ed, "SecP384r1MLKEM1024"),
    (0x11ee, "curveSM2MLKEM768"),
    (0x6399, "X25519Kyber768Draft00"),
    (0x639a, "SecP256r1Kyber768Draft00"),
];

impl Suite {
    /// Those that have a name, by their numbers.
    pub fn all() -> impl Iterator<Item = Suite> {
        let standard =
            (0..=u16::MAX).filter(|wire| CipherSuite::from(*wire).as_str().is_some()).map(u32::from);
        standard.chain(SUITES.iter().map(|(wire, _)| *wire)).map(Suite)
    }
}

impl Group {
    /// Those that have a name, by their numbers.
    pub fn all() -> impl Iterator<Item = Group> {
        let standard = (0..=u16::MAX).filter(|wire| NamedGroup::from(*wire).as_str().is_some());
        standard.chain(GROUPS.iter().map(|(wire, _)| *wire)).map(Group)
    }
}

macro_rules! texts {
    ($($name:ident),+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string" })
            }
        }
    )+};
}
texts!(Suite, Group);

/// Whose order decides between several that both sides have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preference {
    /// The server's.
    Server,
    /// The client's.
    Client,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_iana() {
        assert_eq!(Suite(0x1301).to_string(), "TLS_AES_128_GCM_SHA256");
        assert_eq!(Suite(0xc02f).to_string(), "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
        assert_eq!(Suite(0x0004).to_string(), "TLS_RSA_WITH_RC4_128_MD5");
        assert_eq!(Suite(0xfdfd).to_string(), "0xfdfd");
        assert_eq!(Group(0x11ec).to_string(), "X25519MLKEM768");
        assert_eq!(Group(0x0017).to_string(), "secp256r1");
        assert_eq!(Suite(0x01_0080).to_string(), "SSL_CK_RC4_128_WITH_MD5");
        assert_eq!(Group(0x0016).to_string(), "secp256k1");
    }

    #[test]
    fn every_number_is_there_once() {
        let (suites, groups): (Vec<_>, Vec<_>) = (Suite::all().collect(), Group::all().collect());
        let is_distinct =
            |names: Vec<String>| names.iter().collect::<std::collections::HashSet<_>>().len() == names.len();
        assert!(is_distinct(suites.iter().map(Suite::to_string).collect()));
        assert!(is_distinct(groups.iter().map(Group::to_string).collect()));
        assert!(suites.len() > 350 && groups.len() > 50, "{} and {}", suites.len(), groups.len());
    }
}
