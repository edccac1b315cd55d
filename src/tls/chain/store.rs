//! A file of authorities, such as the roots of a system: no chain, so each is judged alone.
//!
//! Refuses to ask who issued them.

use rustls::pki_types::CertificateDer;

use super::link::Link;
use super::{Certificate, Judged, Presented, Rules, dates, facts, form, or_pass};
use crate::tls::finding::{Finding, Status};

/// Authorities of one file that are looked at.
const MOST: usize = 2_000;

/// Whether it is a file of nothing but authorities, for no name and no key.
pub(super) fn is_one(presented: &Presented<'_>, rules: &Rules<'_>) -> bool {
    let is_authority = |der: &CertificateDer<'_>| {
        facts::parse(der).is_some_and(|x509| x509.is_ca() && facts::names(&x509).is_empty())
    };
    !presented.is_served
        && !presented.chain.is_empty()
        && presented.key.is_none()
        && rules.name.is_none()
        && presented.chain.iter().take(MOST).all(is_authority)
}

pub(super) fn judge(authorities: &[CertificateDer<'static>], rules: &Rules<'_>) -> Judged {
    let mut judged = Judged { is_store: true, ..Judged::default() };
    let mut findings = Vec::new();
    for link in authorities.iter().take(MOST).filter_map(Link::alone) {
        let dates = dates::of_one(&link, dates::LEAF, rules);
        findings.extend(dates.into_iter().filter(|finding| finding.status != Status::Pass));
        findings.extend(form::form(&link));
        findings.extend(form::key_size(&link));
        findings.extend(form::serial_number(&link));
        findings.extend((!link.is_self_issued()).then(|| form::signature(&link)).flatten());
        judged.certificates.push(Certificate::of_parsed(&link.x509, rules.at));
    }
    let count = format!("{} authorities", judged.certificates.len());
    for id in ["cert.expiry", "cert.form", "cert.key_size", "cert.signature"] {
        findings = or_pass(findings, Finding::new(id, Status::Pass, "authorities").actual(count.clone()));
    }
    let skipped = Finding::new("chain.untrusted", Status::Skip, "authorities");
    findings.push(skipped.actual("a file of authorities is no chain: each was judged alone"));
    judged.findings = findings;
    judged
}
