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
            None => write!(f, "{:#06x}", self.0),
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
            None => write!(f, "{:#06x}", self.0),
        }
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
    }
}
