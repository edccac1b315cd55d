//! How one call ended, and the tally of many.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Config;

/// How one call ended. Slow is no outcome: it follows from the latency of a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The target answered as it should.
    Success,
    /// The target answered wrongly, or not at all.
    Failure,
    /// The target did not answer within the timeout.
    Timeout,
    /// It says nothing about the target: our own fault, or the call was given up. Never counted.
    Excluded,
}

/// How a call that counts bears on the breaker, once its latency is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Success,
    Slow,
    Failure,
    Timeout,
}

impl Outcome {
    /// `None` for an excluded call; a success slower than `slow` is a slow one.
    pub(super) fn weigh(self, latency: Duration, slow: Option<Duration>) -> Option<Weight> {
        match self {
            Self::Success if slow.is_some_and(|limit| latency > limit) => Some(Weight::Slow),
            Self::Success => Some(Weight::Success),
            Self::Failure => Some(Weight::Failure),
            Self::Timeout => Some(Weight::Timeout),
            Self::Excluded => None,
        }
    }
}

/// Calls counted by how they ended. Short-circuited, rejected and excluded calls are no part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Slow ones included.
    pub successes: u64,
    /// Timeouts not included.
    pub failures: u64,
    /// Calls that ran into their timeout.
    pub timeouts: u64,
    /// Those of the successes that took longer than `slow`.
    pub slow: u64,
}

impl Tally {
    /// One call; nothing, where it is excluded. A success slower than `slow` is a slow one.
    pub fn of(outcome: Outcome, latency: Duration, slow: Option<Duration>) -> Tally {
        let mut tally = Tally::default();
        if let Some(weight) = outcome.weigh(latency, slow) {
            tally.count(weight);
        }
        tally
    }

    /// The denominator of the error percentage.
    pub fn requests(&self) -> u64 {
        self.successes.saturating_add(self.failures).saturating_add(self.timeouts)
    }

    /// The numerator of the error percentage: failures, timeouts and slow successes.
    pub fn failed(&self) -> u64 {
        self.failures.saturating_add(self.timeouts).saturating_add(self.slow)
    }

    /// Whether the share of failed calls reaches the threshold. In integers and from one sum, so that rounding or a late
    /// count cannot trip a breaker.
    pub(super) fn is_bad(&self, config: &Config) -> bool {
        let threshold = u128::from(config.error_threshold_percent);
        u128::from(self.failed()) * 100 >= threshold * u128::from(self.requests())
    }

    pub(super) fn count(&mut self, weight: Weight) {
        let counter = match weight {
            Weight::Success | Weight::Slow => &mut self.successes,
            Weight::Failure => &mut self.failures,
            Weight::Timeout => &mut self.timeouts,
        };
        *counter = counter.saturating_add(1);
        if weight == Weight::Slow {
            self.slow = self.slow.saturating_add(1);
        }
    }

    pub(super) fn without(&self, other: &Self) -> Self {
        Self {
            successes: self.successes.saturating_sub(other.successes),
            failures: self.failures.saturating_sub(other.failures),
            timeouts: self.timeouts.saturating_sub(other.timeouts),
            slow: self.slow.saturating_sub(other.slow),
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.successes = self.successes.saturating_add(other.successes);
        self.failures = self.failures.saturating_add(other.failures);
        self.timeouts = self.timeouts.saturating_add(other.timeouts);
        self.slow = self.slow.saturating_add(other.slow);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_success_can_be_slow_and_only_past_the_limit() {
        let limit = Some(Duration::from_millis(100));
        let weigh = |outcome: Outcome, ms| outcome.weigh(Duration::from_millis(ms), limit);
        assert_eq!(weigh(Outcome::Success, 100), Some(Weight::Success));
        assert_eq!(weigh(Outcome::Success, 101), Some(Weight::Slow));
        assert_eq!(weigh(Outcome::Failure, 101), Some(Weight::Failure));
        assert_eq!(weigh(Outcome::Timeout, 101), Some(Weight::Timeout));
        assert_eq!(weigh(Outcome::Excluded, 101), None);
        assert_eq!(Outcome::Success.weigh(Duration::MAX, None), Some(Weight::Success));
    }

    #[test]
    fn a_slow_success_is_a_success_that_failed_once() {
        let mut tally = Tally::default();
        for weight in [Weight::Success, Weight::Slow, Weight::Failure, Weight::Timeout] {
            tally.count(weight);
        }
        assert_eq!(tally, Tally { successes: 2, failures: 1, timeouts: 1, slow: 1 });
        assert_eq!((tally.failed(), tally.requests()), (3, 4));
    }
}
