//! Versions, suites, groups, and what servers of TLS 1.2 and older promise.

use std::collections::BTreeMap;

use super::{Policy, about, list, names, weak};
use crate::tls::fact::Fact;
use crate::tls::finding::{Finding, Status};
use crate::tls::prober::{Protocol, Spoken};
use crate::tls::registry::{Group, Preference, Suite, Version};
use crate::tls::session::Session;

/// Groups that a quantum computer of later years does not break.
pub(super) const POST_QUANTUM: [Group; 3] = [Group(0x11ec), Group(0x11eb), Group(0x11ed)];
/// One of them that is best known.
const PQ_NAME: &str = "X25519MLKEM768";

pub(super) fn judge(policy: &Policy, protocol: &Protocol, session: Option<&Session>) -> Vec<Finding> {
    if protocol.versions.values().all(|fact| fact.known().is_none()) {
        return of_one_connection(policy, protocol, session);
    }
    let mut findings = Vec::new();
    for (version, fact) in &protocol.versions {
        findings.push(self::version(policy, *version, fact));
        if let Fact::Known(spoken) = fact
            && !spoken.suites.is_empty()
        {
            findings.push(suites(policy, *version, &spoken.suites));
        }
    }
    findings.extend(missing_suites(policy, protocol));
    findings.extend(groups(policy, &protocol.groups));
    findings.push(prime(&protocol.smallest_prime));
    findings.extend(order(policy, protocol));
    findings.extend(promises(protocol));
    findings
}

/// Where nothing was enumerated: the one connection that was made can break the policy, and never proves that it is kept.
fn of_one_connection(policy: &Policy, protocol: &Protocol, session: Option<&Session>) -> Vec<Finding> {
    // One that could not be found out outweighs those that nobody asked for.
    let unknown = protocol.versions.values().find(|fact| matches!(fact, Fact::Unknown { .. }));
    let (status, why) = match unknown.or(protocol.versions.values().next()) {
        Some(Fact::Unknown { unknown }) => (Status::Error, unknown.as_str()),
        Some(Fact::Skipped { skipped }) => (Status::Skip, skipped.as_str()),
        _ => (Status::Skip, "nothing was asked for"),
    };
    let enumeration = Finding::new("proto.enumeration", status, "server");
    let mut findings = vec![enumeration.expected("all versions, suites and groups").actual(why)];
    let Some(session) = session else { return findings };
    if let (Some(version), Some(suite)) = (names::version(&session.version), negotiated_suite(&session.suite))
    {
        let spoken = Spoken { suites: vec![suite], preference: Fact::skipped(why) };
        findings.push(self::version(policy, version, &Fact::Known(spoken)));
        findings.push(suites(policy, version, &[suite]));
    }
    let group = session.group.as_deref().and_then(names::group);
    findings.push(match group {
        Some(group) if POST_QUANTUM.contains(&group) => post_quantum(policy, &[group]),
        _ => Finding::new("kx.pq", Status::Skip, "server").expected(PQ_NAME).actual(why),
    });
    findings
}

/// As rustls writes it.
fn negotiated_suite(text: &str) -> Option<Suite> {
    names::suite(&text.replacen("TLS13_", "TLS_", 1))
}

fn version(policy: &Policy, version: Version, fact: &Fact<Spoken>) -> Finding {
    let id = version_id(version);
    let allowed = policy.versions.as_ref().is_none_or(|allowed| allowed.contains(&version));
    let required = policy.require_versions.contains(&version);
    let wanted = match (required, allowed) {
        (true, _) => "spoken",
        (false, true) => "spoken or refused",
        (false, false) => "refused",
    };
    about(id, version.name(), wanted, fact, |spoken| {
        let count = spoken.suites.len();
        let (status, fix) = match count > 0 {
            true if !allowed => (Status::Fail, turn_off(policy, version)),
            false if required => (Status::Fail, format!("switch {version} on")),
            _ => (Status::Pass, String::new()),
        };
        let actual = match count {
            0 => "refused".to_owned(),
            1 => "spoken, with 1 suite".to_owned(),
            n => format!("spoken, with {n} suites"),
        };
        Finding::new(id, status, version.name()).expected(wanted).actual(actual).fix(fix)
    })
}

fn turn_off(policy: &Policy, version: Version) -> String {
    let allowed = policy.versions.as_deref().unwrap_or_default();
    let nginx: Vec<String> = allowed
        .iter()
        .map(|version| version.name().replace("TLS ", "TLSv").replace("SSL ", "SSLv"))
        .collect();
    format!("switch {version} off (nginx: ssl_protocols {};)", nginx.join(" "))
}

const fn version_id(version: Version) -> &'static str {
    match version {
        Version::Ssl2 => "proto.ssl2",
        Version::Ssl3 => "proto.ssl3",
        Version::Tls10 => "proto.tls1_0",
        Version::Tls11 => "proto.tls1_1",
        Version::Tls12 => "proto.tls1_2",
        Version::Tls13 => "proto.tls1_3",
    }
}

/// One finding for all suites of a version. Those of a version that should not be spoken at all are bad only where they
/// are broken: the version is a finding already.
fn suites(policy: &Policy, version: Version, spoken: &[Suite]) -> Finding {
    let version_allowed = policy.versions.as_ref().is_none_or(|allowed| allowed.contains(&version));
    let bound = policy.suites.as_ref().filter(|_| version_allowed);
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    let mut bad = Vec::new();
    for suite in spoken {
        let outside = bound.is_some_and(|bound| !bound.contains(suite));
        if let Some(why) = weak::broken(*suite).or_else(|| outside.then(|| weak::dated(*suite))) {
            *reasons.entry(why).or_default() += 1;
            bad.push(suite.to_string());
        }
    }
    let expected = if bound.is_some() { "suites of the policy only" } else { "no broken suite" };
    let finding = Finding::new("suite.weak", Status::Pass, version.name()).expected(expected);
    if bad.is_empty() {
        return finding.actual(counted(spoken.len(), "good suite"));
    }
    let reasons: Vec<String> = reasons.iter().map(|(why, count)| format!("{count} × {why}")).collect();
    let actual = format!("{} of {}: {}", bad.len(), counted(spoken.len(), "suite"), reasons.join("; "));
    let left: Vec<String> =
        spoken.iter().map(ToString::to_string).filter(|suite| !bad.contains(suite)).collect();
    let fix = match (left.len(), bound) {
        (0, Some(bound)) => {
            format!("offer suites of the policy instead: {}", list(&of_version(bound, version)))
        }
        (0, None) => format!("offer suites such as {} instead", list(&fallback(version))),
        _ => format!("leave only {}", left.join(", ")),
    };
    Finding { status: Status::Fail, ..finding }.actual(actual).items(bad).fix(fix)
}

/// Those that this version can have.
fn of_version(suites: &[Suite], version: Version) -> Vec<Suite> {
    let is_1_3 = |suite: &Suite| suite.0 & 0xff00 == 0x1300;
    suites.iter().copied().filter(|suite| is_1_3(suite) == (version == Version::Tls13)).collect()
}

fn fallback(version: Version) -> [Suite; 2] {
    if version == Version::Tls13 { [Suite(0x1301), Suite(0x1302)] } else { [Suite(0xc02b), Suite(0xc02f)] }
}

fn missing_suites(policy: &Policy, protocol: &Protocol) -> Option<Finding> {
    let required = &policy.require_suites;
    if required.is_empty() {
        return None;
    }
    let spoken: Vec<Suite> =
        protocol.versions.values().filter_map(Fact::known).flat_map(|s| s.suites.clone()).collect();
    let missing: Vec<&Suite> = required.iter().filter(|suite| !spoken.contains(suite)).collect();
    let finding = Finding::new("suite.missing", Status::Pass, "server").expected(list(required));
    if missing.is_empty() {
        return Some(finding.actual("all of them"));
    }
    let unknown = protocol.versions.values().find(|fact| matches!(fact, Fact::Unknown { .. }));
    if let Some(Fact::Unknown { unknown }) = unknown {
        return Some(Finding { status: Status::Error, ..finding }.actual(unknown));
    }
    let items: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let fix = format!("offer {} too", items.join(", "));
    let actual = format!("without {}", items.join(", "));
    Some(Finding { status: Status::Fail, ..finding }.actual(actual).items(items).fix(fix))
}

fn groups(policy: &Policy, fact: &Fact<Vec<Group>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(allowed) = &policy.groups {
        let expected = list(allowed);
        findings.push(about("kx.group", "server", &expected, fact, |found| {
            let outside: Vec<String> =
                found.iter().filter(|group| !allowed.contains(group)).map(ToString::to_string).collect();
            let finding = Finding::new("kx.group", Status::Pass, "server").expected(&expected);
            if outside.is_empty() {
                return finding.actual(list(found));
            }
            let actual = format!("also {}", outside.join(", "));
            let left: Vec<String> =
                allowed.iter().filter(|group| found.contains(group)).map(ToString::to_string).collect();
            let left = if left.is_empty() { expected.clone() } else { left.join(", ") };
            let fix = format!("leave only {left} (nginx: ssl_ecdh_curve)");
            Finding { status: Status::Fail, ..finding }.actual(actual).items(outside).fix(fix)
        }));
    }
    let required: Vec<Group> =
        policy.require_groups.iter().copied().filter(|group| !POST_QUANTUM.contains(group)).collect();
    if !required.is_empty() {
        let expected = list(&required);
        findings.push(about("kx.missing", "server", &expected, fact, |found| {
            let missing: Vec<String> =
                required.iter().filter(|group| !found.contains(group)).map(ToString::to_string).collect();
            let finding = Finding::new("kx.missing", Status::Pass, "server").expected(&expected);
            if missing.is_empty() {
                return finding.actual("all of them");
            }
            let fix = format!("offer {} too", missing.join(", "));
            let actual = format!("without {}", missing.join(", "));
            Finding { status: Status::Fail, ..finding }.actual(actual).items(missing).fix(fix)
        }));
    }
    findings.push(about("kx.pq", "server", PQ_NAME, fact, |found| post_quantum(policy, found)));
    findings
}

fn post_quantum(policy: &Policy, found: &[Group]) -> Finding {
    let wanted: Vec<Group> =
        policy.require_groups.iter().copied().filter(|group| POST_QUANTUM.contains(group)).collect();
    let present: Vec<Group> = found.iter().copied().filter(|group| POST_QUANTUM.contains(group)).collect();
    let expected = if wanted.is_empty() { PQ_NAME.to_owned() } else { list(&wanted) };
    let finding = Finding::new("kx.pq", Status::Pass, "server").expected(expected);
    let missing: Vec<String> =
        wanted.iter().filter(|group| !present.contains(group)).map(ToString::to_string).collect();
    if !missing.is_empty() {
        let fix = format!("offer {} first (TLS 1.3; OpenSSL 3.5, Go 1.24, rustls)", missing.join(", "));
        return Finding { status: Status::Fail, ..finding }.actual(list(found)).items(missing).fix(fix);
    }
    if !present.is_empty() {
        return finding.actual(list(&present));
    }
    let allowed = policy.groups.as_ref().is_none_or(|all| all.iter().any(|g| POST_QUANTUM.contains(g)));
    let fix = if allowed {
        format!(
            "offer {PQ_NAME} first (TLS 1.3; OpenSSL 3.5, Go 1.24, rustls): what is recorded today may be read later"
        )
    } else {
        format!("the policy {} allows no such group: choose another, and then offer {PQ_NAME}", policy.name)
    };
    Finding { status: Status::Warn, ..finding }.actual(format!("no such group: {}", list(found))).fix(fix)
}

/// Whatever the policy: a shorter prime than this can be broken by those who have much to spend (Logjam).
fn prime(fact: &Fact<u32>) -> Finding {
    const LEAST: u32 = 2048;
    let expected = format!("a prime of at least {LEAST} bits");
    about("kx.prime", "server", &expected, fact, |bits| {
        let finding = Finding::new("kx.prime", Status::Pass, "server").expected(&expected);
        let finding = finding.actual(format!("{bits} bits"));
        match *bits < LEAST {
            true => Finding { status: Status::Fail, ..finding }.fix(
                "switch the DHE suites off, or give the server parameters of 2048 bits (nginx: ssl_dhparam)",
            ),
            false => finding,
        }
    })
}

fn order(policy: &Policy, protocol: &Protocol) -> Option<Finding> {
    if !policy.server_order {
        return None;
    }
    let id = "order.server";
    let expected = "the server's order of suites";
    let mut orders = Vec::new();
    let mut skipped = None;
    // With one suite there is no order.
    let several = protocol.versions.iter().filter_map(|(version, fact)| Some((version, fact.known()?)));
    for (version, spoken) in several.filter(|(_, spoken)| spoken.suites.len() > 1) {
        match &spoken.preference {
            Fact::Known(preference) => orders.push((version.name(), *preference)),
            Fact::Skipped { skipped: why } => skipped = Some(why.clone()),
            Fact::Unknown { unknown } => {
                let finding = Finding::new(id, Status::Error, version.name()).expected(expected);
                return Some(finding.actual(unknown));
            }
        }
    }
    let of_clients: Vec<String> = orders
        .iter()
        .filter(|(_, preference)| *preference == Preference::Client)
        .map(|(version, _)| (*version).to_owned())
        .collect();
    let finding = Finding::new(id, Status::Pass, "server").expected(expected);
    if !of_clients.is_empty() {
        let actual = format!("the client's order in {}", of_clients.join(", "));
        let fix = "let the server choose (nginx: ssl_prefer_server_ciphers on; hardy serve: \
                   --tls-prefer-server-order)";
        return Some(Finding { status: Status::Fail, ..finding }.actual(actual).items(of_clients).fix(fix));
    }
    if orders.is_empty() {
        let why = skipped.unwrap_or_else(|| "no version has more than one suite".to_owned());
        return Some(Finding { status: Status::Skip, ..finding }.actual(why));
    }
    Some(finding.actual("the server's order"))
}

fn promises(protocol: &Protocol) -> Vec<Finding> {
    let below_1_2 = protocol.versions.iter().any(|(version, fact)| {
        *version < Version::Tls12 && fact.known().is_some_and(|spoken| !spoken.suites.is_empty())
    });
    let nothing_below = Fact::skipped("nothing below TLS 1.2 is spoken that one could fall back to");
    let scsv = if below_1_2 { &protocol.fallback_scsv } else { &nothing_below };
    vec![
        promise(
            ("tls.compression", Status::Fail),
            &protocol.compression,
            false,
            ["would compress, which gives secrets away (CRIME)", "refused"],
            "switch TLS compression off",
        ),
        promise(
            ("tls.renegotiation", Status::Fail),
            &protocol.secure_renegotiation,
            true,
            ["secure (RFC 5746)", "not secure: an attacker can put words before a client's (RFC 5746)"],
            "update the TLS library, or switch renegotiation off",
        ),
        promise(
            ("tls.ems", Status::Warn),
            &protocol.extended_master_secret,
            true,
            ["extended master secret (RFC 7627)", "no extended master secret (RFC 7627)"],
            "update the TLS library",
        ),
        promise(
            ("tls.fallback_scsv", Status::Warn),
            scsv,
            true,
            ["a needless fallback is refused (RFC 7507)", "a needless fallback is not refused (RFC 7507)"],
            "update the TLS library, or speak TLS 1.2 and newer only",
        ),
    ]
}

/// `words`: how it is when the fact is true, and when it is not.
fn promise(
    (id, bad): (&'static str, Status),
    fact: &Fact<bool>,
    wanted: bool,
    words: [&str; 2],
    fix: &str,
) -> Finding {
    let word = |value: bool| words[usize::from(!value)];
    about(id, "server", word(wanted), fact, |value| {
        let good = *value == wanted;
        let finding = Finding::new(id, if good { Status::Pass } else { bad }, "server");
        finding.expected(word(wanted)).actual(word(*value)).fix(if good { "" } else { fix })
    })
}

fn counted(number: usize, thing: &str) -> String {
    crate::units::counted(number, thing)
}
