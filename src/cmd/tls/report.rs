//! What `hardy tls check` says, and what that means for the exit code.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::baseline::{self, Baseline, Changes};
use super::check::ExitCodes;
use super::{forms, human};
use crate::config::FailFrom;
use crate::exit::{Exit, Verdict};
use crate::metrics::Metric;
use crate::output::{self, Human, Suite, sarif};
use crate::tls::Checked;
use crate::tls::chain::Certificate;
use crate::tls::finding::{Finding, Status};
use crate::tls::prober::Protocol;
use crate::tls::registry::{Group, Version};
use crate::tls::session::Session;

/// What is said of a run as a whole.
#[derive(Clone, Debug)]
pub struct Run {
    /// The policy's name.
    pub policy: String,
    /// The time that was judged at.
    pub at: Timestamp,
    /// How long it took.
    pub elapsed: Duration,
    /// It was cut short by a signal.
    pub interrupted: bool,
    /// What passed is wanted, too.
    pub verbose: bool,
    /// What makes the verdict bad.
    pub fail_on: FailFrom,
    /// Who reads the exit code.
    pub codes: ExitCodes,
}

/// All targets.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Report {
    /// With its version.
    pub policy: String,
    /// The time that was judged at; RFC 3339, UTC.
    pub at: String,
    /// It was cut short by a signal.
    pub interrupted: bool,
    pub targets: Vec<TargetReport>,
    /// The earlier run that this one was compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<BaselineReport>,
    pub elapsed_ms: u64,
    #[serde(skip)]
    pub run: Run,
}

/// The earlier run.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BaselineReport {
    pub file: String,
    /// The time that it was judged at.
    pub at: String,
    /// Targets that it had, and this one has not.
    pub targets_gone: Vec<String>,
}

/// One target, or one address of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TargetReport {
    pub target: String,
    pub address: Option<String>,
    /// The file that it is.
    pub file: Option<String>,
    /// The worst of what counts; `skip` where nothing at all was tested.
    pub status: Status,
    /// The worst first.
    pub findings: Vec<FindingReport>,
    /// Since the baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    pub observed: Observed,
    pub connections: u64,
    pub elapsed_ms: u64,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingReport {
    /// Stable.
    pub id: String,
    pub status: Status,
    /// What is to blame.
    pub subject: String,
    pub expected: String,
    pub actual: String,
    /// What is to blame one by one, such as suites.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<String>,
    /// What to do; empty where nothing is to be done.
    pub fix: String,
    /// Why it does not count, and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<String>,
    /// The baseline has it too, so that it does not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub known: bool,
}

/// What was seen, whatever the policy says of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Observed {
    /// Those that are spoken.
    pub versions: Vec<Version>,
    /// By version, in the server's order where it has one.
    pub suites: BTreeMap<String, Vec<String>>,
    /// Key exchange groups.
    pub groups: Vec<Group>,
    /// The protocol that was chosen by ALPN.
    pub alpn: Option<String>,
    /// What one handshake agreed to, and what came of more of them.
    pub negotiated: Option<Session>,
    /// The whole of it, with what was not asked for and what could not be found out.
    pub protocol: Option<Protocol>,
    /// The certificates, the leaf first.
    pub chain: Vec<Certificate>,
}

impl Report {
    /// What the check found, compared with an earlier run where there is one.
    pub fn new(checked: &[Checked], run: Run, earlier: Option<Baseline>) -> Report {
        let mut targets: Vec<TargetReport> = checked.iter().map(TargetReport::new).collect();
        let baseline = earlier.map(|earlier| {
            let targets_gone = baseline::compare(&earlier, &mut targets);
            BaselineReport { file: earlier.file, at: earlier.at, targets_gone }
        });
        for target in &mut targets {
            target.status = status(&target.findings);
        }
        Report {
            policy: run.policy.clone(),
            at: format!("{:.0}", run.at),
            interrupted: run.interrupted,
            targets,
            baseline,
            elapsed_ms: millis(run.elapsed),
            run,
        }
    }

    /// How many targets have this status.
    pub fn count(&self, status: Status) -> usize {
        self.targets.iter().filter(|target| target.status == status).count()
    }
}

/// The worst of what counts. Where nothing was tested, nothing passed.
pub fn status(findings: &[FindingReport]) -> Status {
    let counted = findings.iter().filter(|finding| finding.counts()).map(|finding| finding.status);
    match counted.min() {
        Some(bad) => bad,
        None if findings.iter().all(|finding| finding.status == Status::Skip) => Status::Skip,
        None => Status::Pass,
    }
}

impl FindingReport {
    fn new(finding: &Finding) -> FindingReport {
        let Finding { id, status, subject, expected, actual, items, fix, waived } = finding.clone();
        FindingReport {
            id: id.into_owned(),
            status,
            subject,
            expected,
            actual,
            items,
            fix,
            waived,
            known: false,
        }
    }

    /// Whether it is not as it should be.
    pub fn is_bad(&self) -> bool {
        matches!(self.status, Status::Fail | Status::Error | Status::Warn)
    }

    /// Whether it is bad, and nobody said that this is tolerated.
    pub fn counts(&self) -> bool {
        self.is_bad() && self.waived.is_none() && !self.known
    }
}

impl TargetReport {
    fn new(checked: &Checked) -> TargetReport {
        let mut findings: Vec<_> = checked.findings.iter().map(FindingReport::new).collect();
        findings.sort_by_key(|finding| finding.status);
        TargetReport {
            target: checked.target.clone(),
            address: checked.address.map(|address| address.to_string()),
            file: checked.file.as_ref().map(|path| path.display().to_string()),
            status: status(&findings),
            findings,
            changes: None,
            observed: Observed::new(&checked.observed),
            connections: checked.connections,
            elapsed_ms: millis(checked.elapsed),
        }
    }

    /// The target with its address, where that tells more.
    pub fn name(&self) -> String {
        match &self.address {
            Some(address) if !self.target.contains(address.as_str()) => {
                format!("{} ({address})", self.target)
            }
            _ => self.target.clone(),
        }
    }

    /// Of the certificate that ends first.
    pub fn days_left(&self) -> Option<i64> {
        self.observed.chain.iter().map(|certificate| certificate.days_left).min()
    }
}

impl Observed {
    fn new(observed: &crate::tls::Observed) -> Observed {
        let (protocol, session) = (observed.protocol.as_ref(), observed.session.as_ref());
        let spoken = || {
            let versions = protocol.into_iter().flat_map(|protocol| &protocol.versions);
            let known = versions.filter_map(|(version, fact)| Some((*version, &fact.known()?.suites)));
            known.filter(|(_, suites)| !suites.is_empty())
        };
        let names = |suites: &[_]| suites.iter().map(ToString::to_string).collect();
        let groups = protocol.and_then(|protocol| protocol.groups.known());
        Observed {
            versions: spoken().map(|(version, _)| version).collect(),
            suites: spoken().map(|(version, suites)| (version.id().to_owned(), names(suites))).collect(),
            groups: groups.cloned().unwrap_or_default(),
            alpn: session.and_then(|session| session.alpn.clone()),
            negotiated: session.cloned(),
            protocol: protocol.cloned(),
            chain: observed.certificates.clone(),
        }
    }
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.tls.check/v1";

    /// What is known to be bad outweighs what is not known.
    fn verdict(&self) -> Verdict {
        let has = |status| self.count(status) > 0;
        if has(Status::Fail) || has(Status::Warn) && self.run.fail_on == FailFrom::Warn {
            Verdict::Bad
        } else if has(Status::Error) || has(Status::Skip) || self.targets.is_empty() {
            Verdict::Unknown
        } else {
            Verdict::Good
        }
    }

    fn exit(&self) -> Exit {
        if !self.run.codes.is_nagios() {
            return self.verdict().into();
        }
        match self.verdict() {
            Verdict::Bad => Exit::of_command(2),
            Verdict::Unknown => Exit::UNKNOWN,
            Verdict::Good if self.count(Status::Warn) > 0 => Exit::of_command(1),
            Verdict::Good => Exit::GOOD,
        }
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        human::report(out, self)
    }

    fn suites(&self) -> Vec<Suite> {
        forms::suites(self)
    }

    fn metrics(&self) -> Vec<Metric> {
        forms::metrics(self)
    }

    fn sarif(&self) -> Option<sarif::Log> {
        Some(forms::sarif(self))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
