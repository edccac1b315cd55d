//! What is offered, and in which order. Suites of SRP are left out: a server turns away whoever offers them without a
//! user that it knows, whatever else is offered.

use std::sync::LazyLock;

use super::chain::Manner;
use crate::tls::hello::share;
use crate::tls::registry::{Group, Suite, Version};

/// As many suites go into a small hello, so that it stays below 256 bytes: some servers hang at 256 to 511.
pub(super) const SMALL: usize = 48;

/// Likewise groups, beside some suites.
const SMALL_GROUPS: usize = 20;

/// Likewise groups of which each comes with a key; keys are long.
const KEYED_GROUPS: usize = 4;

/// The keys that nearly every client of TLS 1.3 has one of: X25519, P-256, P-384.
pub(super) const USUAL_KEYS: [Group; 3] = [Group(29), Group(23), Group(24)];

/// RFC 7507: this is a second try with an older version.
pub(super) const FALLBACK_SCSV: Suite = Suite(0x5600);
const RENEGOTIATION_SCSV: u32 = 0x00ff;
const NULL_WITH_NULL: u32 = 0x0000;

/// Suites of TLS 1.3; those of SM are offered with it too.
const TLS13: [u32; 7] = [0x1302, 0x1301, 0x1303, 0x1304, 0x1305, 0x00c6, 0x00c7];

/// Those that most servers have one of, so that one small hello tells whether a version is spoken at all.
const COMMON: [u32; 32] = [
    0xc02c, 0xc030, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0x009f, 0x009e, 0xccaa, 0xc024, 0xc028, 0xc023, 0xc027,
    0xc00a, 0xc014, 0xc009, 0xc013, 0x006b, 0x0067, 0x0039, 0x0033, 0x009d, 0x009c, 0x003d, 0x003c, 0x0035,
    0x002f, 0x000a, 0xc012, 0x0016, 0x0005, 0x0004,
];

/// Likewise; ML-KEM first, as those who have it prefer it.
const COMMON_GROUPS: [u16; 8] = [0x11ec, 29, 23, 24, 25, 30, 0x11eb, 0x11ed];

static NEW: LazyLock<Vec<Suite>> = LazyLock::new(|| TLS13.map(Suite).to_vec());

static OLD: LazyLock<Vec<Suite>> = LazyLock::new(|| {
    let signals = [RENEGOTIATION_SCSV, FALLBACK_SCSV.0, NULL_WITH_NULL];
    let is_old =
        |suite: &Suite| suite.0 <= 0xffff && !signals.contains(&suite.0) && !TLS13.contains(&suite.0);
    let others = Suite::all().filter(is_old).filter(|suite| !COMMON.contains(&suite.0));
    let others = others.filter(|suite| !suite.to_string().starts_with("TLS_SRP_"));
    COMMON.map(Suite).into_iter().chain(others).collect()
});

static SSL2: LazyLock<Vec<Suite>> = LazyLock::new(|| Suite::all().filter(|suite| suite.0 > 0xffff).collect());

static GROUPS: LazyLock<Vec<Group>> = LazyLock::new(|| {
    let others = Group::all().filter(|group| !COMMON_GROUPS.contains(&group.0));
    let (keyed, others): (Vec<_>, Vec<_>) = others.partition(|group| share::key(*group).is_some());
    COMMON_GROUPS.map(Group).into_iter().chain(keyed).chain(others).collect()
});

/// Every suite that a version could have, the common ones first.
pub(super) fn suites(version: Version) -> &'static [Suite] {
    match version {
        Version::Ssl2 => &SSL2,
        Version::Tls13 => &NEW,
        _ => &OLD,
    }
}

/// Every group, the common ones first.
pub(super) fn groups() -> &'static [Group] {
    &GROUPS
}

/// Every group, in pieces of which each fits into a hello of this manner. In the last of them may be those of which no
/// key is known here.
pub(super) fn pieces(manner: Manner) -> impl Iterator<Item = &'static [Group]> {
    let (size, rest) = match manner {
        Manner::Whole => (GROUPS.len(), &[][..]),
        Manner::Careful => (SMALL_GROUPS, &[][..]),
        Manner::Keyed => {
            let keyed = GROUPS.partition_point(|group| share::key(*group).is_some());
            (KEYED_GROUPS, &GROUPS[keyed..])
        }
    };
    let whole = &GROUPS[..GROUPS.len() - rest.len()];
    whole.chunks(size).chain(std::iter::once(rest).filter(|rest| !rest.is_empty()))
}

/// The groups of a small hello.
pub(super) fn common_groups() -> &'static [Group] {
    &GROUPS[..COMMON_GROUPS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_has_a_name_is_offered_once() {
        let old = suites(Version::Tls12);
        let left_out = Suite::all().filter(|suite| suite.0 <= 0xffff && !old.contains(suite)).count();
        // NULL_WITH_NULL, a signalling value, TLS 1.3 and SRP.
        assert_eq!(left_out, 1 + 1 + TLS13.len() + 9);
        assert_eq!(old.iter().collect::<std::collections::HashSet<_>>().len(), old.len());
        assert!(COMMON.map(Suite).iter().all(|suite| !suite.to_string().starts_with("0x")));
        assert_eq!(groups().len(), Group::all().count());
        assert_eq!(suites(Version::Ssl2).len(), 10);
        for manner in [Manner::Whole, Manner::Careful, Manner::Keyed] {
            assert_eq!(pieces(manner).flatten().collect::<Vec<_>>(), groups().iter().collect::<Vec<_>>());
        }
        let is_keyed = |piece: &[Group]| piece.iter().all(|group| share::key(*group).is_some());
        let (last, others): (_, Vec<_>) = (pieces(Manner::Keyed).last(), pieces(Manner::Keyed).collect());
        assert!(others[..others.len() - 1].iter().all(|piece| piece.len() <= 4 && is_keyed(piece)));
        assert!(last.is_some_and(|last| last.iter().all(|group| share::key(*group).is_none())));
    }
}
