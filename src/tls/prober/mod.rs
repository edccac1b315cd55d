//! What a server would speak: versions, suites, groups and whose order counts, found with hand-written hellos and
//! without any cryptography.
//!
//! A hello is sent, the first flight of the answer is read, the connection is closed. Refuses to finish a handshake and
//! to judge. An answer that decides nothing is asked for once more and is `Unknown` then.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::dial::Dial;
use super::fact::Fact;
use super::registry::{Group, Preference, Suite, Version};

/// What a server would speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Every version of [`Version::ALL`].
    pub versions: BTreeMap<Version, Fact<Spoken>>,
    /// Key exchange groups over all versions, in the server's order where it has one.
    pub groups: Fact<Vec<Group>>,
    /// Whose order of groups counts.
    pub group_preference: Fact<Preference>,
    /// The server says that it renegotiates safely (RFC 5746); of TLS 1.2 and older.
    pub secure_renegotiation: Fact<bool>,
    /// The server would compress (CRIME).
    pub compression: Fact<bool>,
    /// The server speaks of an extended master secret (RFC 7627); of TLS 1.2 and older.
    pub extended_master_secret: Fact<bool>,
    /// The server refuses a needless fallback (RFC 7507).
    pub fallback_scsv: Fact<bool>,
    /// Chains that were sent in the clear by TLS 1.2 and older, as they were sent; each with another leaf.
    pub chains: Vec<Vec<Vec<u8>>>,
    /// What was spoken where it was not TLS, such as "HTTP".
    pub not_tls: Option<String>,
}

/// How one version is spoken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Spoken {
    /// Suites in the server's order where it has one; none where the version is refused.
    pub suites: Vec<Suite>,
    /// Whose order of suites counts.
    pub preference: Fact<Preference>,
}

/// Finds out all of it. `name` is sent as SNI.
pub async fn enumerate(_: &Dial, _: Option<&str>) -> Protocol {
    Protocol::skipped("not asked for yet")
}

impl Protocol {
    /// Nothing of it was asked for, for this reason.
    #[must_use]
    pub fn skipped(why: &str) -> Protocol {
        Protocol {
            versions: Version::ALL.map(|version| (version, Fact::skipped(why))).into(),
            groups: Fact::skipped(why),
            group_preference: Fact::skipped(why),
            secure_renegotiation: Fact::skipped(why),
            compression: Fact::skipped(why),
            extended_master_secret: Fact::skipped(why),
            fallback_scsv: Fact::skipped(why),
            chains: Vec::new(),
            not_tls: None,
        }
    }
}
