//! SARIF 2.1.0: findings for tools that show them beside code, or follow them over time.
//!
//! Refuses to list what is as it should be: viewers show every result as something to look at.

use serde::Serialize;

use crate::error::Error;
use crate::text::printable_json;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// What one run of a command has found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Log {
    /// What findings can be about; each id once.
    pub rules: Vec<Rule>,
    /// The findings.
    pub results: Vec<Finding>,
    /// What could not be looked at, for people.
    pub failures: Vec<String>,
}

/// What a finding can be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable id.
    pub id: String,
    /// For people.
    pub about: String,
}

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The id of its rule.
    pub rule: String,
    /// How bad it is.
    pub level: Level,
    /// For people.
    pub message: String,
    /// Where it is.
    pub place: Place,
    /// The same for the same finding in every run.
    pub fingerprint: String,
    /// Why it does not count.
    pub suppressed: Option<String>,
    /// Whether an earlier run had it too; none where there is none to compare with.
    pub known: Option<bool>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Not as it must be.
    Error,
    /// Wants to be looked at.
    Warning,
    /// Could not be found out.
    Open,
}

/// Where a finding is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, by its path.
    File(String),
    /// Something that is no file, such as a server.
    Named(String),
}

impl Log {
    /// The document.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn render(&self) -> Result<String, Error> {
        let run = Run {
            tool: Tool { driver: Driver::new(&self.rules) },
            invocations: [Invocation {
                execution_successful: self.failures.is_empty(),
                tool_execution_notifications: self
                    .failures
                    .iter()
                    .map(|text| Notification::new(text))
                    .collect(),
            }],
            results: self.results.iter().map(|finding| Entry::new(finding, &self.rules)).collect(),
            column_kind: "unicodeCodePoints",
        };
        let document = Document { schema: SCHEMA, version: "2.1.0", runs: [run] };
        let text = serde_json::to_string_pretty(&document);
        text.map(|text| printable_json(text) + "\n")
            .map_err(|e| Error::unknown("cannot write the report as SARIF").because(e))
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool<'a>,
    invocations: [Invocation<'a>; 1],
    results: Vec<Entry<'a>>,
    column_kind: &'static str,
}

#[derive(Serialize)]
struct Tool<'a> {
    driver: Driver<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver<'a> {
    name: &'static str,
    semantic_version: &'static str,
    rules: Vec<Descriptor<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    id: &'a str,
    short_description: Text<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation<'a> {
    execution_successful: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_execution_notifications: Vec<Notification<'a>>,
}

#[derive(Serialize)]
struct Notification<'a> {
    level: &'static str,
    message: Text<'a>,
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    rule_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_index: Option<usize>,
    kind: &'static str,
    level: &'static str,
    message: Text<'a>,
    locations: [Location<'a>; 1],
    partial_fingerprints: Fingerprints<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suppressions: Option<[Suppression<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline_state: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Location<'a> {
    PhysicalLocation(Physical),
    LogicalLocations([Logical<'a>; 1]),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
}

#[derive(Serialize)]
struct Artifact {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Logical<'a> {
    fully_qualified_name: &'a str,
    kind: &'static str,
}

#[derive(Serialize)]
struct Fingerprints<'a> {
    #[serde(rename = "finding/v1")]
    finding: &'a str,
}

#[derive(Serialize)]
struct Suppression<'a> {
    kind: &'static str,
    justification: &'a str,
}

impl<'a> Driver<'a> {
    fn new(rules: &'a [Rule]) -> Driver<'a> {
        let descriptor =
            |rule: &'a Rule| Descriptor { id: &rule.id, short_description: Text { text: &rule.about } };
        Driver {
            name: "hardy",
            semantic_version: env!("CARGO_PKG_VERSION"),
            rules: rules.iter().map(descriptor).collect(),
        }
    }
}

impl<'a> Notification<'a> {
    fn new(text: &'a str) -> Notification<'a> {
        Notification { level: "error", message: Text { text } }
    }
}

impl<'a> Entry<'a> {
    fn new(finding: &'a Finding, rules: &[Rule]) -> Entry<'a> {
        // What is no failure has no level (section 3.27.10).
        let (kind, level) = match finding.level {
            Level::Error => ("fail", "error"),
            Level::Warning => ("fail", "warning"),
            Level::Open => ("open", "none"),
        };
        let location = match &finding.place {
            Place::File(path) => {
                Location::PhysicalLocation(Physical { artifact_location: Artifact { uri: uri(path) } })
            }
            Place::Named(name) => {
                Location::LogicalLocations([Logical { fully_qualified_name: name, kind: "resource" }])
            }
        };
        let suppression = |justification| [Suppression { kind: "external", justification }];
        Entry {
            rule_id: &finding.rule,
            rule_index: rules.iter().position(|rule| rule.id == finding.rule),
            kind,
            level,
            message: Text { text: &finding.message },
            locations: [location],
            partial_fingerprints: Fingerprints { finding: &finding.fingerprint },
            suppressions: finding.suppressed.as_deref().map(suppression),
            baseline_state: finding.known.map(|known| if known { "unchanged" } else { "new" }),
        }
    }
}

/// A path as a URI reference: relative paths stay relative, so that a viewer finds them below its own root.
fn uri(path: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const ESCAPED: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'#')
        .add(b'%')
        .add(b':')
        .add(b'<')
        .add(b'>')
        .add(b'?')
        .add(b'[')
        .add(b']')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}')
        .add(b'\\');
    let escaped = utf8_percent_encode(path, ESCAPED).to_string();
    if path.starts_with('/') { format!("file://{escaped}") } else { escaped }
}
