//! Whether the chain ends in a root that is trusted, by webpki's word, and why not where it does not.
//!
//! Refuses to call a chain trusted that webpki does not verify at the time that was asked for.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, RevocationOptions};

use super::Rules;
use super::anchors::Anchors;
use super::dates;
use super::link::Link;
use super::path::Path;
use crate::text::words;
use crate::tls::finding::{Finding, Status};

const ID: &str = "chain.untrusted";

/// The issuers on the way that webpki found, without the leaf and the root.
///
/// # Errors
/// The one reason that it names.
pub(super) fn verify(
    chain: &[CertificateDer<'static>],
    anchors: &[TrustAnchor<'_>],
    second: i64,
    revocation: Option<RevocationOptions<'_>>,
) -> Result<Vec<CertificateDer<'static>>, webpki::Error> {
    let (leaf, issuers) = chain.split_first().ok_or(webpki::Error::BadDer)?;
    let leaf = EndEntityCert::try_from(leaf)?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(second).unwrap_or(0)));
    let (algorithms, usage) = (webpki::ALL_VERIFICATION_ALGS, KeyUsage::server_auth());
    let path = leaf.verify_for_usage(algorithms, anchors, issuers, time, usage, revocation, None)?;
    Ok(path.intermediate_certificates().map(|issuer| issuer.der().into_owned()).collect())
}

/// What is so at another time, for chains whose dates are wrong.
pub(super) struct Asked<'a> {
    pub(super) chain: &'a [CertificateDer<'static>],
    pub(super) anchors: &'a Anchors<'a>,
    /// What webpki says at the time that was asked for.
    pub(super) now: Result<(), webpki::Error>,
    /// What the other rules found.
    pub(super) findings: &'a [Finding],
}

/// Rules about times, one of which explains why webpki refuses a chain at one time and not at another.
const TIMES: [&str; 4] = ["cert.expiry", "cert.not_yet_valid", "chain.expired", "chain.not_yet_valid"];
/// Rules about what else webpki may refuse.
const OTHERS: [&str; 8] = [
    "cert.eku",
    "cert.form",
    "cert.key_size",
    "cert.signature",
    "chain.ca_flag",
    "chain.name_constraints",
    "chain.path_length",
    "chain.signature",
];

pub(super) fn judge(
    links: &[Link<'_>],
    path: &Path<'_>,
    asked: &Asked<'_>,
    rules: &Rules<'_>,
) -> Vec<Finding> {
    if asked.anchors.list.is_empty() {
        let finding = Finding::new(ID, Status::Error, "this host")
            .expected("roots to trust")
            .actual(format!("none found in {}", store(rules)))
            .fix("install the certificates of public authorities (ca-certificates), or name some with --ca");
        return vec![finding];
    }
    let Some(root) = &path.root else { return untrusted(links, path, asked, rules) };
    let origin = if root.is_public { store(rules) } else { "given" };
    let end = format!("{} ({origin})", root.link.label);
    let finding = |status| Finding::new(ID, status, "chain").expected("a trusted root");
    let Err(error) = &asked.now else {
        let pass = Finding::new("chain.incomplete", Status::Pass, "chain").actual("nothing is missing");
        return vec![pass, finding(Status::Pass).actual(end)];
    };
    // Where it is refused at a time that is right for all of them too, their dates do not explain it.
    let later = dates::common(path.all(links));
    let later = later.map(|second| verify(asked.chain, &asked.anchors.list, second, None));
    let (error, ids) = match &later {
        Some(Err(error)) => (error, &OTHERS[..]),
        Some(Ok(_)) | None => (error, &TIMES[..]),
    };
    let explains = |finding: &Finding| finding.status == Status::Fail && ids.contains(&&*finding.id);
    if asked.findings.iter().any(explains) {
        let actual = format!("not tested to the end: it would be {end}, but for the other findings");
        return vec![finding(Status::Skip).actual(actual)];
    }
    let actual = format!("refused: {}", words(error));
    vec![finding(Status::Fail).actual(actual).fix("have the chain issued anew, as RFC 5280 has it")]
}

/// The chain ends nowhere: at the leaf itself, at a root that is not trusted, or where something is missing.
fn untrusted(links: &[Link<'_>], path: &Path<'_>, asked: &Asked<'_>, rules: &Rules<'_>) -> Vec<Finding> {
    let top = path.top(links);
    let finding =
        |id, link: &Link<'_>| Finding::new(id, Status::Fail, &link.label).expected("a trusted root");
    let here = format!("not trusted here ({})", store(rules));
    if path.steps.len() == 1 && top.is_self_issued() {
        let itself = finding("cert.self_signed", top)
            .expected("issued by an authority")
            .actual("signed by itself")
            .fix(
                "trust it with --ca FILE, or use a certificate of an authority (`hardy tls cert` makes one)",
            );
        return vec![itself, finding(ID, top).actual(here).fix("see cert.self_signed")];
    }
    if top.is_self_issued() {
        let fix =
            format!("trust {:?} with --ca FILE, or use a certificate of a public authority", top.called());
        return vec![finding(ID, top).actual(here).fix(fix)];
    }
    let issuer = top.issuer();
    if path.is_namesake {
        let finding = finding(ID, top)
            .actual(format!("a root {issuer:?} is trusted here, but has another key"))
            .fix("find out who issued it: the name of its issuer is borrowed, or its issuer has a new key");
        return vec![finding];
    }
    vec![missing(top, &issuer, links, asked, rules)]
}

/// The issuer of the last one was not sent and is no root here.
fn missing(
    top: &Link<'_>,
    issuer: &str,
    links: &[Link<'_>],
    asked: &Asked<'_>,
    rules: &Rules<'_>,
) -> Finding {
    let incomplete = Finding::new("chain.incomplete", Status::Fail, &top.label)
        .expected("every issuer but the root")
        .actual(format!("its issuer {issuer:?} was not sent"));
    let known = links.iter().map(|link| link.der).chain(rules.fetched);
    let more: Vec<Link<'_>> = known.enumerate().filter_map(|(place, der)| Link::new(der, place)).collect();
    let longer = Path::find(&more, asked.anchors, rules.at);
    let added: Vec<String> = longer
        .steps
        .iter()
        .map(|place| &more[*place])
        .filter(|link| rules.fetched.contains(link.der) && !link.is_self_issued())
        .map(|link| format!("{:?}", link.called()))
        .collect();
    if !added.is_empty() && longer.root.is_some() {
        return incomplete.fix(format!("the server must also send {}", added.join(" and ")));
    }
    let end = longer.top(&more);
    if end.is_self_issued() || !added.is_empty() {
        return Finding::new(ID, Status::Fail, &end.label)
            .expected("a trusted root")
            .actual(format!("fetched, and not trusted here ({})", store(rules)))
            .fix(format!("trust {:?} with --ca FILE, and send its intermediates", end.called()));
    }
    if !top.sources().issuers.is_empty() {
        let fix = "send the whole chain (fullchain.pem); --aia fetches what is missing and says more";
        return incomplete.fix(fix);
    }
    Finding::new(ID, Status::Fail, &top.label)
        .expected("a trusted root")
        .actual(format!("its issuer {issuer:?} was not sent, and is not trusted here ({})", store(rules)))
        .fix(format!("send the certificate of {issuer:?} too (fullchain.pem), or trust it with --ca FILE"))
}

fn store<'r>(rules: &Rules<'r>) -> &'r str {
    Some(rules.roots.store.as_str()).filter(|store| !store.is_empty()).unwrap_or("the store of this system")
}
