//! `p99>200ms`, `error_rate>=1%`, `rate<900/s`: a statement about a run that holds, does not hold, or cannot be told.
//!
//! Whether it is good or bad that it holds is for others to say. Latencies are response times (in the closed loop
//! service times) of all requests that ended, as expected or not; `service_` asks for the time from sending, `ok_` for
//! answers as expected only. Requests that were cut off are in no latency and in no rate: `cut_off>0` asks for them.
//! Refuses to guess: where a quantile has too few samples, nothing is said.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::batch::{Batch, Split};
use super::outcome::{Outcome, per_second};
use crate::histogram::Histogram;
use crate::units;

/// A statement about a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    metric: Metric,
    relation: Relation,
    limit: f64,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Metric {
    /// In seconds.
    Time(Times, Statistic),
    /// Of requests that ended, the share that failed: 0 to 1.
    ErrorRate,
    /// Requests that ended, per second.
    Rate,
    Failed,
    CutOff,
    Unsent,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Times {
    Response,
    Service,
    Ok,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Statistic {
    Quantile(f64),
    Mean,
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    More,
    AtLeast,
    Less,
    AtMost,
}

/// The longer ones first: `>=` begins with `>`.
const RELATIONS: [(&str, Relation); 4] =
    [(">=", Relation::AtLeast), ("<=", Relation::AtMost), (">", Relation::More), ("<", Relation::Less)];

/// A text that is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Not of the form at all.
    #[error("expected a condition such as p99>200ms, error_rate>=1%, rate<900/s or failed>0")]
    Form,
    /// What is asked for is not measured.
    #[error(
        "`{0}` is not measured: expected p50, p99.9 (any between 0 and 100), mean or max, service_p99, ok_p99, \
         error_rate, rate, failed, cut_off or unsent"
    )]
    Metric(String),
    /// The limit is no value of that.
    #[error("{0}: {1}")]
    Limit(String, String),
}

/// What is known of a run when it is asked.
#[derive(Clone, Copy, Debug)]
struct Known<'a> {
    totals: &'a Batch,
    /// So many ended in that time: what is answered after the end of sending is in no rate.
    rate: (u64, Duration),
    /// Known at the end only.
    unsent: Option<u64>,
}

impl Known<'_> {
    fn of(run: &Outcome) -> Known<'_> {
        Known { totals: &run.totals, rate: (run.in_time(), run.sending), unsent: Some(run.unsent) }
    }
}

impl Condition {
    /// Whether it holds for a run as it stands. `None`: that cannot be told, for there are too few samples, or none.
    pub fn holds(&self, totals: &Batch, elapsed: Duration) -> Option<bool> {
        self.holds_of(&Known { totals, rate: (totals.requests(), elapsed), unsent: None })
    }

    /// Whether it holds for a whole run. `None`: that cannot be told.
    pub fn holds_for(&self, run: &Outcome) -> Option<bool> {
        self.holds_of(&Known::of(run))
    }

    /// What was measured of what it is about, as people read it. `None` where there are too few samples.
    pub fn measured(&self, run: &Outcome) -> Option<String> {
        let known = Known::of(run);
        let value = self.metric.of(&known)?;
        Some(match self.metric {
            Metric::Time(..) => units::brief(Duration::from_secs_f64(value)),
            Metric::ErrorRate => format!("{:.2}%", value * 100.0),
            Metric::Rate => format!("{value:.1}/s"),
            Metric::Failed | Metric::CutOff | Metric::Unsent => format!("{value}"),
        })
    }

    /// Whether it stays so for the rest of a run, whatever comes: what is counted never becomes less.
    pub fn is_final(&self) -> bool {
        let grows = matches!(self.relation, Relation::More | Relation::AtLeast);
        let counted = matches!(
            self.metric,
            Metric::Failed | Metric::CutOff | Metric::Unsent | Metric::Time(_, Statistic::Max)
        );
        grows && counted
    }

    fn holds_of(&self, known: &Known<'_>) -> Option<bool> {
        let value = self.metric.of(known)?;
        Some(match self.relation {
            Relation::More => value > self.limit,
            Relation::AtLeast => value >= self.limit,
            Relation::Less => value < self.limit,
            Relation::AtMost => value <= self.limit,
        })
    }
}

impl Metric {
    fn of(self, known: &Known<'_>) -> Option<f64> {
        let totals = known.totals;
        match self {
            Metric::Time(times, statistic) => statistic.of(&times.of(totals)).map(|time| time.as_secs_f64()),
            Metric::ErrorRate => {
                (totals.requests() > 0).then(|| totals.failures() as f64 / totals.requests() as f64)
            }
            Metric::Rate => (!known.rate.1.is_zero()).then(|| per_second(known.rate.0, known.rate.1)),
            Metric::Failed => Some(totals.failures() as f64),
            Metric::CutOff => Some(totals.cut_off.count() as f64),
            Metric::Unsent => known.unsent.map(|unsent| unsent as f64),
        }
    }

    /// In the unit of the metric.
    fn limit(self, text: &str) -> Result<f64, String> {
        let said = |error: units::FormError| error.to_string();
        match self {
            Metric::Time(..) => text.parse::<units::Duration>().map(|d| d.0.as_secs_f64()).map_err(said),
            Metric::ErrorRate => text.parse::<units::Percent>().map(|p| p.0 / 100.0).map_err(said),
            Metric::Rate => text.parse::<units::Rate>().map(|rate| rate.0).map_err(said),
            Metric::Failed | Metric::CutOff | Metric::Unsent => text
                .parse::<u64>()
                .map(|n| n as f64)
                .map_err(|_| "expected a whole number such as 0".to_owned()),
        }
    }
}

impl Times {
    fn of(self, totals: &Batch) -> Histogram {
        match self {
            Times::Response => Split::all(totals.response_or_service()),
            Times::Service => totals.service.all(),
            Times::Ok => totals.response_or_service().ok.clone(),
        }
    }
}

impl Statistic {
    fn of(self, times: &Histogram) -> Option<Duration> {
        let micros = |us: Option<u64>| us.map(Duration::from_micros);
        match self {
            Statistic::Quantile(q) => times.quantile(q),
            Statistic::Mean => micros(times.summary().mean_us),
            Statistic::Max => micros(times.summary().max_us),
        }
    }
}

impl FromStr for Metric {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Metric, FormError> {
        Ok(match text {
            "error_rate" => Metric::ErrorRate,
            "rate" => Metric::Rate,
            "failed" => Metric::Failed,
            "cut_off" => Metric::CutOff,
            "unsent" => Metric::Unsent,
            _ => {
                let (times, statistic) = match text.split_once('_') {
                    None => (Times::Response, text),
                    Some(("service", rest)) => (Times::Service, rest),
                    Some(("ok", rest)) => (Times::Ok, rest),
                    Some(_) => return Err(FormError::Metric(text.to_owned())),
                };
                let unknown = || FormError::Metric(text.to_owned());
                Metric::Time(times, statistic_of(statistic).ok_or_else(unknown)?)
            }
        })
    }
}

fn statistic_of(text: &str) -> Option<Statistic> {
    match text {
        "mean" => Some(Statistic::Mean),
        "max" => Some(Statistic::Max),
        _ => {
            let digits =
                text.strip_prefix('p').filter(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))?;
            let percent: f64 = digits.parse().ok()?;
            (percent > 0.0 && percent < 100.0).then_some(Statistic::Quantile(percent / 100.0))
        }
    }
}

impl FromStr for Condition {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Condition, FormError> {
        let at = text.find(['<', '>']).ok_or(FormError::Form)?;
        let (name, rest) = text.split_at(at);
        let find = |(sign, relation): &(&str, Relation)| {
            rest.strip_prefix(sign).map(|limit| (*relation, limit.trim()))
        };
        let (relation, limit) = RELATIONS.iter().find_map(find).ok_or(FormError::Form)?;
        let name = name.trim();
        if name.is_empty() || limit.is_empty() {
            return Err(FormError::Form);
        }
        let metric: Metric = name.parse()?;
        let limit = metric.limit(limit).map_err(|why| FormError::Limit(name.to_owned(), why))?;
        Ok(Condition { metric, relation, limit, text: text.trim().to_owned() })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::batch::Sample;
    use super::super::outcome::End;
    use super::super::timeline::Timeline;
    use super::*;
    use crate::reason::Reason;

    fn condition(text: &str) -> Condition {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    /// So many requests in the open loop: due at 0, sent after 1 ms, ended after 11 ms; each `nth` one failed after 101 ms.
    fn batch(requests: u64, nth: u64) -> Batch {
        let mut batch = Batch::default();
        for number in 1..=requests {
            let failed = number % nth == 0;
            let ended = if failed { 101_000_000 } else { 11_000_000 };
            let result = if failed { Err(Reason::Timeout) } else { Ok(()) };
            batch.ended(Sample { due: 0, sent: 1_000_000, ended }, true, result);
        }
        batch
    }

    #[test]
    fn statements_hold_or_not() {
        let totals = batch(1000, 50);
        for (text, holds) in [
            ("p50>10ms", true),
            ("p50>11.1ms", false),
            ("p50>=11ms", true),
            ("service_p50<=10.1ms", true),
            ("service_p50<10ms", false),
            ("p99>100ms", true),
            ("ok_p99>100ms", false),
            ("ok_max<=11ms", true),
            ("max>=101ms", true),
            ("mean>12ms", true),
            ("mean>13ms", false),
            ("error_rate>=2%", true),
            ("error_rate>2%", false),
            ("rate<501/s", true),
            ("rate<500/s", false),
            ("rate>=30000/m", true),
            ("failed>19", true),
            ("failed>20", false),
            ("cut_off>0", false),
        ] {
            assert_eq!(condition(text).holds(&totals, Duration::from_secs(2)), Some(holds), "{text}");
        }
    }

    #[test]
    fn too_few_samples_say_nothing() {
        let (none, some) = (Batch::default(), batch(99, 1000));
        let now = Duration::from_secs(1);
        for text in ["p50>1s", "mean>1s", "max>1s", "error_rate>=1%", "unsent>0"] {
            assert_eq!(condition(text).holds(&none, now), None, "{text}");
        }
        assert_eq!(condition("p99<1s").holds(&some, now), None);
        assert_eq!(condition("p95<1s").holds(&some, now), Some(true));
        assert_eq!(condition("failed>0").holds(&none, now), Some(false));
        assert_eq!(condition("rate<1/s").holds(&none, now), Some(true));
        assert_eq!(condition("rate<1/s").holds(&none, Duration::ZERO), None);
    }

    #[test]
    fn the_end_knows_what_was_not_sent() {
        let run = Outcome {
            totals: batch(1000, 50),
            timeline: Timeline::default(),
            elapsed: Duration::from_secs(2),
            sending: Duration::from_secs(2),
            offered: Some(1007),
            unsent: 7,
            end: End::Done,
            busiest: 0.5,
            peak_memory: None,
        };
        assert_eq!(condition("unsent>6").holds_for(&run), Some(true));
        let measured = |text| condition(text).measured(&run);
        assert_eq!(measured("unsent>0").as_deref(), Some("7"));
        assert_eq!(measured("p50>1s").as_deref(), Some("11.0ms"));
        assert_eq!(measured("rate>1/s").as_deref(), Some("500.0/s"));
        assert_eq!(measured("error_rate>0%").as_deref(), Some("2.00%"));
        assert_eq!(measured("p99.99>0s"), None);
    }

    #[test]
    fn what_is_counted_never_becomes_less() {
        for (text, is_final) in [
            ("failed>0", true),
            ("cut_off>=3", true),
            ("max>1s", true),
            ("failed<1", false),
            ("p99>1s", false),
            ("error_rate>1%", false),
            ("rate<1/s", false),
        ] {
            assert_eq!(condition(text).is_final(), is_final, "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_is_told_the_form() {
        for (text, error) in [
            ("p99", "expected a condition such as p99>200ms, "),
            ("p99=200ms", "expected a condition such as"),
            (">200ms", "expected a condition such as"),
            ("p99>", "expected a condition such as"),
            ("p99>200", "p99: expected a duration such as"),
            ("p99=>200ms", "`p99=` is not measured"),
            ("p0>1s", "`p0` is not measured: expected p50, "),
            ("p100>1s", "`p100` is not measured"),
            ("pinf>1s", "`pinf` is not measured"),
            ("latency_p99>1s", "`latency_p99` is not measured"),
            ("error_rate>1", "error_rate: expected a percentage"),
            ("rate<900", "rate: expected a rate such as"),
            ("failed>1.5", "failed: expected a whole number"),
            ("failed>-1", "failed: expected a whole number"),
        ] {
            let found = text.parse::<Condition>().unwrap_err().to_string();
            assert!(found.starts_with(error), "{text}: {found}");
        }
    }

    proptest! {
        #[test]
        fn what_prints_reads_back(percent in 1u32..10_000, limit in 0u64..1_000_000, sign in 0usize..4, space in "[ ]?") {
            let text = format!("p{}{space}{}{space}{limit}us", f64::from(percent) / 100.0, RELATIONS[sign].0);
            let read = text.parse::<Condition>().unwrap();
            prop_assert_eq!(read.to_string(), text);
            prop_assert_eq!(read.relation, RELATIONS[sign].1);
        }

        #[test]
        fn no_text_panics(text: String, tail in "[p0-9.<>=%a-z_]{0,12}") {
            let _ = (text.parse::<Condition>(), tail.parse::<Condition>());
        }
    }
}
