//! Servers that keep to the standards: all that they speak is found, with no connection too many.

mod odd;
mod server;

use proptest::prelude::*;

use self::server::{Model, ask};
use super::*;

const GCM: u32 = 0xc02f;
const CHACHA: u32 = 0xcca8;
const DHE: u32 = 0x0033;
const RSA: u32 = 0x002f;
const RC4: u32 = 0x0005;

fn spoken(protocol: &Protocol, version: Version) -> &Spoken {
    match &protocol.versions[&version] {
        Fact::Known(spoken) => spoken,
        other => panic!("{version}: {other:?}"),
    }
}

fn suites(protocol: &Protocol, version: Version) -> Vec<u32> {
    spoken(protocol, version).suites.iter().map(|suite| suite.0).collect()
}

async fn ask_model(model: &Model) -> (Protocol, usize) {
    let model = model.clone();
    ask(move |_, heard| {
        assert!(heard.version == Version::Ssl2 || heard.version == Version::Ssl3 || heard.name.is_some());
        model.answer(heard)
    })
    .await
}

#[tokio::test]
async fn a_modern_server_is_known_after_few_connections() {
    let versions: &[(Version, &[u32])] =
        &[(Version::Tls12, &[GCM, DHE]), (Version::Tls13, &[0x1301, 0x1302, 0x1303])];
    let (protocol, count) = ask_model(&Model::new(versions, &[0x11ec, 29, 23], true)).await;
    assert_eq!(suites(&protocol, Version::Tls13), [0x1301, 0x1302, 0x1303]);
    assert_eq!(suites(&protocol, Version::Tls12), [GCM, DHE]);
    assert_eq!(spoken(&protocol, Version::Tls13).preference, Fact::Known(Preference::Server));
    for version in [Version::Ssl2, Version::Ssl3, Version::Tls10, Version::Tls11] {
        assert_eq!(suites(&protocol, version), [0; 0], "{version}");
    }
    assert_eq!(protocol.groups, Fact::Known([0x11ec, 29, 23].map(Group).to_vec()));
    assert_eq!(protocol.group_preference, Fact::Known(Preference::Server));
    assert_eq!(protocol.secure_renegotiation, Fact::Known(true));
    assert_eq!(protocol.extended_master_secret, Fact::Known(true));
    assert_eq!(protocol.compression, Fact::Known(false));
    assert_eq!(protocol.fallback_scsv, Fact::Known(true));
    assert_eq!(protocol.smallest_prime, Fact::Known(1024));
    assert_eq!(protocol.chains, [[b"leaf"]]);
    // Suites, one refusal, the order turned round; groups likewise, but the first; groups of TLS 1.2 that TLS 1.3 has
    // not; the fallback; versions that are refused.
    assert_eq!(count, (3 + 1 + 1) + (2 + 1 + 1) + (2 + 1 + 1) + 1 + 1 + 4);
}

#[tokio::test]
async fn the_order_is_the_clients_where_the_server_has_none() {
    let versions: &[(Version, &[u32])] = &[(Version::Tls12, &[RSA, CHACHA, GCM])];
    for (prefers, expected) in [(true, Preference::Server), (false, Preference::Client)] {
        let (protocol, _) = ask_model(&Model::new(versions, &[23, 29], prefers)).await;
        assert_eq!(spoken(&protocol, Version::Tls12).preference, Fact::Known(expected));
        assert_eq!(protocol.group_preference, Fact::Known(expected));
        let groups = if prefers { [23, 29] } else { [29, 23] };
        assert_eq!(protocol.groups, Fact::Known(groups.map(Group).to_vec()));
    }
    let (protocol, _) = ask_model(&Model::new(&[(Version::Tls12, &[RSA])], &[], true)).await;
    assert!(matches!(spoken(&protocol, Version::Tls12).preference, Fact::Skipped { .. }));
    assert_eq!(protocol.groups, Fact::Known(Vec::new()));
    assert!(matches!(protocol.fallback_scsv, Fact::Skipped { .. }), "there is nothing to fall back to");
}

#[tokio::test]
async fn the_oldest_versions_are_found() {
    let versions: &[(Version, &[u32])] =
        &[(Version::Ssl2, &[0x01_0080, 0x07_00c0]), (Version::Ssl3, &[RC4, RSA])];
    let (protocol, count) = ask_model(&Model::new(versions, &[], true)).await;
    assert_eq!(suites(&protocol, Version::Ssl2), [0x01_0080, 0x07_00c0]);
    assert_eq!(suites(&protocol, Version::Ssl3), [RC4, RSA]);
    assert_eq!(protocol.secure_renegotiation, Fact::Known(false));
    assert!(matches!(protocol.extended_master_secret, Fact::Skipped { .. }), "SSL 3 has no extensions");
    let mut leaves: Vec<_> = protocol.chains.iter().map(|chain| &chain[0][..]).collect();
    leaves.sort_unstable();
    assert_eq!(leaves, [&b"certificate"[..], b"leaf"]);
    assert_eq!(count, 1 + (2 + 1 + 1) + 4, "SSL 2 says all at once; TLS 1.0 to 1.3 are answered with SSL 3");
}

#[tokio::test]
async fn an_ecdsa_server_that_needs_the_curve_of_its_certificate_shows_its_groups() {
    let model = Model::new(&[(Version::Tls12, &[0xc02b])], &[23, 24], false);
    let (protocol, _) = ask(move |_, heard| {
        let has_own = heard.groups.contains(&Group(23));
        if has_own || heard.version != Version::Tls12 { model.answer(heard) } else { server::refuse(40) }
    })
    .await;
    assert_eq!(protocol.groups, Fact::Known([23, 24].map(Group).to_vec()));
}

fn models() -> impl Strategy<Value = Model> {
    let old = vec![GCM, CHACHA, DHE, RSA, RC4, 0xc014, 0x0039, 0x0000_0096, 0xc09d, 0x0018];
    let suites = |all: Vec<u32>| prop::sample::subsequence(all.clone(), 0..all.len()).prop_shuffle();
    let groups = vec![0x11ec_u16, 29, 23, 24, 30, 0x100, 22];
    let groups = prop::sample::subsequence(groups, 1..7).prop_shuffle();
    let old = (suites(old.clone()), suites(old.clone()), suites(old));
    (old, suites(vec![0x1301, 0x1302, 0x1303, 0x1305]), groups, any::<bool>()).prop_map(
        |((ssl3, tls10, tls12), tls13, groups, prefers)| {
            let all = [
                (Version::Ssl3, &ssl3[..]),
                (Version::Tls10, &tls10),
                (Version::Tls12, &tls12),
                (Version::Tls13, &tls13),
            ];
            let versions: Vec<_> = all.into_iter().filter(|(_, suites)| !suites.is_empty()).collect();
            Model::new(&versions, &groups, prefers)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn what_is_spoken_is_found_and_nothing_else(model in models()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (protocol, count) = runtime.block_on(ask_model(&model));
        let sorted = |mut list: Vec<Suite>| { list.sort_unstable(); list };
        let mut bound = 1 + 1 + 2 * (model.groups.len() + 2);
        for version in Version::ALL {
            let found = spoken(&protocol, version);
            let there = model.versions.get(&version).cloned().unwrap_or_default();
            prop_assert_eq!(sorted(found.suites.clone()), sorted(there.clone()), "{}", version);
            if there.len() > 1 && model.prefers {
                prop_assert_eq!(&found.suites, &there);
                prop_assert_eq!(&found.preference, &Fact::Known(Preference::Server));
            }
            // A doubtful refusal is asked about once more.
            bound += if there.is_empty() { 2 } else { there.len() + 2 };
        }
        prop_assert!(count <= bound, "{} connections, at most {}", count, bound);
    }
}
