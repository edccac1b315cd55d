//! A policy as TOML. What is not said of a `base` stands; without a base nothing is bounded that is not said.
//!
//! Whatever is wrong is an error with its line and column, and the nearest name that there is.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use jiff::civil::Date;
use serde::Deserialize;
use toml::Spanned;

use super::rules::RULES;
use super::{BUILT_IN, Policy, Waiver, names, waiver};
use crate::text::{nearest, place};
use crate::tls::finding::Status;
use crate::tls::registry::Version;
use crate::units;

/// A policy file with a mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {what}")]
pub struct PolicyError {
    /// `FILE:LINE:COLUMN`.
    pub at: String,
    /// What is wrong.
    pub what: String,
    /// What may have been meant.
    pub hint: Option<String>,
}

/// Texts with their places: what they mean is found out afterwards, so that an error can name the place.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    base: Option<Spanned<String>>,
    name: Option<String>,
    versions: Option<Vec<Spanned<String>>>,
    require_versions: Option<Vec<Spanned<String>>>,
    suites: Option<Vec<Spanned<String>>>,
    require_suites: Option<Vec<Spanned<String>>>,
    groups: Option<Vec<Spanned<String>>>,
    require_groups: Option<Vec<Spanned<String>>>,
    require_alpn: Option<Vec<String>>,
    keys: Option<Vec<Spanned<String>>>,
    signatures: Option<Vec<String>>,
    max_lifetime: Option<units::Duration>,
    hsts_min_age: Option<units::Duration>,
    server_order: Option<bool>,
    early_data: Option<bool>,
    severity: BTreeMap<Spanned<String>, Spanned<String>>,
    waive: Vec<Waive>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waive {
    id: Spanned<String>,
    target: Spanned<String>,
    reason: Spanned<String>,
    until: Spanned<toml::Value>,
}

impl Policy {
    /// Reads the text of a policy file; `name` is how errors, and a policy without a name, call it.
    ///
    /// # Errors
    /// The first mistake in it.
    pub fn parse(text: &str, name: &str) -> Result<Policy, PolicyError> {
        let here = Here { text, name };
        let file: File = toml::from_str(text).map_err(|error| here.unreadable(&error))?;
        here.policy(file)
    }
}

/// The text that is read, for errors.
struct Here<'a> {
    text: &'a str,
    name: &'a str,
}

impl Here<'_> {
    fn policy(&self, file: File) -> Result<Policy, PolicyError> {
        let base = match &file.base {
            Some(base) => Policy::built_in(base.get_ref())
                .ok_or_else(|| self.unknown("built-in policy", base, BUILT_IN.into_iter()))?,
            None => Policy::unbounded(self.name),
        };
        let versions = Version::ALL.map(Version::name);
        let suites: Vec<String> = names::suites().map(|suite| suite.to_string()).collect();
        let suites = || suites.iter().map(String::as_str);
        let version = |list| self.each("version", list, names::version, || versions.into_iter());
        let suite = |list| self.each("suite", list, names::suite, suites);
        let group = |list| self.each("group", list, names::group, names::groups);
        let keys = ["ECDSA P-256", "ECDSA P-384", "ECDSA P-521", "Ed25519", "RSA 2048"];
        Ok(Policy {
            name: file.name.unwrap_or_else(|| self.name.to_owned()),
            versions: version(file.versions)?.or(base.versions),
            require_versions: version(file.require_versions)?.unwrap_or(base.require_versions),
            suites: suite(file.suites)?.or(base.suites),
            require_suites: suite(file.require_suites)?.unwrap_or(base.require_suites),
            groups: group(file.groups)?.or(base.groups),
            require_groups: group(file.require_groups)?.unwrap_or(base.require_groups),
            require_alpn: file.require_alpn.unwrap_or(base.require_alpn),
            keys: self.each("key", file.keys, |key| key.parse().ok(), || keys.into_iter())?.or(base.keys),
            signatures: file.signatures.or(base.signatures),
            max_lifetime: file.max_lifetime.map(|life| life.0).or(base.max_lifetime),
            hsts_min_age: file.hsts_min_age.map_or(base.hsts_min_age, |age| positive(age.0)),
            server_order: file.server_order.unwrap_or(base.server_order),
            early_data: file.early_data.unwrap_or(base.early_data),
            severity: self.severity(base.severity, &file.severity)?,
            waivers: file.waive.iter().map(|waive| self.waiver(waive)).collect::<Result<_, _>>()?,
        })
    }

    fn each<'n, T, N: Iterator<Item = &'n str>>(
        &self,
        what: &str,
        list: Option<Vec<Spanned<String>>>,
        read: impl Fn(&str) -> Option<T>,
        known: impl Fn() -> N,
    ) -> Result<Option<Vec<T>>, PolicyError> {
        let one =
            |text: &Spanned<String>| read(text.get_ref()).ok_or_else(|| self.unknown(what, text, known()));
        list.map(|list| list.iter().map(one).collect()).transpose()
    }

    fn severity(
        &self,
        mut base: BTreeMap<String, Status>,
        own: &BTreeMap<Spanned<String>, Spanned<String>>,
    ) -> Result<BTreeMap<String, Status>, PolicyError> {
        for (rule, severity) in own {
            if !RULES.iter().any(|(id, _)| id == rule.get_ref()) {
                return Err(self.unknown("rule", rule, rules()));
            }
            let status = match severity.get_ref().as_str() {
                "fail" => Status::Fail,
                "warn" => Status::Warn,
                other => {
                    let what = format!("`{other}` is neither fail nor warn");
                    let hint = "what should not count at all wants a [[waive]] with a reason and a date";
                    return Err(self.wrong(severity.span(), what, Some(hint.to_owned())));
                }
            };
            base.insert(rule.get_ref().clone(), status);
        }
        Ok(base)
    }

    fn waiver(&self, waive: &Waive) -> Result<Waiver, PolicyError> {
        let Waive { id, target, reason, until } = waive;
        let ids = waiver::glob(id.get_ref()).map_err(|e| self.wrong(id.span(), e.to_string(), None))?;
        if !RULES.iter().any(|(rule, _)| ids.is_match(rule)) {
            return Err(self.unknown("rule", id, rules()));
        }
        for (text, what) in [(reason, "a reason"), (target, "a target, such as \"*\"")] {
            if text.get_ref().trim().is_empty() {
                return Err(self.wrong(text.span(), format!("a waiver needs {what}"), None));
            }
        }
        let written = match until.get_ref() {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let date: Date = written.parse().map_err(|_| {
            self.wrong(until.span(), format!("`{written}` is no date such as 2027-01-01"), None)
        })?;
        Waiver::new(id.get_ref(), target.get_ref(), reason.get_ref(), date)
            .map_err(|error| self.wrong(target.span(), error.to_string(), None))
    }

    fn unknown<'n>(
        &self,
        what: &str,
        text: &Spanned<String>,
        known: impl Iterator<Item = &'n str>,
    ) -> PolicyError {
        let hint = match nearest(text.get_ref(), known.collect::<Vec<_>>()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`hardy tls check --help` shows what a policy may say".to_owned(),
        };
        self.wrong(text.span(), format!("unknown {what} `{}`", text.get_ref()), Some(hint))
    }

    fn unreadable(&self, error: &toml::de::Error) -> PolicyError {
        let span = error.span().unwrap_or(0..0);
        // serde names the unknown key first and the known ones after it, each between backticks.
        let quoted: Vec<&str> = error.message().split('`').skip(1).step_by(2).collect();
        match quoted.split_first() {
            Some((unknown, known)) if error.message().starts_with("unknown field") => {
                let hint = match nearest(unknown, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known here: {}", known.join(", ")),
                };
                self.wrong(span, format!("unknown key `{unknown}`"), Some(hint))
            }
            _ => self.wrong(span, error.message().trim_end().replace('\n', "; "), None),
        }
    }

    fn wrong(&self, span: Range<usize>, what: String, hint: Option<String>) -> PolicyError {
        let (line, column) = place(self.text, span.start);
        PolicyError { at: format!("{}:{line}:{column}", self.name), what, hint }
    }
}

fn rules() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|(id, _)| *id)
}

/// Nothing asked for is nothing at all.
fn positive(age: Duration) -> Option<Duration> {
    Some(age).filter(|age| !age.is_zero())
}
