//! Every kind of bad chain, alone and with others.

mod random;
mod revocation;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SerialNumber, date_time_ymd,
};

use super::*;

const NOW: &str = "2026-06-01T00:00:00Z";

/// A certificate with its key, for whom it issues.
struct Made {
    params: CertificateParams,
    key: KeyPair,
    der: CertificateDer<'static>,
}

impl Made {
    fn by(issuer: Option<&Made>, params: CertificateParams) -> Made {
        let key = KeyPair::generate().unwrap();
        let made = match issuer {
            Some(issuer) => params.signed_by(&key, &Issuer::from_params(&issuer.params, &issuer.key)),
            None => params.self_signed(&key),
        };
        Made { der: made.unwrap().der().clone(), params, key }
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2036, 1, 1));
    params
}

fn server() -> CertificateParams {
    let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (params.not_before, params.not_after) = (date_time_ymd(2026, 5, 1), date_time_ymd(2026, 7, 30));
    params
}

/// A root, an intermediate, and a leaf of a server, each changed before it is made.
struct Chain {
    root: Made,
    middle: Made,
    leaf: Made,
}

type Change = fn(&mut CertificateParams);

fn chain(middle: Change, leaf: Change) -> Chain {
    let root = Made::by(None, authority("Root"));
    let mut params = authority("Middle");
    middle(&mut params);
    let middle = Made::by(Some(&root), params);
    let mut params = server();
    leaf(&mut params);
    let leaf = Made::by(Some(&middle), params);
    Chain { root, middle, leaf }
}

fn same(_: &mut CertificateParams) {}

impl Chain {
    fn sent(&self) -> Vec<CertificateDer<'static>> {
        vec![self.leaf.der.clone(), self.middle.der.clone()]
    }

    fn roots(&self) -> Roots {
        Roots { given: vec![self.root.der.clone()], ..Roots::default() }
    }
}

fn rules(roots: &Roots) -> Rules<'_> {
    Rules {
        name: Some("a.example"),
        at: NOW.parse().unwrap(),
        roots,
        warn: Threshold::WARN,
        crit: Threshold::CRIT,
        crls: &[],
        crls_asked: false,
        fetched: &[],
        leaf: None,
    }
}

fn served<'a>(chain: &'a [CertificateDer<'static>]) -> Presented<'a> {
    Presented { chain, staple: None, is_served: true, key: None }
}

/// What is bad, sorted: `fail cert.name leaf`.
fn bad(judged: &Judged) -> Vec<String> {
    let is_bad = |finding: &&Finding| !matches!(finding.status, Status::Pass | Status::Skip);
    let shown = |finding: &Finding| {
        assert!(
            !finding.actual.is_empty() && (finding.status == Status::Error || !finding.fix.is_empty()),
            "{finding:?}"
        );
        format!("{:?} {} {}", finding.status, finding.id, finding.subject).to_lowercase()
    };
    let mut bad: Vec<String> = judged.findings.iter().filter(is_bad).map(shown).collect();
    bad.sort();
    bad
}

fn judge_served(chain: &[CertificateDer<'static>], roots: &Roots) -> Vec<String> {
    bad(&judge(&served(chain), &rules(roots)))
}

#[track_caller]
fn assert_bad(middle: Change, leaf: Change, expected: &[&str]) {
    let chain = chain(middle, leaf);
    assert_eq!(judge_served(&chain.sent(), &chain.roots()), expected);
}

fn status(judged: &Judged, id: &str) -> Vec<Status> {
    judged.findings.iter().filter(|finding| finding.id == id).map(|finding| finding.status).collect()
}

#[test]
fn a_good_chain_passes_everything_that_is_asked() {
    let chain = chain(same, same);
    let (sent, roots) = (chain.sent(), chain.roots());
    let judged = judge(&served(&sent), &rules(&roots));
    assert_eq!(bad(&judged), [""; 0]);
    for id in ["cert.name", "cert.expiry", "chain.untrusted", "chain.signature", "cert.eku", "chain.order"] {
        assert_eq!(status(&judged, id), [Status::Pass], "{id}");
    }
    // Not tested is never a pass.
    for id in ["revocation", "cert.lifetime", "cert.sct"] {
        assert_eq!(status(&judged, id), [Status::Skip], "{id}");
    }
    assert_eq!(judged.certificates.len(), 2);
}

#[test]
fn each_kind_of_bad_leaf_is_told_alone() {
    assert_bad(same, |leaf| leaf.not_after = date_time_ymd(2026, 5, 20), &["fail cert.expiry leaf"]);
    assert_bad(same, |leaf| leaf.not_after = date_time_ymd(2026, 6, 3), &["fail cert.expiry leaf"]);
    assert_bad(same, |leaf| leaf.not_after = date_time_ymd(2026, 6, 10), &["warn cert.expiry leaf"]);
    assert_bad(same, |leaf| leaf.not_before = date_time_ymd(2026, 6, 2), &["fail cert.not_yet_valid leaf"]);
    let other_name: Change =
        |leaf| leaf.subject_alt_names = vec![rcgen::SanType::DnsName("b.example".try_into().unwrap())];
    assert_bad(same, other_name, &["fail cert.name leaf"]);
    assert_bad(same, |leaf| leaf.subject_alt_names.clear(), &["fail cert.name leaf", "fail cert.san leaf"]);
    let broad: Change =
        |leaf| leaf.subject_alt_names.push(rcgen::SanType::DnsName("*.example".try_into().unwrap()));
    assert_bad(same, broad, &["warn cert.san leaf"]);
    let clients: Change = |leaf| leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    assert_bad(same, clients, &["fail cert.eku leaf"]);
    let encipher: Change = |leaf| leaf.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    assert_bad(same, encipher, &["fail cert.key_usage leaf"]);
    assert_bad(
        same,
        |leaf| leaf.serial_number = Some(SerialNumber::from(vec![0])),
        &["warn cert.serial leaf"],
    );
    let ca: Change = |leaf| leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_bad(same, ca, &["fail chain.ca_flag leaf"]);
    let staple: Change = |leaf| {
        let feature =
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], vec![0x30, 3, 2, 1, 5]);
        leaf.custom_extensions.push(feature);
    };
    assert_bad(same, staple, &["fail cert.must_staple leaf"]);
    let critical: Change = |leaf| {
        let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        unknown.set_criticality(true);
        leaf.custom_extensions.push(unknown);
    };
    assert_bad(same, critical, &["error cert.name leaf", "fail cert.form leaf"]);
}

#[test]
fn each_kind_of_bad_issuer_is_told_alone() {
    let blamed = |id: &str| format!("fail {id} intermediate \"middle\"");
    let ended: Change = |middle| middle.not_after = date_time_ymd(2026, 5, 20);
    assert_bad(ended, same, &[&blamed("chain.expired")]);
    assert_bad(|middle| middle.is_ca = IsCa::ExplicitNoCa, same, &[&blamed("chain.ca_flag")]);
    let crl_only: Change = |middle| middle.key_usages = vec![KeyUsagePurpose::CrlSign];
    assert_bad(crl_only, same, &[&blamed("chain.ca_flag")]);
    let mail: Change = |middle| middle.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
    assert_bad(mail, same, &[&blamed("cert.eku")]);
    let others: Change = |middle| {
        let permitted_subtrees = vec![GeneralSubtree::DnsName("other.example".into())];
        middle.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    };
    assert_bad(others, same, &[&blamed("chain.name_constraints")]);
    // More than one thing is wrong with this chain, and none hides another.
    let ended: Change = |middle| {
        middle.not_after = date_time_ymd(2026, 5, 20);
        middle.is_ca = IsCa::ExplicitNoCa;
    };
    let leaf: Change = |leaf| {
        leaf.not_after = date_time_ymd(2026, 5, 20);
        leaf.subject_alt_names = vec![rcgen::SanType::DnsName("*".try_into().unwrap())];
    };
    let all =
        [&blamed("chain.ca_flag"), &blamed("chain.expired"), "fail cert.expiry leaf", "fail cert.name leaf"];
    let mut all: Vec<&str> = all.into_iter().chain(["warn cert.san leaf"]).collect();
    all.sort_unstable();
    assert_bad(ended, leaf, &all);
}

#[test]
fn what_webpki_alone_refuses_is_not_hidden_by_an_end_that_is_near() {
    let mut other = rcgen::DistinguishedName::new();
    other.push(DnType::OrganizationName, "Other");
    let root = Made::by(None, authority("Root"));
    let mut params = authority("Middle");
    let permitted_subtrees = vec![GeneralSubtree::DirectoryName(other)];
    params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    let middle = Made::by(Some(&root), params);
    let mut params = server();
    params.not_after = date_time_ymd(2026, 6, 3);
    let leaf = Made::by(Some(&middle), params).der;
    let (middle, roots) = (middle.der, Roots { given: vec![root.der], ..Roots::default() });
    let found = judge_served(&[leaf.clone(), middle.clone()], &roots);
    assert_eq!(found, ["fail cert.expiry leaf", "fail chain.untrusted chain"]);
    let judged = judge(&served(&[leaf, middle]), &rules(&roots));
    let said = judged.findings.iter().find(|finding| finding.id == "chain.untrusted").unwrap();
    assert_eq!(said.actual, "refused: name constraint violation");
}

#[test]
fn an_expired_leaf_for_another_name_of_an_unknown_issuer_is_told_thrice() {
    let change: Change = |leaf| leaf.not_after = date_time_ymd(2026, 5, 20);
    let chain = chain(same, change);
    let roots = Roots { given: vec![Made::by(None, authority("Else")).der], ..Roots::default() };
    let rules = Rules { name: Some("b.example"), ..rules(&roots) };
    let judged = judge(&served(&chain.sent()), &rules);
    let expected =
        ["fail cert.expiry leaf", "fail cert.name leaf", "fail chain.untrusted intermediate \"middle\""];
    assert_eq!(bad(&judged), expected);
    assert!(!status(&judged, "chain.untrusted").contains(&Status::Pass));
}

#[test]
fn what_was_sent_is_held_against_what_was_needed() {
    let chain = chain(same, same);
    let roots = chain.roots();
    let [leaf, middle, root] = [&chain.leaf, &chain.middle, &chain.root].map(|made| made.der.clone());
    let stranger = Made::by(None, authority("Stranger")).der;
    let cases: [(&[&CertificateDer<'static>], &[&str]); 5] = [
        (&[&leaf], &["fail chain.untrusted leaf"]),
        (&[&leaf, &middle, &root], &["warn chain.superfluous root \"root\""]),
        (&[&leaf, &middle, &middle], &["warn chain.superfluous intermediate \"middle\""]),
        (&[&leaf, &stranger, &middle], &["warn chain.superfluous root \"stranger\""]),
        (&[&leaf, &root, &middle], &["warn chain.superfluous root \"root\""]),
    ];
    for (sent, expected) in &cases {
        let sent: Vec<_> = sent.iter().map(|der| (*der).clone()).collect();
        assert_eq!(judge_served(&sent, &roots), *expected);
    }
    let second = Made::by(Some(&chain.middle), authority("Second"));
    let low = Made::by(Some(&second), server());
    let sent = [low.der, chain.middle.der.clone(), second.der];
    assert_eq!(judge_served(&sent, &roots), ["warn chain.order chain"]);
    // An authority that is served in place of a leaf.
    let wrong = judge_served(&[middle, leaf], &roots);
    for id in ["fail chain.ca_flag leaf", "fail cert.name leaf", "warn chain.superfluous intermediate"] {
        assert!(wrong.iter().any(|bad| bad.starts_with(id)), "{id} in {wrong:?}");
    }
}

#[test]
fn a_path_may_be_too_long_and_a_link_may_not_verify() {
    let root = Made::by(None, authority("Root"));
    let mut params = authority("Middle");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let middle = Made::by(Some(&root), params.clone());
    let low = Made::by(Some(&middle), authority("Low"));
    let leaf = Made::by(Some(&low), server());
    let roots = Roots { given: vec![root.der.clone()], ..Roots::default() };
    let sent = [leaf.der, low.der, middle.der.clone()];
    assert_eq!(judge_served(&sent, &roots), ["fail chain.path_length intermediate \"middle\""]);
    // The same name, another key.
    let impostor = Made::by(Some(&root), params);
    let leaf = Made::by(Some(&middle), server());
    let sent = [leaf.der.clone(), impostor.der];
    assert_eq!(judge_served(&sent, &roots), ["fail chain.signature leaf"]);
    let other = Made::by(None, authority("Root"));
    let roots = Roots { given: vec![other.der], ..Roots::default() };
    let sent = [leaf.der, middle.der];
    let all =
        ["fail chain.signature intermediate \"middle\"", "fail chain.untrusted intermediate \"middle\""];
    assert_eq!(judge_served(&sent, &roots), all);
}

#[test]
fn what_nobody_knows_the_issuer_of_passes_nothing_that_asks_for_it() {
    const IDS: [&str; 4] = ["chain.signature", "chain.ca_flag", "chain.path_length", "chain.order"];
    let (chain, other) = (chain(same, same), chain(same, same));
    let [leaf, middle] = [chain.leaf.der.clone(), chain.middle.der.clone()];
    let stranger = Roots { given: vec![Made::by(None, authority("Else")).der], ..Roots::default() };
    let forged = [Made::by(Some(&other.root), server()).der];
    let impostor = [leaf.clone(), other.middle.der.clone()];
    use Status::{Fail, Pass, Skip};
    for (sent, roots, expected) in [
        (&[leaf.clone()][..], &stranger, [Skip, Skip, Skip, Skip]),
        (&[leaf.clone(), middle.clone()], &stranger, [Skip, Skip, Skip, Pass]),
        // Its issuer is trusted by name, and has another key.
        (&forged, &chain.roots(), [Fail, Skip, Skip, Skip]),
        (&impostor, &other.roots(), [Fail, Skip, Skip, Pass]),
        (&[leaf, middle], &chain.roots(), [Pass, Pass, Pass, Pass]),
    ] {
        let judged = judge(&served(sent), &rules(roots));
        assert_eq!(IDS.map(|id| status(&judged, id)), expected.map(|status| vec![status]), "{judged:?}");
    }
}

#[test]
fn a_root_of_the_same_name_with_a_key_of_another_kind_is_another_root() {
    let mut params = server();
    params.distinguished_name = authority("Root").distinguished_name;
    let leaf = Made::by(None, params).der;
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let root = authority("Root").self_signed(&key).unwrap().der().clone();
    let roots = Roots { system: vec![root], ..Roots::default() };
    let judged = judge(&served(std::slice::from_ref(&leaf)), &rules(&roots));
    assert_eq!(bad(&judged), ["fail cert.self_signed leaf", "fail chain.untrusted leaf"]);
    assert_eq!(status(&judged, "cert.lifetime"), [Status::Skip], "no rule of public authorities holds");
    // Issued in its name.
    let namesake = Made::by(None, authority("Root"));
    let leaf = Made::by(Some(&namesake), server()).der;
    let judged = judge(&served(&[leaf]), &rules(&roots));
    assert_eq!(bad(&judged), ["fail chain.signature leaf", "fail chain.untrusted leaf"]);
    let said = judged.findings.iter().find(|finding| finding.id == "chain.untrusted").unwrap();
    assert!(said.actual.contains("has another key"), "{said:?}");
}

#[test]
fn a_self_signed_leaf_is_told_once_and_can_be_trusted() {
    let leaf = Made::by(None, server()).der;
    let roots = chain(same, same).roots();
    let found = judge(&served(std::slice::from_ref(&leaf)), &rules(&roots));
    assert_eq!(bad(&found), ["fail cert.self_signed leaf", "fail chain.untrusted leaf"]);
    assert!(found.findings.iter().any(|finding| finding.fix.contains("--ca")));
    let roots = Roots { given: vec![leaf.clone()], ..Roots::default() };
    assert_eq!(judge_served(&[leaf], &roots), [""; 0]);
}

#[test]
fn without_roots_it_is_this_host_that_is_to_blame() {
    let chain = chain(same, same);
    assert_eq!(judge_served(&chain.sent(), &Roots::default()), ["error chain.untrusted this host"]);
}

#[test]
fn a_fetched_issuer_tells_what_is_missing() {
    let chain = chain(same, same);
    let (roots, sent) = (chain.roots(), [chain.leaf.der.clone()]);
    let fetched = [chain.middle.der.clone()];
    let judged = judge(&served(&sent), &Rules { fetched: &fetched, ..rules(&roots) });
    assert_eq!(bad(&judged), ["fail chain.incomplete leaf"]);
    assert!(judged.findings.iter().any(|finding| finding.fix == "the server must also send \"Middle\""));
    let roots = Roots { given: vec![Made::by(None, authority("Else")).der], ..Roots::default() };
    let judged = judge(&served(&sent), &Rules { fetched: &fetched, ..rules(&roots) });
    assert_eq!(bad(&judged), ["fail chain.untrusted intermediate \"middle\""]);
}

#[test]
fn public_authorities_keep_to_their_schedule() {
    let long: Change = |leaf| leaf.not_after = date_time_ymd(2027, 5, 1);
    let chain = chain(same, long);
    let (sent, roots) = (chain.sent(), Roots { system: vec![chain.root.der.clone()], ..Roots::default() });
    assert_eq!(judge_served(&sent, &roots), ["fail cert.lifetime leaf", "warn cert.sct leaf"]);
    assert_eq!(judge_served(&sent, &chain.roots()), [""; 0]);
}

#[test]
fn a_key_and_a_file_belong_to_the_certificate_or_not() {
    let (chain, other) = (chain(same, same), chain(same, same));
    let (sent, roots) = (chain.sent(), chain.roots());
    for (key, expected) in [(&chain.leaf.key, Status::Pass), (&other.leaf.key, Status::Fail)] {
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let presented = Presented { is_served: false, key: Some(&key), ..served(&sent) };
        assert_eq!(status(&judge(&presented, &rules(&roots)), "key.match"), [expected]);
    }
    for (leaf, expected) in [(&chain.leaf.der, Status::Pass), (&other.leaf.der, Status::Fail)] {
        let rules = Rules { leaf: Some(leaf), ..rules(&roots) };
        assert_eq!(status(&judge(&served(&sent), &rules), "cert.on_disk"), [expected]);
    }
}

#[test]
fn a_file_of_authorities_is_no_chain() {
    let mut old = authority("Old");
    old.not_after = date_time_ymd(2026, 1, 1);
    let file = [Made::by(None, authority("New")).der, Made::by(None, old).der];
    let presented = Presented { is_served: false, ..served(&file) };
    let roots = Roots::default();
    let judged = judge(&presented, &Rules { name: None, ..rules(&roots) });
    assert_eq!(bad(&judged), ["fail cert.expiry root \"old\""]);
    assert_eq!(judged.certificates.len(), 2);
}

#[test]
fn what_cannot_be_read_and_what_is_too_much_is_told() {
    let chain = chain(same, same);
    let roots = chain.roots();
    let garbage = CertificateDer::from(vec![0x30, 0x82, 0xff, 0xff, 1]);
    let [leaf, middle] = [chain.leaf.der.clone(), chain.middle.der.clone()];
    let found = judge_served(&[garbage.clone(), middle.clone()], &roots);
    assert_eq!(found, ["error chain.untrusted leaf", "fail cert.form leaf"]);
    let found = judge_served(&[leaf.clone(), middle.clone(), garbage], &roots);
    assert_eq!(found, ["fail cert.form certificate 3"]);
    let huge = CertificateDer::from(vec![0x30; 16 << 20]);
    assert_eq!(
        judge_served(std::slice::from_ref(&huge), &roots),
        ["error chain.untrusted leaf", "fail chain.length chain"]
    );
    assert_eq!(judge_served(&[leaf.clone(), middle.clone(), huge], &roots), ["fail chain.length chain"]);
    let many: Vec<_> = std::iter::once(leaf).chain(vec![middle; 1000]).collect();
    assert!(judge_served(&many, &roots).contains(&"fail chain.length chain".to_owned()));
    assert_eq!(judge(&served(&[]), &rules(&roots)), Judged::default());
}

#[test]
fn a_thousand_names_are_counted_and_not_all_listed() {
    let names: Change = |leaf| {
        let all = (0..1000).map(|number| format!("n{number}.a.example")).collect::<Vec<_>>();
        leaf.subject_alt_names = CertificateParams::new(all).unwrap().subject_alt_names;
    };
    let chain = chain(same, names);
    let (sent, roots) = (chain.sent(), chain.roots());
    let judged = judge(&served(&sent), &Rules { name: Some("n999.a.example"), ..rules(&roots) });
    assert_eq!(bad(&judged), [""; 0]);
    assert_eq!((judged.certificates[0].names.len(), judged.certificates[0].names_total), (100, 1000));
    assert!(judged.findings.iter().all(|finding| finding.actual.len() < 300));
}
