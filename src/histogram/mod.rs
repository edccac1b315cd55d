//! Latencies: recorded in microseconds to three significant digits (compact ones: two), merged, and summed up.
//!
//! Thin over `hdrhistogram`, with three rules of its own. The first samples are kept as they are, so
//! that a thousand targets with a handful of samples each cost kilobytes. Minimum, mean and maximum
//! are exact. And no quantile is shown that the samples cannot bear: with fewer than a hundred, a p99
//! would be the maximum under another name. Quantiles are never averaged: merge, then ask.

mod encoded;

pub use encoded::{Damaged, Encoded};

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Samples kept one by one before they are put in buckets.
const FEW: usize = 128;
/// Quantiles do not tell longer times apart.
const LONGEST_US: u64 = 3_600_000_000;

type Buckets<T = u64> = hdrhistogram::Histogram<T>;

/// What the buckets of a distribution count with, and how exact they are.
pub trait Precision: hdrhistogram::Counter {
    /// Significant digits.
    const DIGITS: u8;
}

impl Precision for u64 {
    const DIGITS: u8 = 3;
}

impl Precision for u32 {
    const DIGITS: u8 = 2;
}

/// A distribution of durations. Grows with the longest one, to 200 KiB for an hour.
pub type Histogram = Distribution<u64>;

/// The same to within one percent, in at most 14 KiB: for whoever keeps thousands of them for days. A bucket holds
/// 2^32 - 1 samples, and further ones do not count.
pub type Compact = Distribution<u32>;

/// A distribution of durations, as exact as its counters say.
#[derive(Clone, Debug, Default)]
pub struct Distribution<T: Precision> {
    few: Vec<u64>,
    /// Once there, `few` is empty.
    many: Option<Buckets<T>>,
    count: u64,
    sum_us: u128,
    min_us: u64,
    max_us: u64,
}

/// What a distribution amounts to, in microseconds. `null` where there are too few samples to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Samples.
    pub count: u64,
    /// Shortest, exact.
    pub min_us: Option<u64>,
    /// Exact but for the fraction.
    pub mean_us: Option<u64>,
    /// Half of the samples are at most this.
    pub p50_us: Option<u64>,
    /// From 10 samples on.
    pub p90_us: Option<u64>,
    /// From 20 samples on.
    pub p95_us: Option<u64>,
    /// From 100 samples on.
    pub p99_us: Option<u64>,
    /// From 1000 samples on.
    pub p999_us: Option<u64>,
    /// Longest, exact.
    pub max_us: Option<u64>,
}

/// The same with more quantiles, for runs of many samples.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quantiles {
    /// Samples.
    pub count: u64,
    /// Shortest, exact.
    pub min_us: Option<u64>,
    /// Exact but for the fraction.
    pub mean_us: Option<u64>,
    /// Half of the samples are at most this.
    pub p50_us: Option<u64>,
    /// From 4 samples on.
    pub p75_us: Option<u64>,
    /// From 10 samples on.
    pub p90_us: Option<u64>,
    /// From 20 samples on.
    pub p95_us: Option<u64>,
    /// From 100 samples on.
    pub p99_us: Option<u64>,
    /// From 1000 samples on.
    pub p999_us: Option<u64>,
    /// From 10,000 samples on.
    pub p9999_us: Option<u64>,
    /// Longest, exact.
    pub max_us: Option<u64>,
}

impl Quantiles {
    /// The quantiles and the maximum by name, in microseconds; `None` where there are too few samples.
    pub fn named(&self) -> [(&'static str, Option<u64>); 8] {
        [
            ("p50", self.p50_us),
            ("p75", self.p75_us),
            ("p90", self.p90_us),
            ("p95", self.p95_us),
            ("p99", self.p99_us),
            ("p99.9", self.p999_us),
            ("p99.99", self.p9999_us),
            ("max", self.max_us),
        ]
    }
}

impl Histogram {
    /// Adds that many samples of one duration.
    pub fn record_many(&mut self, duration: Duration, count: u64) {
        if count == 0 {
            return;
        }
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.note(count, u128::from(us) * u128::from(count), us, us);
        let room = FEW.saturating_sub(self.few.len());
        match usize::try_from(count) {
            Ok(count) if self.many.is_none() && count <= room => {
                self.few.extend(std::iter::repeat_n(us, count));
            }
            _ => record_many_into(self.buckets(), us, count),
        }
    }
}

impl<T: Precision + Default> Distribution<T> {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one sample.
    pub fn record(&mut self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.note(1, us.into(), us, us);
        self.add(us);
    }

    /// Adds all samples of the other.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.note(other.count, other.sum_us, other.min_us, other.max_us);
        other.few.iter().for_each(|us| self.add(*us));
        if let Some(many) = &other.many {
            merge_into(self.buckets(), many);
        }
    }

    /// Forgets all samples, and keeps the memory.
    pub fn clear(&mut self) {
        self.few.clear();
        if let Some(many) = &mut self.many {
            many.reset();
        }
        (self.count, self.sum_us, self.min_us, self.max_us) = (0, 0, 0, 0);
    }

    /// The number of samples.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The duration that a share `q` (0 to 1) of the samples does not exceed. `None` when not even
    /// one sample may be expected above it, but for the median, which one sample is enough for.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        self.quantile_us(q).map(Duration::from_micros)
    }

    /// How many samples are at most so long, as exact as the quantiles.
    pub fn at_most(&self, duration: Duration) -> u64 {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        match &self.many {
            _ if us >= self.max_us => self.count,
            Some(many) => many.count_between(0, us),
            None => self.few.iter().filter(|sample| **sample <= us).count() as u64,
        }
    }

    /// All of it in a few numbers.
    pub fn summary(&self) -> Summary {
        let some = self.count > 0;
        let mean = self.sum_us.checked_div(self.count.into());
        Summary {
            count: self.count,
            min_us: some.then_some(self.min_us),
            mean_us: mean.and_then(|mean| u64::try_from(mean).ok()),
            p50_us: self.quantile_us(0.5),
            p90_us: self.quantile_us(0.9),
            p95_us: self.quantile_us(0.95),
            p99_us: self.quantile_us(0.99),
            p999_us: self.quantile_us(0.999),
            max_us: some.then_some(self.max_us),
        }
    }

    /// All of it in a few more numbers.
    pub fn quantiles(&self) -> Quantiles {
        let Summary { count, min_us, mean_us, p50_us, p90_us, p95_us, p99_us, p999_us, max_us } =
            self.summary();
        Quantiles {
            count,
            min_us,
            mean_us,
            p50_us,
            p75_us: self.quantile_us(0.75),
            p90_us,
            p95_us,
            p99_us,
            p999_us,
            p9999_us: self.quantile_us(0.9999),
            max_us,
        }
    }

    fn note(&mut self, count: u64, sum_us: u128, min_us: u64, max_us: u64) {
        self.min_us = if self.count == 0 { min_us } else { self.min_us.min(min_us) };
        self.max_us = self.max_us.max(max_us);
        self.count += count;
        self.sum_us += sum_us;
    }

    fn add(&mut self, us: u64) {
        if self.many.is_none() && self.few.len() < FEW {
            self.few.push(us);
        } else {
            record_into(self.buckets(), us);
        }
    }

    /// The buckets, with the samples moved in that were kept one by one.
    fn buckets(&mut self) -> &mut Buckets<T> {
        let many = self.many.get_or_insert_with(empty);
        std::mem::take(&mut self.few).into_iter().for_each(|us| record_into(many, us));
        many
    }

    fn quantile_us(&self, q: f64) -> Option<u64> {
        // A little is added because 10 * (1 - 0.9) is a hair less than 1.
        let above = self.count as f64 * (1.0 - q) + 1e-6;
        if self.count == 0 || (above < 1.0 && q != 0.5) {
            return None;
        }
        let value = match &self.many {
            Some(many) => many.value_at_quantile(q),
            None => nearest_rank(&self.few, q)?,
        };
        Some(value.clamp(self.min_us, self.max_us))
    }
}

/// The smallest sample that a share `q` of all does not exceed; what hdrhistogram means by it too.
fn nearest_rank(samples: &[u64], q: f64) -> Option<u64> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[expect(clippy::expect_used, reason = "two and three digits are within the bounds of the library")]
fn empty<T: Precision>() -> Buckets<T> {
    Buckets::new(T::DIGITS).expect("a histogram of two or three significant digits")
}

#[expect(clippy::expect_used, reason = "it resizes itself for any value of this range")]
fn record_into<T: Precision>(buckets: &mut Buckets<T>, us: u64) {
    buckets.record(us.min(LONGEST_US)).expect("a value within an hour");
}

#[expect(clippy::expect_used, reason = "it resizes itself for any value of this range")]
fn record_many_into(buckets: &mut Buckets, us: u64, count: u64) {
    buckets.record_n(us.min(LONGEST_US), count).expect("a value within an hour");
}

#[expect(clippy::expect_used, reason = "it resizes itself for any histogram of the same precision")]
fn merge_into<T: Precision>(buckets: &mut Buckets<T>, other: &Buckets<T>) {
    buckets.add(other).expect("a histogram of the same precision");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(super) fn of(samples: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::new();
        samples.into_iter().for_each(|us| histogram.record(Duration::from_micros(us)));
        histogram
    }

    #[test]
    fn nothing_is_said_of_no_samples() {
        assert_eq!(Histogram::new().summary(), Summary::default());
        assert_eq!(Histogram::new().quantile(0.5), None);
    }

    #[test]
    fn a_quantile_is_shown_once_a_sample_can_lie_above_it() {
        let shown = |count| {
            let summary = of(1..=count).summary();
            [summary.p50_us, summary.p90_us, summary.p95_us, summary.p99_us, summary.p999_us]
                .map(|q| q.is_some())
        };
        assert_eq!(shown(1), [true, false, false, false, false]);
        assert_eq!(shown(9), [true, false, false, false, false]);
        assert_eq!(shown(10), [true, true, false, false, false]);
        assert_eq!(shown(20), [true, true, true, false, false]);
        assert_eq!(shown(99), [true, true, true, false, false]);
        assert_eq!(shown(100), [true, true, true, true, false]);
        assert_eq!(shown(1000), [true; 5]);
    }

    #[test]
    fn so_are_the_quantiles_of_long_runs() {
        let shown = |count| {
            let found = of(1..=count).quantiles();
            (found.p75_us, found.p9999_us.is_some())
        };
        assert_eq!(shown(3), (None, false));
        assert_eq!(shown(4), (Some(3), false));
        assert!(!shown(9999).1);
        assert!(shown(10_000).1);
    }

    #[test]
    fn few_samples_are_exact() {
        let summary = of([30_001, 10_007, 20_011]).summary();
        assert_eq!(
            (summary.min_us, summary.p50_us, summary.max_us),
            (Some(10_007), Some(20_011), Some(30_001))
        );
        assert_eq!((summary.count, summary.mean_us), (3, Some(20_006)));
    }

    #[test]
    fn many_of_one_length_are_as_many_one_by_one() {
        for counts in [[3, 0, 2], [100, 28, 1], [1_000, 7, 500]] {
            let mut many = Histogram::new();
            for (us, count) in [10, 2_000, 30].into_iter().zip(counts) {
                many.record_many(Duration::from_micros(us), count as u64);
            }
            let one_by_one = [10, 2_000, 30].into_iter().zip(counts);
            let one_by_one = of(one_by_one.flat_map(|(us, count)| std::iter::repeat_n(us, count)));
            assert_eq!(many.summary(), one_by_one.summary());
        }
    }

    #[test]
    fn samples_up_to_a_length_are_counted() {
        for count in [100, 10_000] {
            let histogram = of(1..=count);
            let at_most = |us| histogram.at_most(Duration::from_micros(us));
            assert_eq!((at_most(0), at_most(50), at_most(count), at_most(u64::MAX)), (0, 50, count, count));
        }
        assert_eq!(of([u64::MAX; 200]).at_most(Duration::from_secs(1)), 0);
        assert_eq!(Histogram::new().at_most(Duration::MAX), 0);
    }

    #[test]
    fn the_longest_durations_are_counted() {
        let mut histogram = of(std::iter::repeat_n(u64::MAX, 200));
        histogram.record(Duration::MAX);
        let summary = histogram.summary();
        assert_eq!((summary.count, summary.mean_us, summary.max_us), (201, Some(u64::MAX), Some(u64::MAX)));
    }

    #[test]
    fn the_summary_is_json_with_nulls() {
        let json = serde_json::to_string(&of([5]).summary()).unwrap();
        let expected = r#"{"count":1,"min_us":5,"mean_us":5,"p50_us":5,"p90_us":null,"p95_us":null,"p99_us":null,"p999_us":null,"max_us":5}"#;
        assert_eq!(json, expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn quantiles_are_those_of_the_sorted_samples(mut samples in prop::collection::vec(0..LONGEST_US, 1..2000)) {
            let histogram = of(samples.iter().copied());
            samples.sort_unstable();
            for q in [0.5, 0.9, 0.95, 0.99, 0.999] {
                let Some(found) = histogram.quantile(q) else { continue };
                let exact = samples[(q * samples.len() as f64).ceil() as usize - 1];
                let found = found.as_micros() as u64;
                prop_assert!(found.abs_diff(exact) <= exact / 1000, "q {q}: {found} for {exact}");
            }
        }

        #[test]
        fn those_of_a_compact_one_are_off_by_one_percent_at_most(
            mut samples in prop::collection::vec(0..LONGEST_US, 200..2000),
        ) {
            let mut compact = Compact::new();
            samples.iter().for_each(|us| compact.record(Duration::from_micros(*us)));
            samples.sort_unstable();
            for q in [0.5, 0.9, 0.95, 0.99] {
                let found = compact.quantile(q).unwrap().as_micros() as u64;
                let exact = samples[(q * samples.len() as f64).ceil() as usize - 1];
                prop_assert!(found.abs_diff(exact) <= exact / 100, "q {q}: {found} for {exact}");
            }
        }

        #[test]
        fn merging_is_recording_all(parts in prop::collection::vec(prop::collection::vec(0u64..100_000_000, 0..300), 0..5)) {
            let mut merged = Histogram::new();
            parts.iter().for_each(|part| merged.merge(&of(part.iter().copied())));
            prop_assert_eq!(merged.summary(), of(parts.concat()).summary());
        }
    }
}
