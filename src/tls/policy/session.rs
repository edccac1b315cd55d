//! What was spoken: ALPN, SNI, early data, and HSTS above it.

use std::time::Duration;

use super::{Policy, about, list};
use crate::tls::fact::Fact;
use crate::tls::finding::{Finding, Status};
use crate::tls::session::{Session, WithoutSni};
use crate::units;

pub(super) fn judge(policy: &Policy, session: Option<&Session>) -> Vec<Finding> {
    let Some(session) = session else { return not_spoken(policy) };
    let mut findings = vec![proof(&session.has_key)];
    if !policy.require_alpn.is_empty() {
        findings.push(alpn(policy, session));
    }
    findings.push(sni(&session.without_sni));
    findings.push(early_data(policy, &session.early_data));
    if let Some(least) = policy.hsts_min_age {
        let expected = format!("max-age of at least {}", least.as_secs());
        findings.push(about("http.hsts", "server", &expected, &session.hsts, |header| {
            hsts(least, &expected, header.as_deref())
        }));
    }
    findings
}

/// What the policy demands could not be found out.
fn not_spoken(policy: &Policy) -> Vec<Finding> {
    let why = "no handshake came about in which it could be asked for";
    let missed = |id| Finding::new(id, Status::Error, "server").actual(why);
    let alpn =
        (!policy.require_alpn.is_empty()).then(|| missed("tls.alpn").expected(list(&policy.require_alpn)));
    let hsts = policy.hsts_min_age.map(|_| missed("http.hsts").expected("strict-transport-security"));
    alpn.into_iter().chain(hsts).collect()
}

fn alpn(policy: &Policy, session: &Session) -> Finding {
    let wanted = &policy.require_alpn;
    let expected = list(wanted);
    // One that was chosen needs no further proof.
    let chosen = session.alpn.iter().cloned().collect::<Vec<_>>();
    let found = match &session.protocols {
        Fact::Skipped { .. } if wanted.iter().all(|one| chosen.contains(one)) => &Fact::Known(chosen),
        other => other,
    };
    about("tls.alpn", "server", &expected, found, |found| {
        let missing: Vec<String> = wanted.iter().filter(|one| !found.contains(one)).cloned().collect();
        let finding =
            Finding::new("tls.alpn", Status::Pass, "server").expected(&expected).actual(list(found));
        if missing.is_empty() {
            return finding;
        }
        let fix = format!("offer {} by ALPN", missing.join(", "));
        Finding { status: Status::Fail, ..finding }.items(missing).fix(fix)
    })
}

fn proof(fact: &Fact<bool>) -> Finding {
    let expected = "a signature by the key of the leaf";
    about("key.proof", "server", expected, fact, |has_key| {
        let finding = Finding::new("key.proof", Status::Pass, "server").expected(expected);
        match has_key {
            true => finding.actual("it signed with the key of the leaf"),
            false => Finding { status: Status::Fail, ..finding }
                .actual("its signature is not by the key of the leaf")
                .fix("give the server the key that belongs to its certificate"),
        }
    })
}

/// No policy says what should come without a name; that it was looked at is worth a line.
fn sni(fact: &Fact<WithoutSni>) -> Finding {
    about("tls.sni", "server", "any answer without a name", fact, |found| {
        let actual = match found {
            WithoutSni::Same => "the same certificate without a name".to_owned(),
            WithoutSni::Other(subject) => format!("another certificate without a name: {subject}"),
            WithoutSni::Refused => "no handshake without a name".to_owned(),
        };
        Finding::new("tls.sni", Status::Pass, "server").expected("any answer without a name").actual(actual)
    })
}

fn early_data(policy: &Policy, fact: &Fact<bool>) -> Finding {
    let expected = if policy.early_data { "allowed" } else { "not offered" };
    about("tls.early_data", "server", expected, fact, |offered| {
        let finding = Finding::new("tls.early_data", Status::Pass, "server").expected(expected);
        match offered {
            true if !policy.early_data => Finding { status: Status::Warn, ..finding }
                .actual("offered: requests in it can be replayed by others")
                .fix(
                    "switch it off (nginx: ssl_early_data off), or answer 425 to what must not happen twice",
                ),
            true => finding.actual("offered"),
            false => finding.actual("not offered"),
        }
    })
}

fn hsts(least: Duration, expected: &str, header: Option<&str>) -> Finding {
    let finding = Finding::new("http.hsts", Status::Fail, "server").expected(expected);
    let fix = format!("send `strict-transport-security: max-age={}`", least.as_secs());
    let Some(header) = header else { return finding.actual("no strict-transport-security header").fix(fix) };
    match max_age(header) {
        None => finding.actual(format!("no max-age in {header:?}")).fix(fix),
        Some(age) if age < least => {
            finding.actual(format!("max-age={} ({})", age.as_secs(), units::Duration(age))).fix(fix)
        }
        Some(age) => Finding { status: Status::Pass, ..finding }.actual(format!("max-age={}", age.as_secs())),
    }
}

/// RFC 6797, section 6.1: directives between semicolons, names in any case, values perhaps between quotes.
fn max_age(header: &str) -> Option<Duration> {
    let values = header.split(';').filter_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        name.trim().eq_ignore_ascii_case("max-age").then(|| value.trim().trim_matches('"'))
    });
    // More than fits is for ever.
    let seconds = values.map(|value| {
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| value.parse().unwrap_or(u64::MAX))
    });
    seconds.reduce(|_, last| last).flatten().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_is_read_as_browsers_do() {
        let age = |header| max_age(header).map(|age| age.as_secs());
        assert_eq!(age("max-age=63072000; includeSubDomains"), Some(63_072_000));
        assert_eq!(age("includeSubDomains;Max-Age = \"5\""), Some(5));
        assert_eq!(age("max-age=99999999999999999999999"), Some(u64::MAX));
        for bad in ["", "max-age", "max-age=", "max-age=-1", "max-age=x", "maxage=5"] {
            assert_eq!(age(bad), None, "{bad:?}");
        }
    }
}
