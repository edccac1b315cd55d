//! Whether certificates are as they should be: every reason why not, each with the certificate to blame.
//!
//! Pure: certificates, roots and the time come in as values. Refuses to stop at the first reason, to fetch anything, and to
//! let one reason hide another.

mod anchors;
mod dates;
mod facts;
mod form;
mod link;
mod names;
mod order;
mod pair;
mod path;
mod revocation;
mod staple;
mod store;
mod transparency;
mod trust;

#[cfg(test)]
mod tests;

pub use anchors::Roots;
pub use facts::{Certificate, days_left};
pub use link::{Sources, sources};
pub use pair::belongs;
pub use path::missing;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use self::anchors::Anchors;
use self::link::Link;
use self::path::Path;
use super::finding::{Finding, Status};
use super::threshold::Threshold;

/// What there is to judge.
#[derive(Clone, Debug, Default)]
pub struct Presented<'a> {
    /// As it was sent or stored, leaf first.
    pub chain: &'a [CertificateDer<'static>],
    /// The stapled OCSP answer, as DER; `None` also for files.
    pub staple: Option<&'a [u8]>,
    /// Whether a staple could have been there: not for files.
    pub is_served: bool,
    /// The key that should belong to the leaf.
    pub key: Option<&'a PrivateKeyDer<'static>>,
}

/// How it should be.
#[derive(Clone, Debug)]
pub struct Rules<'a> {
    /// The name or address that the leaf must be for; none for files without `--name`.
    pub name: Option<&'a str>,
    /// The time to judge at.
    pub at: Timestamp,
    /// Who is trusted.
    pub roots: &'a Roots,
    /// When to warn of the end of a certificate.
    pub warn: Threshold,
    /// When that is a failure.
    pub crit: Threshold,
    /// Revocation lists that were fetched, or given.
    pub crls: &'a [CertificateRevocationListDer<'static>],
    /// Whether those that the certificates name were to be fetched.
    pub crls_asked: bool,
    /// Certificates that were fetched from where the chain says (AIA): not sent, but they might complete it.
    pub fetched: &'a [CertificateDer<'static>],
    /// The leaf that should be served: that of a file on disk.
    pub leaf: Option<&'a CertificateDer<'static>>,
}

/// What there is to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// Every reason, and what passed.
    pub findings: Vec<Finding>,
    /// What the certificates say of themselves, in the order of the chain.
    pub certificates: Vec<Certificate>,
    /// It is no chain but a file of authorities, each of which was judged alone.
    pub is_store: bool,
}

/// Certificates of a chain that are looked at.
const LONGEST: usize = 20;
/// Bytes of a chain that are looked at: a thousand names take some thirty thousand.
const LARGEST: usize = 512 * 1024;

/// Judges a chain, or a file of authorities that is none.
#[must_use]
pub fn judge(presented: &Presented<'_>, rules: &Rules<'_>) -> Judged {
    if store::is_one(presented, rules) {
        return store::judge(presented.chain, rules);
    }
    let (chain, mut findings) = within_bounds(presented.chain);
    let (links, unread) = read(chain);
    findings.extend(unread);
    let certificates = links.iter().map(|link| Certificate::of_parsed(&link.x509, rules.at)).collect();
    if chain.first().is_some_and(|leaf| links.first().is_some_and(|link| link.der == leaf)) {
        let presented = Presented { chain, ..presented.clone() };
        findings.extend(of_links(&links, &presented, rules));
    } else if !presented.chain.is_empty() {
        let untested = Finding::new("chain.untrusted", Status::Error, "leaf");
        findings.push(untested.actual("not tested: the leaf cannot be read"));
    }
    Judged { findings, certificates, is_store: false }
}

/// All that is to be said of a chain whose leaf can be read.
fn of_links(links: &[Link<'_>], presented: &Presented<'_>, rules: &Rules<'_>) -> Vec<Finding> {
    let anchors = Anchors::new(rules.roots);
    let now = trust::verify(presented.chain, &anchors.list, rules.at.as_second(), None);
    let path = match &now {
        Ok(issuers) => Path::along(links, issuers, &anchors),
        Err(_) => Path::find(links, &anchors, rules.at),
    };
    let leaf = &links[0];
    let mut findings = names::judge(links, &path, rules.name);
    findings.extend(dates::judge(links, &path, rules));
    findings.extend(form::judge(links, &path));
    findings.extend(order::judge(links, &path));
    let asked =
        trust::Asked { chain: presented.chain, anchors: &anchors, now: now.map(|_| ()), findings: &findings };
    let trust = trust::judge(links, &path, &asked, rules);
    findings.extend(trust);
    findings.push(transparency::judge(leaf, &path));
    findings.extend(staple::judge(links, &path, presented, rules.at));
    findings.extend(revocation::judge(links, &path, &anchors, presented, rules));
    findings.extend(pair::judge(leaf, presented, rules));
    findings
}

/// As much of a chain as is looked at.
fn within_bounds<'a>(chain: &'a [CertificateDer<'static>]) -> (&'a [CertificateDer<'static>], Vec<Finding>) {
    let mut bytes = 0;
    let fits = |der: &&CertificateDer<'static>| {
        bytes += der.len();
        bytes <= LARGEST
    };
    let count = chain.iter().take(LONGEST).take_while(fits).count();
    let (looked_at, rest) = chain.split_at(count);
    let cut = (!rest.is_empty()).then(|| {
        let bytes: usize = chain.iter().map(|der| der.len()).sum();
        Finding::new("chain.length", Status::Fail, "chain")
            .expected(format!("at most {LONGEST} certificates in {} KiB", LARGEST / 1024))
            .actual(format!("{} in {} KiB; the rest was not looked at", chain.len(), bytes.div_ceil(1024)))
            .fix("send the leaf and its intermediates only")
    });
    (looked_at, cut.into_iter().collect())
}

/// Those that can be read, and a finding for each that cannot.
fn read<'a>(chain: &'a [CertificateDer<'static>]) -> (Vec<Link<'a>>, Vec<Finding>) {
    let (mut links, mut findings) = (Vec::new(), Vec::new());
    for (place, der) in chain.iter().enumerate() {
        match Link::new(der, place) {
            Some(link) => links.push(link),
            None => {
                let subject =
                    if place == 0 { "leaf".to_owned() } else { format!("certificate {}", place + 1) };
                findings.push(
                    Finding::new("cert.form", Status::Fail, subject)
                        .expected("an X.509 certificate in DER")
                        .actual(format!("{} bytes that are none", der.len()))
                        .fix("send the certificate as it was issued"),
                );
            }
        }
    }
    (links, findings)
}

/// What was found, or that nothing was.
fn or_pass(found: Vec<Finding>, pass: Finding) -> Vec<Finding> {
    if found.iter().any(|finding| finding.id == pass.id) {
        return found;
    }
    found.into_iter().chain([pass]).collect()
}
