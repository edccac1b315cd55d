//! Whether new runs are better or worse than those of a base, or whether that cannot be told.
//!
//! The run is the unit: requests of one run hang together, and with a million of them any difference would be
//! "significant". A difference counts when three things agree. Mann and Whitney's test over the runs, exact and with
//! ties, says that chance is no explanation (5 %, after Holm's correction for several metrics). The interval of the
//! difference, bootstrapped by run (Efron 1979: 95 %, percentiles), does not contain none. And the difference of the
//! medians is larger than a floor below which nobody cares. "Same" is said only where the whole interval lies within
//! the floor. Everything else is inconclusive; so is what too few runs say, whose test cannot become significant.
//! No figure depends on which side is called the base, but for its sign.

mod ranks;

use super::outcome::Outcome;
use super::saved::Saved;
use super::steady::median;
use crate::histogram::Histogram;
use ranks::{holm, mann_whitney, smallest_p};

/// More on one side cost memory and time, and say nothing new.
pub const MOST_RUNS: usize = 50;
/// Of all comparisons without a difference, so many may be said to have one.
const ALPHA: f64 = 0.05;
const RESAMPLES: usize = 10_000;
/// Error rates have a floor of their own, as a difference: none is 0.1 % of nothing.
pub const ERROR_FLOOR: f64 = 0.001;

/// What one run says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Requests that ended, per second.
    pub rate: f64,
    /// Median of response times, in microseconds.
    pub p50_us: Option<u64>,
    /// Their 99th percentile.
    pub p99_us: Option<u64>,
    /// Of requests that ended, the share that failed, 0 to 1.
    pub error_rate: Option<f64>,
}

impl Figures {
    /// Of a run.
    pub fn of(run: &Outcome) -> Figures {
        let totals = &run.totals;
        Figures::new(
            run.achieved(),
            &totals.response_or_service().all(),
            totals.failures(),
            totals.requests(),
        )
    }

    /// Of one that was kept.
    pub fn of_saved(run: &Saved) -> Figures {
        Figures::new(run.rate_per_s, &run.response(), run.failed, run.requests)
    }

    fn new(rate: f64, response: &Histogram, failed: u64, requests: u64) -> Figures {
        let summary = response.summary();
        let error_rate = (requests > 0).then(|| failed as f64 / requests as f64);
        Figures { rate, p50_us: summary.p50_us, p99_us: summary.p99_us, error_rate }
    }
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Requests per second; more is better.
    Rate,
    /// Median response time.
    P50,
    /// 99th percentile of response times.
    P99,
    /// Share of failed requests.
    ErrorRate,
}

impl Metric {
    /// All of them.
    pub const ALL: [Metric; 4] = [Metric::Rate, Metric::P50, Metric::P99, Metric::ErrorRate];

    fn of(self, run: &Figures) -> Option<f64> {
        match self {
            Metric::Rate => Some(run.rate),
            Metric::P50 => run.p50_us.map(|us| us as f64),
            Metric::P99 => run.p99_us.map(|us| us as f64),
            Metric::ErrorRate => run.error_rate,
        }
    }

    /// How much worse the new value is: the logarithm of the ratio, of error rates the difference. Below 0: better.
    fn worse_by(self, base: f64, new: f64) -> f64 {
        match self {
            _ if base == new => 0.0,
            Metric::ErrorRate => new - base,
            Metric::Rate => (base / new).ln(),
            Metric::P50 | Metric::P99 => (new / base).ln(),
        }
    }

    /// The same as people say it: by which share the new value is larger, of error rates by how much. `None`: no number.
    fn change(self, worse_by: f64) -> Option<f64> {
        let change = match self {
            Metric::ErrorRate => worse_by,
            Metric::Rate => (-worse_by).exp() - 1.0,
            Metric::P50 | Metric::P99 => worse_by.exp() - 1.0,
        };
        change.is_finite().then_some(change)
    }

    fn floor(self, floor: f64) -> f64 {
        if self == Metric::ErrorRate { ERROR_FLOOR } else { (1.0 + floor).ln() }
    }
}

/// What a comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The new runs are better.
    Better,
    /// They are worse.
    Worse,
    /// No difference that anybody cares for.
    Same,
    /// Cannot be told.
    Inconclusive,
    /// One run on a side: it is shown, and proves nothing.
    Indicative,
}

/// All metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// One by one.
    pub metrics: Vec<Compared>,
    /// All together: worse when one is, else as unsure as the least sure one, else better when one is.
    pub verdict: Verdict,
    /// So many runs on each side are needed before a difference can be told from chance.
    pub needed: usize,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// Which.
    pub metric: Metric,
    /// Median over the runs of the base. `None`: a run has too few requests for it.
    pub base: Option<f64>,
    /// Median over the new runs.
    pub new: Option<f64>,
    /// By which share the new median is larger; of error rates by how much.
    pub change: Option<f64>,
    /// Where that lies with a probability of 95 %.
    pub interval: Option<(Option<f64>, Option<f64>)>,
    /// How probable so large a difference is by chance, corrected for the number of metrics.
    pub p: Option<f64>,
    /// What it says.
    pub verdict: Verdict,
}

/// Compares the runs, at least one and at most [`MOST_RUNS`] on each side. `floor`: 0.05 for 5 %.
pub fn compare(base: &[Figures], new: &[Figures], metrics: &[Metric], floor: f64) -> Comparison {
    compare_with(base, new, metrics, floor, RESAMPLES)
}

fn compare_with(
    base: &[Figures],
    new: &[Figures],
    metrics: &[Metric],
    floor: f64,
    resamples: usize,
) -> Comparison {
    let needed = runs_needed(metrics.len());
    let sides: Vec<_> = metrics.iter().map(|metric| Sides::new(*metric, base, new)).collect();
    let p = holm(&sides.iter().map(Sides::p).collect::<Vec<_>>());
    let can_tell = smallest_p(base.len(), new.len()) * metrics.len() as f64 <= ALPHA;
    let metrics: Vec<_> =
        sides.iter().zip(p).map(|(sides, p)| sides.compared(p, floor, can_tell, resamples)).collect();
    let any = |verdict| metrics.iter().any(|compared| compared.verdict == verdict);
    let verdict = [Verdict::Worse, Verdict::Indicative, Verdict::Inconclusive, Verdict::Better]
        .into_iter()
        .find(|verdict| any(*verdict))
        .unwrap_or(Verdict::Same);
    Comparison { metrics, verdict, needed }
}

/// The values of one metric, none where a run has none.
struct Sides {
    metric: Metric,
    base: Option<Vec<f64>>,
    new: Option<Vec<f64>>,
}

impl Sides {
    fn new(metric: Metric, base: &[Figures], new: &[Figures]) -> Sides {
        let values = |runs: &[Figures]| {
            let mut values: Vec<f64> = runs.iter().map(|run| metric.of(run)).collect::<Option<_>>()?;
            values.sort_unstable_by(f64::total_cmp);
            Some(values)
        };
        Sides { metric, base: values(base), new: values(new) }
    }

    fn both(&self) -> Option<(&[f64], &[f64])> {
        Some((self.base.as_deref()?, self.new.as_deref()?)).filter(|(a, b)| !a.is_empty() && !b.is_empty())
    }

    fn p(&self) -> Option<f64> {
        self.both()
            .filter(|(base, new)| base.len() > 1 && new.len() > 1)
            .map(|(base, new)| mann_whitney(base, new))
    }

    fn compared(&self, p: Option<f64>, floor: f64, can_tell: bool, resamples: usize) -> Compared {
        let metric = self.metric;
        let middle = |values: &Option<Vec<f64>>| values.clone().filter(|v| !v.is_empty()).map(median);
        let (base, new) = (middle(&self.base), middle(&self.new));
        let mut compared =
            Compared { metric, base, new, change: None, interval: None, p, verdict: Verdict::Inconclusive };
        let (Some(base), Some(new), Some(sides)) = (base, new, self.both()) else { return compared };
        let worse_by = metric.worse_by(base, new);
        compared.change = metric.change(worse_by);
        let Some(p) = p else {
            compared.verdict = Verdict::Indicative;
            return compared;
        };
        let (low, high) = interval(metric, sides.0, sides.1, resamples);
        let (first, last) = (metric.change(low), metric.change(high));
        compared.interval = Some(if metric == Metric::Rate { (last, first) } else { (first, last) });
        let floor = metric.floor(floor);
        let certain = can_tell && p <= ALPHA;
        compared.verdict = match () {
            () if certain && low > 0.0 && worse_by > floor => Verdict::Worse,
            () if certain && high < 0.0 && worse_by < -floor => Verdict::Better,
            () if can_tell && low >= -floor && high <= floor => Verdict::Same,
            () => Verdict::Inconclusive,
        };
        compared
    }
}

/// How much worse the new median is, with 95 % probability: runs are drawn again with replacement, on each side.
fn interval(metric: Metric, base: &[f64], new: &[f64], resamples: usize) -> (f64, f64) {
    if base.partial_cmp(new).is_some_and(std::cmp::Ordering::is_gt) {
        // The same draws whichever is called the base.
        let (low, high) = interval(metric, new, base, resamples);
        return (-high, -low);
    }
    // Always the same: a comparison said twice must say the same.
    let mut random = fastrand::Rng::with_seed(0x6861_7264_7921);
    let mut drawn =
        |from: &[f64]| median((0..from.len()).map(|_| from[random.usize(0..from.len())]).collect());
    let mut all: Vec<f64> = (0..resamples).map(|_| metric.worse_by(drawn(base), drawn(new))).collect();
    all.sort_unstable_by(f64::total_cmp);
    let cut = resamples / 40;
    (all[cut], all[resamples - 1 - cut])
}

fn runs_needed(metrics: usize) -> usize {
    (1..MOST_RUNS).find(|runs| smallest_p(*runs, *runs) * metrics as f64 <= ALPHA).unwrap_or(MOST_RUNS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(rate: f64, p50: u64, p99: Option<u64>, error_rate: f64) -> Figures {
        Figures { rate, p50_us: Some(p50), p99_us: p99, error_rate: Some(error_rate) }
    }

    /// Runs of a server with that speed, each with a noise of so many percent.
    fn runs(random: &mut fastrand::Rng, number: usize, speed: f64, noise: f64) -> Vec<Figures> {
        // Roughly normal: the sum of twelve even ones.
        let mut around = |value: f64| {
            let normal = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
            value * (1.0 + noise * normal).max(0.1)
        };
        let mut one = || {
            let error_rate = around(0.01);
            run(
                around(1000.0 * speed),
                around(50_000.0 / speed) as u64,
                Some(around(90_000.0 / speed) as u64),
                error_rate,
            )
        };
        (0..number).map(|_| one()).collect()
    }

    fn all(base: &[Figures], new: &[Figures]) -> Comparison {
        compare_with(base, new, &Metric::ALL, 0.05, 500)
    }

    fn verdicts(comparison: &Comparison) -> Vec<Verdict> {
        comparison.metrics.iter().map(|metric| metric.verdict).collect()
    }

    #[test]
    fn a_server_that_is_a_fifth_slower_is_found_worse() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20 {
            let (base, new) = (runs(&mut random, 6, 1.0, 0.02), runs(&mut random, 6, 0.8, 0.02));
            let found = compare(&base, &new, &Metric::ALL, 0.05);
            assert_eq!(verdicts(&found)[..3], [Verdict::Worse; 3], "{found:#?}");
            assert_eq!((found.verdict, all(&new, &base).verdict == Verdict::Worse), (Verdict::Worse, false));
            let rate = found.metrics[0];
            assert!((-0.25..-0.15).contains(&rate.change.unwrap()), "{rate:?}");
            assert!(
                matches!(rate.interval, Some((Some(low), Some(high))) if low < high && high < -0.1),
                "{rate:?}"
            );
        }
    }

    #[test]
    fn false_alarms_are_rare() {
        for noise in [0.02, 0.2] {
            let mut random = fastrand::Rng::with_seed(2);
            let alarms = (0..1000).filter(|_| {
                let (base, new) = (runs(&mut random, 6, 1.0, noise), runs(&mut random, 6, 1.0, noise));
                let found = compare_with(&base, &new, &Metric::ALL, 0.05, 100);
                found.metrics.iter().any(|m| matches!(m.verdict, Verdict::Worse | Verdict::Better))
            });
            assert!(alarms.count() <= 50, "noise {noise}");
        }
    }

    #[test]
    fn quiet_servers_are_the_same_and_noisy_ones_inconclusive() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut found = |noise| {
            let (base, new) = (runs(&mut random, 8, 1.0, noise), runs(&mut random, 8, 1.0, noise));
            all(&base, &new).verdict
        };
        assert_eq!([0.005, 0.3].map(&mut found), [Verdict::Same, Verdict::Inconclusive]);
    }

    #[test]
    fn few_runs_prove_nothing() {
        let (fast, slow) = (run(2000.0, 100, Some(200), 0.0), run(1000.0, 200, Some(400), 0.0));
        let found = |number| all(&vec![fast; number], &vec![slow; number]);
        assert_eq!((found(1).verdict, found(1).metrics[0].change), (Verdict::Indicative, Some(-0.5)));
        for number in [2, 3, 4] {
            assert_eq!(verdicts(&found(number)), [Verdict::Inconclusive; 4], "{number}");
        }
        assert_eq!((found(5).verdict, found(3).needed), (Verdict::Worse, 5));
        let alone = |number| compare(&vec![fast; number], &vec![slow; number], &[Metric::P99], 0.05);
        assert_eq!(
            (alone(3).verdict, alone(4).verdict, alone(3).needed),
            (Verdict::Inconclusive, Verdict::Worse, 4)
        );
    }

    #[test]
    fn errors_have_a_floor_of_their_own() {
        let with = |error_rate| vec![run(1000.0, 100, Some(200), error_rate); 6];
        let errors = |base, new| all(&with(base), &with(new)).metrics[3].verdict;
        assert_eq!(errors(0.0, 0.02), Verdict::Worse);
        assert_eq!(errors(0.02, 0.0), Verdict::Better);
        assert_eq!((errors(0.0, 0.0), errors(0.0001, 0.0002)), (Verdict::Same, Verdict::Same));
    }

    #[test]
    fn what_was_not_measured_is_not_compared() {
        let short = vec![run(1000.0, 100, None, 0.0); 6];
        let found = all(&short, &short);
        assert_eq!((found.metrics[2].verdict, found.verdict), (Verdict::Inconclusive, Verdict::Inconclusive));
        let dead = vec![Figures { rate: 0.0, p50_us: None, p99_us: None, error_rate: None }; 6];
        assert_eq!(all(&short, &dead).metrics[0].verdict, Verdict::Worse);
        assert_eq!(all(&short, &dead).metrics[0].change, Some(-1.0));
    }

    #[test]
    fn many_runs_are_compared_too() {
        let mut random = fastrand::Rng::with_seed(4);
        let (base, new) = (runs(&mut random, MOST_RUNS, 1.0, 0.1), runs(&mut random, MOST_RUNS, 0.8, 0.1));
        assert_eq!(all(&base, &new).verdict, Verdict::Worse);
    }

    fn some_runs() -> impl Strategy<Value = Vec<Figures>> {
        let one = (1u32..5000, 0u64..5000, prop::option::weighted(0.95, 0u64..9000), 0u32..100);
        let one =
            one.prop_map(|(rate, p50, p99, errors)| run(rate.into(), p50, p99, f64::from(errors) / 100.0));
        prop::collection::vec(one, 1..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn swapping_sides_swaps_better_and_worse(base in some_runs(), new in some_runs(), factor in 1u32..4) {
            let new: Vec<_> = new.iter().map(|r| Figures { rate: r.rate * f64::from(factor), ..*r }).collect();
            let swapped = |verdict| match verdict {
                Verdict::Better => Verdict::Worse,
                Verdict::Worse => Verdict::Better,
                same => same,
            };
            let there = all(&base, &new);
            let back = all(&new, &base);
            prop_assert_eq!(verdicts(&there), verdicts(&back).into_iter().map(swapped).collect::<Vec<_>>());
            for (there, back) in there.metrics.iter().zip(&back.metrics).filter(|(m, _)| m.base != m.new) {
                prop_assert_eq!(there.p, back.p);
                let ends = (there.interval.and_then(|i| i.0), back.interval.and_then(|i| i.1));
                if let (Some(low), Some(high)) = ends {
                    let mirrored = if there.metric == Metric::ErrorRate { -high } else { 1.0 / (1.0 + high) - 1.0 };
                    prop_assert!((low - mirrored).abs() <= 1e-9 * (1.0 + low.abs()), "{:?} {:?}", there, back);
                }
            }
        }

        #[test]
        fn what_is_identical_is_never_worse(runs in some_runs()) {
            let found = all(&runs, &runs);
            prop_assert!(verdicts(&found).iter().all(|v| !matches!(v, Verdict::Worse | Verdict::Better)), "{:?}", found);
        }
    }
}
