//! What was found out, what was not asked, and what could not be found out: three things that must never be confused.
//!
//! Refuses to have a default: a fact that nobody looked for is `Skipped`, with the reason.

use schemars::JsonSchema;
use serde::Serialize;

/// A fact about a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Fact<T> {
    /// It was found out.
    Known(T),
    /// Nobody asked for it.
    Skipped {
        /// Why not.
        skipped: String,
    },
    /// It was asked for, and the answer decides nothing: a reset, a time-out, bytes that mean nothing.
    Unknown {
        /// What came instead.
        unknown: String,
    },
}

impl<T> Fact<T> {
    /// Not asked for this reason.
    pub fn skipped(why: impl Into<String>) -> Fact<T> {
        Fact::Skipped { skipped: why.into() }
    }

    /// Not found out for this reason.
    pub fn unknown(why: impl Into<String>) -> Fact<T> {
        Fact::Unknown { unknown: why.into() }
    }

    /// What was found out, if it was.
    pub fn known(&self) -> Option<&T> {
        match self {
            Fact::Known(value) => Some(value),
            Fact::Skipped { .. } | Fact::Unknown { .. } => None,
        }
    }
}
