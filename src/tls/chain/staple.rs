//! The OCSP answer that a server staples to its certificate (RFC 6960), and whether it had to.
//!
//! Refuses to believe an answer that neither the issuer nor a responder of it signed.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, BitString, FromDer, Tag, oid};
use x509_parser::time::ASN1Time;
use x509_parser::x509::AlgorithmIdentifier;

use super::Presented;
use super::facts;
use super::link::{self, Link, Signed};
use super::path::Path;
use crate::tls::finding::{Finding, Status};

const ID: &str = "ocsp.staple";

/// What an OCSP answer says of one certificate.
#[derive(Debug)]
struct Answer<'a> {
    signed: &'a [u8],
    algorithm: AlgorithmIdentifier<'a>,
    signature: BitString<'a>,
    certificates: Vec<CertificateDer<'static>>,
    single: Single<'a>,
}

#[derive(Debug)]
struct Single<'a> {
    serial: &'a [u8],
    /// 0 good, 1 revoked, 2 unknown.
    status: u32,
    this_update: Timestamp,
    next_update: Option<Timestamp>,
}

pub(super) fn judge(
    links: &[Link<'_>],
    path: &Path<'_>,
    presented: &Presented<'_>,
    at: Timestamp,
) -> Vec<Finding> {
    let leaf = &links[0];
    let mut findings = Vec::new();
    // TLS Feature with status_request (5): RFC 7633.
    let feature = leaf.extension(&oid!(1.3.6.1.5.5.7.1.24));
    let must = feature.is_some_and(|value| value.windows(3).any(|window| window == [2, 1, 5]));
    if must {
        let finding =
            |status| Finding::new("cert.must_staple", status, "leaf").expected("a stapled OCSP answer");
        findings.push(match (presented.is_served, presented.staple) {
            (false, _) => finding(Status::Skip).actual("stapling is seen of servers only"),
            (true, Some(_)) => finding(Status::Pass).actual("stapled"),
            (true, None) => finding(Status::Fail)
                .actual("none was sent")
                .fix("turn on OCSP stapling, or have the certificate issued without must-staple"),
        });
    }
    if presented.is_served {
        findings.extend(stapled(leaf, path.all(links).nth(1), presented.staple, at));
    }
    findings
}

fn stapled(
    leaf: &Link<'_>,
    issuer: Option<&Link<'_>>,
    staple: Option<&[u8]>,
    at: Timestamp,
) -> Option<Finding> {
    let finding = |status, actual: String| Finding::new(ID, status, "leaf").expected("good").actual(actual);
    let Some(staple) = staple else {
        let has_responder = !leaf.sources().ocsp.is_empty();
        return has_responder.then(|| {
            finding(Status::Warn, "none was sent, and the certificate names a responder".to_owned())
                .expected("a stapled OCSP answer")
                .fix("turn on OCSP stapling, so that clients need not ask")
        });
    };
    let failed =
        |actual: String| finding(Status::Fail, actual).fix("have the server fetch a new answer to staple");
    let answer = match read(staple, leaf.x509.raw_serial()) {
        Ok(answer) => answer,
        Err(why) => return Some(failed(why)),
    };
    let single = &answer.single;
    Some(match signed_by(&answer, issuer, at) {
        Signed::Unknown => finding(Status::Error, "not tested: who signed it is not known".to_owned()),
        Signed::No => failed("signed by neither the issuer nor a responder of it".to_owned()),
        Signed::Yes if single.status == 1 => Finding {
            fix: "replace the certificate at once, with a new key".to_owned(),
            ..failed("revoked".to_owned())
        },
        Signed::Yes if single.status != 0 => failed("the responder does not know the certificate".to_owned()),
        Signed::Yes if single.this_update > at => failed(format!("valid from {} on", single.this_update)),
        Signed::Yes => match single.next_update {
            Some(next) if next < at => failed(format!("good, but expired on {next}")),
            Some(next) => finding(Status::Pass, format!("good until {next}")),
            None => finding(Status::Pass, format!("good on {}", single.this_update)),
        },
    })
}

fn signed_by(answer: &Answer<'_>, issuer: Option<&Link<'_>>, at: Timestamp) -> Signed {
    let Some(issuer) = issuer else { return Signed::Unknown };
    let by = |link: &Link<'_>| {
        link::verify(link.x509.public_key(), &answer.algorithm, &answer.signature, answer.signed)
    };
    let may = |link: &Link<'_>| {
        let usage = link.x509.extended_key_usage().ok().flatten();
        usage.is_some_and(|usage| usage.value.ocsp_signing)
            && link.is_valid_at(at)
            && link.names(&issuer.x509)
            && link.signed_by(&issuer.x509) == Signed::Yes
    };
    let delegates = answer.certificates.iter().filter_map(Link::alone).filter(may).map(|link| by(&link));
    delegates.chain([by(issuer)]).min().unwrap_or(Signed::Unknown)
}

/// An element, its bytes with their header, and what follows.
fn next(input: &[u8]) -> Result<(Any<'_>, &[u8], &[u8]), String> {
    let (rest, element) = Any::from_der(input).map_err(|_| "not an OCSP answer".to_owned())?;
    Ok((element, &input[..input.len() - rest.len()], rest))
}

/// The content of a sequence, and what follows it.
fn sequence(input: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let (element, _, rest) = next(input)?;
    if element.tag() == Tag::Sequence {
        Ok((element.data, rest))
    } else {
        Err("not an OCSP answer".to_owned())
    }
}

/// Whether an element has a tag of its context.
fn is_tagged(element: &Any<'_>, number: u32) -> bool {
    element.class() == x509_parser::asn1_rs::Class::ContextSpecific && element.tag().0 == number
}

fn read<'a>(der: &'a [u8], serial: &[u8]) -> Result<Answer<'a>, String> {
    let malformed = || "not an OCSP answer".to_owned();
    let (response, _) = sequence(der)?;
    let (status, _, bytes) = next(response)?;
    if status.data != [0] {
        return Err(format!("the responder refused to answer ({})", facts::hex(status.data)));
    }
    let (bytes, _) = sequence(next(bytes)?.0.data)?;
    let (_, _, bytes) = next(bytes)?;
    let (basic, _) = sequence(next(bytes)?.0.data)?;
    let (data, signed, rest) = next(basic)?;
    let (rest, algorithm) = AlgorithmIdentifier::from_der(rest).map_err(|_| malformed())?;
    let (rest, signature) = BitString::from_der(rest).map_err(|_| malformed())?;
    let mut certificates = Vec::new();
    if let Ok((list, ..)) = next(rest) {
        let (mut list, _) = sequence(list.data)?;
        // Responders send one, or a short chain.
        while !list.is_empty() && certificates.len() < 4 {
            let (_, der, more) = next(list)?;
            certificates.push(CertificateDer::from(der.to_vec()));
            list = more;
        }
    }
    let single = find(data.data, serial)?;
    Ok(Answer { signed, algorithm, signature, certificates, single })
}

/// The answer about one certificate.
fn find<'a>(data: &'a [u8], serial: &[u8]) -> Result<Single<'a>, String> {
    let (first, _, rest) = next(data)?;
    // The version is left out where it is the first.
    let rest = if is_tagged(&first, 0) { next(rest)?.2 } else { rest };
    let (_, _, rest) = next(rest)?;
    let (mut list, _) = sequence(rest)?;
    while !list.is_empty() {
        let (single, more) = sequence(list)?;
        let single = one(single)?;
        if single.serial == serial {
            return Ok(single);
        }
        list = more;
    }
    Err("about another certificate".to_owned())
}

fn one(input: &[u8]) -> Result<Single<'_>, String> {
    let time = |input| {
        let (_, time) = ASN1Time::from_der(input).map_err(|_| "an OCSP answer with a bad time".to_owned())?;
        Ok::<_, String>(facts::time(time))
    };
    let (id, rest) = sequence(input)?;
    let (_, _, id) = next(id)?;
    let (_, _, id) = next(id)?;
    let (_, _, id) = next(id)?;
    let serial = next(id)?.0.data;
    let (status, _, rest) = next(rest)?;
    let (_, this_update, rest) = next(rest)?;
    let until = next(rest).ok().filter(|(element, ..)| is_tagged(element, 0));
    Ok(Single {
        serial,
        status: status.tag().0,
        this_update: time(this_update)?,
        next_update: until.map(|(element, ..)| time(element.data)).transpose()?,
    })
}
