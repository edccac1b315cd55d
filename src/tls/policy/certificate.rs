//! The leaf: its key, its signature, and how long it lives.

use std::time::Duration;

use jiff::Timestamp;

use super::{Policy, list};
use crate::tls::chain::Certificate;
use crate::tls::finding::{Finding, Status};
use crate::units;

const DAY: u64 = 86_400;

pub(super) fn judge(policy: &Policy, leaf: &Certificate) -> Vec<Finding> {
    let of_leaf = |id| Finding::new(id, Status::Pass, "leaf");
    let mut findings = Vec::new();
    if let Some(kinds) = &policy.keys {
        let finding = of_leaf("cert.kind").expected(list(kinds)).actual(&leaf.key);
        let good = kinds.iter().any(|kind| kind.allows(&leaf.key));
        findings.push(unless(good, finding, || format!("get a certificate for a new key: {}", list(kinds))));
    }
    if let Some(signatures) = &policy.signatures {
        let finding = of_leaf("cert.signature_kind").expected(list(signatures)).actual(&leaf.signature);
        let good = signatures.iter().any(|name| name.eq_ignore_ascii_case(&leaf.signature));
        findings.push(unless(good, finding, || "have it issued anew with another signature".to_owned()));
    }
    if let Some(most) = policy.max_lifetime {
        findings.push(lifetime(of_leaf("cert.max_lifetime"), leaf, most));
    }
    findings
}

fn unless(good: bool, finding: Finding, fix: impl FnOnce() -> String) -> Finding {
    if good { finding } else { Finding { status: Status::Fail, ..finding }.fix(fix()) }
}

fn lifetime(finding: Finding, leaf: &Certificate, most: Duration) -> Finding {
    let finding = finding.expected(format!("valid for at most {}", units::Duration(most)));
    let (Ok(from), Ok(until)) = (leaf.not_before.parse(), leaf.not_after.parse()) else {
        let actual = format!("from {} until {}", leaf.not_before, leaf.not_after);
        return Finding { status: Status::Error, ..finding }.actual(actual);
    };
    let (from, until): (Timestamp, Timestamp) = (from, until);
    // Authorities count the last second too, and round as they like: a day is no breach.
    let seconds = u64::try_from(until.duration_since(from).as_secs()).unwrap_or(0);
    let days = seconds.div_ceil(DAY);
    let good = seconds <= most.as_secs() + DAY;
    let fix = || format!("have it issued for at most {}, and renew it by a program", units::Duration(most));
    unless(good, finding.actual(format!("valid for {days}d")), fix)
}
