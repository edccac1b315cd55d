//! Versions at whose hellos a server hangs up, as many do instead of saying that they do not speak them.
//!
//! Refuses to believe a hang-up by itself: a server that is dying, or that has had enough, hangs up too.

use std::collections::BTreeMap;

use super::ask::{Asker, Trouble};
use super::chain::{Chain, Manner, Reply};
use super::{Spoken, table};
use crate::tls::fact::Fact;
use crate::tls::hello::ssl2_hello;
use crate::tls::registry::Version;

/// What came of the questions about one version.
pub(super) enum Answer {
    /// This is how it is spoken, or why that is not known.
    Told(Fact<Spoken>),
    /// All was refused at once, which may have been too many.
    Doubtful,
    /// The server hung up.
    HungUp(Trouble),
}

/// A version is refused where the server hangs up at it once more, and speaks another one right before and right after
/// that.
pub(super) async fn settle(
    asker: &Asker<'_>,
    answers: BTreeMap<Version, Answer>,
) -> BTreeMap<Version, Fact<Spoken>> {
    let (mut versions, mut hung_up) = (BTreeMap::new(), Vec::new());
    for (version, answer) in answers {
        let spoken = match answer {
            Answer::Told(spoken) => spoken,
            // It understands such a hello, or has refused a small one, too.
            Answer::Doubtful => Fact::Known(Spoken::refused()),
            Answer::HungUp(trouble) => {
                hung_up.push(version);
                Fact::unknown(trouble.to_string())
            }
        };
        versions.insert(version, spoken);
    }
    if hung_up.is_empty() || !still_speaks(asker, &versions).await {
        return versions;
    }
    let mut refused = Vec::new();
    for version in hung_up {
        if hangs_up_again(asker, version).await {
            refused.push(version);
        }
    }
    if !refused.is_empty() && still_speaks(asker, &versions).await {
        versions.extend(refused.into_iter().map(|version| (version, Fact::Known(Spoken::refused()))));
    }
    versions
}

/// Whether the newest version that is known to be spoken still is.
async fn still_speaks(asker: &Asker<'_>, versions: &BTreeMap<Version, Fact<Spoken>>) -> bool {
    let newest_first = versions.range(Version::Ssl3..).rev();
    let mut known = newest_first.filter_map(|(version, fact)| Some((*version, fact.known()?)));
    let Some((version, spoken)) = known.find(|(_, spoken)| !spoken.suites.is_empty()) else {
        return false;
    };
    let suites = &spoken.suites[..spoken.suites.len().min(table::SMALL)];
    let chain = Chain { asker, version, manner: Manner::Careful };
    matches!(chain.ask(suites, chain.groups()).await, Ok(Reply::Chosen(..)))
}

async fn hangs_up_again(asker: &Asker<'_>, version: Version) -> bool {
    let suites = table::suites(version);
    let trouble = if version == Version::Ssl2 {
        asker.send(&ssl2_hello(suites)).await.err()
    } else {
        let chain = Chain { asker, version, manner: Manner::Careful };
        chain.ask(&suites[..suites.len().min(table::SMALL)], chain.groups()).await.err()
    };
    trouble.is_some_and(|trouble| trouble.is_hang_up())
}
