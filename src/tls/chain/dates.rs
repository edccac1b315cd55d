//! When certificates begin and end, and whether they live as long as they may.
//!
//! Refuses to read a clock.

use std::time::Duration;

use jiff::Timestamp;

use super::facts;
use super::link::Link;
use super::path::Path;
use super::{Rules, or_pass};
use crate::tls::finding::{Finding, Status};

/// How long certificates of public authorities may live, by the day from which they are issued, in days: the
/// CA/Browser Forum's baseline requirements and their change SC-081.
const SCHEDULE: [(&str, i64); 5] = [
    ("2029-03-15T00:00:00Z", 47),
    ("2027-03-15T00:00:00Z", 100),
    ("2026-03-15T00:00:00Z", 200),
    ("2020-09-01T00:00:00Z", 398),
    ("2018-03-01T00:00:00Z", 825),
];

const DAY: i64 = 86_400;

pub(super) fn judge(links: &[Link<'_>], path: &Path<'_>, rules: &Rules<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, link) in path.all(links).enumerate() {
        let ids = if number == 0 { LEAF } else { ISSUER };
        findings.extend(of_one(link, ids, rules));
    }
    let issuers = path.all(links).skip(1);
    if let Some(first) = issuers.min_by_key(|link| link.x509.validity().not_after) {
        let pass = Finding::new("chain.expired", Status::Pass, "issuers").actual(left(first, rules.at));
        findings = or_pass(findings, pass);
    }
    let aside = links.iter().enumerate().filter(|(place, _)| !path.steps.contains(place));
    findings.extend(aside.filter(|(_, link)| !link.is_valid_at(rules.at)).map(|(_, link)| {
        Finding::new("chain.superfluous", Status::Warn, &link.label)
            .expected("only certificates that are needed")
            .actual(format!("not needed, and {}", left(link, rules.at)))
            .fix("leave it out")
    }));
    findings.push(lifetime(&links[0], path));
    findings
}

/// Ids of the findings about an end and a beginning.
type Ids = [&'static str; 2];
pub(super) const LEAF: Ids = ["cert.expiry", "cert.not_yet_valid"];
const ISSUER: Ids = ["chain.expired", "chain.not_yet_valid"];

/// What is to be said of one certificate; a pass only of a leaf.
pub(super) fn of_one(link: &Link<'_>, [end, begin]: Ids, rules: &Rules<'_>) -> Vec<Finding> {
    let (from, until) = window(link);
    let now = rules.at.as_second();
    let mut findings = Vec::new();
    if until < from {
        findings.push(
            Finding::new("cert.form", Status::Fail, &link.label)
                .expected("an end after its beginning")
                .actual(format!("from {} until {}", day(from), day(until)))
                .fix("have it issued anew"),
        );
    }
    if now < from {
        findings.push(
            Finding::new(begin, Status::Fail, &link.label)
                .expected(format!("valid since before {}", day(now)))
                .actual(format!("valid from {} on, in {}", day(from), span(from - now)))
                .fix("check the clocks of this host and of the issuer"),
        );
    }
    let life = Duration::from_secs(u64::try_from(until - from).unwrap_or(0));
    let (crit, warn) = (seconds(rules.crit.of(life)), seconds(rules.warn.of(life)));
    let ends = |status, least: i64| {
        let fix = match (end, now > until) {
            ("cert.expiry", _) if link.label != "leaf" => "take it out of the file, or update the file",
            ("cert.expiry", _) => "renew it",
            (_, true) => "send a chain whose issuers are valid, and remove the expired one",
            _ => "have the leaf issued anew, by an issuer that lasts longer",
        };
        Finding::new(end, status, &link.label)
            .expected(format!(">= {} left", span(least)))
            .actual(left(link, rules.at))
            .fix(fix)
    };
    if now > until || until - now < crit {
        findings.push(ends(Status::Fail, crit));
    } else if until - now < warn {
        findings.push(ends(Status::Warn, warn));
    } else if end == LEAF[0] {
        findings.push(ends(Status::Pass, warn).fix(""));
    }
    findings
}

/// First and last second, since 1970.
pub(super) fn window(link: &Link<'_>) -> (i64, i64) {
    let validity = link.x509.validity();
    (validity.not_before.timestamp(), validity.not_after.timestamp())
}

fn lifetime(leaf: &Link<'_>, path: &Path<'_>) -> Finding {
    const ID: &str = "cert.lifetime";
    let (from, until) = window(leaf);
    let days = ((until - from).max(0) + 1 + DAY - 1) / DAY;
    let actual = format!("{days}d, issued {}", day(from));
    if !path.root.as_ref().is_some_and(|root| root.is_public) {
        return Finding::new(ID, Status::Skip, "leaf")
            .expected("a rule of public authorities")
            .actual(format!("{actual}; not issued by one that is known here"));
    }
    let issued = |since: &str| since.parse::<Timestamp>().is_ok_and(|since| from >= since.as_second());
    let Some((_, most)) = SCHEDULE.into_iter().find(|(since, _)| issued(since)) else {
        return Finding::new(ID, Status::Skip, "leaf").actual(format!("{actual}, before there was a limit"));
    };
    let status = if days > most { Status::Fail } else { Status::Pass };
    let finding = Finding::new(ID, status, "leaf").expected(format!("<= {most}d")).actual(actual);
    if days > most { finding.fix("have it issued for a shorter time") } else { finding }
}

/// `3d left of 90d, until 2026-09-30`, or how long ago it ended.
fn left(link: &Link<'_>, at: Timestamp) -> String {
    let (from, until) = window(link);
    let now = at.as_second();
    if now > until {
        return format!("expired {} ago, on {}", span(now - until), day(until));
    }
    format!("{} left of {}, until {}", span(until - now), span(until - from), day(until))
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn day(second: i64) -> String {
    let shown = Timestamp::from_second(second).unwrap_or(Timestamp::MAX).to_string();
    shown.split('T').next().unwrap_or_default().to_owned()
}

/// The largest unit of which there are at least two.
fn span(seconds: i64) -> String {
    let units = [("d", DAY), ("h", 3600), ("m", 60)];
    match units.into_iter().find(|(_, unit)| seconds >= 2 * unit) {
        Some((name, unit)) => format!("{}{name}", seconds / unit),
        None => format!("{}s", seconds.max(0)),
    }
}

/// A time at which all of them are valid, if there is one.
pub(super) fn common<'a>(links: impl Iterator<Item = &'a Link<'a>>) -> Option<i64> {
    let (from, until) = links.map(window).reduce(|(from, until), (f, u)| (from.max(f), until.min(u)))?;
    (from <= until).then_some(until)
}

/// The time of a certificate, for people.
pub(super) fn until(link: &Link<'_>) -> String {
    day(facts::time(link.x509.validity().not_after).as_second())
}
