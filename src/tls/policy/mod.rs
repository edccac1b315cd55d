//! How TLS should be spoken: the guidelines that are built in, and those of a file.
//!
//! - `builtin`       modern, intermediate, article
//! - `file`          a policy as TOML, with errors that name line, column and the nearest key
//! - `names`         versions, suites, groups and keys as people write them
//! - `rules`         every id that a finding can have
//! - `weak`          what is wrong with a suite, whatever the policy
//! - `protocol`, `session`, `certificate`   the judges of what was seen
//! - `waiver`        what is known, tolerated, and until when
//!
//! Pure. Refuses to pass what was not found out: an unknown fact is an error, one that nobody asked for is skipped.

mod builtin;
mod certificate;
mod file;
mod names;
mod protocol;
pub mod rules;
mod session;
#[cfg(test)]
mod tests;
mod waiver;
mod weak;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::chain::Certificate;
use super::fact::Fact;
use super::finding::{Finding, Status};
use super::prober::Protocol;
use super::registry::{Group, Suite, Version};
use super::session::Session;

pub use builtin::BUILT_IN;
pub use file::PolicyError;
pub use names::KeyKind;
pub use waiver::Waiver;

/// How TLS should be spoken. Upper bounds are `Option`s: `None` bounds nothing. What begins with `require` must be there.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// With its version, such as `intermediate-6.0`.
    pub name: String,
    /// Versions that may be spoken.
    pub versions: Option<Vec<Version>>,
    /// Versions that must be spoken.
    pub require_versions: Vec<Version>,
    /// Suites that may be agreed to, of all versions.
    pub suites: Option<Vec<Suite>>,
    /// Suites that must be agreed to.
    pub require_suites: Vec<Suite>,
    /// Groups that may be agreed to.
    pub groups: Option<Vec<Group>>,
    /// Groups that must be agreed to.
    pub require_groups: Vec<Group>,
    /// Protocols that must be agreed to.
    pub require_alpn: Vec<String>,
    /// Keys that a leaf may have.
    pub keys: Option<Vec<KeyKind>>,
    /// Signatures that a leaf may have, such as `sha256WithRSAEncryption`.
    pub signatures: Option<Vec<String>>,
    /// How long a leaf may be valid.
    pub max_lifetime: Option<Duration>,
    /// How long browsers must remember to use TLS (HSTS), at least.
    pub hsts_min_age: Option<Duration>,
    /// The server's order must decide.
    pub server_order: bool,
    /// Early data (0-RTT), which can be replayed, is no reason to warn.
    pub early_data: bool,
    /// By rule, how bad it is when it is not kept: fail or warn.
    pub severity: BTreeMap<String, Status>,
    /// What does not count, and until when.
    pub waivers: Vec<Waiver>,
}

impl Policy {
    /// Bounds nothing and requires nothing.
    #[must_use]
    pub fn unbounded(name: &str) -> Policy {
        Policy {
            name: name.to_owned(),
            versions: None,
            require_versions: Vec::new(),
            suites: None,
            require_suites: Vec::new(),
            groups: None,
            require_groups: Vec::new(),
            require_alpn: Vec::new(),
            keys: None,
            signatures: None,
            max_lifetime: None,
            hsts_min_age: None,
            server_order: false,
            early_data: false,
            severity: BTreeMap::new(),
            waivers: Vec::new(),
        }
    }

    /// What the severities of this policy and its waivers make of findings about a target, which is known under these
    /// names. A waiver that has ended is a finding of its own.
    #[must_use]
    pub fn settle(&self, names: &[String], at: Timestamp, findings: Vec<Finding>) -> Vec<Finding> {
        let weighed = findings.into_iter().map(|finding| self.weighed(finding)).collect();
        waiver::apply(&self.waivers, names, at, weighed)
    }

    fn weighed(&self, finding: Finding) -> Finding {
        match (finding.status, self.severity.get(finding.id.as_ref())) {
            (Status::Fail | Status::Warn, Some(status)) => Finding { status: *status, ..finding },
            _ => finding,
        }
    }
}

/// What a policy should be where nobody chose one: Mozilla's intermediate.
impl Default for Policy {
    fn default() -> Policy {
        builtin::intermediate()
    }
}

/// Judges what was seen of a server.
#[must_use]
pub fn judge(
    policy: &Policy,
    protocol: &Protocol,
    session: Option<&Session>,
    certificates: &[Certificate],
) -> Vec<Finding> {
    if let Some(spoken) = &protocol.not_tls {
        let finding = Finding::new("proto.not_tls", Status::Error, "server").expected("TLS");
        let fix = "check the port; for a protocol that begins TLS on request use tls+PROTOCOL://HOST";
        return vec![finding.actual(format!("{spoken} is spoken here, and not TLS")).fix(fix)];
    }
    let nothing_spoken =
        protocol.versions.values().all(|fact| fact.known().is_none_or(|spoken| spoken.suites.is_empty()));
    if session.is_none() && nothing_spoken {
        // Whoever could not reach it has said so. Who refuses everything need not even know TLS: that is no refusal of
        // a version in particular.
        return Vec::new();
    }
    let mut findings = protocol::judge(policy, protocol, session);
    findings.extend(session::judge(policy, session));
    findings.extend(judge_certificates(policy, certificates));
    findings
}

/// Judges certificates, of a server or of a file.
#[must_use]
pub fn judge_certificates(policy: &Policy, certificates: &[Certificate]) -> Vec<Finding> {
    certificates.first().map(|leaf| certificate::judge(policy, leaf)).unwrap_or_default()
}

/// The finding about a fact: what `known` makes of it, or that it is not known.
fn about<T>(
    id: &'static str,
    subject: &str,
    expected: &str,
    fact: &Fact<T>,
    known: impl FnOnce(&T) -> Finding,
) -> Finding {
    let (status, why) = match fact {
        Fact::Known(value) => return known(value),
        Fact::Skipped { skipped } => (Status::Skip, skipped),
        Fact::Unknown { unknown } => (Status::Error, unknown),
    };
    Finding::new(id, status, subject).expected(expected).actual(why)
}

/// Names one after the other; `none` where there is none.
fn list<T: std::fmt::Display>(items: &[T]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
