//! Whether a run had settled: a server that warms up, or one whose queue grows, has no one rate and no one latency.
//!
//! The windows of the run are tested for a trend with Mann and Kendall's test, which asks only how often later windows
//! are higher than earlier ones (Mann 1945, Kendall 1975; variance with ties after Gilbert 1987, 16.4). A trend counts
//! when chance would show it in less than one of a hundred steady runs, and when it moves the value by a twentieth
//! from the first window to the last (Theil-Sen slope). Nothing is ever left out because of it: what a run says is for
//! its reader to judge.

use super::timeline::{Timeline, Window};

/// The normal approximation is good from this many windows on.
const FEWEST: usize = 10;
/// Two-sided, one of a hundred.
const Z: f64 = 2.576;
/// As a share of the median, from the first window to the last.
const NOTABLE: f64 = 0.05;

/// What the windows of a run say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Steadiness {
    /// No trend.
    Steady,
    /// It changed all along. Both are `None` where most windows had no answer, of which nothing is a share.
    NotSteady {
        /// By how much the rate changed from beginning to end, as a share of its median.
        rate: Option<f64>,
        /// And the median of response times.
        p50: Option<f64>,
    },
    /// Too few windows to say.
    TooShort,
}

/// Asks the windows of the run.
pub fn steadiness(timeline: &Timeline) -> Steadiness {
    let windows = whole(timeline.windows());
    if windows.len() < FEWEST {
        return Steadiness::TooShort;
    }
    let rates: Vec<f64> = windows.iter().map(|window| window.rate()).collect();
    let medians: Vec<f64> = windows
        .iter()
        .filter_map(|window| window.response.quantile(0.5))
        .map(|median| median.as_secs_f64())
        .collect();
    let hung = median(rates.clone()) == 0.0 && has_trend(&rates);
    match (trend(&rates), trend(&medians)) {
        (None, None) if !hung => Steadiness::Steady,
        (rate, p50) => Steadiness::NotSteady { rate, p50 },
    }
}

/// The last window may be cut short, and the rate of a short one says little.
fn whole(windows: &[Window]) -> &[Window] {
    match windows {
        [rest @ .., before, last] if (last.end - last.start) * 2 < before.end - before.start => {
            &windows[..rest.len() + 1]
        }
        _ => windows,
    }
}

/// By how much the values change from the first to the last, as a share of their median; `None` without a trend, and
/// where the median is 0.
fn trend(values: &[f64]) -> Option<f64> {
    if !has_trend(values) {
        return None;
    }
    let slopes = pairs(values).map(|(distance, difference)| difference / distance).collect();
    let change = median(slopes) * (values.len() - 1) as f64 / median(values.to_vec());
    (change.is_finite() && change.abs() >= NOTABLE).then_some(change)
}

fn has_trend(values: &[f64]) -> bool {
    values.len() >= FEWEST && mann_kendall(values).abs() >= Z
}

/// Standard deviations that the number of rises and falls lies from that of a series without a trend.
fn mann_kendall(values: &[f64]) -> f64 {
    let sign = |difference: f64| if difference == 0.0 { 0.0 } else { difference.signum() };
    let score: f64 = pairs(values).map(|(_, difference)| sign(difference)).sum();
    let spread = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let ties: f64 = sorted.chunk_by(|a, b| a == b).map(|equal| spread(equal.len() as f64)).sum();
    let variance = (spread(values.len() as f64) - ties) / 18.0;
    // One less, because the score moves in steps of two.
    if score == 0.0 || variance <= 0.0 { 0.0 } else { (score - score.signum()) / variance.sqrt() }
}

/// How far apart any two values are, and by how much the later one is larger.
fn pairs(values: &[f64]) -> impl Iterator<Item = (f64, f64)> {
    let with_later =
        move |i: usize| (i + 1..values.len()).map(move |j| ((j - i) as f64, values[j] - values[i]));
    (0..values.len()).flat_map(with_later)
}

/// Of at least one value.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::super::batch::{Batch, Sample};
    use super::*;

    /// A run of which each quarter of a second had so many requests of so many microseconds.
    fn run(windows: impl IntoIterator<Item = (u64, u64)>) -> Timeline {
        const QUARTER: u64 = 250_000_000;
        let mut timeline = Timeline::default();
        for (number, (requests, micros)) in (0..).zip(windows) {
            let mut batch = Batch::default();
            let sample = Sample { due: 0, sent: 0, ended: micros * 1000 };
            (0..requests).for_each(|_| batch.ended(sample, false, Ok(())));
            timeline.add(number * QUARTER, (number + 1) * QUARTER, &batch, 0);
        }
        timeline
    }

    fn noise(random: &mut fastrand::Rng, around: u64) -> u64 {
        around * 9 / 10 + random.u64(0..around / 5)
    }

    #[test]
    fn noise_is_no_trend() {
        let mut random = fastrand::Rng::with_seed(5);
        let steady = (0..200).filter(|_| {
            let windows =
                std::iter::repeat_with(|| (noise(&mut random, 100), noise(&mut random, 1000))).take(40);
            steadiness(&run(windows.collect::<Vec<_>>())) == Steadiness::Steady
        });
        assert!(steady.count() >= 190);
        assert_eq!(steadiness(&run([(100, 50); 40])), Steadiness::Steady);
    }

    #[test]
    fn a_queue_that_grows_is_not_steady() {
        let mut random = fastrand::Rng::with_seed(5);
        let windows: Vec<_> =
            (0..40).map(|n| (noise(&mut random, 100), noise(&mut random, 1000 + 50 * n))).collect();
        let Steadiness::NotSteady { rate: None, p50: Some(change) } = steadiness(&run(windows)) else {
            panic!("seen as steady")
        };
        assert!((0.8..1.2).contains(&change), "{change}");
    }

    #[test]
    fn a_server_that_warms_up_is_not_steady() {
        let found = steadiness(&run((0..40).map(|n| (50 + n, 1000))));
        assert!(matches!(found, Steadiness::NotSteady { rate: Some(r), p50: None } if r > 0.4), "{found:?}");
    }

    #[test]
    fn a_trend_that_nobody_would_notice_is_none() {
        assert_eq!(steadiness(&run((0..40).map(|n| (100, 10_000 + n)))), Steadiness::Steady);
    }

    #[test]
    fn short_runs_say_nothing() {
        assert_eq!(steadiness(&run([])), Steadiness::TooShort);
        assert_eq!(steadiness(&run([(100, 50); 9])), Steadiness::TooShort);
    }

    #[test]
    fn requests_that_all_came_to_nothing_have_no_median() {
        assert_eq!(steadiness(&run([(0, 0); 20])), Steadiness::Steady);
    }

    #[test]
    fn a_server_that_hung_most_of_the_time_has_a_trend_without_a_share() {
        let hung = |still: usize, then: usize| {
            steadiness(&run([vec![(0, 0); still], vec![(100, 1000); then]].concat()))
        };
        let unsteady = Steadiness::NotSteady { rate: None, p50: None };
        assert_eq!((hung(21, 19), hung(25, 15)), (unsteady, unsteady));
        assert!(matches!(hung(19, 21), Steadiness::NotSteady { rate: Some(r), .. } if r.is_finite()));
    }
}
