//! The three phases, and why one was left for another.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Millis;

/// Where a breaker stands. The order is that of caution: merging keeps the more cautious one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Every call goes through and is counted.
    Closed,
    /// A few trial calls go through, and decide.
    HalfOpen,
    /// No call goes through.
    Open,
}

impl fmt::Display for Phase {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        })
    }
}

/// One change of phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Transition {
    /// When, in milliseconds of the caller's clock.
    #[serde(rename = "at_ms")]
    pub at: Millis,
    /// The phase left.
    pub from: Phase,
    /// The phase entered.
    pub to: Phase,
    /// What caused it.
    pub why: Why,
}

/// What caused a change of phase; `Display` says it in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Why {
    /// Closed to open: too large a share of the window failed.
    Tripped {
        /// Failures, timeouts and slow successes.
        failed: u64,
        /// All calls of the window.
        requests: u64,
    },
    /// Open to half-open: a call came after the cooldown.
    CooledDown,
    /// Half-open to closed: as many trials as needed succeeded.
    TrialsSucceeded,
    /// Half-open to open.
    TrialFailed,
    /// Half-open to open: the trial ran into its timeout.
    TrialTimedOut,
    /// Half-open to open: the trial succeeded, but took too long.
    TrialSlow,
    /// From any phase to any: an operator said so.
    Forced,
    /// From any phase to closed: an operator had everything forgotten.
    Reset,
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tripped { failed, requests } => write!(out, "{failed} of {requests} calls failed"),
            Self::CooledDown => out.write_str("the cooldown was over"),
            Self::TrialsSucceeded => out.write_str("the trial succeeded"),
            Self::TrialFailed => out.write_str("the trial failed"),
            Self::TrialTimedOut => out.write_str("the trial timed out"),
            Self::TrialSlow => out.write_str("the trial was slow"),
            Self::Forced => out.write_str("an operator said so"),
            Self::Reset => out.write_str("an operator reset it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_have_one_spelling_for_people_and_one_for_machines() {
        let spelled = [Phase::Closed, Phase::HalfOpen, Phase::Open]
            .map(|phase| (phase.to_string(), serde_json::to_string(&phase).unwrap()));
        let expected = [("closed", r#""closed""#), ("half-open", r#""half_open""#), ("open", r#""open""#)];
        assert_eq!(spelled, expected.map(|(human, json)| (human.to_owned(), json.to_owned())));
    }

    #[test]
    fn a_transition_says_why() {
        let why = Why::Tripped { failed: 12, requests: 20 };
        let transition = Transition { at: 7, from: Phase::Closed, to: Phase::Open, why };
        assert_eq!(why.to_string(), "12 of 20 calls failed");
        assert_eq!(
            serde_json::to_string(&transition).unwrap(),
            r#"{"at_ms":7,"from":"closed","to":"open","why":{"reason":"tripped","failed":12,"requests":20}}"#
        );
    }
}
