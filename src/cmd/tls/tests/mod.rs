//! Reports of runs that were made up: verdicts, and every form of them.

mod changes;
mod machines;

use std::time::Duration;

use super::check::ExitCodes;
use super::report::{Report, Run};
use crate::config::FailFrom;
use crate::exit::{Exit, Verdict};
use crate::output::{Human, Outcome, Report as _};
use crate::tls::chain::Certificate;
use crate::tls::fact::Fact;
use crate::tls::finding::{Finding, Status};
use crate::tls::prober::{Protocol, Spoken};
use crate::tls::registry::{Group, Preference, Suite, Version};
use crate::tls::{Checked, Observed};
use jiff::Timestamp;

fn run() -> Run {
    Run {
        policy: "intermediate-6.0".into(),
        at: Timestamp::from_second(1_795_000_000).unwrap(),
        elapsed: Duration::from_millis(310),
        interrupted: false,
        verbose: false,
        fail_on: FailFrom::Fail,
        codes: ExitCodes::Hardy,
    }
}

fn finding(id: &'static str, status: Status) -> Finding {
    let good = matches!(status, Status::Pass | Status::Skip);
    Finding::new(id, status, "server")
        .expected("only suites that the policy allows, and a chain that every client on earth can verify")
        .actual("the text that says how it is, which can be as long as it likes to be, and has a <tag> & \"quotes\"")
        .fix(if good { "" } else { "mend it (nginx: ssl_protocols TLSv1.2 TLSv1.3;), and check it once more" })
}

fn checked(target: &str, findings: Vec<Finding>) -> Checked {
    Checked {
        target: target.into(),
        address: Some("192.0.2.10:443".parse().unwrap()),
        file: None,
        findings,
        observed: Observed::default(),
        connections: 21,
        elapsed: Duration::from_millis(300),
    }
}

/// A server of TLS 1.2 with these suites.
fn observed(suites: &[u32]) -> Observed {
    let spoken = |suites: &[u32]| {
        let suites = suites.iter().copied().map(Suite).collect();
        Fact::Known(Spoken { suites, preference: Fact::Known(Preference::Server) })
    };
    let mut protocol = Protocol::skipped("not asked for");
    protocol.versions.insert(Version::Tls12, spoken(suites));
    protocol.groups = Fact::Known(vec![Group(0x1d)]);
    let leaf = Certificate {
        subject: "CN=api.example".into(),
        issuer: "CN=CA".into(),
        names: vec!["api.example".into()],
        names_total: 1,
        serial: "01".into(),
        not_before: "2026-11-01T00:00:00Z".into(),
        not_after: "2027-01-30T00:00:00Z".into(),
        days_left: 68,
        key: "ECDSA P-256".into(),
        signature: "ecdsa-with-SHA256".into(),
        sha256: "ab".into(),
        is_authority: false,
    };
    Observed { protocol: Some(protocol), session: None, certificates: vec![leaf] }
}

fn report(checked: &[Checked]) -> Report {
    Report::new(checked, run(), None)
}

fn human(report: &Report, width: usize) -> String {
    let mut out = Vec::new();
    report.human(&mut Human::new(&mut out, width, false)).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_verdict_follows_from_the_worst_that_counts() {
    use Status::{Error, Fail, Pass, Skip, Warn};
    let (good, bad, unknown) = (Verdict::Good, Verdict::Bad, Verdict::Unknown);
    for (statuses, fail_on, verdict, nagios) in [
        (vec![Pass], FailFrom::Fail, good, 0),
        (vec![Pass, Skip], FailFrom::Fail, good, 0),
        (vec![Pass, Warn], FailFrom::Fail, good, 1),
        (vec![Pass, Warn], FailFrom::Warn, bad, 2),
        (vec![Pass, Error], FailFrom::Warn, unknown, 3),
        (vec![Error, Fail], FailFrom::Fail, bad, 2),
        (vec![Skip], FailFrom::Fail, unknown, 3),
        (vec![], FailFrom::Fail, unknown, 3),
    ] {
        let findings = statuses.iter().map(|status| finding("kx.pq", *status)).collect();
        let run = Run { fail_on, ..run() };
        let mut report = Report::new(&[checked("a", findings)], run, None);
        assert_eq!((report.verdict(), report.exit()), (verdict, verdict.into()), "{statuses:?}");
        report.run.codes = ExitCodes::Nagios;
        assert_eq!(report.exit().code(), nagios, "{statuses:?}");
    }
    assert_eq!(report(&[]).exit(), Exit::UNKNOWN);
    let mixed = [checked("a", vec![finding("kx.pq", Pass)]), checked("b", vec![finding("kx.pq", Error)])];
    assert_eq!(report(&mixed).exit(), Exit::UNKNOWN, "one that could not be tested is never a pass");
}

#[test]
fn what_is_waived_does_not_count_and_is_shown_as_such() {
    let waived = Finding { waived: Some("OPS-1, until 2027-01-01".into()), ..finding("kx.pq", Status::Fail) };
    let mut report = report(&[checked("a", vec![waived, finding("tls.ems", Status::Pass)])]);
    assert_eq!(report.exit(), Exit::GOOD);
    assert!(human(&report, 80).contains("1 passed, 1 waived (-v lists them)"));
    report.run.verbose = true;
    let text = human(&report, 80);
    assert!(text.contains("waived kx.pq") && text.contains("why   OPS-1, until 2027-01-01"), "{text}");
    let Outcome::Skip { message } = &report.suites()[0].cases[0].outcome else { panic!("a skip") };
    assert!(message.contains("OPS-1"), "{message}");
}

fn mixed() -> Vec<Checked> {
    let items = vec!["TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384".to_owned(); 3];
    let mut bad = checked(
        "https://a-target-with-quite-a-long-name.internal.example.org:8443/and/a/path",
        vec![
            finding("tls.ems", Status::Pass),
            finding("kx.pq", Status::Warn),
            finding("suite.weak", Status::Fail).items(items),
            finding("revocation.crl", Status::Skip),
            finding("http.hsts", Status::Error),
        ],
    );
    bad.observed = observed(&[0xc02f, 0xc014]);
    let mut file = checked("dir: dir/a b.pem", vec![finding("cert.expiry", Status::Fail)]);
    (file.file, file.address) = (Some("dir/a b.pem".into()), None);
    let mut good = checked("good.example", vec![finding("kx.pq", Status::Pass)]);
    good.observed = observed(&[0xc02f]);
    vec![bad, file, good]
}

#[test]
fn the_form_for_people_keeps_within_its_width_and_has_the_worst_first() {
    let mut report = report(&mixed());
    for verbose in [false, true] {
        report.run.verbose = verbose;
        for width in [60, 80, 120] {
            let text = human(&report, width);
            // Names are not cut: they are what one copies.
            let lines = text.lines().filter(|line| !line.contains("https://"));
            let long: Vec<_> = lines.filter(|line| line.chars().count() > width).collect();
            assert!(long.is_empty(), "{width}: {long:#?}");
        }
    }
    report.run.verbose = false;
    let text = human(&report, 80);
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part:?} in {text}"));
    assert!(at("FAIL   suite.weak") < at("ERROR  http.hsts") && at("ERROR  http.hsts") < at("WARN   kx.pq"));
    assert!(text.contains("OK  good.example (192.0.2.10:443)  68 days left\n"), "{text}");
    assert!(text.contains("3 targets: 2 fail, 1 ok\n  63 connections in 310ms"), "{text}");
    assert!(text.contains("TLS 1.2 (2 suites); X25519"), "{text}");
    assert!(!text.contains("tls.ems"), "what passed is only counted: {text}");
}

#[test]
fn monitoring_systems_get_one_line_first() {
    let mut report = report(&mixed());
    report.run.codes = ExitCodes::Nagios;
    let text = human(&report, 80);
    let first = text.lines().next().unwrap();
    assert!(first.starts_with("TLS CRITICAL - 2 of 3 targets: https://a-target"), "{first}");
    assert!(first.ends_with(" | days_left=68") && first.matches('|').count() == 1, "{first}");
}

#[test]
fn a_report_fits_its_schema() {
    let document = serde_json::to_value(report(&mixed())).unwrap();
    let schema = serde_json::to_value(schemars::schema_for!(Report)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let finding = &document["targets"][0]["findings"][0];
    assert_eq!((&finding["id"], &finding["status"]), (&"suite.weak".into(), &"fail".into()));
    assert_eq!(document["targets"][0]["observed"]["versions"], serde_json::json!(["tls1_2"]));
    assert_eq!(document["targets"][0]["observed"]["suites"]["tls1_2"].as_array().unwrap().len(), 2);
}
