//! Servers that keep to no standard: what decides nothing is unknown, and costs little.

use std::time::Duration;

use super::server::{Act, Model, ask, dial, refuse};
use super::*;
use crate::tls::hello::heard;

fn usual() -> Model {
    let versions: &[(Version, &[u32])] = &[
        (Version::Tls10, &[0xc014, RSA]),
        (Version::Tls12, &[GCM, RSA, 0xc05c]),
        (Version::Tls13, &[0x1301, 0x1302]),
    ];
    Model::new(versions, &[29, 23], true)
}

fn why<T: std::fmt::Debug>(fact: &Fact<T>) -> &str {
    match fact {
        Fact::Unknown { unknown } => unknown,
        other => panic!("{other:?} should be unknown"),
    }
}

fn all_unknown(protocol: &Protocol, text: &str) {
    for (version, spoken) in &protocol.versions {
        assert!(why(spoken).contains(text), "{version}: {spoken:?}");
    }
    assert!(why(&protocol.groups).contains(text), "{:?}", protocol.groups);
    let facts = [&protocol.secure_renegotiation, &protocol.compression, &protocol.extended_master_secret];
    facts.iter().for_each(|fact| assert!(why(fact).contains(text), "{fact:?}"));
    why(&protocol.fallback_scsv);
    why(&protocol.smallest_prime);
}

#[tokio::test]
async fn what_is_not_tls_is_named_after_one_connection() {
    for (greeting, name) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "HTTP"),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n", "SSH"),
        (b"\x01\x02", "something that is not TLS"),
    ] {
        let (protocol, count) = ask(move |_, _| Act::Say(greeting.to_vec())).await;
        assert_eq!((protocol.not_tls.as_deref(), count), (Some(name), 1));
        all_unknown(&protocol, &format!("{name} was spoken"));
    }
}

#[tokio::test]
async fn a_silent_server_costs_each_version_one_time_out() {
    let (protocol, count) = ask(|_, _| Act::Stall).await;
    all_unknown(&protocol, "no answer within 2s");
    assert_eq!((protocol.not_tls, count), (None, 6));
}

#[tokio::test]
async fn resets_and_garbage_decide_nothing() {
    let half = server::flight(Version::Tls12, Suite(GCM), Some(Group(29)))[..40].to_vec();
    let huge =
        [heard::server_hello(Version::Tls12, Suite(GCM), None, &[]), vec![11, 0xff, 0xff, 0xff]].concat();
    let huge = heard::record(22, &huge);
    let foreign = server::flight(Version::Ssl3, Suite(0x4a4a), None);
    let cases = [
        ("reset", None),
        ("closed", Some(Vec::new())),
        ("closed", Some(half)),
        ("oversized record", Some(vec![22, 3, 3, 0xff, 0xff, 1])),
        ("16777215 bytes", Some(huge)),
    ];
    for (text, answer) in cases {
        let (protocol, count) = ask(move |_, _| answer.clone().map_or(Act::Reset, Act::Say)).await;
        all_unknown(&protocol, text);
        assert!(count <= 13, "{text}: {count} connections");
    }
    let (protocol, _) = ask(move |_, _| Act::Say(foreign.clone())).await;
    assert!(why(&protocol.versions[&Version::Ssl3]).contains("0x4a4a, which was not offered"));
}

#[tokio::test]
async fn one_reset_is_forgiven() {
    for unlucky in 0..20 {
        let model = usual();
        let (protocol, _) = ask(move |number, heard| match number == unlucky {
            true => Act::Reset,
            false => model.answer(heard),
        })
        .await;
        assert_eq!(suites(&protocol, Version::Tls12), [GCM, RSA, 0xc05c], "reset {unlucky}");
        assert_eq!(suites(&protocol, Version::Tls10), [0xc014, RSA], "reset {unlucky}");
        assert_eq!(suites(&protocol, Version::Ssl3), [0; 0], "reset {unlucky}");
        assert_eq!(protocol.groups, Fact::Known([29, 23].map(Group).to_vec()), "reset {unlucky}");
    }
}

#[tokio::test]
async fn who_hangs_up_with_nothing_in_common_is_believed_after_a_control() {
    for act in [|| Act::Reset, || Act::Say(Vec::new())] {
        let model = usual();
        let (protocol, _) = ask(move |_, heard| match (heard.version, model.answer(heard)) {
            (Version::Tls12, Act::Say(bytes)) if bytes[0] == 21 => act(),
            (_, answer) => answer,
        })
        .await;
        assert_eq!(suites(&protocol, Version::Tls12), [GCM, RSA, 0xc05c]);
    }
}

#[tokio::test]
async fn a_chain_that_breaks_off_is_unknown_and_the_others_are_not() {
    let model = usual();
    let (protocol, count) = ask(move |_, heard| {
        let is_first = heard.suites.contains(&Suite(GCM));
        if heard.version == Version::Tls12 && !is_first { Act::Stall } else { model.answer(heard) }
    })
    .await;
    assert!(why(&protocol.versions[&Version::Tls12]).contains("no answer"));
    assert_eq!(suites(&protocol, Version::Tls10), [0xc014, RSA]);
    assert_eq!(suites(&protocol, Version::Tls13), [0x1301, 0x1302]);
    assert!(why(&protocol.groups).contains("TLS 1.2"), "its groups are not known");
    assert!(count < 30, "{count} connections");
}

#[tokio::test]
async fn large_hellos_are_cut_into_pieces_where_they_upset() {
    let acts: [fn() -> Act; 4] = [|| Act::Reset, || refuse(40), || refuse(50), || Act::Stall];
    for act in acts {
        let model = Model { groups: [29, 23, 22].map(Group).to_vec(), ..usual() };
        let (protocol, _) = ask(move |_, heard| {
            if heard.length > 255 && heard.version != Version::Tls13 { act() } else { model.answer(heard) }
        })
        .await;
        assert_eq!(suites(&protocol, Version::Tls12), [GCM, RSA, 0xc05c], "also one that few know");
        assert_eq!(suites(&protocol, Version::Tls10), [0xc014, RSA]);
        assert_eq!(suites(&protocol, Version::Ssl3), [0; 0]);
        assert_eq!(spoken(&protocol, Version::Tls12).preference, Fact::Known(Preference::Server));
        assert_eq!(protocol.groups, Fact::Known([29, 23, 22].map(Group).to_vec()));
    }
}

#[tokio::test]
async fn a_server_that_wants_a_key_gets_one() {
    let model = Model::new(&[(Version::Tls13, &[0x1301, 0x1302])], &[0x11ec, 23, 0x0100, 26], true);
    for retries in [true, false] {
        let model = model.clone();
        let (protocol, _) = ask(move |_, heard| {
            // Without retry requests, only groups count whose keys are there.
            let groups = if retries { heard.groups.clone() } else { heard.keys.clone() };
            let heard = &heard::Heard { groups, ..heard.clone() };
            if heard.version == Version::Tls13 && heard.keys.is_empty() {
                refuse(47)
            } else {
                model.answer(heard)
            }
        })
        .await;
        assert_eq!(suites(&protocol, Version::Tls13), [0x1301, 0x1302]);
        let groups = if retries { &[0x11ec, 23, 0x0100, 26][..] } else { &[0x11ec, 23, 0x0100] };
        let groups: Vec<Group> = groups.iter().copied().map(Group).collect();
        assert_eq!(protocol.groups, Fact::Known(groups), "retry requests: {retries}");
        assert_eq!(protocol.group_preference, Fact::Known(Preference::Server));
    }
}

#[tokio::test]
async fn a_server_that_wants_to_hear_a_protocol_does() {
    const ALPN: u16 = 16;
    let model = usual();
    let (protocol, count) = ask(move |_, heard| match heard.version >= Version::Tls10 {
        true if !heard.extensions.contains(&ALPN) => refuse(120),
        _ => model.answer(heard),
    })
    .await;
    assert_eq!(suites(&protocol, Version::Tls13), [0x1301, 0x1302]);
    assert_eq!(suites(&protocol, Version::Tls12), [GCM, RSA, 0xc05c]);
    assert_eq!(suites(&protocol, Version::Tls11), [0; 0]);
    assert_eq!(
        (&protocol.groups, protocol.fallback_scsv),
        (&Fact::Known([29, 23].map(Group).to_vec()), Fact::Known(true))
    );
    let model = usual();
    let (_, usually) = ask(move |_, heard| model.answer(heard)).await;
    assert_eq!(count, usually + 1, "it is told so once");
    let (protocol, _) = ask(|_, _| refuse(120)).await;
    assert!(why(&protocol.versions[&Version::Tls12]).contains("alert 120"));
}

/// Without a word, or with a reset.
const HANGS_UP: [fn() -> Act; 2] = [|| Act::Say(Vec::new()), || Act::Reset];

#[tokio::test]
async fn who_hangs_up_at_a_version_and_speaks_others_does_not_speak_it() {
    let cases: [(&[Version], &[u16]); 3] = [
        (&[Version::Tls12, Version::Tls13], &[29, 23]),
        (&[Version::Tls12], &[29, 23]),
        (&[Version::Tls13], &[29]),
    ];
    for (versions, groups) in cases {
        for act in HANGS_UP {
            let all: Vec<_> =
                usual().versions.into_iter().filter(|(version, _)| versions.contains(version)).collect();
            let model = Model { versions: all.into_iter().collect(), ..Model::new(&[], groups, true) };
            let (expected, highest) = (model.versions.clone(), versions[versions.len() - 1]);
            let (protocol, count) = ask(move |_, heard| match model.versions.contains_key(&heard.version) {
                true => model.answer(heard),
                false => act(),
            })
            .await;
            for version in Version::ALL {
                let expected = expected.get(&version).cloned().unwrap_or_default();
                assert_eq!(spoken(&protocol, version).suites, expected, "{version}, up to {highest}");
            }
            assert_eq!(protocol.groups, Fact::Known(groups.iter().copied().map(Group).collect()));
            assert!(count <= 40, "{count} connections");
        }
    }
}

/// Whenever that begins, and for however long it lasts: what is spoken is never called refused.
#[tokio::test]
async fn a_server_that_dies_or_starts_again_does_not_refuse_what_it_speaks() {
    for began in 0..30 {
        for ended in [began + 6, began + 13, usize::MAX] {
            let model = usual();
            let (protocol, _) = ask(move |number, heard| match (began..ended).contains(&number) {
                true => Act::Reset,
                false => model.answer(heard),
            })
            .await;
            for version in [Version::Tls10, Version::Tls12, Version::Tls13] {
                let fact = &protocol.versions[&version];
                let is_refused = fact.known().is_some_and(|spoken| spoken.suites.is_empty());
                assert!(!is_refused, "{version} is, from {began} to {ended}");
            }
        }
    }
}

#[tokio::test]
async fn who_hangs_up_at_everything_but_alerts_speaks_nothing_known() {
    let (protocol, _) = ask(|_, heard| match heard.version {
        Version::Tls13 => refuse(70),
        _ => Act::Reset,
    })
    .await;
    for version in [Version::Ssl2, Version::Ssl3, Version::Tls12] {
        assert!(why(&protocol.versions[&version]).contains("reset"), "{protocol:?}");
    }
}

#[tokio::test]
async fn a_name_or_a_client_that_is_turned_away_is_no_answer() {
    for number in [112, 49] {
        let (protocol, _) = ask(move |_, _| refuse(number)).await;
        assert!(why(&protocol.versions[&Version::Tls12]).contains(&format!("alert {number}")));
        assert!(why(&protocol.groups).contains(&format!("alert {number}")));
    }
}

#[tokio::test]
async fn a_dead_server_is_left_alone_after_two_connections() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").and_then(|dead| dead.local_addr()).unwrap();
    let dial = dial(address, Duration::from_secs(2));
    all_unknown(&enumerate(&dial, None).await, "refused");
    assert_eq!(dial.opened(), 2);
}

#[tokio::test]
async fn a_server_that_stops_accepting_is_left_alone() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dial = dial(listener.local_addr().unwrap(), Duration::from_secs(2));
    let server = tokio::spawn(async move {
        for _ in 0..8 {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(server::serve(
                stream,
                0,
                std::sync::Arc::new(|_, heard: &heard::Heard| usual().answer(heard)),
            ));
        }
    });
    let protocol = enumerate(&dial, None).await;
    server.await.unwrap();
    assert!(why(&protocol.versions[&Version::Tls12]).contains("refused"), "{protocol:?}");
    assert!(dial.opened() < 20, "{} connections", dial.opened());
}

/// Many suites, each of them just in time.
#[tokio::test]
async fn a_server_that_is_slow_with_each_suite_is_given_up() {
    let suites = Suite::all().filter(|suite| suite.0 < 0xc100 && suite.to_string().contains("_RSA_"));
    let suites: Vec<Suite> = suites.filter(|suite| !suite.to_string().starts_with("TLS_SRP_")).collect();
    let (count, model) = (suites.len(), Model { versions: [(Version::Tls12, suites)].into(), ..usual() });
    let timeout = Duration::from_millis(100);
    let (protocol, connections) = server::ask_within(timeout, move |_, heard| match model.answer(heard) {
        Act::Say(answer) => Act::SayLate(answer, Duration::from_millis(40)),
        other => other,
    })
    .await;
    why(&protocol.versions[&Version::Tls12]);
    assert!(connections < count, "{connections} connections for {count} suites");
}
