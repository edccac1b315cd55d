//! What a reader is shown: lifetime totals, the window, and where the breaker stands.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::outcome::Tally;
use super::{Millis, Phase, Transition, millis};

/// Everything about one breaker at one moment.
///
/// Every call asked for is in exactly one of `requests`, `excluded`, `short_circuited`, `rejected`
/// and `in_flight`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Stats {
    /// Where it stands.
    pub phase: Phase,
    /// Since when, in milliseconds of the caller's clock.
    #[serde(rename = "since_ms")]
    pub since: Millis,
    /// Grows by one with each change of phase.
    pub generation: u64,
    /// Failed trials since it was last closed.
    pub reopen_count: u32,
    /// Time until the next call may go through, while open; zero: the next call is a trial.
    #[serde(rename = "next_trial_in_ms", serialize_with = "optional_ms")]
    #[schemars(with = "Option<u64>")]
    pub next_trial_in: Option<Duration>,
    /// Calls that ran and count: successes, failures and timeouts.
    pub requests: u64,
    /// Slow ones included.
    pub successes: u64,
    /// Timeouts not included.
    pub failures: u64,
    /// Calls that ran into their timeout.
    pub timeouts: u64,
    /// Those of the successes that took too long.
    pub slow: u64,
    /// Calls that ran and say nothing about the target, or were given up.
    pub excluded: u64,
    /// Calls refused because the breaker was not closed.
    pub short_circuited: u64,
    /// Calls refused because too many were in flight.
    pub rejected: u64,
    /// Calls running now.
    pub in_flight: u32,
    /// The rolling window.
    pub window: WindowCounts,
    /// The latest changes of phase, oldest first.
    pub transitions: Vec<Transition>,
    /// Earlier ones that are no longer listed.
    pub transitions_dropped: u64,
}

/// The rolling window at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct WindowCounts {
    /// Calls counted: successes, failures and timeouts.
    pub requests: u64,
    /// Slow ones included.
    pub successes: u64,
    /// Timeouts not included.
    pub failures: u64,
    /// Calls that ran into their timeout.
    pub timeouts: u64,
    /// Those of the successes that took too long.
    pub slow: u64,
    /// Failures, timeouts and slow successes per hundred requests, rounded down to a tenth so that
    /// it never shows a threshold that was not reached; 0 without requests.
    pub error_percent: f64,
    /// The time really covered.
    #[serde(rename = "span_ms", serialize_with = "ms")]
    #[schemars(with = "u64")]
    pub span: Duration,
}

impl WindowCounts {
    pub(super) fn new(tally: &Tally, span_ms: Millis) -> Self {
        let requests = tally.requests();
        let permille = u128::from(tally.failed()) * 1000 / u128::from(requests.max(1));
        Self {
            requests,
            successes: tally.successes,
            failures: tally.failures,
            timeouts: tally.timeouts,
            slow: tally.slow,
            error_percent: permille as f64 / 10.0,
            span: Duration::from_millis(span_ms),
        }
    }
}

fn ms<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(millis(*duration))
}

fn optional_ms<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    duration.map(millis).serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentage_is_rounded_down() {
        let percent = |failures, successes| {
            WindowCounts::new(&Tally { failures, successes, ..Tally::default() }, 0).error_percent
        };
        assert_eq!((percent(0, 0), percent(1, 2), percent(1, 0)), (0.0, 33.3, 100.0));
        assert_eq!(percent(4999, 5001), 49.9, "hystrix would round this to 50 and trip");
        assert_eq!(percent(u64::MAX, 0), 100.0);
    }
}
