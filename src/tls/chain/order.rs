//! What was sent, and in which order: what is missing from no chain, what should not be there, and whether each may
//! issue the one before.
//!
//! Refuses to ask who is trusted.

use std::collections::HashSet;

use super::link::{Link, Signed};
use super::or_pass;
use super::path::{self, Path};
use crate::tls::finding::{Finding, Status};

pub(super) fn judge(links: &[Link<'_>], path: &Path<'_>) -> Vec<Finding> {
    let sent = format!("{} sent", links.len());
    let sent = Finding::new("chain.superfluous", Status::Pass, "chain").actual(sent);
    // What nobody knows the issuer of was not tested to the end.
    let unknown = path.unknown_from(links).map(|link| format!("the issuer of {} is not known", link.label));
    let alone = unknown.clone().filter(|_| path.steps.len() == 1);
    let signatures = path.broken.iter().map(|place| broken(links, path, *place)).collect();
    let unsigned = unknown.clone().or_else(|| unverified(links, path));
    let pass = |id, actual: &str, untested: Option<String>| {
        let status = if untested.is_some() { Status::Skip } else { Status::Pass };
        Finding::new(id, status, "chain").actual(untested.unwrap_or_else(|| actual.to_owned()))
    };
    [
        or_pass(order(links, path), pass("chain.order", "each names the next as its issuer", alone)),
        or_pass(superfluous(links), sent),
        or_pass(signatures, pass("chain.signature", "each is signed by its issuer", unsigned)),
        or_pass(
            authorities(links, path),
            pass("chain.ca_flag", "the leaf is none, its issuers are authorities", unknown.clone()),
        ),
        or_pass(
            path_lengths(links, path),
            pass("chain.path_length", "no longer than issuers allow", unknown),
        ),
    ]
    .concat()
}

/// A signature of a kind that nobody here can verify.
fn unverified(links: &[Link<'_>], path: &Path<'_>) -> Option<String> {
    let all: Vec<&Link<'_>> = path.all(links).collect();
    let found = all.windows(2).find(|pair| pair[0].signed_by(&pair[1].x509) == Signed::Unknown)?;
    Some(format!("the signature of {} is of a kind that is not verified here", found[0].label))
}

fn order(links: &[Link<'_>], path: &Path<'_>) -> Vec<Finding> {
    if path.steps.is_sorted() {
        return Vec::new();
    }
    let names: Vec<&str> = path.steps.iter().map(|place| links[*place].label.as_str()).collect();
    let finding = Finding::new("chain.order", Status::Warn, "chain")
        .expected(names.join(", "))
        .actual("sent in another order")
        .fix("put each issuer right after what it issued: some clients take no other order");
    vec![finding]
}

fn superfluous(links: &[Link<'_>]) -> Vec<Finding> {
    let mut seen = HashSet::new();
    let related = path::related(links);
    let mut findings = Vec::new();
    for (place, link) in links.iter().enumerate() {
        let actual = if !seen.insert(link.der) {
            "sent twice"
        } else if place > 0 && link.is_self_issued() && related[place] {
            "a root, which clients have or do not trust"
        } else if !related[place] {
            "issued nothing in this chain"
        } else {
            continue;
        };
        findings.push(
            Finding::new("chain.superfluous", Status::Warn, &link.label)
                .expected("only certificates that are needed")
                .actual(actual)
                .fix("leave it out"),
        );
    }
    findings
}

fn broken(links: &[Link<'_>], path: &Path<'_>, place: usize) -> Finding {
    let issuer = path.steps.iter().skip_while(|step| **step != place).nth(1);
    let link = &links[place];
    let by = match issuer {
        Some(issuer) => format!("the key of {}", links[*issuer].label),
        None if link.is_self_issued() => "its own key".to_owned(),
        None => format!("the key of the root {:?}", link.issuer()),
    };
    Finding::new("chain.signature", Status::Fail, &link.label)
        .expected(format!("signed by {by}"))
        .actual("signed by another key, or changed since")
        .fix("send or trust the issuer that signed it: one of the same name has another key")
}

fn authorities(links: &[Link<'_>], path: &Path<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let flag = |link: &Link<'_>, expected: &str, actual: &str, fix: &str| {
        Finding::new("chain.ca_flag", Status::Fail, &link.label).expected(expected).actual(actual).fix(fix)
    };
    for (number, link) in path.steps.iter().map(|place| &links[*place]).enumerate() {
        let usage = link.x509.key_usage().ok().flatten();
        if number == 0 {
            if link.x509.is_ca() {
                let fix = "have a certificate issued that is not an authority itself (CA:FALSE)";
                findings.push(flag(link, "no authority", "CA:TRUE", fix));
            }
        } else if !link.x509.is_ca() {
            let fix = "have the leaf issued by an authority: this one may issue nothing";
            findings.push(flag(link, "an authority (CA:TRUE)", "not an authority", fix));
        } else if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
            let fix = "have the issuer issued anew with keyCertSign";
            findings.push(flag(link, "key usage keyCertSign", "may not sign certificates", fix));
        }
    }
    findings
}

fn path_lengths(links: &[Link<'_>], path: &Path<'_>) -> Vec<Finding> {
    let all: Vec<&Link<'_>> = path.all(links).collect();
    let below = |number: usize| all[1..number].iter().filter(|link| !link.is_self_issued()).count();
    let too_long = all.iter().enumerate().skip(1).filter_map(|(number, link)| {
        let constraints = link.x509.basic_constraints().ok().flatten()?;
        let most = constraints.value.path_len_constraint?;
        let below = below(number);
        (below > most as usize).then(|| {
            Finding::new("chain.path_length", Status::Fail, &link.label)
                .expected(format!("at most {most} issuers below it"))
                .actual(format!("{below}"))
                .fix("have the leaf issued by an authority that is allowed to be that far down")
        })
    });
    too_long.collect()
}
