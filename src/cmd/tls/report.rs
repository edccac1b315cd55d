//! What `hardy tls check` says.

use std::collections::BTreeMap;
use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use crate::exit::Verdict;
use crate::output::{self, Human};
use crate::tls::Checked;
use crate::tls::chain::Certificate;
use crate::tls::fact::Fact;
use crate::tls::finding::{Finding, Status};
use crate::tls::prober::{Protocol, Spoken};
use crate::tls::registry::{Group, Preference};
use crate::tls::session::{Resumption, Session, WithoutSni};

/// All targets.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Report {
    targets: Vec<TargetReport>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TargetReport {
    target: String,
    address: Option<String>,
    status: Status,
    findings: Vec<Finding>,
    observed: Observed,
    connections: u64,
    elapsed_ms: u64,
}

/// What was seen, whatever the policy says of it.
#[derive(Debug, Serialize, JsonSchema)]
struct Observed {
    negotiated: Option<Negotiated>,
    protocol: Option<ProtocolReport>,
    chain: Vec<Certificate>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Negotiated {
    version: String,
    suite: String,
    group: Option<String>,
    alpn: Option<String>,
    protocols: Fact<Vec<String>>,
    without_sni: Fact<WithoutSni>,
    resumption: Fact<Resumption>,
    early_data: Fact<bool>,
    hsts: Fact<Option<String>>,
    asks_client_certificate: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ProtocolReport {
    versions: BTreeMap<String, Fact<Spoken>>,
    groups: Fact<Vec<Group>>,
    group_preference: Fact<Preference>,
    secure_renegotiation: Fact<bool>,
    compression: Fact<bool>,
    extended_master_secret: Fact<bool>,
    fallback_scsv: Fact<bool>,
}

impl Report {
    /// What the check found.
    pub fn new(checked: &[Checked]) -> Report {
        Report { targets: checked.iter().map(TargetReport::new).collect() }
    }
}

impl TargetReport {
    fn new(checked: &Checked) -> TargetReport {
        let mut findings = checked.findings.clone();
        findings.sort_by_key(|finding| finding.status);
        TargetReport {
            target: checked.target.clone(),
            address: checked.address.map(|address| address.to_string()),
            status: findings.first().map_or(Status::Pass, |finding| finding.status),
            findings,
            observed: Observed {
                negotiated: checked.observed.session.as_ref().map(Negotiated::new),
                protocol: checked.observed.protocol.as_ref().map(ProtocolReport::new),
                chain: checked.observed.certificates.clone(),
            },
            connections: checked.connections,
            elapsed_ms: u64::try_from(checked.elapsed.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Negotiated {
    fn new(session: &Session) -> Negotiated {
        Negotiated {
            version: session.version.clone(),
            suite: session.suite.clone(),
            group: session.group.clone(),
            alpn: session.alpn.clone(),
            protocols: session.protocols.clone(),
            without_sni: session.without_sni.clone(),
            resumption: session.resumption.clone(),
            early_data: session.early_data.clone(),
            hsts: session.hsts.clone(),
            asks_client_certificate: session.asks_client_certificate,
        }
    }
}

impl ProtocolReport {
    fn new(protocol: &Protocol) -> ProtocolReport {
        let versions =
            protocol.versions.iter().map(|(version, spoken)| (version.id().to_owned(), spoken.clone()));
        ProtocolReport {
            versions: versions.collect(),
            groups: protocol.groups.clone(),
            group_preference: protocol.group_preference.clone(),
            secure_renegotiation: protocol.secure_renegotiation.clone(),
            compression: protocol.compression.clone(),
            extended_master_secret: protocol.extended_master_secret.clone(),
            fallback_scsv: protocol.fallback_scsv.clone(),
        }
    }
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.tls/v1";

    fn verdict(&self) -> Verdict {
        let has = |status| self.targets.iter().any(|target| target.status == status);
        match (has(Status::Fail), has(Status::Error)) {
            (true, _) => Verdict::Bad,
            (false, true) => Verdict::Unknown,
            (false, false) => Verdict::Good,
        }
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        for target in &self.targets {
            out.line(output::printable(&target.target))?;
            for finding in &target.findings {
                let text = format!("{} {} {}", finding.id, finding.subject, finding.actual);
                out.line(format!("  {:?} {}", finding.status, output::printable(&text)))?;
            }
        }
        Ok(())
    }
}
