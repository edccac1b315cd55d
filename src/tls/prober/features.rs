//! What hellos of TLS 1.2 and older say beside the suite, and what they say to a needless fallback.

use std::collections::BTreeMap;

use super::ask::{Asker, Seen};
use super::{Spoken, table};
use crate::tls::fact::Fact;
use crate::tls::hello::{ClientHello, ServerHello, alert};
use crate::tls::registry::Version;

type Versions = BTreeMap<Version, Fact<Spoken>>;

/// Every version says that it renegotiates safely.
pub(super) fn secure_renegotiation(seen: &Seen, versions: &Versions) -> Fact<bool> {
    about(Version::Ssl3, seen, versions, |hellos| hellos.iter().all(|hello| hello.renegotiates_safely))
}

/// Any version would compress.
pub(super) fn compression(seen: &Seen, versions: &Versions) -> Fact<bool> {
    about(Version::Ssl3, seen, versions, |hellos| hellos.iter().any(|hello| hello.compresses))
}

/// Every version extends the master secret; SSL 3 has no extensions.
pub(super) fn extended_master_secret(seen: &Seen, versions: &Versions) -> Fact<bool> {
    about(Version::Tls10, seen, versions, |hellos| hellos.iter().all(|hello| hello.extends_master_secret))
}

/// The smallest prime, where any suite that was chosen has one.
pub(super) fn smallest_prime(seen: &Seen, versions: &Versions) -> Fact<u32> {
    match (seen.smallest_prime, unasked(versions.range(Version::Ssl3..Version::Tls13))) {
        (Some(bits), _) => Fact::Known(bits),
        (None, Some(why)) => Fact::unknown(why),
        (None, None) => Fact::skipped("no suite exchanges keys over a prime"),
    }
}

fn about(
    oldest: Version,
    seen: &Seen,
    versions: &Versions,
    judge: impl Fn(&[&ServerHello]) -> bool,
) -> Fact<bool> {
    let hellos: Vec<_> = seen.hellos.iter().filter(|hello| hello.version >= oldest).collect();
    match (hellos.is_empty(), unasked(versions.range(oldest..Version::Tls13))) {
        (false, _) => Fact::Known(judge(&hellos)),
        (true, Some(why)) => Fact::unknown(why),
        (true, None) => Fact::skipped(format!("of {oldest} to TLS 1.2 only")),
    }
}

/// Why one of these versions is not known.
fn unasked<'a>(mut versions: impl Iterator<Item = (&'a Version, &'a Fact<Spoken>)>) -> Option<String> {
    versions.find_map(|(version, spoken)| match spoken {
        Fact::Known(_) => None,
        Fact::Unknown { unknown: why } | Fact::Skipped { skipped: why } => Some(format!("{version}: {why}")),
    })
}

/// Says that the newest version but one is a second try, which is not true.
pub(super) async fn fallback(asker: &Asker<'_>, versions: &Versions) -> Fact<bool> {
    // SSL 2 has no room for the signal.
    let newest_first = versions.range(Version::Ssl3..).rev();
    let spoken = newest_first.filter_map(|(version, spoken)| Some((*version, spoken.known()?)));
    let Some((version, spoken)) = spoken.filter(|(_, spoken)| !spoken.suites.is_empty()).nth(1) else {
        return unasked(versions.range(Version::Ssl3..))
            .map_or_else(|| Fact::skipped("there is no older version to fall back to"), Fact::unknown);
    };
    let mut suites = spoken.suites.clone();
    suites.push(table::FALLBACK_SCSV);
    let hello = ClientHello {
        version,
        suites: &suites,
        groups: table::common_groups(),
        keys: &[],
        protocols: &[],
        name: asker.name,
        is_small: true,
    };
    match asker.ask_twice(hello).await {
        Ok(flight) if flight.alert == Some(alert::INAPPROPRIATE_FALLBACK) => Fact::Known(true),
        Ok(flight) if flight.chosen().is_some() => Fact::Known(false),
        Ok(flight) => Fact::unknown(format!("the server sent alert {}", flight.alert.unwrap_or_default())),
        Err(trouble) => Fact::unknown(trouble.to_string()),
    }
}
