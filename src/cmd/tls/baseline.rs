//! An earlier run, and what has changed since: findings by rule and subject, and what was observed.
//!
//! Only meaning is compared: not the order of a list that has none, not days left, not times. What was not looked at in
//! one of the runs has not changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::report::{FindingReport, Report, TargetReport};
use crate::error::Error;
use crate::input;
use crate::output::{self, Report as _};
use crate::tls::finding::Status;

/// Bytes of an earlier run: thousands of servers have a hundred million.
const LARGEST: u64 = 128 << 20;

/// An earlier run.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// Its file.
    pub file: String,
    /// The time that it was judged at.
    pub at: String,
    targets: Vec<Seen>,
}

/// As the JSON form of a report has it; whatever else is in there is of no interest here.
#[derive(Deserialize)]
struct Document {
    schema: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    at: String,
    targets: Vec<Seen>,
}

#[derive(Clone, Debug, Deserialize)]
struct Seen {
    target: String,
    address: Option<String>,
    findings: Vec<FindingReport>,
    observed: Value,
}

/// What has changed for one target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Changes {
    /// The earlier run did not have this target.
    pub is_new: bool,
    /// Bad now, and not then.
    pub new: Vec<Changed>,
    /// Bad then, looked at again, and not bad now.
    pub gone: Vec<Changed>,
    /// Bad in both, in another way.
    pub changed: Vec<Changed>,
    /// What was observed.
    pub observed: Vec<Difference>,
}

/// A finding that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Changed {
    pub id: String,
    pub subject: String,
    /// Then.
    pub from: Option<Status>,
    /// Now.
    pub to: Option<Status>,
    /// What is to blame now, and was not then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// What was to blame then, and is not now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}

/// Something observed that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Difference {
    /// Where it stands below `observed`.
    pub what: String,
    /// Then, of a single value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Of a list: what is there now, and was not then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Of a list: what was there then, and is not now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}

/// Reads an earlier run: what `--save`, `--json` or `--report json=FILE` has written.
///
/// # Errors
/// It cannot be read, or is something else.
pub fn read(path: &Path) -> Result<Baseline, Error> {
    let file = path.display().to_string();
    let wrong = || Error::usage(format!("--baseline {file} cannot be used"));
    let hint = "make one with `hardy tls check TARGET --save FILE`";
    let text = input::read_text(path, LARGEST).map_err(|cause| wrong().because(cause).hint(hint))?;
    let document: Document = serde_json::from_str(&text).map_err(|cause| {
        wrong().because(format!("it is no report of `hardy tls check`: {cause}")).hint(hint)
    })?;
    if document.schema != Report::SCHEMA {
        return Err(wrong().because(format!("it is a {} document", document.schema)).hint(hint));
    }
    Ok(Baseline { file, at: document.data.at, targets: document.data.targets })
}

/// Fails before any work where a run could not be kept.
///
/// # Errors
/// There is no such directory, or it is one.
pub fn check_place(path: &Path) -> Result<(), Error> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let why = match (directory.is_dir(), path.is_dir()) {
        (true, false) => return Ok(()),
        (false, _) => "its directory does not exist",
        (_, true) => "it is a directory",
    };
    Err(Error::usage(format!("--save {} cannot be written", path.display())).because(why))
}

/// Keeps a run, in place of whatever was there, or not at all.
///
/// # Errors
/// The disk is full, or the like.
pub fn save(path: &Path, report: &Report) -> Result<(), Error> {
    let text = output::document(report)? + "\n";
    output::replace(path, text.as_bytes())
        .map_err(|cause| Error::unknown(format!("cannot save the run to {}", path.display())).because(cause))
}

/// Marks what the earlier run had already and notes what has changed; the targets that only the earlier run had.
pub fn compare(earlier: &Baseline, targets: &mut [TargetReport]) -> Vec<String> {
    let now: Vec<(String, Option<String>)> =
        targets.iter().map(|target| (target.target.clone(), target.address.clone())).collect();
    let mut met = BTreeSet::new();
    for target in targets.iter_mut() {
        let found = earlier.find(&target.target, target.address.as_deref(), &now);
        let Some(index) = found else {
            let new = target.findings.iter().filter(|finding| finding.is_bad());
            let new = new.map(|finding| changed(None, Some(finding))).collect();
            target.changes = Some(Changes { is_new: true, new, ..Changes::default() });
            continue;
        };
        met.insert(index);
        let then = &earlier.targets[index];
        for finding in &mut target.findings {
            finding.known = then.findings.iter().any(|old| is_no_worse(finding, old));
        }
        let observed = serde_json::to_value(&target.observed).unwrap_or_default();
        target.changes = Some(Changes {
            observed: differences(&then.observed, &observed),
            ..findings(&then.findings, &target.findings)
        });
    }
    let gone = earlier.targets.iter().enumerate().filter(|(index, _)| !met.contains(index));
    gone.map(|(_, seen)| seen.target.clone()).collect()
}

impl Baseline {
    /// The same target; where either run has several addresses of it, the same address too.
    fn find(&self, target: &str, address: Option<&str>, now: &[(String, Option<String>)]) -> Option<usize> {
        let same = |seen: &&(usize, &Seen)| seen.1.target == target;
        let all: Vec<(usize, &Seen)> = self.targets.iter().enumerate().collect();
        let candidates: Vec<&(usize, &Seen)> = all.iter().filter(same).collect();
        let only_one = candidates.len() == 1 && now.iter().filter(|(name, _)| name == target).count() == 1;
        let found = candidates.into_iter().find(|(_, seen)| only_one || seen.address.as_deref() == address);
        found.map(|(index, _)| *index)
    }
}

/// Whether a finding was there already, and counted. What could not be found out is never settled by an earlier run.
fn is_no_worse(now: &FindingReport, then: &FindingReport) -> bool {
    matches!(now.status, Status::Fail | Status::Warn)
        && matches!(then.status, Status::Fail | Status::Warn)
        && then.waived.is_none()
        && key(now) == key(then)
        && now.status >= then.status
        && now.items.iter().all(|item| then.items.contains(item))
}

fn key(finding: &FindingReport) -> (&str, &str) {
    (&finding.id, &finding.subject)
}

fn findings(then: &[FindingReport], now: &[FindingReport]) -> Changes {
    let bad = |findings: &'_ [FindingReport]| -> Vec<FindingReport> {
        findings.iter().filter(|finding| finding.is_bad()).cloned().collect()
    };
    let (old, new) = (bad(then), bad(now));
    let mut changes = Changes::default();
    for finding in &new {
        match old.iter().find(|other| key(other) == key(finding)) {
            None => changes.new.push(changed(None, Some(finding))),
            Some(other) if other.status != finding.status || other.items != finding.items => {
                changes.changed.push(changed(Some(other), Some(finding)));
            }
            Some(_) => {}
        }
    }
    let gone = old.iter().filter(|other| !new.iter().any(|finding| key(finding) == key(other)));
    changes.gone =
        gone.filter(|other| was_looked_at(other, now)).map(|other| changed(Some(other), None)).collect();
    changes
}

/// Whether what was bad was tested: by a finding of the same rule, or since others of its area were and it only speaks up
/// when bad. Where one connection was made, others of the server's versions say nothing about this one.
fn was_looked_at(then: &FindingReport, now: &[FindingReport]) -> bool {
    const ENUMERATED: [&str; 5] = ["proto", "suite", "kx", "order", "tls"];
    let tested = |finding: &&FindingReport| !matches!(finding.status, Status::Skip | Status::Error);
    let area = |id: &str| id.split('.').next().unwrap_or_default().to_owned();
    if let Some(same) = now.iter().find(|finding| key(finding) == key(then)) {
        return tested(&same);
    }
    let one_connection = now.iter().any(|finding| finding.id == "proto.enumeration");
    if one_connection && ENUMERATED.contains(&area(&then.id).as_str()) {
        return false;
    }
    let own: Vec<_> = now.iter().filter(|finding| finding.id == then.id).collect();
    if !own.is_empty() {
        return own.iter().any(tested);
    }
    now.iter().filter(|finding| area(&finding.id) == area(&then.id)).any(|finding| tested(&finding))
}

fn changed(then: Option<&FindingReport>, now: Option<&FindingReport>) -> Changed {
    let items = |finding: Option<&FindingReport>| finding.map(|f| f.items.clone()).unwrap_or_default();
    let (before, after) = (items(then), items(now));
    let (id, subject) = then.or(now).map(|f| (f.id.clone(), f.subject.clone())).unwrap_or_default();
    Changed {
        id,
        subject,
        from: then.map(|finding| finding.status),
        to: now.map(|finding| finding.status),
        added: without(&after, &before),
        removed: without(&before, &after),
    }
}

fn without(all: &[String], others: &[String]) -> Vec<String> {
    all.iter().filter(|one| !others.contains(one)).cloned().collect()
}

/// What stands in the reports twice, or changes by itself.
const IGNORED: [&str; 9] = [
    "versions",
    "suites",
    "groups",
    "alpn",
    "days_left",
    "serial",
    "not_before",
    "names_total",
    "is_authority",
];

/// A single value, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Leaf {
    One(String),
    Many(Vec<String>),
}

/// What is different in what was observed, in both runs.
pub(super) fn differences(then: &Value, now: &Value) -> Vec<Difference> {
    let (old, new) = (leaves(then), leaves(now));
    let both = new.iter().filter_map(|(what, now)| Some((what, old.get(what)?, now)));
    both.filter_map(|(what, then, now)| difference(what, then, now)).collect()
}

fn difference(what: &str, then: &Leaf, now: &Leaf) -> Option<Difference> {
    let difference =
        |from, to, added, removed| Some(Difference { what: what.to_owned(), from, to, added, removed });
    match (then, now) {
        (then, now) if then == now => None,
        (Leaf::Many(then), Leaf::Many(now)) => {
            let (added, removed) = (without(now, then), without(then, now));
            let moved = added.is_empty() && removed.is_empty();
            let order = |list: &[String]| moved.then(|| list.join(", "));
            difference(order(then), order(now), added, removed)
        }
        (then, now) => difference(Some(then.text()), Some(now.text()), Vec::new(), Vec::new()),
    }
}

impl Leaf {
    fn text(&self) -> String {
        match self {
            Leaf::One(text) => text.clone(),
            Leaf::Many(list) => list.join(", "),
        }
    }
}

fn leaves(observed: &Value) -> BTreeMap<String, Leaf> {
    let mut leaves = BTreeMap::new();
    for (name, value) in observed.as_object().into_iter().flatten() {
        if !IGNORED.contains(&name.as_str()) {
            walk(name, value, &mut leaves);
        }
    }
    leaves
}

fn walk(path: &str, value: &Value, into: &mut BTreeMap<String, Leaf>) {
    match value {
        Value::Object(fields) if fields.contains_key("skipped") || fields.contains_key("unknown") => {}
        Value::Object(fields) => {
            for (name, field) in fields {
                let of_certificate = path.starts_with("chain.") && IGNORED.contains(&name.as_str());
                if !of_certificate {
                    walk(&format!("{path}.{name}"), field, into);
                }
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, item) in items.iter().enumerate() {
                walk(&format!("{path}.{index}"), item, into);
            }
        }
        Value::Array(items) => {
            into.insert(path.to_owned(), Leaf::Many(items.iter().map(plain).collect()));
        }
        scalar => {
            into.insert(path.to_owned(), Leaf::One(plain(scalar)));
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
