//! The report for programs: JUnit, Prometheus, SARIF.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::report::{FindingReport, Report, TargetReport};
use crate::config::FailFrom;
use crate::metrics::Metric;
use crate::output::{Case, Outcome, Suite, printable, sarif};
use crate::tls::finding::Status;
use crate::tls::policy::rules;

/// A suite for each target, with a case for each finding.
pub fn suites(report: &Report) -> Vec<Suite> {
    report.targets.iter().map(|target| suite(report, target)).collect()
}

fn suite(report: &Report, target: &TargetReport) -> Suite {
    let mut cases: Vec<Case> =
        target.findings.iter().map(|finding| case(finding, report.run.fail_on)).collect();
    if target.status == Status::Skip {
        let (reason, message) = ("nothing_tested".to_owned(), "nothing at all was tested".to_owned());
        let outcome = Outcome::Error { reason, message };
        cases.push(Case { name: "endpoint.reachable".to_owned(), time: Duration::ZERO, outcome });
    }
    // The checks of a target run side by side: the time is that of all of them.
    if let Some(first) = cases.first_mut() {
        first.time = Duration::from_millis(target.elapsed_ms);
    }
    Suite { name: target.name(), cases }
}

fn case(finding: &FindingReport, fail_on: FailFrom) -> Case {
    let reason = finding.id.clone();
    let message = message(finding);
    let outcome = match finding.status {
        Status::Pass => Outcome::Pass,
        _ if finding.is_bad() && !finding.counts() => Outcome::Skip { message: tolerated(finding) },
        Status::Skip => Outcome::Skip { message: finding.actual.clone() },
        Status::Error => Outcome::Error { reason, message },
        Status::Warn if fail_on == FailFrom::Fail => Outcome::Pass,
        Status::Fail | Status::Warn => Outcome::Fail { reason, message },
    };
    Case { name: format!("{} {}", finding.id, finding.subject), time: Duration::ZERO, outcome }
}

fn tolerated(finding: &FindingReport) -> String {
    let why =
        finding.waived.as_ref().map_or("known from the baseline".to_owned(), |why| format!("waived: {why}"));
    format!("{why}; {}", message(finding))
}

/// A finding in one sentence.
fn message(finding: &FindingReport) -> String {
    let mut text = format!("{}: {}", finding.subject, finding.actual);
    if !finding.expected.is_empty() {
        text += &format!("; expected: {}", finding.expected);
    }
    if !finding.fix.is_empty() {
        text += &format!("; fix: {}", finding.fix);
    }
    text
}

/// Days left per certificate, findings by status, and whether all is well.
pub fn metrics(report: &Report) -> Vec<Metric> {
    let mut ok = Metric::gauge(
        "hardy_tls_ok",
        "Whether nothing that counts fails; absent when that could not be found out.",
    );
    let mut findings = Metric::gauge("hardy_tls_findings", "Findings of this run by status.");
    let mut days = Metric::gauge("hardy_tls_certificate_days_left", "Whole days until a certificate ends.");
    let mut end =
        Metric::gauge("hardy_tls_certificate_not_after_seconds", "When a certificate ends, in Unix time.");
    let mut connections = Metric::gauge("hardy_tls_connections", "Connections that the check took.");
    let mut seconds = Metric::gauge("hardy_tls_check_seconds", "How long the check took.");
    for target in &report.targets {
        let address = target.address.as_deref().unwrap_or_default();
        let name = printable(&target.target);
        let labels = [("target", name.as_str()), ("address", address)];
        match target.status {
            Status::Error | Status::Skip => {}
            status => ok.sample(&labels, f64::from(u8::from(status != Status::Fail))),
        }
        for (status, count) in by_status(target) {
            findings.sample(&[labels[0], labels[1], ("status", status)], count as f64);
        }
        for (position, certificate) in target.observed.chain.iter().enumerate() {
            let (position, subject) = (position.to_string(), printable(&certificate.subject));
            let all = [labels[0], labels[1], ("position", &position), ("subject", &subject)];
            days.sample(&all, certificate.days_left as f64);
            if let Ok(time) = certificate.not_after.parse::<jiff::Timestamp>() {
                end.sample(&all, time.as_second() as f64);
            }
        }
        connections.sample(&labels, target.connections as f64);
        seconds.sample(&labels, target.elapsed_ms as f64 / 1e3);
    }
    vec![ok, findings, days, end, connections, seconds]
}

/// All of them, so that a series never vanishes when its count is 0.
fn by_status(target: &TargetReport) -> BTreeMap<&'static str, usize> {
    let all = ["fail", "error", "warn", "skip", "pass", "waived", "known"];
    let mut counts: BTreeMap<_, _> = all.into_iter().map(|name| (name, 0)).collect();
    for finding in &target.findings {
        let name = match finding.status {
            _ if finding.is_bad() && finding.waived.is_some() => "waived",
            _ if finding.is_bad() && finding.known => "known",
            Status::Fail => "fail",
            Status::Error => "error",
            Status::Warn => "warn",
            Status::Skip => "skip",
            Status::Pass => "pass",
        };
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// What is bad, also where it does not count: a viewer shows that as suppressed.
pub fn sarif(report: &Report) -> sarif::Log {
    let compared = report.baseline.is_some();
    let bad = || {
        let all = report.targets.iter().flat_map(|t| t.findings.iter().map(move |finding| (t, finding)));
        all.filter(|(_, finding)| finding.is_bad())
    };
    let ids: BTreeSet<&str> = bad().map(|(_, finding)| finding.id.as_str()).collect();
    let rule =
        |id: &&str| sarif::Rule { id: (*id).to_owned(), about: rules::about(id).unwrap_or(id).to_owned() };
    let errors = bad().filter(|(_, finding)| finding.status == Status::Error);
    let untested = report.targets.iter().filter(|target| target.status == Status::Skip);
    let failures = errors
        .map(|(target, finding)| format!("{}: {}: {}", target.name(), finding.id, message(finding)))
        .chain(untested.map(|target| format!("{}: nothing at all was tested", target.name())));
    sarif::Log {
        rules: ids.iter().map(rule).collect(),
        results: bad().map(|(target, finding)| result(target, finding, compared)).collect(),
        failures: failures.collect(),
    }
}

fn result(target: &TargetReport, finding: &FindingReport, compared: bool) -> sarif::Finding {
    let place = match &target.file {
        Some(path) => sarif::Place::File(path.clone()),
        None => sarif::Place::Named(target.name()),
    };
    sarif::Finding {
        rule: finding.id.clone(),
        level: match finding.status {
            Status::Fail => sarif::Level::Error,
            Status::Error => sarif::Level::Open,
            Status::Warn | Status::Skip | Status::Pass => sarif::Level::Warning,
        },
        message: format!("{}: {}", target.target, message(finding)),
        place,
        fingerprint: format!("{}/{}/{}", target.target, finding.id, finding.subject),
        suppressed: finding.waived.clone(),
        known: compared.then_some(finding.known),
    }
}
