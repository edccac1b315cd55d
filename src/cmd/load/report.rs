//! What `hardy load run` found, and its verdict. Refuses to fill a gap: what was not measured is `null`.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{forms, html, human};
use crate::exit::Verdict;
use crate::histogram::Histogram;
use crate::load::batch::Split;
use crate::load::outcome::{End, Outcome};
use crate::load::timeline::{Timeline, Window};
use crate::metrics::Metric;
use crate::output::{self, Case, Human};
use crate::reason::Reason;
use crate::units::{brief, counted, grouped};

/// A request that is sent later than this after it was due is late.
const LATE: Duration = Duration::from_millis(1);
/// So many late requests of all make the numbers those of the generator, too.
const MOST_LATE: f64 = 0.01;
/// A thread that uses more than this of a processor may have been what held the run up.
const BUSY: f64 = 0.9;

/// What was asked for, as the report shows it.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Without secrets.
    pub target: String,
    /// When the run began, in RFC 3339 and UTC.
    pub started_at: String,
    /// Connections, or streams over them, at once.
    pub connections: u64,
    /// What was asked of the run.
    pub conditions: Vec<Condition>,
    /// Names and values, for the page.
    pub settings: Vec<(String, String)>,
    /// Whether people are shown plots, too.
    pub plots: bool,
}

/// A run.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Report {
    /// Where requests went.
    pub target: String,
    /// When the run began, in RFC 3339 and UTC.
    pub started_at: String,
    /// How they were paced.
    pub mode: Mode,
    /// Connections, or streams over them, at once.
    pub connections: u64,
    /// What ended it.
    pub end: Ended,
    /// The condition that could no longer be met, where that ended it.
    pub hopeless: Option<String>,
    /// From the end of the warm-up to the last answer, or to the end of sending.
    pub elapsed_s: f64,
    /// That have ended: ok and failed.
    pub requests: u64,
    /// Answered as expected.
    pub ok: u64,
    /// Everything else that ended.
    pub failed: u64,
    /// Under way when the run was over; not in the times.
    pub cut_off: u64,
    /// Due and never sent.
    pub unsent: u64,
    /// Ended in the warm-up; in no other number.
    pub warm_up: u64,
    /// Kept back by an open breaker.
    pub short_circuited: u64,
    /// Why how many failed.
    pub errors: BTreeMap<Reason, u64>,
    /// How often each HTTP status came.
    pub status: BTreeMap<u16, u64>,
    /// Requests per second.
    pub rate: Rates,
    /// Heads, bodies and framing, before TLS.
    pub bytes: Bytes,
    /// From when requests were due; null in the closed loop, where nothing is due.
    pub response_us: Option<Times>,
    /// Of those answered as expected.
    pub response_ok_us: Option<Times>,
    /// Of the others.
    pub response_failed_us: Option<Times>,
    /// From when requests were sent.
    pub service_us: Times,
    /// Of those answered as expected.
    pub service_ok_us: Times,
    /// Of the others.
    pub service_failed_us: Times,
    /// How old those were that were cut off.
    pub cut_off_us: Times,
    /// Connecting, with TLS: of connections that came about.
    pub connect_us: Times,
    /// From when requests were due to when they were sent; null in the closed loop.
    pub late_us: Option<Times>,
    /// What the run cost hardy itself.
    pub generator: Generator,
    /// Whether rate and times kept their level; null where that was not looked at.
    pub steady: Option<bool>,
    /// What was asked of it.
    pub conditions: Vec<Condition>,
    /// How it went, the oldest part first.
    pub timeline: Vec<Part>,
    #[serde(skip)]
    pub(super) shape: Split,
    #[serde(skip)]
    pub(super) windows: Timeline,
    #[serde(skip)]
    pub(super) settings: Vec<(String, String)>,
    #[serde(skip)]
    pub(super) plots: bool,
}

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

/// A distribution in microseconds. `null` where there are too few samples to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Times {
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

/// What the run cost hardy itself, and whether that was in the way.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Generator {
    /// Of one processor, how much the busiest thread used: 1 is all of it.
    pub busiest: f64,
    /// Processor time of all threads.
    pub cpu_s: f64,
    /// Requests sent more than 1 ms after they were due; null in the closed loop.
    pub late_over_1ms: Option<u64>,
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

impl Times {
    /// Of a distribution.
    pub fn of(histogram: &Histogram) -> Times {
        let summary = histogram.summary();
        Times {
            count: summary.count,
            min_us: summary.min_us,
            mean_us: summary.mean_us,
            p50_us: summary.p50_us,
            p75_us: micros(histogram, 0.75),
            p90_us: summary.p90_us,
            p95_us: summary.p95_us,
            p99_us: summary.p99_us,
            p999_us: summary.p999_us,
            p9999_us: micros(histogram, 0.9999),
            max_us: summary.max_us,
        }
    }

    /// The names of the quantiles, with what the samples can bear of them.
    pub fn quantiles(&self) -> [(&'static str, Option<u64>); 8] {
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

fn micros(histogram: &Histogram, q: f64) -> Option<u64> {
    histogram.quantile(q).and_then(|time| u64::try_from(time.as_micros()).ok())
}

impl Part {
    fn of(window: &Window) -> Part {
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

fn seconds(nanos: u64) -> f64 {
    rounded(nanos as f64 / 1e9)
}

/// Three decimals: more would not be true.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

impl Generator {
    fn of(outcome: &Outcome) -> Generator {
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
            bottleneck,
        }
    }
}

impl Condition {
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

impl Report {
    /// Of what was found.
    pub fn new(outcome: Outcome, subject: Subject) -> Report {
        let generator = Generator::of(&outcome);
        let rate =
            Rates { offered: outcome.offered_rate().map(rounded), achieved: rounded(outcome.achieved()) };
        let open = outcome.offered.is_some();
        let of_open = |histogram: &Histogram| open.then(|| Times::of(histogram));
        let Outcome { totals, timeline, elapsed, unsent, end, .. } = outcome;
        let shape = totals.response_or_service().clone();
        let (end, hopeless) = match end {
            End::Done => (Ended::Done, None),
            End::Stopped => (Ended::Stopped, None),
            End::BreakerOpened => (Ended::BreakerOpened, None),
            End::Hopeless(condition) => (Ended::Hopeless, Some(condition)),
        };
        Report {
            target: subject.target,
            started_at: subject.started_at,
            mode: if open { Mode::Open } else { Mode::Closed },
            connections: subject.connections,
            end,
            hopeless,
            elapsed_s: rounded(elapsed.as_secs_f64()),
            requests: totals.requests(),
            ok: totals.ok,
            failed: totals.failures(),
            cut_off: totals.cut_off.count(),
            unsent,
            warm_up: totals.warm_up,
            short_circuited: totals.short_circuited,
            errors: totals.reasons().collect(),
            status: totals.statuses().collect(),
            rate,
            bytes: Bytes { received: totals.received, written: totals.written },
            response_us: of_open(&totals.response.all()),
            response_ok_us: of_open(&totals.response.ok),
            response_failed_us: of_open(&totals.response.failed),
            service_us: Times::of(&totals.service.all()),
            service_ok_us: Times::of(&totals.service.ok),
            service_failed_us: Times::of(&totals.service.failed),
            cut_off_us: Times::of(&totals.cut_off),
            connect_us: Times::of(&totals.connect),
            late_us: of_open(&totals.late),
            generator,
            steady: None,
            conditions: subject.conditions,
            timeline: timeline.windows().iter().map(Part::of).collect(),
            shape,
            windows: timeline,
            settings: subject.settings,
            plots: subject.plots,
        }
    }

    /// Without conditions, and beside them: nothing can be good when nothing was answered as expected.
    fn judge_answers(&self) -> Verdict {
        let local = self.errors.iter().filter(|(reason, _)| reason.is_local());
        let local: u64 = local.map(|(_, count)| count).sum();
        match self.ok {
            0 if self.cut_off > 0 => Verdict::Bad,
            // Of the target nothing is known.
            0 if self.failed == local => Verdict::Unknown,
            0 => Verdict::Bad,
            _ => Verdict::Good,
        }
    }

    /// What a reader must know before believing the numbers.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut all = Vec::new();
        match self.generator.bottleneck {
            Some(Bottleneck::Processor) => all.push(format!(
                "the generator was a bottleneck: its busiest thread used {:.0}% of a processor; take more \
                 threads, or more machines",
                self.generator.busiest * 100.0
            )),
            Some(Bottleneck::LateSends) => all.push(format!(
                "{} sent more than 1ms late: no connection was free, or this host was busy; response times \
                 count that; take more connections to wait less",
                were(self.generator.late_over_1ms.unwrap_or(0))
            )),
            None => {}
        }
        if self.unsent > 0 {
            all.push(format!("{} due and never sent", were(self.unsent)));
        }
        if let (1.., Some(oldest)) = (self.cut_off, self.cut_off_us.max_us) {
            let age = brief(Duration::from_micros(oldest));
            all.push(format!(
                "{} cut off at the end, after up to {age}; the times leave them out",
                were(self.cut_off)
            ));
        }
        if self.steady == Some(false) {
            all.push("not steady: rate or times still changed; a longer run or --warmup tells more".into());
        }
        all
    }
}

fn were(requests: u64) -> String {
    match requests {
        1 => format!("{} was", counted(1u64, "request")),
        _ => format!("{} requests were", grouped(requests)),
    }
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.load.run/v1";

    fn verdict(&self) -> Verdict {
        let any = |holds| self.conditions.iter().any(|condition| condition.holds == holds);
        let ended_badly = matches!(self.end, Ended::BreakerOpened | Ended::Hopeless);
        match self.judge_answers() {
            _ if ended_badly || any(Some(true)) => Verdict::Bad,
            Verdict::Good if any(None) => Verdict::Unknown,
            answers => answers,
        }
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        human::report(out, self)
    }

    fn cases(&self) -> Vec<Case> {
        forms::cases(self, self.judge_answers())
    }

    fn metrics(&self) -> Vec<Metric> {
        forms::metrics(self)
    }

    fn html(&self) -> Option<String> {
        Some(html::page(self))
    }
}
