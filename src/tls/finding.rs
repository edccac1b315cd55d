//! One thing that was looked at, how it is, how it should be, and what to do.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;

/// How a thing is; the worst first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not as it must be.
    Fail,
    /// Could not be found out; never a pass.
    Error,
    /// Works today, and wants to be looked at.
    Warn,
    /// Was not asked for, or has nothing to look at here.
    Skip,
    /// As it should be.
    Pass,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// A stable id, such as `cert.expiry`; the same in every version.
    pub id: Cow<'static, str>,
    /// How it is.
    pub status: Status,
    /// What is to blame: `leaf`, the name of a certificate, a version, `server`.
    pub subject: String,
    /// How it should be.
    pub expected: String,
    /// How it is.
    pub actual: String,
    /// What is to blame one by one, such as suites; empty where `subject` says it all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<String>,
    /// What to do; empty where nothing is to be done.
    pub fix: String,
    /// Why it does not count although it is bad, and until when; only with a waiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waived: Option<String>,
}

impl Finding {
    /// A finding about a subject, still without expectations.
    pub fn new(id: &'static str, status: Status, subject: impl Into<String>) -> Finding {
        Finding {
            id: Cow::Borrowed(id),
            status,
            subject: subject.into(),
            expected: String::new(),
            actual: String::new(),
            items: Vec::new(),
            fix: String::new(),
            waived: None,
        }
    }

    /// How it should be.
    #[must_use]
    pub fn expected(self, expected: impl Into<String>) -> Finding {
        Finding { expected: expected.into(), ..self }
    }

    /// How it is.
    #[must_use]
    pub fn actual(self, actual: impl Into<String>) -> Finding {
        Finding { actual: actual.into(), ..self }
    }

    /// What is to blame one by one.
    #[must_use]
    pub fn items(self, items: Vec<String>) -> Finding {
        Finding { items, ..self }
    }

    /// What to do.
    #[must_use]
    pub fn fix(self, fix: impl Into<String>) -> Finding {
        Finding { fix: fix.into(), ..self }
    }
}
