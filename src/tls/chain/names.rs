//! Whom a leaf is for: the name that was asked for, and what its names are like; and whom its issuers may speak for.
//!
//! Refuses to believe a common name: nobody does any more.

use std::net::IpAddr;

use rustls::pki_types::ServerName;
use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints};

use super::facts;
use super::link::Link;
use super::or_pass;
use super::path::Path;
use crate::tls::finding::{Finding, Status};

/// Names that a finding lists.
const SHOWN: usize = 5;

pub(super) fn judge(links: &[Link<'_>], path: &Path<'_>, asked: Option<&str>) -> Vec<Finding> {
    let leaf = &links[0];
    let names = facts::names(&leaf.x509);
    let mut findings = vec![name(leaf, &names, asked)];
    let pass = Finding::new("cert.san", Status::Pass, "leaf").actual(listed(&names));
    findings.extend(or_pass(alternative(leaf, &names), pass));
    findings.extend(constraints(links, path));
    findings
}

fn name(leaf: &Link<'_>, names: &[String], asked: Option<&str>) -> Finding {
    const ID: &str = "cert.name";
    let Some(asked) = asked else {
        return Finding::new(ID, Status::Skip, "leaf").actual("no name was asked for (--name)");
    };
    let finding = |status| Finding::new(ID, status, "leaf").expected(asked);
    let Ok(server) = ServerName::try_from(asked.strip_suffix('.').unwrap_or(asked)) else {
        return finding(Status::Fail)
            .actual("no certificate can be for such a name")
            .fix("ask for a host name or an address");
    };
    let Ok(certificate) = webpki::EndEntityCert::try_from(leaf.der) else {
        return finding(Status::Error).actual("not tested: the certificate cannot be read");
    };
    match certificate.verify_is_valid_for_subject_name(&server) {
        Ok(()) => finding(Status::Pass).actual(listed(names)),
        Err(_) => {
            let actual = if names.is_empty() { "it names nobody".to_owned() } else { listed(names) };
            finding(Status::Fail)
                .actual(actual)
                .fix(format!("have it issued for {asked} too, or use another name for the server"))
        }
    }
}

/// The first names, and how many more there are.
fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| facts::short(name)).collect();
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}

fn alternative(leaf: &Link<'_>, names: &[String]) -> Vec<Finding> {
    let finding = |status| {
        Finding::new("cert.san", status, "leaf")
            .fix("have it issued with all names as subject alternative names")
    };
    if names.is_empty() {
        let common = leaf.x509.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let actual =
            common.map_or_else(|| "none".to_owned(), |name| format!("none, and common name {name:?}"));
        return vec![finding(Status::Fail).expected("subject alternative names").actual(actual)];
    }
    let odd = names.iter().filter_map(|name| {
        let expected = wildcard(name)?;
        Some(finding(Status::Warn).expected(expected).actual(facts::short(name)))
    });
    odd.take(SHOWN).collect()
}

/// How it should be, of a wildcard that is too broad or that clients do not heed.
fn wildcard(name: &str) -> Option<&'static str> {
    if !name.contains('*') {
        return None;
    }
    match name.strip_prefix("*.") {
        Some(rest) if rest.contains('*') => Some("one wildcard, as the first label"),
        Some(rest) if !rest.trim_end_matches('.').contains('.') => {
            Some("a wildcard below a domain of one owner")
        }
        Some(_) => None,
        None => Some("a wildcard as a whole first label"),
    }
}

/// Names that an issuer may not speak for.
fn constraints(links: &[Link<'_>], path: &Path<'_>) -> Vec<Finding> {
    let all: Vec<&Link<'_>> = path.all(links).collect();
    let mut findings = Vec::new();
    for (number, issuer) in all.iter().enumerate().skip(1) {
        let Ok(Some(limits)) = issuer.x509.name_constraints() else { continue };
        let Ok(Some(names)) = all[0].x509.subject_alternative_name() else { continue };
        let mut outside = names.value.general_names.iter().filter(|name| !may(limits.value, name)).peekable();
        let pass = Finding::new("chain.name_constraints", Status::Pass, &all[number].label);
        let Some(first) = outside.peek() else {
            findings.push(pass.actual("all names of the leaf are its to give"));
            continue;
        };
        let first = shown(first);
        let more = outside.count() - 1;
        let actual = if more == 0 { first } else { format!("{first} and {more} more") };
        findings.push(Finding {
            status: Status::Fail,
            ..pass
                .expected(format!("names that it may speak for: {}", terms(limits.value)))
                .actual(actual)
                .fix("have the leaf issued by an authority that may speak for its names")
        });
    }
    findings
}

/// Whether the constraints let a name be: the DNS names and addresses of RFC 5280, section 4.2.1.10.
fn may(limits: &NameConstraints<'_>, name: &GeneralName<'_>) -> bool {
    let is_excluded = limits.excluded_subtrees.iter().flatten().any(|tree| within(tree, name) == Some(true));
    let mut permitted =
        limits.permitted_subtrees.iter().flatten().filter_map(|tree| within(tree, name)).peekable();
    !is_excluded && (permitted.peek().is_none() || permitted.any(|is_within| is_within))
}

/// Whether a name lies in a subtree; nothing where they are of different kinds.
fn within(tree: &GeneralSubtree<'_>, name: &GeneralName<'_>) -> Option<bool> {
    match (&tree.base, name) {
        (GeneralName::DNSName(base), GeneralName::DNSName(name)) => {
            let (base, name) = (base.to_ascii_lowercase(), name.to_ascii_lowercase());
            let Some(head) = name.strip_suffix(&base) else { return Some(false) };
            Some(base.is_empty() || base.starts_with('.') || head.is_empty() || head.ends_with('.'))
        }
        (GeneralName::IPAddress(base), GeneralName::IPAddress(address)) => {
            let (network, mask) = base.split_at(base.len() / 2);
            let masked =
                |bytes: &[u8]| bytes.iter().zip(mask).map(|(byte, mask)| byte & mask).collect::<Vec<_>>();
            (network.len() == address.len()).then(|| masked(network) == masked(address))
        }
        _ => None,
    }
}

fn terms(limits: &NameConstraints<'_>) -> String {
    let list = |trees: &Option<Vec<GeneralSubtree<'_>>>| {
        let shown: Vec<String> = trees.iter().flatten().take(SHOWN).map(|tree| shown(&tree.base)).collect();
        (!shown.is_empty()).then(|| shown.join(", "))
    };
    let only = list(&limits.permitted_subtrees).map(|names| format!("only {names}"));
    let not = list(&limits.excluded_subtrees).map(|names| format!("not {names}"));
    only.into_iter().chain(not).collect::<Vec<_>>().join(", ")
}

fn shown(name: &GeneralName<'_>) -> String {
    let address = |bytes: &[u8]| match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    };
    match name {
        GeneralName::DNSName(name) => facts::short(name),
        GeneralName::IPAddress(bytes) => match (address(bytes), bytes.split_at(bytes.len() / 2)) {
            (Some(single), _) if bytes.len() == 4 => single.to_string(),
            (_, (network, mask)) if address(network).is_some() => {
                let bits: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
                address(network).map(|network| format!("{network}/{bits}")).unwrap_or_default()
            }
            (Some(single), _) => single.to_string(),
            _ => "an address".to_owned(),
        },
        other => facts::short(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_cut_at_labels_and_masks() {
        let dns = |base, name| {
            within(&GeneralSubtree { base: GeneralName::DNSName(base) }, &GeneralName::DNSName(name))
        };
        for (base, name, inside) in [
            ("example.com", "example.com", true),
            ("example.com", "a.B.Example.com", true),
            ("example.com", "*.example.com", true),
            ("example.com", "badexample.com", false),
            (".example.com", "a.example.com", true),
            (".example.com", "example.com", false),
            ("", "anything", true),
        ] {
            assert_eq!(dns(base, name), Some(inside), "{base} {name}");
        }
        let ip = |base, name| {
            within(&GeneralSubtree { base: GeneralName::IPAddress(base) }, &GeneralName::IPAddress(name))
        };
        assert_eq!(ip(&[10, 0, 0, 0, 255, 0, 0, 0], &[10, 1, 2, 3]), Some(true));
        assert_eq!(ip(&[10, 0, 0, 0, 255, 0, 0, 0], &[11, 1, 2, 3]), Some(false));
        assert_eq!(ip(&[10, 0, 0], &[10, 1, 2, 3]), None);
    }

    #[test]
    fn wildcards_may_be_too_broad() {
        for (name, is_fine) in [
            ("*.example.com", true),
            ("a.example.com", true),
            ("*.com", false),
            ("*", false),
            ("a*.example.com", false),
            ("*.*.example.com", false),
        ] {
            assert_eq!(wildcard(name).is_none(), is_fine, "{name}");
        }
    }
}
