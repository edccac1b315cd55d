//! Where a setting's value came from: asked by `hardy config show`.

use std::fmt;

use serde::Serialize;
use serde_json::Value as Json;

use super::{Config, Layer, Profile};
use crate::error::Error;
use crate::text::{REDACTED, names_secret, without_secrets};

/// A layer of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Embedded in the program.
    Default,
    /// `[profile.NAME]` of the file.
    Profile(String),
    /// A variable of the environment.
    Environment(String),
    /// A table of the file outside the profiles.
    File,
    /// Nowhere: the setting is off, or follows from others.
    NotSet,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Profile(name) => write!(f, "profile.{name}"),
            Origin::Environment(variable) => f.write_str(variable),
            Origin::File => f.write_str("file"),
            Origin::NotSet => f.write_str("not set"),
        }
    }
}

/// A setting, what it is, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Dotted name, such as `probe.count`.
    pub name: String,
    /// The value; a secret reads `(redacted)`.
    pub value: Json,
    /// The layer that decided.
    pub origin: Origin,
}

pub(super) fn values(config: &Config) -> Result<Vec<Value>, Error> {
    let mut values = Vec::new();
    for (name, target) in &config.targets {
        flatten(&format!("targets.{name}"), &json(target)?, &Origin::File, &mut values);
    }
    let environment = Profile::from_environment()?;
    let mut layers = vec![json(&environment)?];
    for (_, profile) in &config.layers {
        layers.push(json(profile)?);
    }
    let merged = json(&environment.or(config.profile.clone()))?;
    for (section, knobs) in objects(&merged) {
        for (knob, value) in objects(knobs) {
            // A higher layer can also unset what a lower one has: one choice of content hides another.
            let decided = layers.iter().position(|layer| !value.is_null() && layer[section][knob] == *value);
            let origin = match decided {
                None => Origin::NotSet,
                Some(0) => Origin::Environment(variable(section, knob)),
                Some(lower) => config.layers[lower - 1].0.clone(),
            };
            // Whoever knows a webhook can post there.
            let secret = knob == "webhook" && !value.is_null();
            let value = if secret { REDACTED.into() } else { value.clone() };
            values.push(Value { name: format!("{section}.{knob}"), value, origin });
        }
    }
    Ok(values)
}

/// The name of the variable that sets a knob: `HARDY_PROBE_COUNT`.
pub fn variable(section: &str, knob: &str) -> String {
    format!("HARDY_{section}_{knob}").to_uppercase()
}

/// The names of all knobs, by section.
pub(super) fn knobs() -> Vec<(String, Vec<String>)> {
    let profile = json(&Profile::default()).unwrap_or_default();
    let names = |knobs: &Json| objects(knobs).map(|(knob, _)| knob.clone()).collect();
    objects(&profile).map(|(section, knobs)| (section.clone(), names(knobs))).collect()
}

fn flatten(prefix: &str, value: &Json, origin: &Origin, into: &mut Vec<Value>) {
    match value {
        Json::Null => {}
        Json::Object(fields) => {
            for (name, field) in fields {
                let field = if names_secret(name) { &Json::String(REDACTED.into()) } else { field };
                flatten(&format!("{prefix}.{name}"), field, origin, into);
            }
        }
        _ => {
            let value = value.as_str().map_or_else(|| value.clone(), |text| without_secrets(text).into());
            into.push(Value { name: prefix.to_owned(), value, origin: origin.clone() });
        }
    }
}

fn objects(value: &Json) -> impl Iterator<Item = (&String, &Json)> {
    value.as_object().into_iter().flatten()
}

fn json<T: Serialize>(value: &T) -> Result<Json, Error> {
    serde_json::to_value(value).map_err(|e| Error::unknown("cannot show the configuration").because(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let target = serde_json::json!({
            "url": "https://me:pa:ss@host/p@th?x",
            "headers": { "Authorization": "Bearer x", "accept": "text/plain" },
        });
        let mut values = Vec::new();
        flatten("targets.api", &target, &Origin::File, &mut values);
        let shown: Vec<_> = values.iter().map(|v| (v.name.as_str(), v.value.as_str().unwrap())).collect();
        let expected = [
            ("targets.api.url", "https://me:(redacted)@host/p@th?x"),
            ("targets.api.headers.Authorization", "(redacted)"),
            ("targets.api.headers.accept", "text/plain"),
        ];
        assert_eq!(shown, expected);
    }
}
