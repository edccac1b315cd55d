//! What the breaker's own window does not keep, since nothing is decided by it: refusals, fallbacks, and how long calls
//! took. For readers; in buckets of the same time, and not forgotten when the breaker closes.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::millis;
use super::record::FallbackCounts;
use crate::breaker::{Config, Millis, Outcome, Refusal, Totals};
use crate::histogram::{Histogram, Summary};

/// A bucket further ahead of now than this was written by a wrong clock, as in the window.
const SKEW_BUCKETS: u64 = 2;

/// That of the longest latency there is; see [`step`].
const LAST_STEP: u16 = 59 * 16 + 31;

/// The last calls, in buckets of time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Recent {
    bucket_ms: Millis,
    len: u32,
    /// Ascending by number; buckets without a call are absent.
    buckets: Vec<Bucket>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Bucket {
    /// `floor(now / bucket_ms)`.
    number: u64,
    #[serde(default, skip_serializing_if = "is_empty")]
    counts: Counts,
    /// How many calls took about so long; see [`step`].
    latencies: BTreeMap<u16, u32>,
}

/// What is counted beside the calls that ran and count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Calls that ran and say nothing about the target.
    pub excluded: u64,
    /// Calls refused because the breaker was not closed.
    pub short_circuited: u64,
    /// Calls refused because too many were in flight.
    pub rejected: u64,
    /// What became of the fallbacks.
    pub fallbacks: FallbackCounts,
}

/// The last calls, for readers.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct RecentView {
    /// Beside the calls that ran and count.
    #[serde(flatten)]
    pub counts: Counts,
    /// How long the calls took that ran and count; to within 4 %.
    pub latency: Summary,
    /// The same as a distribution.
    #[serde(skip)]
    pub latencies: Histogram,
}

impl Recent {
    /// A call was refused.
    pub fn refused(&mut self, config: &Config, refusal: Refusal, now: Millis) {
        self.note(config, now, |bucket| {
            let Counts { short_circuited, rejected, .. } = &mut bucket.counts;
            let counter = match refusal {
                Refusal::ShortCircuited { .. } => short_circuited,
                Refusal::Rejected { .. } => rejected,
            };
            *counter = counter.saturating_add(1);
        });
    }

    /// A call has ended.
    pub fn ended(&mut self, config: &Config, outcome: Outcome, latency: Duration, now: Millis) {
        self.note(config, now, |bucket| {
            if outcome == Outcome::Excluded {
                bucket.counts.excluded = bucket.counts.excluded.saturating_add(1);
                return;
            }
            let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
            let calls = bucket.latencies.entry(step(us)).or_default();
            *calls = calls.saturating_add(1);
        });
    }

    /// What became of calls that were not asked for one by one; how long each took is not known.
    pub fn add(&mut self, config: &Config, calls: &Totals, now: Millis) {
        let Totals { excluded, short_circuited, rejected, .. } = *calls;
        let counts = Counts { excluded, short_circuited, rejected, ..Counts::default() };
        if counts != Counts::default() {
            self.note(config, now, |bucket| bucket.counts.add(&counts));
        }
    }

    /// One more of the fallbacks that `which` chooses.
    pub fn fell_back(
        &mut self,
        config: &Config,
        now: Millis,
        which: impl FnOnce(&mut FallbackCounts) -> &mut u64,
    ) {
        self.note(config, now, |bucket| {
            let counter = which(&mut bucket.counts.fallbacks);
            *counter = counter.saturating_add(1);
        });
    }

    /// What is told of the time that ends now.
    pub fn view(&self, now: Millis) -> RecentView {
        let mut view = RecentView::default();
        for bucket in self.buckets.iter().filter(|bucket| self.covers(bucket, now)) {
            view.counts.add(&bucket.counts);
            for (step, calls) in &bucket.latencies {
                view.latencies.record_many(Duration::from_micros(middle(*step)), (*calls).into());
            }
        }
        view.latency = view.latencies.summary();
        view
    }

    /// Changes the bucket of now, or one slightly ahead that another clock has begun.
    fn note(&mut self, config: &Config, now: Millis, change: impl FnOnce(&mut Bucket)) {
        let bucket_ms = (millis(config.window) / u64::from(config.buckets.max(1))).max(1);
        if (self.bucket_ms, self.len) != (bucket_ms, config.buckets) {
            *self = Recent { bucket_ms, len: config.buckets, buckets: Vec::new() };
        }
        let mut buckets = std::mem::take(&mut self.buckets);
        buckets.retain(|bucket| self.covers(bucket, now));
        let current = now / bucket_ms;
        if buckets.last().is_none_or(|last| last.number < current) {
            buckets.push(Bucket { number: current, ..Bucket::default() });
        }
        buckets.last_mut().map(change);
        self.buckets = buckets;
    }

    fn covers(&self, bucket: &Bucket, now: Millis) -> bool {
        let current = now / self.bucket_ms.max(1);
        bucket.number <= current.saturating_add(SKEW_BUCKETS)
            && current.saturating_sub(bucket.number) < u64::from(self.len)
    }
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        let (fallbacks, others) = (&mut self.fallbacks, &other.fallbacks);
        for (sum, more) in [
            (&mut self.excluded, other.excluded),
            (&mut self.short_circuited, other.short_circuited),
            (&mut self.rejected, other.rejected),
            (&mut fallbacks.successes, others.successes),
            (&mut fallbacks.failures, others.failures),
            (&mut fallbacks.rejected, others.rejected),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

fn is_empty(counts: &Counts) -> bool {
    *counts == Counts::default()
}

/// Each power of two of microseconds is divided into sixteen equal steps, numbered from zero: one of them for each latency.
fn step(us: u64) -> u16 {
    let shift = us.max(1).ilog2().saturating_sub(4);
    (u64::from(shift) * 16 + (us >> shift)) as u16
}

/// The middle of the latencies of a step, in microseconds.
fn middle(step: u16) -> u64 {
    // A record may hold anything.
    let step = u64::from(step.min(LAST_STEP));
    let shift = (step / 16).saturating_sub(1);
    let lowest = (step - shift * 16) << shift;
    lowest + ((1 << shift) >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Refusal = Refusal::ShortCircuited { retry_after: Duration::ZERO };

    fn config() -> Config {
        Config::default()
    }

    #[test]
    fn a_latency_is_known_to_within_four_percent() {
        for us in (0..5_000).chain((5_000..3_600_000_000).step_by(7_777_777)) {
            let (known, us) = (middle(step(us)) as f64, us as f64);
            assert!((known - us).abs() <= us * 0.04, "{us} is told as {known}");
        }
        assert_eq!((step(u64::MAX), middle(u16::MAX)), (LAST_STEP, middle(LAST_STEP)));
    }

    #[test]
    fn what_is_older_than_the_window_is_no_longer_told() {
        let mut recent = Recent::default();
        for second in 0..100 {
            let now = second * 1_000;
            recent.refused(&config(), SHORT, now);
            recent.ended(&config(), Outcome::Failure, Duration::from_millis(10), now);
            recent.ended(&config(), Outcome::Excluded, Duration::ZERO, now);
            recent.fell_back(&config(), now, |counts| &mut counts.failures);
        }
        assert_eq!(recent.buckets.len(), 10);
        let view = recent.view(99_999);
        let Counts { excluded, short_circuited, rejected, fallbacks } = view.counts;
        assert_eq!((excluded, short_circuited, rejected, fallbacks.failures), (10, 10, 0, 10));
        assert_eq!(view.latency.count, 10);
        let median = view.latency.p50_us.unwrap();
        assert!((9_600..=10_400).contains(&median), "{median}");
        assert_eq!(recent.view(104_000).counts.short_circuited, 5);
        assert_eq!(recent.view(200_000).counts, Counts::default());
    }

    #[test]
    fn a_wrong_clock_leaves_nothing_behind() {
        let mut recent = Recent::default();
        recent.refused(&config(), SHORT, 3_600_000);
        assert_eq!(recent.view(1_000).counts.short_circuited, 0);
        recent.refused(&config(), SHORT, 1_000);
        assert_eq!(recent.view(1_000).counts.short_circuited, 1);
        // A clock slightly behind adds to what is there.
        recent.refused(&config(), SHORT, 0);
        assert_eq!((recent.buckets.len(), recent.view(0).counts.short_circuited), (1, 2));
    }

    #[test]
    fn another_window_begins_anew() {
        let mut recent = Recent::default();
        recent.refused(&config(), SHORT, 1_000);
        let other = Config { window: Duration::from_secs(60), ..config() };
        recent.refused(&other, SHORT, 1_000);
        assert_eq!(recent.view(1_000).counts.short_circuited, 1);
    }
}
