//! The rolling window: a ring of buckets, each with its absolute number since the clock's zero.
//!
//! Absolute numbers let the records of several writers be merged by adding buckets of the same
//! number. Old buckets are dropped when a newer one is begun; until then reading skips them, so
//! that reading needs no `&mut`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::outcome::{Outcome, Tally, Weight};
use super::{Config, Millis, WindowCounts};

/// A bucket further ahead of now than this was written by a wrong clock: it is not counted, and it
/// is dropped by the next call that is. Clocks that differ by less are tolerated.
const SKEW_BUCKETS: u64 = 2;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bucket {
    /// `floor(now / bucket_ms)`.
    number: u64,
    tally: Tally,
}

/// Counts of the last `len` buckets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    bucket_ms: Millis,
    len: u32,
    /// When counting began.
    #[serde(rename = "from_ms")]
    from: Millis,
    /// Ascending by number; buckets without a call are absent.
    buckets: Vec<Bucket>,
}

impl Window {
    /// An empty one.
    pub fn new(config: &Config, now: Millis) -> Self {
        let len = config.bucket_count();
        let buckets = Vec::with_capacity(len as usize);
        Self { bucket_ms: config.bucket_ms(), len, from: now, buckets }
    }

    /// Whether these are the buckets that `config` asks for. Counts of another geometry are of no use.
    pub(super) fn fits(&self, config: &Config) -> bool {
        self.bucket_ms == config.bucket_ms() && self.len == config.bucket_count()
    }

    pub(super) fn geometry(&self) -> (Millis, u32) {
        (self.bucket_ms, self.len)
    }

    /// Counts one call, in the buckets that `config` asks for; those of another geometry are dropped.
    pub fn record(&mut self, config: &Config, outcome: Outcome, latency: Duration, now: Millis) {
        self.add(config, &Tally::of(outcome, latency, config.slow), now);
    }

    /// The same of many calls, which have all ended now.
    pub fn add(&mut self, config: &Config, calls: &Tally, now: Millis) {
        if !self.fits(config) {
            *self = Window::new(config, now);
        }
        if *calls != Tally::default()
            && let Some(tally) = self.current(now)
        {
            tally.add(calls);
        }
    }

    /// Whether calls were counted in the window that ends now, and as many of them failed as the threshold says.
    pub fn is_failing(&self, config: &Config, now: Millis) -> bool {
        let tally = self.tally(now);
        tally.requests() > 0 && tally.is_bad(config)
    }

    /// What a reader is shown.
    pub fn counts(&self, now: Millis) -> WindowCounts {
        WindowCounts::new(&self.tally(now), self.span_ms(now))
    }

    /// Forgets everything.
    pub fn clear(&mut self, now: Millis) {
        self.buckets.clear();
        self.from = now;
    }

    pub(super) fn count(&mut self, weight: Weight, now: Millis) {
        if let Some(tally) = self.current(now) {
            tally.count(weight);
        }
    }

    /// What is counted now; there always is one.
    fn current(&mut self, now: Millis) -> Option<&mut Tally> {
        self.from = self.from.min(now);
        let head = self.head(now);
        if self.buckets.last().map(|bucket| bucket.number) != Some(head) {
            self.advance(head);
        }
        self.buckets.last_mut().map(|bucket| &mut bucket.tally)
    }

    /// The sum of the window that ends now.
    pub(super) fn tally(&self, now: Millis) -> Tally {
        let head = self.head(now);
        let mut sum = Tally::default();
        self.buckets
            .iter()
            .filter(|bucket| self.covers(head, bucket))
            .for_each(|bucket| sum.add(&bucket.tally));
        sum
    }

    /// The time that [`tally`](Self::tally) really covers, in milliseconds: between `len - 1` and
    /// `len` buckets, less while counting began only recently.
    pub(super) fn span_ms(&self, now: Millis) -> Millis {
        let oldest = self.head(now).saturating_sub(u64::from(self.len).saturating_sub(1));
        now.saturating_sub(oldest.saturating_mul(self.bucket_ms).max(self.from))
    }

    /// Adds the other's buckets to those of the same number. Of two geometries the greater stays,
    /// which is arbitrary but does not depend on the order of merging. Nothing is dropped here: the
    /// numbers alone do not tell which clock was wrong.
    pub(super) fn merge(&mut self, other: &Self) {
        let geometry = |window: &Self| (window.bucket_ms, window.len);
        if geometry(self) < geometry(other) {
            *self = other.clone();
            return;
        }
        if geometry(self) > geometry(other) {
            return;
        }
        self.from = self.from.min(other.from);
        for theirs in &other.buckets {
            match self.buckets.binary_search_by_key(&theirs.number, |ours| ours.number) {
                Ok(place) => self.buckets[place].tally.add(&theirs.tally),
                Err(place) => self.buckets.insert(place, theirs.clone()),
            }
        }
    }

    /// The number of the newest bucket: that of now, or one slightly ahead which a clock that has
    /// since been set back, or another writer, has begun.
    fn head(&self, now: Millis) -> u64 {
        let current = now / self.bucket_ms.max(1);
        let credible = current.saturating_add(SKEW_BUCKETS);
        let newest = self.buckets.iter().rev().map(|bucket| bucket.number).find(|number| *number <= credible);
        newest.map_or(current, |number| number.max(current))
    }

    fn covers(&self, head: u64, bucket: &Bucket) -> bool {
        head.checked_sub(bucket.number).is_some_and(|age| age < u64::from(self.len))
    }

    /// Drops what is no part of the window that ends with `head`, and begins that bucket.
    fn advance(&mut self, head: u64) {
        let len = u64::from(self.len);
        self.buckets.retain(|bucket| head.checked_sub(bucket.number).is_some_and(|age| age < len));
        if self.buckets.last().map(|bucket| bucket.number) != Some(head) {
            self.buckets.push(Bucket { number: head, tally: Tally::default() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        Window::new(&Config::default(), 0)
    }

    fn requests(window: &Window, now: Millis) -> u64 {
        window.tally(now).requests()
    }

    #[test]
    fn a_call_counts_for_at_least_nine_and_at_most_ten_buckets() {
        let mut window = window();
        window.count(Weight::Failure, 100_999);
        assert_eq!(requests(&window, 109_999), 1, "9.0 s later");
        assert_eq!(requests(&window, 110_000), 0, "its bucket is the eleventh now");
        window.count(Weight::Failure, 111_000);
        assert_eq!((requests(&window, 120_999), requests(&window, 121_000)), (1, 0));
    }

    #[test]
    fn the_span_is_what_is_covered() {
        let mut window = window();
        assert_eq!(window.span_ms(2_500), 2_500, "begun 2.5 s ago");
        window.count(Weight::Success, 2_500);
        assert_eq!(window.span_ms(50_000), 9_000, "a bucket has just begun");
        assert_eq!(window.span_ms(50_999), 9_999, "a bucket is about to end");
    }

    #[test]
    fn the_ring_never_holds_more_than_its_length() {
        let mut window = window();
        for second in 0..1000 {
            window.count(Weight::Success, second * 700);
            assert!(window.buckets.len() <= 10 && window.buckets.capacity() == 10);
        }
    }

    #[test]
    fn a_clock_set_back_a_little_loses_nothing_even_with_one_bucket() {
        for buckets in [1, 2, 10] {
            let mut window = Window::new(
                &Config {
                    buckets,
                    window: std::time::Duration::from_secs(buckets.into()),
                    ..Config::default()
                },
                0,
            );
            window.count(Weight::Success, 10_000);
            window.count(Weight::Failure, 8_000);
            assert_eq!(requests(&window, 8_000), 2, "{buckets} buckets");
        }
    }

    #[test]
    fn buckets_of_a_wrong_clock_are_not_counted_and_then_dropped() {
        let mut window = window();
        window.count(Weight::Failure, 3_600_000);
        assert_eq!(requests(&window, 3_000), 0);
        window.count(Weight::Success, 3_000);
        assert_eq!(requests(&window, 3_000), 1);
        assert_eq!(requests(&window, 3_600_000), 0, "the wrong bucket came back");
        assert_eq!(window.span_ms(4_000), 4_000);
    }

    #[test]
    fn a_clock_set_back_far_begins_anew() {
        let mut window = Window::new(&Config::default(), 3_600_000);
        window.count(Weight::Success, 3_000);
        assert_eq!(window.span_ms(4_000), 1_000);
    }

    #[test]
    fn merging_adds_buckets_of_the_same_number() {
        let (mut left, mut right) = (window(), window());
        left.count(Weight::Success, 5_000);
        left.count(Weight::Success, 7_000);
        right.count(Weight::Failure, 5_999);
        right.count(Weight::Failure, 6_000);
        left.merge(&right);
        let numbers: Vec<u64> = left.buckets.iter().map(|bucket| bucket.number).collect();
        assert_eq!(numbers, [5, 6, 7]);
        assert_eq!((left.tally(7_000).requests(), left.tally(7_000).failed()), (4, 2));
    }

    #[test]
    fn many_calls_at_once_are_as_many_calls() {
        let (mut at_once, mut each) = (window(), window());
        let calls = Tally { successes: 3, failures: 2, timeouts: 1, slow: 1 };
        for now in [5_000, 7_500, 17_000] {
            at_once.add(&Config::default(), &calls, now);
            for weight in [Weight::Success, Weight::Success, Weight::Slow, Weight::Failure, Weight::Failure] {
                each.count(weight, now);
            }
            each.count(Weight::Timeout, now);
            at_once.add(&Config::default(), &Tally::default(), now + 2_000);
            assert_eq!(at_once, each);
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let mut window = window();
        window.count(Weight::Success, u64::MAX);
        assert_eq!(requests(&window, u64::MAX), 1);
        window.count(Weight::Success, 0);
        assert_eq!(requests(&window, 0), 1);
    }
}
