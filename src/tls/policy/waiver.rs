//! Waivers: what is known to be bad, why that is tolerated, and until when.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use regex::Regex;

use crate::tls::finding::{Finding, Status};

/// What does not count.
#[derive(Clone, Debug)]
pub struct Waiver {
    /// The rule, or a pattern with `*` and `?` for several.
    pub id: String,
    /// A pattern for the target's name or address.
    pub target: String,
    /// Why.
    pub reason: String,
    /// The last day on which it holds, in UTC.
    pub until: Date,
    ids: Regex,
    targets: Regex,
}

impl PartialEq for Waiver {
    fn eq(&self, other: &Waiver) -> bool {
        let key =
            |waiver: &Waiver| (waiver.id.clone(), waiver.target.clone(), waiver.reason.clone(), waiver.until);
        key(self) == key(other)
    }
}

impl Waiver {
    /// # Errors
    /// A pattern is too large.
    pub fn new(id: &str, target: &str, reason: &str, until: Date) -> Result<Waiver, regex::Error> {
        Ok(Waiver {
            ids: glob(id)?,
            targets: glob(target)?,
            id: id.to_owned(),
            target: target.to_owned(),
            reason: reason.to_owned(),
            until,
        })
    }

    fn has_ended(&self, at: Timestamp) -> bool {
        let midnight = self.until.to_zoned(TimeZone::UTC).map(|day| day.timestamp());
        midnight
            .is_ok_and(|start| start.checked_add(SignedDuration::from_hours(24)).is_ok_and(|end| at >= end))
    }
}

/// `*` stands for any text, `?` for one character; letters in any case.
pub(super) fn glob(pattern: &str) -> Result<Regex, regex::Error> {
    let escaped = regex::escape(pattern).replace(r"\*", ".*").replace(r"\?", ".");
    Regex::new(&format!("(?is)^{escaped}$"))
}

/// Marks what is waived: failures and warnings only, since what could not be tested must not look as if it had been.
pub(super) fn apply(
    waivers: &[Waiver],
    names: &[String],
    at: Timestamp,
    mut findings: Vec<Finding>,
) -> Vec<Finding> {
    let mut ended = Vec::new();
    for waiver in waivers.iter().filter(|waiver| names.iter().any(|name| waiver.targets.is_match(name))) {
        if waiver.has_ended(at) {
            ended.push(overdue(waiver));
            continue;
        }
        let bad = findings.iter_mut().filter(|finding| matches!(finding.status, Status::Fail | Status::Warn));
        for finding in bad.filter(|finding| waiver.ids.is_match(&finding.id)) {
            finding.waived = Some(format!("{}, until {}", waiver.reason, waiver.until));
        }
    }
    findings.extend(ended);
    findings
}

fn overdue(waiver: &Waiver) -> Finding {
    Finding::new("policy.waiver", Status::Warn, waiver.id.clone())
        .expected("no waiver that has ended")
        .actual(format!("the waiver for {} ended on {}: {}", waiver.target, waiver.until, waiver.reason))
        .fix("mend what it was for and take it out of the policy, or give it a new date and a reason")
}
