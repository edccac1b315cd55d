//! Every rule: kept, broken, not asked for, and not found out.

mod file;

use jiff::Timestamp;

use super::*;
use crate::tls::prober::Spoken;
use crate::tls::registry::Preference;
use crate::tls::session::WithoutSni;

const GOOD_1_2: [u32; 3] = [0xc02b, 0xc02f, 0xcca8];
const GOOD_1_3: [u32; 2] = [0x1301, 0x1302];
const PQ: Group = Group(0x11ec);
const X25519: Group = Group(0x1d);
const P521: Group = Group(0x19);

fn spoken(suites: &[u32], preference: Preference) -> Fact<Spoken> {
    Fact::Known(Spoken {
        suites: suites.iter().copied().map(Suite).collect(),
        preference: Fact::Known(preference),
    })
}

/// What keeps to the intermediate guideline.
fn protocol() -> Protocol {
    let versions = Version::ALL.map(|version| {
        let suites = match version {
            Version::Tls12 => &GOOD_1_2[..],
            Version::Tls13 => &GOOD_1_3,
            _ => &[],
        };
        (version, spoken(suites, Preference::Server))
    });
    Protocol {
        versions: versions.into(),
        groups: Fact::Known(vec![PQ, X25519]),
        group_preference: Fact::Known(Preference::Server),
        secure_renegotiation: Fact::Known(true),
        compression: Fact::Known(false),
        smallest_prime: Fact::skipped("no finite field was agreed on"),
        extended_master_secret: Fact::Known(true),
        fallback_scsv: Fact::Known(true),
        chains: Vec::new(),
        not_tls: None,
    }
}

fn session() -> Session {
    Session {
        version: "TLSv1_3".into(),
        suite: "TLS13_AES_128_GCM_SHA256".into(),
        group: Some("X25519MLKEM768".into()),
        alpn: Some("h2".into()),
        chain: Vec::new(),
        staple: None,
        has_key: Fact::Known(true),
        asks_client_certificate: false,
        protocols: Fact::Known(vec!["h2".into(), "http/1.1".into()]),
        without_sni: Fact::Known(WithoutSni::Same),
        resumption: Fact::skipped("not of interest"),
        early_data: Fact::Known(false),
        hsts: Fact::Known(Some("max-age=63072000".into())),
    }
}

fn leaf() -> Certificate {
    Certificate {
        subject: "CN=api.example".into(),
        issuer: "CN=Example CA".into(),
        names: vec!["api.example".into()],
        names_total: 1,
        serial: "01".into(),
        not_before: "2026-11-01T00:00:00Z".into(),
        not_after: "2027-01-30T00:00:00Z".into(),
        days_left: 60,
        key: "ECDSA P-256".into(),
        signature: "ecdsa-with-SHA256".into(),
        sha256: "00".into(),
        is_authority: false,
    }
}

fn judged(policy: &Policy, protocol: &Protocol, session: &Session) -> Vec<Finding> {
    let findings = judge(policy, protocol, Some(session), &[leaf()]);
    policy.settle(&["api.example".into()], Timestamp::UNIX_EPOCH, findings)
}

fn of<'a>(findings: &'a [Finding], id: &str, subject: &str) -> &'a Finding {
    let found = findings.iter().find(|finding| finding.id == id && finding.subject == subject);
    found.unwrap_or_else(|| panic!("no {id} about {subject} in {findings:#?}"))
}

fn bad(findings: &[Finding]) -> Vec<(&str, Status)> {
    let bad = findings.iter().filter(|finding| finding.status != Status::Pass);
    bad.map(|finding| (finding.id.as_ref(), finding.status)).collect()
}

/// What comes of one change to what is good.
fn after(policy: &Policy, change: impl FnOnce(&mut Protocol, &mut Session)) -> Vec<Finding> {
    let (mut protocol, mut session) = (protocol(), session());
    change(&mut protocol, &mut session);
    judged(policy, &protocol, &session)
}

fn intermediate() -> Policy {
    Policy::default()
}

#[test]
fn what_keeps_to_the_guideline_passes() {
    let findings = judged(&intermediate(), &protocol(), &session());
    let skipped = [("kx.prime", Status::Skip), ("tls.fallback_scsv", Status::Skip)];
    assert_eq!(bad(&findings), skipped, "no finite field, nothing below TLS 1.2");
    assert!(findings.iter().all(|finding| rules::about(&finding.id).is_some()));
    assert!(findings.iter().all(|finding| finding.status != Status::Pass || finding.fix.is_empty()));
}

#[test]
fn versions_have_bounds_and_must_haves() {
    let old = after(&intermediate(), |protocol, _| {
        protocol.versions.insert(Version::Tls10, spoken(&[0xc013], Preference::Server));
    });
    let finding = of(&old, "proto.tls1_0", "TLS 1.0");
    assert_eq!(finding.status, Status::Fail);
    assert!(finding.fix.contains("ssl_protocols TLSv1.2 TLSv1.3;"), "{}", finding.fix);
    assert_eq!(
        of(&old, "suite.weak", "TLS 1.0").status,
        Status::Pass,
        "the version is bad, and says so once"
    );
    let no_1_3 = |policy: &Policy| {
        after(policy, |protocol, _| {
            protocol.versions.insert(Version::Tls13, spoken(&[], Preference::Server));
        })
    };
    assert_eq!(of(&no_1_3(&intermediate()), "proto.tls1_3", "TLS 1.3").status, Status::Warn);
    let modern = Policy::built_in("modern").unwrap();
    assert_eq!(of(&no_1_3(&modern), "proto.tls1_3", "TLS 1.3").status, Status::Fail);
    assert_eq!(of(&no_1_3(&modern), "proto.tls1_2", "TLS 1.2").status, Status::Fail);
}

#[test]
fn weak_suites_of_a_version_are_one_finding() {
    let suites = [0xc02f, 0xc014, 0x002f, 0x0035, 0x000a, 0x0005, 0xc02c];
    let findings = after(&intermediate(), |protocol, _| {
        protocol.versions.insert(Version::Tls12, spoken(&suites, Preference::Server));
    });
    let finding = of(&findings, "suite.weak", "TLS 1.2");
    assert_eq!((finding.status, finding.items.len()), (Status::Fail, 5));
    assert!(finding.actual.starts_with("5 of 7 suites: "), "{}", finding.actual);
    for part in ["1 × 3DES", "1 × RC4", "1 × CBC", "2 × no forward secrecy"] {
        assert!(finding.actual.contains(part), "{}", finding.actual);
    }
    assert_eq!(
        finding.fix,
        "leave only TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    );
    let article = Policy::built_in("article").unwrap();
    let findings = after(&article, |protocol, _| {
        protocol.versions.insert(Version::Tls12, spoken(&suites, Preference::Server));
    });
    let items = &of(&findings, "suite.weak", "TLS 1.2").items;
    assert_eq!(*items, ["TLS_RSA_WITH_3DES_EDE_CBC_SHA", "TLS_RSA_WITH_RC4_128_SHA"], "CBC is not forbidden");
    let none_good = after(&intermediate(), |protocol, _| {
        protocol.versions.insert(Version::Tls12, spoken(&[0xc014], Preference::Server));
    });
    let fix = &of(&none_good, "suite.weak", "TLS 1.2").fix;
    assert!(fix.contains("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256") && !fix.contains("TLS_AES_"), "{fix}");
}

#[test]
fn required_suites_are_missed() {
    let policy = Policy { require_suites: vec![Suite(0x1301), Suite(0x1303)], ..intermediate() };
    let finding = judged(&policy, &protocol(), &session());
    let finding = of(&finding, "suite.missing", "server");
    assert_eq!(
        (finding.status, finding.items.as_slice()),
        (Status::Fail, &["TLS_CHACHA20_POLY1305_SHA256".to_owned()][..])
    );
    let unknown = after(&policy, |protocol, _| {
        protocol.versions.insert(Version::Tls13, Fact::unknown("reset"));
    });
    assert_eq!(of(&unknown, "suite.missing", "server").status, Status::Error);
    let there = Policy { require_suites: vec![Suite(0x1301)], ..intermediate() };
    assert_eq!(of(&judged(&there, &protocol(), &session()), "suite.missing", "server").status, Status::Pass);
}

#[test]
fn groups_have_bounds_and_must_haves() {
    let findings = after(&intermediate(), |protocol, _| {
        protocol.groups = Fact::Known(vec![PQ, X25519, P521]);
    });
    let finding = of(&findings, "kx.group", "server");
    assert_eq!((finding.status, finding.items.as_slice()), (Status::Fail, &["secp521r1".to_owned()][..]));
    let policy = Policy { require_groups: vec![Group(0x18)], ..intermediate() };
    assert_eq!(of(&judged(&policy, &protocol(), &session()), "kx.missing", "server").status, Status::Fail);
    let policy = Policy { require_groups: vec![X25519], ..intermediate() };
    assert_eq!(of(&judged(&policy, &protocol(), &session()), "kx.missing", "server").status, Status::Pass);
}

#[test]
fn a_post_quantum_group_is_wished_for_or_required() {
    let without = |policy: &Policy| after(policy, |protocol, _| protocol.groups = Fact::Known(vec![X25519]));
    assert_eq!(of(&without(&intermediate()), "kx.pq", "server").status, Status::Warn);
    let strict = Policy { require_groups: vec![PQ], ..intermediate() };
    assert_eq!(of(&without(&strict), "kx.pq", "server").status, Status::Fail);
    assert!(without(&strict).iter().all(|finding| finding.id != "kx.missing"), "said once");
    let found = judged(&strict, &protocol(), &session());
    assert_eq!(of(&found, "kx.pq", "server").status, Status::Pass);
    let article = Policy::built_in("article").unwrap();
    let fix = of(&without(&article), "kx.pq", "server").fix.clone();
    assert!(fix.contains("the policy article allows no such group"), "{fix}");
}

#[test]
fn the_order_counts_where_the_policy_says_so() {
    let by_client = |protocol: &mut Protocol| {
        protocol.versions.insert(Version::Tls12, spoken(&GOOD_1_2, Preference::Client));
    };
    let article = Policy::built_in("article").unwrap();
    let found = after(&article, |protocol, _| by_client(protocol));
    assert_eq!(of(&found, "order.server", "server").items, ["TLS 1.2"]);
    assert!(after(&intermediate(), |p, _| by_client(p)).iter().all(|f| f.id != "order.server"));
    let unknown = after(&article, |protocol, _| {
        let suites = GOOD_1_2.map(Suite).to_vec();
        let spoken = Spoken { suites, preference: Fact::unknown("reset") };
        protocol.versions.insert(Version::Tls12, Fact::Known(spoken));
    });
    assert_eq!(of(&unknown, "order.server", "TLS 1.2").status, Status::Error);
    let single = after(&article, |protocol, _| {
        protocol.versions.insert(Version::Tls12, spoken(&[0xc02f], Preference::Client));
        protocol.versions.insert(Version::Tls13, spoken(&[0x1301], Preference::Client));
    });
    assert_eq!(of(&single, "order.server", "server").status, Status::Skip, "one suite has no order");
}

#[test]
fn promises_are_kept_or_not() {
    type Change = fn(&mut Protocol, Fact<bool>);
    let cases: [(&str, bool, Status, Change); 3] = [
        ("tls.compression", true, Status::Fail, |protocol, fact| protocol.compression = fact),
        ("tls.renegotiation", false, Status::Fail, |protocol, fact| protocol.secure_renegotiation = fact),
        ("tls.ems", false, Status::Warn, |protocol, fact| protocol.extended_master_secret = fact),
    ];
    for (id, value, status, change) in cases {
        for (fact, expected) in [
            (Fact::Known(value), status),
            (Fact::Known(!value), Status::Pass),
            (Fact::skipped("not asked"), Status::Skip),
            (Fact::unknown("reset"), Status::Error),
        ] {
            let findings = after(&intermediate(), |protocol, _| change(protocol, fact));
            assert_eq!(of(&findings, id, "server").status, expected, "{id}");
        }
    }
    let found = after(&intermediate(), |protocol, _| {
        protocol.versions.insert(Version::Tls11, spoken(&[0xc013], Preference::Server));
        protocol.fallback_scsv = Fact::Known(false);
    });
    assert_eq!(of(&found, "tls.fallback_scsv", "server").status, Status::Warn);
}

#[test]
fn what_was_not_found_out_is_an_error_and_what_was_not_asked_is_skipped() {
    let findings = after(&intermediate(), |protocol, session| {
        protocol.versions.insert(Version::Tls10, Fact::unknown("reset"));
        protocol.groups = Fact::unknown("silence");
        session.hsts = Fact::unknown("no HTTP");
        session.without_sni = Fact::unknown("reset");
        session.early_data = Fact::skipped("no TLS 1.3");
    });
    for (id, subject) in
        [("proto.tls1_0", "TLS 1.0"), ("kx.group", "server"), ("kx.pq", "server"), ("http.hsts", "server")]
    {
        assert_eq!(of(&findings, id, subject).status, Status::Error, "{id}");
    }
    assert_eq!(of(&findings, "tls.sni", "server").status, Status::Error);
    assert_eq!(of(&findings, "tls.early_data", "server").status, Status::Skip);
}

#[test]
fn one_connection_never_proves_that_the_policy_is_kept() {
    let skipped = Protocol::skipped("--fast");
    let findings = judged(&intermediate(), &skipped, &session());
    assert_eq!(of(&findings, "proto.enumeration", "server").status, Status::Skip);
    assert_eq!(of(&findings, "proto.tls1_3", "TLS 1.3").status, Status::Pass);
    assert_eq!(of(&findings, "kx.pq", "server").status, Status::Pass);
    assert!(findings.iter().all(|finding| finding.id != "proto.tls1_0" && finding.id != "kx.group"));
    let old = Session {
        version: "TLSv1_2".into(),
        suite: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA".into(),
        group: Some("X25519".into()),
        ..session()
    };
    let findings = judged(&intermediate(), &skipped, &old);
    assert_eq!(of(&findings, "suite.weak", "TLS 1.2").status, Status::Fail);
    assert_eq!(of(&findings, "kx.pq", "server").status, Status::Skip, "it may have one, and was not asked");
    let unknown = Version::ALL.map(|version| (version, Fact::unknown("reset"))).into();
    let silent = Protocol { versions: unknown, ..Protocol::skipped("x") };
    let findings = judged(&intermediate(), &silent, &session());
    assert_eq!(of(&findings, "proto.enumeration", "server").status, Status::Error);
}

#[test]
fn what_is_not_tls_or_not_there_is_said_once() {
    let protocol = Protocol { not_tls: Some("HTTP".into()), ..Protocol::skipped("x") };
    let findings = judge(&intermediate(), &protocol, None, &[]);
    assert_eq!(bad(&findings), [("proto.not_tls", Status::Error)]);
    assert_eq!(judge(&intermediate(), &Protocol::skipped("x"), None, &[]), []);
    let policy = Policy { require_alpn: vec!["h2".into()], ..intermediate() };
    let findings = judge(&policy, &self::protocol(), None, &[]);
    assert_eq!(of(&findings, "tls.alpn", "server").status, Status::Error, "no handshake to ask in");
    assert_eq!(of(&findings, "http.hsts", "server").status, Status::Error);
}

#[test]
fn protocols_above_are_required() {
    let policy = Policy { require_alpn: vec!["h2".into()], ..intermediate() };
    assert_eq!(of(&judged(&policy, &protocol(), &session()), "tls.alpn", "server").status, Status::Pass);
    let found = after(&policy, |_, session| session.protocols = Fact::Known(vec!["http/1.1".into()]));
    assert_eq!(of(&found, "tls.alpn", "server").status, Status::Fail);
    let chosen = after(&policy, |_, session| session.protocols = Fact::skipped("--fast"));
    assert_eq!(of(&chosen, "tls.alpn", "server").status, Status::Pass, "it was chosen");
    let neither = after(&policy, |_, session| {
        session.protocols = Fact::skipped("--fast");
        session.alpn = None;
    });
    assert_eq!(of(&neither, "tls.alpn", "server").status, Status::Skip);
}

#[test]
fn hsts_and_early_data() {
    let hsts = |header: Option<&str>| {
        let header = header.map(str::to_owned);
        let found = after(&intermediate(), |_, session| session.hsts = Fact::Known(header));
        of(&found, "http.hsts", "server").status
    };
    assert_eq!(hsts(None), Status::Warn, "the guideline's own severity");
    assert_eq!(hsts(Some("max-age=300")), Status::Warn);
    assert_eq!(hsts(Some("max-age=63072000; preload")), Status::Pass);
    let strict = Policy { severity: Default::default(), ..intermediate() };
    let found = after(&strict, |_, session| session.hsts = Fact::Known(None));
    assert_eq!(of(&found, "http.hsts", "server").status, Status::Fail);
    let early = |policy: &Policy| after(policy, |_, session| session.early_data = Fact::Known(true));
    assert_eq!(of(&early(&intermediate()), "tls.early_data", "server").status, Status::Warn);
    let allowed = Policy { early_data: true, ..intermediate() };
    assert_eq!(of(&early(&allowed), "tls.early_data", "server").status, Status::Pass);
}

#[test]
fn the_leaf_is_of_an_allowed_kind() {
    let judged = |policy: &Policy, leaf: Certificate| judge_certificates(policy, &[leaf]);
    let modern = Policy::built_in("modern").unwrap();
    let rsa = Certificate { key: "RSA 2048".into(), signature: "sha256WithRSAEncryption".into(), ..leaf() };
    assert_eq!(bad(&judged(&intermediate(), rsa.clone())), []);
    let found = judged(&modern, rsa);
    assert_eq!(bad(&found), [("cert.kind", Status::Fail), ("cert.signature_kind", Status::Fail)]);
    let small = Certificate { key: "RSA 1024".into(), ..leaf() };
    assert_eq!(bad(&judged(&intermediate(), small)), [("cert.kind", Status::Fail)]);
    let long = Certificate { not_after: "2028-01-01T00:00:00Z".into(), ..leaf() };
    assert_eq!(bad(&judged(&intermediate(), long)), [("cert.max_lifetime", Status::Fail)]);
    let unread = Certificate { not_after: "soon".into(), ..leaf() };
    assert_eq!(bad(&judged(&intermediate(), unread)), [("cert.max_lifetime", Status::Error)]);
    assert_eq!(judge_certificates(&intermediate(), &[]), []);
}

const WAIVED: &str = "base = \"intermediate\"\n[[waive]]\nid = \"kx.*\"\ntarget = \"*.example\"\n\
                      reason = \"OPS-1\"\nuntil = \"2026-12-31\"\n";

#[test]
fn a_waiver_holds_for_its_rule_its_target_and_its_time() {
    let policy = Policy::parse(WAIVED, "p.toml").unwrap();
    let weak = Protocol { groups: Fact::Known(vec![P521]), compression: Fact::Known(true), ..protocol() };
    let settled = |name: &str, at: &str| {
        let findings = judge(&policy, &weak, Some(&session()), &[]);
        policy.settle(&[name.to_owned()], at.parse().unwrap(), findings)
    };
    let held = settled("api.example", "2026-12-31T23:59:59Z");
    for id in ["kx.group", "kx.pq"] {
        assert_eq!(of(&held, id, "server").waived.as_deref(), Some("OPS-1, until 2026-12-31"), "{id}");
    }
    assert_eq!(of(&held, "tls.compression", "server").waived, None, "another rule");
    let elsewhere = settled("api.example.org", "2026-12-31T23:59:59Z");
    assert_eq!(of(&elsewhere, "kx.group", "server").waived, None);
    let ended = settled("api.example", "2027-01-01T00:00:00Z");
    assert_eq!(of(&ended, "kx.group", "server").waived, None, "it counts again");
    assert_eq!(of(&ended, "policy.waiver", "kx.*").status, Status::Warn);
}

#[test]
fn nothing_that_could_not_be_tested_is_waived() {
    let policy = Policy::parse(&WAIVED.replace("kx.*", "*"), "p.toml").unwrap();
    let findings = after(&policy, |protocol, _| protocol.groups = Fact::unknown("reset"));
    assert_eq!(of(&findings, "kx.group", "server").waived, None);
}

#[test]
fn the_built_in_policies_have_names() {
    for name in BUILT_IN {
        assert!(Policy::built_in(name).unwrap().name.starts_with(name));
    }
    assert_eq!(Policy::built_in("old"), None);
    assert_eq!(Policy::default(), Policy::built_in("intermediate").unwrap());
}

#[test]
fn short_primes_and_keys_of_others_fail() {
    for (fact, status) in [
        (Fact::Known(1024), Status::Fail),
        (Fact::Known(2048), Status::Pass),
        (Fact::unknown("reset"), Status::Error),
    ] {
        let found = after(&intermediate(), |protocol, _| protocol.smallest_prime = fact);
        assert_eq!(of(&found, "kx.prime", "server").status, status);
    }
    for (fact, status) in [
        (Fact::Known(false), Status::Fail),
        (Fact::Known(true), Status::Pass),
        (Fact::unknown("reset"), Status::Error),
    ] {
        let found = after(&intermediate(), |_, session| session.has_key = fact);
        assert_eq!(of(&found, "key.proof", "server").status, status);
    }
}

#[test]
fn who_refuses_everything_has_refused_nothing_in_particular() {
    let nothing = Version::ALL.map(|version| (version, spoken(&[], Preference::Server)));
    let mute = Protocol { versions: nothing.into(), ..protocol() };
    assert_eq!(judge(&intermediate(), &mute, None, &[]), []);
    let one = protocol().versions[&Version::Tls12].clone();
    let speaks = Protocol {
        versions: mute.versions.into_iter().chain([(Version::Tls12, one)]).collect(),
        ..protocol()
    };
    let found = judge(&intermediate(), &speaks, None, &[]);
    assert_eq!(of(&found, "proto.tls1_0", "TLS 1.0").status, Status::Pass);
}
