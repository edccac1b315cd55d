//! What a server would speak: versions, suites, groups and whose order counts, found with hand-written hellos and
//! without any cryptography.
//!
//! A hello is sent, the first flight of the answer is read, the connection is closed. Refuses to finish a handshake and
//! to judge. An answer that decides nothing is asked for once more and is `Unknown` then.

mod ask;
mod chain;
mod features;
mod groups;
mod hangup;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use self::ask::{Asker, Trouble};
use self::chain::{Begun, Chain, Manner, Reply};
use self::groups::Groups;
use self::hangup::Answer;
use super::dial::Dial;
use super::fact::Fact;
use super::hello::{Flight, ssl2_hello};
use super::registry::{Group, Preference, Suite, Version};

/// What a server would speak.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
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
    /// The smallest prime of a Diffie-Hellman exchange of TLS 1.2 and older, in bits.
    pub smallest_prime: Fact<u32>,
    /// Chains that were sent in the clear by TLS 1.2 and older, as they were sent; each with another leaf.
    #[serde(skip)]
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
///
/// The newest version is asked about first and alone: a server that cannot be reached, that is silent or that does not
/// speak TLS is noticed then, and is not asked all the rest. Then every version is a chain of questions, side by side.
pub async fn enumerate(dial: &Dial, name: Option<&str>) -> Protocol {
    let asker = Asker::new(dial, name);
    let newest = chain::begin(&asker, Version::Tls13).await;
    let ((tls13, groups), tls12, tls11, tls10, ssl3, ssl2) = tokio::join!(
        tls13(newest),
        version(&asker, Version::Tls12),
        version(&asker, Version::Tls11),
        version(&asker, Version::Tls10),
        version(&asker, Version::Ssl3),
        ssl2(&asker),
    );
    let mut answers: BTreeMap<_, _> =
        Version::ALL.into_iter().zip([ssl2, ssl3, tls10, tls11, tls12, tls13]).collect();
    for (version, answer) in &mut answers {
        // A server that has taken as large a hello of another version has understood what it refused.
        if matches!(answer, Answer::Doubtful) && !asker.seen().takes_large {
            *answer = suites(chain::begin_carefully(&asker, *version).await).await;
        }
    }
    let versions = hangup::settle(&asker, answers).await;
    let groups = match &versions[&Version::Tls13] {
        Fact::Known(spoken) if spoken.suites.is_empty() => Groups::none("there is no group to prefer"),
        _ => groups,
    };
    let (groups, fallback_scsv) =
        tokio::join!(all_groups(&asker, &versions, groups), features::fallback(&asker, &versions));
    let seen = asker.into_seen();
    Protocol {
        groups: groups.found,
        group_preference: groups.preference,
        secure_renegotiation: features::secure_renegotiation(&seen, &versions),
        compression: features::compression(&seen, &versions),
        extended_master_secret: features::extended_master_secret(&seen, &versions),
        fallback_scsv,
        smallest_prime: features::smallest_prime(&seen, &versions),
        chains: seen.chains,
        not_tls: seen.not_tls.map(str::to_owned),
        versions,
    }
}

/// All suites of a version.
async fn version(asker: &Asker<'_>, version: Version) -> Answer {
    suites(chain::begin(asker, version).await).await
}

async fn suites(begun: Result<Begun<'_>, Trouble>) -> Answer {
    match begun {
        Ok(Begun::Spoken(chain, first)) => Answer::Told(chain.suites(first).await),
        Ok(Begun::Refused) => Answer::Told(Fact::Known(Spoken::refused())),
        Ok(Begun::Doubtful) => Answer::Doubtful,
        Err(trouble) => trouble.into(),
    }
}

async fn tls13(begun: Result<Begun<'_>, Trouble>) -> (Answer, Groups) {
    match begun {
        Ok(Begun::Spoken(chain, first)) => {
            let group = if let Reply::Chosen(_, group) = first { group } else { None };
            let (spoken, groups) = tokio::join!(chain.suites(first), chain.tls13_groups(group));
            (Answer::Told(spoken), groups)
        }
        Ok(_) => (Answer::Told(Fact::Known(Spoken::refused())), Groups::unknown("TLS 1.3 is refused")),
        Err(trouble) => {
            let why = trouble.to_string();
            (trouble.into(), Groups::unknown(&why))
        }
    }
}

/// SSL 2 has no alert that says no: whoever does not know it hangs up.
async fn ssl2(asker: &Asker<'_>) -> Answer {
    let hello = ssl2_hello(table::suites(Version::Ssl2));
    let answer = match asker.send(&hello).await {
        Err(trouble) if asker.is_worth_another(&trouble) => asker.send(&hello).await,
        answer => answer,
    };
    match answer {
        Ok(Flight { ssl2: Some(Some(hello)), .. }) if !hello.suites.is_empty() => {
            let preference = Fact::Known(Preference::Client);
            Answer::Told(Fact::Known(Spoken { suites: hello.suites, preference }))
        }
        Ok(_) => Answer::Told(Fact::Known(Spoken::refused())),
        Err(trouble) => trouble.into(),
    }
}

impl From<Trouble> for Answer {
    fn from(trouble: Trouble) -> Answer {
        match trouble.is_hang_up() {
            true => Answer::HungUp(trouble),
            false => Answer::Told(Fact::unknown(trouble.to_string())),
        }
    }
}

/// The groups of TLS 1.3, and then those that only the newest of the older versions has.
async fn all_groups(asker: &Asker<'_>, versions: &BTreeMap<Version, Fact<Spoken>>, newest: Groups) -> Groups {
    let Fact::Known(mut found) = newest.found else { return newest };
    for version in [Version::Tls12, Version::Tls11, Version::Tls10] {
        let spoken = match versions.get(&version) {
            Some(Fact::Known(spoken)) => spoken,
            _ => return Groups::unknown(&format!("{version} could not be asked")),
        };
        let with_groups: Vec<Suite> =
            spoken.suites.iter().copied().filter(|suite| suite.to_string().contains("_ECDHE_")).collect();
        if with_groups.is_empty() {
            continue;
        }
        let manner = if asker.seen().takes_large { Manner::Whole } else { Manner::Careful };
        let chain = Chain { asker, version, manner };
        let seen = asker.seen().curves.clone();
        let older = chain.groups_of(&with_groups, &found, seen).await;
        let Fact::Known(more) = older.found else { return older };
        let preference = if found.is_empty() { older.preference } else { newest.preference };
        found.extend(more);
        let primes = std::mem::take(&mut asker.seen().ffdhe);
        let others: Vec<Group> = primes.into_iter().filter(|group| !found.contains(group)).collect();
        found.extend(others);
        return Groups { found: Fact::Known(found), preference };
    }
    Groups { found: Fact::Known(found), preference: newest.preference }
}

impl Spoken {
    /// The version is not spoken.
    fn refused() -> Spoken {
        Spoken { suites: Vec::new(), preference: Fact::skipped("the version is refused") }
    }
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
            smallest_prime: Fact::skipped(why),
            chains: Vec::new(),
            not_tls: None,
        }
    }
}
