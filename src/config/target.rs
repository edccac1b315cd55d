//! `[targets.NAME]`: what probe, load and tls can be pointed at by name.
//! Texts only: what they mean is for those who use them to say.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::units::Duration;

/// Something to be probed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Where it is: `https://api.example/health`, `postgres://db/shop`, `dns://10.0.0.2/api.example`, `exec:./check.sh`.
    pub url: String,
    /// HTTP method; GET by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Request headers by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What is sent to a tcp or udp target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<String>,
    /// File with the password of a redis, postgres or mysql target, on its first line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Request body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// How many redirects are followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirects: Option<u32>,
    /// Give a call up after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Probe it through this breaker of the store, which all share who name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<String>,
    /// What must come back.
    #[serde(default)]
    pub expect: Expect,
}

/// What must come back; without any, a status of 200 to 399.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// Any of these: `200`, `"2xx"`, `"200-204"`; of a command, its exit status.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<Status>,
    /// By header name: the value, a `/regex/`, or an empty text for any value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<String, String>,
    /// A text that the body contains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// A pattern that the body matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_regex: Option<String>,
    /// By JSON path (RFC 9535): the value that it must find.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub json: BTreeMap<String, serde_json::Value>,
    /// JSON paths that must find anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub json_has: Vec<String>,
    /// Of a dns target, records that must be there; of redis, postgres and their like, the role.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answer: Vec<String>,
    /// The longest time until the answer is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
    /// How much of the certificate's life must be left: `14d`, or a share such as `15%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_life: Option<String>,
}

/// A status as it is written: a number or a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status(pub String);

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Status;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status such as 200, \"2xx\" or \"200-204\"")
            }

            fn visit_i64<E>(self, number: i64) -> Result<Status, E> {
                Ok(Status(number.to_string()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Status, E> {
                Ok(Status(number.to_string()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Status, E> {
                Ok(Status(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Status {
    fn schema_name() -> Cow<'static, str> {
        "Status".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "examples": [200, "2xx", "200-204"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_in_full() {
        let target: Target = toml::from_str(
            r#"
            url = "https://api.example/health"
            headers = { authorization = "Bearer x" }
            timeout = "2s"
            expect = { status = [200, "3xx"], json = { "$.status" = "up", "$.n" = 3 }, within = "300ms" }
            "#,
        )
        .unwrap();
        assert_eq!(target.expect.status, [Status("200".into()), Status("3xx".into())]);
        assert_eq!(target.expect.json["$.n"], 3);
        assert_eq!(target.timeout.unwrap().to_string(), "2s");
        let error = toml::from_str::<Target>("url = \"x\"\nexpect = { status = [2.5] }").unwrap_err();
        assert!(error.message().contains("a status such as 200"), "{error}");
    }
}
