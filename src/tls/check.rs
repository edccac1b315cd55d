//! Checks targets side by side: looks each up, observes it with both engines at once, and has what they saw judged.
//!
//! Refuses to let one target hold up another: each has its own time.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::chain::{self, Certificate, Judged, Presented, Roots, Rules};
use super::dial::Dial;
use super::fetch::{self, Fetched};
use super::files;
use super::finding::{Finding, Status};
use super::policy::{self, Policy};
use super::prober::{self, Protocol};
use super::session::{self, Depth, Session};
use super::target::{Endpoint, Place, Target};
use super::threshold::Threshold;
use crate::http::lookup::Overrides;
use crate::reason::{Fault, Reason};
use crate::units;

/// Files that connections of all targets together may take.
const CONNECTIONS: usize = 512;
/// Targets that are checked at a time.
const TARGETS: usize = 256;

/// What is checked, and against what.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is checked.
    pub targets: Vec<Target>,
    /// How TLS should be spoken.
    pub policy: Policy,
    /// Who is trusted.
    pub roots: Roots,
    /// The time to judge at.
    pub at: Timestamp,
    /// When to warn of the end of a certificate.
    pub warn: Threshold,
    /// When that is a failure.
    pub crit: Threshold,
    /// How much is looked at.
    pub depth: Depth,
    /// How long each step may take: a connection, an answer.
    pub timeout: Duration,
    /// Connections to one address at a time.
    pub max_conns: usize,
    /// Every address of a name, not only the first that answers.
    pub all_addresses: bool,
    /// The certificate and key for servers that ask for one.
    pub identity: Option<Arc<CertifiedKey>>,
    /// For PKCS#12 files.
    pub password: Option<String>,
    /// The name that certificates in files must be for.
    pub file_name: Option<String>,
    /// The key that should belong to each leaf, of servers and of files without a key.
    pub key: Option<Arc<PrivateKeyDer<'static>>>,
    /// The leaf that servers should send: that of a file on disk.
    pub leaf: Option<CertificateDer<'static>>,
    /// Revocation lists that were given.
    pub crls: Vec<CertificateRevocationListDer<'static>>,
    /// Fetch the revocation lists that the certificates name.
    pub fetch_crls: bool,
    /// Fetch certificates that were not sent from where the chain says (AIA).
    pub aia: bool,
    /// Addresses that were given by hand, instead of a look-up.
    pub overrides: Overrides,
}

/// How far it is.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Targets that are done.
    pub done: usize,
    /// All of them.
    pub total: usize,
}

/// What came of one target, or of one address of it.
#[derive(Clone, Debug)]
pub struct Checked {
    /// As it was named.
    pub target: String,
    /// The address that was spoken with.
    pub address: Option<SocketAddr>,
    /// The file that it is.
    pub file: Option<PathBuf>,
    /// In the order in which they were found.
    pub findings: Vec<Finding>,
    /// What was seen.
    pub observed: Observed,
    /// Connections that it took.
    pub connections: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// What was seen of one target.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// What the server would speak; none of files.
    pub protocol: Option<Protocol>,
    /// What was spoken; none of files, and where no handshake came about.
    pub session: Option<Session>,
    /// What the certificates say of themselves.
    pub certificates: Vec<Certificate>,
}

/// Checks all targets; their results are in the order of the plan. What a stop cut short is an error of its target.
pub async fn check(
    plan: Arc<Plan>,
    snapshots: Option<watch::Sender<Snapshot>>,
    stop: CancellationToken,
) -> Vec<Checked> {
    let total = plan.targets.len();
    let tell = |done| snapshots.as_ref().map(|to| to.send_replace(Snapshot { done, total }));
    tell(0);
    let everywhere = Arc::new(Semaphore::new(CONNECTIONS));
    let places = Arc::new(Semaphore::new(TARGETS));
    let mut running = tokio::task::JoinSet::new();
    for (number, target) in plan.targets.iter().cloned().enumerate() {
        let (plan, everywhere, places, stop) =
            (plan.clone(), everywhere.clone(), places.clone(), stop.clone());
        running.spawn(async move {
            let _place = places.acquire_owned().await;
            let cut_short = || vec![failed(&target, Reason::Closed.because("the check was interrupted"))];
            let checked = tokio::select! {
                checked = one(&plan, &target, everywhere) => checked,
                () = stop.cancelled() => cut_short(),
            };
            (number, checked)
        });
    }
    let mut all: Vec<(usize, Vec<Checked>)> = Vec::with_capacity(total);
    while let Some(ended) = running.join_next().await {
        all.extend(ended.ok());
        tell(all.len());
    }
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().flat_map(|(_, checked)| checked).map(|checked| settled(&plan, checked)).collect()
}

/// What the severities and waivers of the policy make of it.
fn settled(plan: &Plan, checked: Checked) -> Checked {
    let address = checked.address.map(|address| address.to_string());
    let names: Vec<String> = std::iter::once(checked.target.clone()).chain(address).collect();
    Checked { findings: plan.policy.settle(&names, plan.at, checked.findings), ..checked }
}

async fn one(plan: &Plan, target: &Target, everywhere: Arc<Semaphore>) -> Vec<Checked> {
    match &target.place {
        Place::File(path) => match read(path.clone(), plan.password.clone(), plan.timeout).await {
            Ok(bundles) => {
                let mut checked = Vec::with_capacity(bundles.len());
                for bundle in &bundles {
                    checked.push(file(plan, target, bundle).await);
                }
                checked
            }
            Err(error) => vec![unreadable(target, &error)],
        },
        Place::Endpoint(endpoint) => match addresses(plan, endpoint).await {
            Err(fault) => vec![failed(target, fault)],
            Ok(found) => endpoint_at(plan, target, endpoint, &found, &everywhere).await,
        },
    }
}

/// Reads files where it holds nobody up, one within the time of a step: a pipe may never say a word, and a password may be
/// made to take for ever. A directory, of which only plain files are read, has as long as it takes.
async fn read(
    path: PathBuf,
    password: Option<String>,
    limit: Duration,
) -> Result<Vec<files::Bundle>, files::FileError> {
    let limit = if path.is_dir() { Duration::MAX } else { limit };
    let (shown, reading) = (path.clone(), move || files::read(&path, password.as_deref()));
    let unread = |error| files::FileError::Read(shown.clone(), error);
    let late = |_| unread(io::Error::other(format!("it took longer than {}", units::Duration(limit))));
    let read = tokio::time::timeout(limit, tokio::task::spawn_blocking(reading)).await.map_err(late)?;
    read.map_err(|ended| unread(io::Error::other(ended)))?
}

/// Every address, or those up to the first that a connection reaches.
async fn endpoint_at(
    plan: &Plan,
    target: &Target,
    endpoint: &Endpoint,
    found: &[SocketAddr],
    everywhere: &Arc<Semaphore>,
) -> Vec<Checked> {
    let mut last = Vec::new();
    for address in found {
        let limits = (plan.max_conns, everywhere.clone());
        let dial = Dial::new((*address, endpoint.name()), endpoint.starttls, plan.timeout, limits);
        let checked = at_address(plan, target, endpoint, *address, &dial).await;
        if plan.all_addresses {
            last.push(checked);
        } else {
            last = vec![checked];
            if dial.has_reached() {
                break;
            }
        }
    }
    last
}

async fn at_address(
    plan: &Plan,
    target: &Target,
    endpoint: &Endpoint,
    address: SocketAddr,
    dial: &Dial,
) -> Checked {
    let begun = Instant::now();
    let probed = async {
        match plan.depth {
            Depth::Fast => Protocol::skipped("--fast looks at one connection only"),
            Depth::Full => Box::pin(prober::enumerate(dial, endpoint.sni())).await,
        }
    };
    let (session, protocol) =
        tokio::join!(Box::pin(session::observe(dial, endpoint, plan.depth, plan.identity.clone())), probed);
    let mut findings = Vec::new();
    let (session, chain) = match session {
        Ok(session) => {
            let chain = session.chain.clone();
            (Some(session), chain)
        }
        Err(fault) => {
            let sent = protocol.chains.first().cloned().unwrap_or_default();
            if sent.is_empty() {
                findings.push(unreached(&fault));
            }
            (None, sent.into_iter().map(CertificateDer::from).collect())
        }
    };
    let staple = session.as_ref().and_then(|session| session.staple.as_deref());
    let presented = Presented { chain: &chain, staple, is_served: true, key: plan.key.as_deref() };
    let judged = judge(plan, &presented, Some(endpoint.name())).await;
    findings.extend(judged.findings);
    findings.extend(policy::judge(&plan.policy, &protocol, session.as_ref(), &judged.certificates));
    let certificates = judged.certificates;
    Checked {
        target: target.shown.clone(),
        address: Some(address),
        file: None,
        findings,
        observed: Observed { protocol: Some(protocol), session, certificates },
        connections: dial.opened(),
        elapsed: begun.elapsed(),
    }
}

/// Judges certificates by what they say, and by what they name where that is to be fetched.
async fn judge(plan: &Plan, presented: &Presented<'_>, name: Option<&str>) -> Judged {
    let lists = async {
        if plan.fetch_crls { fetch::lists(presented.chain, plan.timeout).await } else { Fetched::default() }
    };
    let issuers = async {
        if plan.aia {
            fetch::issuers(presented.chain, &plan.roots, plan.timeout).await
        } else {
            Fetched::default()
        }
    };
    let (lists, issuers) = tokio::join!(lists, issuers);
    let crls = [&plan.crls[..], &lists.found].concat();
    let rules = Rules {
        name,
        at: plan.at,
        roots: &plan.roots,
        warn: plan.warn,
        crit: plan.crit,
        crls: &crls,
        crls_asked: plan.fetch_crls,
        fetched: &issuers.found,
        leaf: plan.leaf.as_ref().filter(|_| presented.is_served),
    };
    let mut judged = chain::judge(presented, &rules);
    judged.findings.extend(lists.findings.into_iter().chain(issuers.findings));
    judged
}

async fn file(plan: &Plan, target: &Target, bundle: &files::Bundle) -> Checked {
    let begun = Instant::now();
    let key = bundle.keys.first().or(plan.key.as_deref());
    let presented = Presented { chain: &bundle.certificates, staple: None, is_served: false, key };
    let judged = judge(plan, &presented, plan.file_name.as_deref()).await;
    let mut findings = judged.findings;
    let mismatch = findings.iter_mut().find(|found| found.id == "key.match" && found.status == Status::Fail);
    if let (Some(mismatch), Some(file)) = (mismatch, &bundle.key_file) {
        mismatch.actual = format!("{} holds {}", file.display(), mismatch.actual);
    }
    if bundle.certificates.is_empty() && bundle.unread.is_empty() {
        let untested = Finding::new("key.match", Status::Error, "key").expected("the key of a leaf");
        findings.push(untested.actual("not tested: there is no certificate beside it"));
    }
    findings.extend(bundle.unread.iter().map(|what| {
        Finding::new("file.readable", Status::Error, "file")
            .expected("certificates or keys")
            .actual(what)
            .fix("mend it or take it away; the password of PKCS#12 comes with --password-file FILE")
    }));
    findings.extend(bundle.deeper.iter().map(|path| {
        Finding::new("file.readable", Status::Skip, "directory")
            .actual(format!("{} lies deeper than is read: check it by itself", path.display()))
    }));
    if !judged.is_store {
        findings.extend(policy::judge_certificates(&plan.policy, &judged.certificates));
    }
    let observed = Observed { certificates: judged.certificates, ..Observed::default() };
    let path = bundle.path.display().to_string();
    let target = if path == target.shown { path } else { format!("{}: {path}", target.shown) };
    Checked {
        target,
        address: None,
        file: Some(bundle.path.clone()),
        findings,
        observed,
        connections: 0,
        elapsed: begun.elapsed(),
    }
}

async fn addresses(plan: &Plan, endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Fault> {
    if let Some(given) = plan.overrides.seen_from(&endpoint.host, endpoint.port).find(&endpoint.host) {
        return Ok(given);
    }
    let host = (endpoint.host.as_str(), endpoint.port);
    let looked_up = tokio::time::timeout(plan.timeout, tokio::net::lookup_host(host)).await;
    let found: Vec<SocketAddr> = match looked_up {
        Err(_) => return Err(Reason::Dns.because(format!("no answer about {} in time", endpoint.host))),
        Ok(Err(error)) => return Err(Reason::Dns.because(format!("{}: {error}", endpoint.host))),
        Ok(Ok(found)) => found.collect(),
    };
    if found.is_empty() {
        return Err(Reason::Dns.because(format!("{} has no address", endpoint.host)));
    }
    Ok(found)
}

fn failed(target: &Target, fault: Fault) -> Checked {
    Checked {
        target: target.shown.clone(),
        address: None,
        file: match &target.place {
            Place::File(path) => Some(path.clone()),
            Place::Endpoint(_) => None,
        },
        findings: vec![unreached(&fault)],
        observed: Observed::default(),
        connections: 0,
        elapsed: Duration::ZERO,
    }
}

fn unreached(fault: &Fault) -> Finding {
    let actual = format!("{}: {}", fault.reason.id(), fault.detail);
    Finding::new("endpoint.reachable", Status::Error, "server")
        .expected("a TLS handshake")
        .actual(actual)
        .fix("check its name and port, and that TLS is spoken there")
}

fn unreadable(target: &Target, error: &files::FileError) -> Checked {
    let why = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let finding = Finding::new("file.readable", Status::Error, "file")
        .expected("certificates or keys")
        .actual(format!("{error}{why}"))
        .fix(match error {
            files::FileError::Locked { .. } => "give its password with --password-file FILE",
            files::FileError::Read(..) => "check its path, and who may read it",
            files::FileError::Nothing { .. } | files::FileError::Foreign(_) => {
                "give a file or directory with certificates"
            }
        });
    Checked { findings: vec![finding], ..failed(target, Reason::LocalResources.because("")) }
}
