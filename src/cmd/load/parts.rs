//! The parts of the report of a run: plain data with the names that pipelines read.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::histogram::Histogram;
use crate::load::condition;
use crate::load::outcome::{BUSY, Outcome};
use crate::load::steady::Steadiness;
use crate::load::timeline::Window;

/// A request that is sent later than this after it was due is late.
const LATE: Duration = Duration::from_millis(1);
/// So many late requests of all make the numbers those of the generator, too.
const MOST_LATE: f64 = 0.01;

/// How requests are paced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Each connection sends when its last answer is there.
    Closed,
    /// Each request has a time of its own.
    Open,
}

/// What ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Its count, its duration or its schedule.
    Done,
    /// A signal.
    Stopped,
    /// A breaker opened.
    BreakerOpened,
    /// A condition could no longer be met.
    Hopeless,
}

/// Requests per second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Rates {
    /// That were due; null in the closed loop.
    pub offered: Option<f64>,
    /// That ended.
    pub achieved: f64,
}

/// Bytes over all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Bytes {
    /// Of answers.
    pub received: u64,
    /// Of requests.
    pub written: u64,
}

/// What the run cost hardy itself, and whether that was in the way.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Generator {
    /// Of one processor, how much the busiest thread used: 1 is all of it.
    pub busiest: f64,
    /// Processor time of all threads.
    pub cpu_s: f64,
    /// Requests sent more than 1 ms after they were due; null in the closed loop.
    pub late_over_1ms: Option<u64>,
    /// How often a worker sat out for want of a file descriptor.
    pub benched: u64,
    /// The most memory that this process had so far; null where the kernel does not tell.
    pub peak_rss_bytes: Option<u64>,
    /// What of hardy's own may have bounded the result; null when nothing did.
    pub bottleneck: Option<Bottleneck>,
}

/// What of hardy's own may have bounded the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bottleneck {
    /// A thread used nearly a whole processor.
    Processor,
    /// More than 1 % of the requests were sent late: no connection was free, or the host was busy.
    LateSends,
}

impl Generator {
    /// Of a whole run.
    pub fn of(outcome: &Outcome) -> Generator {
        let late = &outcome.totals.late;
        let late_over_1ms = late.count() - late.at_most(LATE);
        let open = outcome.offered.is_some();
        let bottleneck = if outcome.busiest > BUSY {
            Some(Bottleneck::Processor)
        } else if late_over_1ms as f64 > late.count() as f64 * MOST_LATE {
            Some(Bottleneck::LateSends)
        } else {
            None
        };
        Generator {
            busiest: rounded(outcome.busiest),
            cpu_s: seconds(outcome.totals.cpu),
            late_over_1ms: open.then_some(late_over_1ms),
            benched: outcome.totals.benched,
            peak_rss_bytes: outcome.peak_memory,
            bottleneck,
        }
    }
}

/// How a run that was not steady changed from its beginning to its end, as shares of the median: 0.5 is half as much
/// again. `null` without a trend; both are where no request ended for half of the time or more.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Trend {
    /// Of the rate.
    pub rate: Option<f64>,
    /// Of the median of response times, in the closed loop of service times.
    pub p50: Option<f64>,
}

impl Trend {
    /// Whether a run was steady, and its trend if not.
    pub fn of(steadiness: Steadiness) -> (Option<bool>, Option<Trend>) {
        match steadiness {
            Steadiness::Steady => (Some(true), None),
            Steadiness::NotSteady { rate, p50 } => {
                (Some(false), Some(Trend { rate: rate.map(rounded), p50: p50.map(rounded) }))
            }
            Steadiness::TooShort => (None, None),
        }
    }
}

/// Something that was asked of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Condition {
    /// In its own words, such as `p99>200ms`.
    pub text: String,
    /// Whether it holds, which makes the verdict bad; null when there was too little to tell.
    pub holds: Option<bool>,
    /// What was measured.
    pub found: Option<String>,
}

impl Condition {
    /// Of a whole run.
    pub fn of(condition: &condition::Condition, run: &Outcome) -> Condition {
        Condition {
            text: condition.to_string(),
            holds: condition.holds_for(run),
            found: condition.measured(run),
        }
    }

    /// Whether it holds, and what was found: `no, it was 104ms`.
    pub fn answer(&self) -> String {
        let found = self.found.as_ref().map(|found| format!(", it was {found}")).unwrap_or_default();
        match self.holds {
            Some(true) => format!("yes{found}"),
            Some(false) => format!("no{found}"),
            None => format!("too few samples to tell{found}"),
        }
    }
}

/// A part of the run.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Part {
    /// Since the start of the run, the warm-up included.
    pub start_s: f64,
    /// Likewise.
    pub end_s: f64,
    /// Requests that ended in it as expected.
    pub ok: u64,
    /// And otherwise.
    pub failed: u64,
    /// Requests due and not sent, at its end.
    pub backlog: u64,
    /// Response times; in the closed loop service times.
    pub p50_us: Option<u64>,
    /// Likewise.
    pub p99_us: Option<u64>,
    /// Likewise.
    pub max_us: Option<u64>,
}

impl Part {
    /// Of a window.
    pub fn of(window: &Window) -> Part {
        Part {
            start_s: seconds(window.start),
            end_s: seconds(window.end),
            ok: window.ok,
            failed: window.failed,
            backlog: window.backlog,
            p50_us: micros(&window.response, 0.5),
            p99_us: micros(&window.response, 0.99),
            max_us: window.response.summary().max_us,
        }
    }
}

fn micros(histogram: &Histogram, q: f64) -> Option<u64> {
    histogram.quantile(q).and_then(|time| u64::try_from(time.as_micros()).ok())
}

fn seconds(nanos: u64) -> f64 {
    rounded(nanos as f64 / 1e9)
}

/// Three decimals: more would not be true.
pub fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
