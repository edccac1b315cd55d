//! What has changed since an earlier run, and what of it counts.

use proptest::prelude::*;

use super::*;
use crate::cmd::tls::baseline;
use crate::output::document;

/// The later run compared with the earlier one, by way of a file.
fn compared(then: &[Checked], now: &[Checked]) -> Report {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("base.json");
    baseline::save(&path, &report(then)).unwrap();
    Report::new(now, run(), Some(baseline::read(&path).unwrap()))
}

#[test]
fn only_what_is_new_or_worse_counts() {
    let items = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
    let weak = |list: &[&str]| finding("suite.weak", Status::Fail).items(items(list));
    let target = |findings| [checked("a", findings)];
    let then =
        target(vec![weak(&["A", "B"]), finding("kx.pq", Status::Warn), finding("tls.ems", Status::Pass)]);
    let exit = |now: Vec<Finding>| compared(&then, &target(now)).exit();
    assert_eq!(exit(vec![weak(&["A", "B"]), finding("kx.pq", Status::Warn)]), Exit::GOOD, "the same");
    assert_eq!(exit(vec![weak(&["B"]), finding("tls.ems", Status::Pass)]), Exit::GOOD, "better");
    assert_eq!(exit(vec![weak(&["A", "C"])]), Exit::BAD, "another suite");
    assert_eq!(exit(vec![weak(&["A"]), finding("kx.pq", Status::Fail)]), Exit::BAD, "worse");
    assert_eq!(exit(vec![finding("tls.ems", Status::Fail)]), Exit::BAD, "new");
    assert_eq!(exit(vec![finding("kx.pq", Status::Error)]), Exit::UNKNOWN, "not tested");
    let untested = target(vec![finding("kx.pq", Status::Error)]);
    assert_eq!(
        compared(&untested, &untested).exit(),
        Exit::UNKNOWN,
        "and never settled by having been so before"
    );
    let other = [checked("b", vec![weak(&["A"])])];
    let report = compared(&then, &other);
    assert_eq!(report.exit(), Exit::BAD, "a target that was not there has nothing that is known");
    assert_eq!(report.baseline.as_ref().unwrap().targets_gone, ["a"]);
    assert!(report.targets[0].changes.as_ref().unwrap().is_new);
}

#[test]
fn what_has_changed_is_listed() {
    let mut then = checked("a", vec![finding("kx.pq", Status::Warn), finding("cert.expiry", Status::Fail)]);
    then.observed = observed(&[0xc02f, 0xc014]);
    let mut now = checked("a", vec![finding("kx.pq", Status::Pass), finding("suite.weak", Status::Fail)]);
    now.observed = observed(&[0xc02f, 0xc013]);
    now.observed.certificates[0].not_after = "2027-04-30T00:00:00Z".into();
    now.observed.certificates[0].days_left = 150;
    now.address = Some("192.0.2.11:443".parse().unwrap());
    let report = compared(&[then], &[now]);
    let changes = report.targets[0].changes.clone().unwrap();
    let ids = |list: &[baseline::Changed]| list.iter().map(|c| c.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&changes.new), ["suite.weak"]);
    assert_eq!(ids(&changes.gone), ["kx.pq"], "nobody looked at the expiry again");
    let whats: Vec<_> = changes.observed.iter().map(|difference| difference.what.as_str()).collect();
    assert_eq!(whats, ["chain.0.not_after", "protocol.versions.tls1_2.suites"]);
    assert_eq!(changes.observed[1].added, ["TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"]);
    let text = human(&report, 80);
    for part in
        ["+ suite.weak server fail", "- kx.pq server warn", "~ tls1_2.suites: +TLS_ECDHE_RSA", "2027-01-30"]
    {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[test]
fn one_connection_says_nothing_about_other_versions() {
    let of = |version: &str, status| Finding { subject: version.into(), ..finding("suite.weak", status) };
    let then = checked("a", vec![of("TLS 1.0", Status::Fail), of("TLS 1.3", Status::Fail)]);
    let one = finding("proto.enumeration", Status::Skip);
    let now = checked("a", vec![one, of("TLS 1.3", Status::Pass)]);
    let gone = |report: &Report| {
        let changes = report.targets[0].changes.clone().unwrap();
        changes.gone.iter().map(|changed| changed.subject.clone()).collect::<Vec<_>>()
    };
    assert_eq!(gone(&compared(std::slice::from_ref(&then), &[now])), ["TLS 1.3"]);
    let all = checked("a", vec![of("TLS 1.3", Status::Pass)]);
    assert_eq!(gone(&compared(&[then], &[all])), ["TLS 1.0", "TLS 1.3"]);
}

#[test]
fn a_file_that_is_no_earlier_run_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    assert_eq!(baseline::read(&path).unwrap_err().exit(), Exit::USAGE);
    for text in ["", "{}", "{\"schema\":\"hardy.probe/v1\",\"data\":{\"at\":\"\",\"targets\":[]}}"] {
        std::fs::write(&path, text).unwrap();
        let error = baseline::read(&path).unwrap_err();
        assert!(error.exit() == Exit::USAGE && error.advice().unwrap().contains("--save"), "{text}");
    }
    std::fs::write(&path, document(&report(&[])).unwrap()).unwrap();
    assert!(baseline::read(&path).is_ok());
}

fn any_finding() -> impl Strategy<Value = Finding> {
    let ids = prop::sample::select(vec!["kx.pq", "suite.weak", "tls.ems", "cert.expiry", "proto.tls1_0"]);
    let statuses = prop::sample::select(vec![Status::Fail, Status::Warn, Status::Pass]);
    let subjects = prop::sample::select(vec!["leaf", "server"]);
    let items = prop::collection::btree_set("[A-C]", 0..3);
    (ids, statuses, subjects, items).prop_map(|(id, status, subject, items)| {
        Finding::new(id, status, subject).items(items.into_iter().collect())
    })
}

/// Each rule and subject once, as the judges have it.
fn any_findings() -> impl Strategy<Value = Vec<Finding>> {
    prop::collection::vec(any_finding(), 0..8).prop_map(|mut findings| {
        findings.sort_by_key(|finding| (finding.id.clone(), finding.subject.clone()));
        findings.dedup_by_key(|finding| (finding.id.clone(), finding.subject.clone()));
        findings
    })
}

fn is_bad(finding: &Finding) -> bool {
    finding.status != Status::Pass
}

proptest! {
    #[test]
    fn nothing_has_changed_since_the_same_run(findings in any_findings(), suites in prop::collection::vec(0u32..0xffff, 0..5)) {
        let mut same = checked("a", findings);
        same.observed = observed(&suites);
        let report = compared(std::slice::from_ref(&same), std::slice::from_ref(&same));
        let changes = report.targets[0].changes.clone().unwrap();
        prop_assert_eq!(changes, baseline::Changes::default());
        prop_assert_eq!(report.targets[0].findings.iter().filter(|finding| finding.counts()).count(), 0);
    }

    #[test]
    fn every_difference_is_in_one_list_and_none_that_is_new_or_worse_is_known(then in any_findings(), now in any_findings()) {
        let report = compared(&[checked("a", then.clone())], &[checked("a", now.clone())]);
        let changes = report.targets[0].changes.clone().unwrap();
        let key = |finding: &Finding| (finding.id.to_string(), finding.subject.clone());
        let listed = |list: &[baseline::Changed], finding: &Finding| {
            list.iter().filter(|c| (c.id.clone(), c.subject.clone()) == key(finding)).count()
        };
        let other = |all: &[Finding], one: &Finding| {
            all.iter().find(|other| key(other) == key(one) && is_bad(other)).cloned()
        };
        for finding in now.iter().filter(|finding| is_bad(finding)) {
            let before = other(&then, finding);
            prop_assert_eq!(listed(&changes.new, finding), usize::from(before.is_none()));
            let differs = before.as_ref().is_some_and(|b| b.status != finding.status || b.items != finding.items);
            prop_assert_eq!(listed(&changes.changed, finding), usize::from(differs));
            let shown = report.targets[0].findings.iter().find(|f| f.id == finding.id && f.subject == finding.subject);
            let no_worse = before.is_some_and(|b| {
                b.status <= finding.status && finding.items.iter().all(|item| b.items.contains(item))
            });
            prop_assert_eq!(shown.unwrap().known, no_worse);
        }
        for finding in then.iter().filter(|finding| is_bad(finding)) {
            let still = other(&now, finding).is_some();
            let gone = listed(&changes.gone, finding);
            prop_assert!(gone == 0 || !still, "gone, and still there");
            // Whatever was looked at again, and is not bad, is gone.
            let again = now.iter().any(|other| other.id == finding.id);
            prop_assert_eq!(gone == 1, !still && (again || gone == 1));
        }
    }
}
