//! Whether an issuer took a certificate back, by lists that were fetched or given.
//!
//! Refuses to pass what no list speaks of.

use rustls::pki_types::TrustAnchor;
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, ExpirationPolicy, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use super::anchors::Anchors;
use super::dates;
use super::link::Link;
use super::path::Path;
use super::trust;
use super::{Presented, Rules};
use crate::text::words;
use crate::tls::finding::{Finding, Status};

const ID: &str = "cert.revoked";

pub(super) fn judge(
    links: &[Link<'_>],
    path: &Path<'_>,
    anchors: &Anchors<'_>,
    presented: &Presented<'_>,
    rules: &Rules<'_>,
) -> Vec<Finding> {
    if rules.crls.is_empty() {
        let staple = if presented.staple.is_some() { "; see ocsp.staple" } else { "" };
        let is_named = links.iter().any(|link| !link.sources().crls.is_empty());
        let why = match (is_named, rules.crls_asked) {
            (false, _) => "the certificates name none over HTTP",
            (true, false) => "one is named, and not asked for (--crl)",
            (true, true) => "what is named could not be fetched",
        };
        let actual = format!("no revocation list at hand: {why}{staple}");
        return vec![Finding::new("revocation", Status::Skip, "chain").actual(actual)];
    }
    let mut findings = Vec::new();
    let mut lists = Vec::new();
    for der in rules.crls {
        // Borrowed: a list of an authority may have a million entries.
        match BorrowedCertRevocationList::from_der(der) {
            Err(error) => {
                findings.push(untested(format!("a revocation list cannot be read: {}", words(&error))))
            }
            Ok(list) => match begins(der) {
                Some(begin) if begin <= rules.at => lists.push(CertRevocationList::Borrowed(list)),
                Some(begin) => {
                    findings.push(untested(format!("a revocation list is not valid before {begin}")))
                }
                None => findings.push(untested("a revocation list says no time that it is from".to_owned())),
            },
        }
    }
    if lists.is_empty() {
        return findings;
    }
    let revoked: Vec<Finding> = path.all(links).filter_map(|link| taken_back(link, &lists)).collect();
    findings.extend(match verdict(&lists, links, path, anchors, presented, rules) {
        Some(Ok(depth)) => vec![passed(depth, links)],
        Some(Err(webpki::Error::CertRevoked)) if !revoked.is_empty() => revoked,
        Some(Err(webpki::Error::CertRevoked)) => vec![took_back("chain", "revoked by its issuer")],
        Some(Err(webpki::Error::UnknownRevocationStatus)) => {
            vec![untested("no revocation list speaks of the leaf".to_owned())]
        }
        Some(Err(webpki::Error::CrlExpired { .. })) => {
            vec![untested("the revocation list has expired".to_owned())]
        }
        Some(Err(error)) => {
            vec![untested(format!("the chain and its lists do not verify: {}", words(&error)))]
        }
        None => vec![untested("the issuer of the leaf is not known, nor who may revoke it".to_owned())],
    });
    findings
}

/// When a list was made (thisUpdate of RFC 5280, section 5.1), which webpki does not ask for.
fn begins(der: &[u8]) -> Option<jiff::Timestamp> {
    let (_, list) = Any::from_der(der).ok()?;
    let (_, content) = Any::from_der(list.data).ok()?;
    let (mut rest, first) = Any::from_der(content.data).ok()?;
    // The version may be left out; the algorithm and the issuer come before the time.
    let before = if first.tag() == Tag::Integer { 2 } else { 1 };
    for _ in 0..before {
        rest = Any::from_der(rest).ok()?.0;
    }
    let (_, time) = ASN1Time::from_der(rest).ok()?;
    jiff::Timestamp::from_second(time.timestamp()).ok()
}

fn passed(depth: RevocationCheckDepth, links: &[Link<'_>]) -> Finding {
    let finding = Finding::new(ID, Status::Pass, "chain").expected("not revoked");
    match depth {
        RevocationCheckDepth::Chain => finding.actual("no certificate is on a revocation list"),
        RevocationCheckDepth::EndEntity => Finding { subject: links[0].label.clone(), ..finding }
            .actual("not on the list of its issuer; no list speaks of its issuers"),
    }
}

/// What webpki says of the lists: how far down they prove that nothing is revoked.
fn verdict(
    lists: &[CertRevocationList<'_>],
    links: &[Link<'_>],
    path: &Path<'_>,
    anchors: &Anchors<'_>,
    presented: &Presented<'_>,
    rules: &Rules<'_>,
) -> Option<Result<RevocationCheckDepth, webpki::Error>> {
    let references: Vec<&CertRevocationList<'_>> = lists.iter().collect();
    // Where the chain ends in no root, its last certificate stands in: its own fate is not asked for.
    let stand_in: Vec<TrustAnchor<'_>> = match &path.root {
        None if path.steps.len() > 1 => vec![webpki::anchor_from_trusted_cert(path.top(links).der).ok()?],
        None => return None,
        Some(_) => Vec::new(),
    };
    let anchors = if path.root.is_some() { &anchors.list } else { &stand_in };
    let is_valid = path.all(links).all(|link| link.is_valid_at(rules.at));
    let at = if is_valid { rules.at.as_second() } else { dates::common(path.all(links))? };
    let ask = |depth, status| {
        let options = RevocationOptionsBuilder::new(&references).ok()?;
        let options = options.with_depth(depth).with_status_policy(status);
        let options = options.with_expiration_policy(ExpirationPolicy::Enforce).build();
        Some(trust::verify(presented.chain, anchors, at, Some(options)))
    };
    use RevocationCheckDepth::{Chain, EndEntity};
    if let Err(error) = ask(Chain, UnknownStatusPolicy::Allow)? {
        return Some(Err(error));
    }
    match ask(Chain, UnknownStatusPolicy::Deny)? {
        Ok(_) => Some(Ok(Chain)),
        Err(_) => Some(ask(EndEntity, UnknownStatusPolicy::Deny)?.map(|_| EndEntity)),
    }
}

fn taken_back(link: &Link<'_>, lists: &[CertRevocationList<'_>]) -> Option<Finding> {
    let serial = link.x509.raw_serial();
    let issuer = link.x509.issuer().as_raw();
    let mut by_issuer = lists.iter().filter(|list| issuer.ends_with(list.issuer()));
    let entry = by_issuer.find_map(|list| list.find_serial(serial).ok().flatten())?;
    let since = jiff::Timestamp::from_second(i64::try_from(entry.revocation_date.as_secs()).ok()?).ok()?;
    let why = entry.reason_code.map(|reason| format!(", {reason:?}")).unwrap_or_default();
    Some(took_back(&link.label, &format!("revoked on {since}{why}")))
}

fn took_back(subject: &str, actual: &str) -> Finding {
    Finding::new(ID, Status::Fail, subject)
        .expected("not revoked")
        .actual(actual)
        .fix("replace it at once, with a new key")
}

fn untested(actual: String) -> Finding {
    Finding::new(ID, Status::Error, "leaf").expected("not revoked").actual(format!("not tested: {actual}"))
}
