//! What `hardy load run` found, and its verdict. Refuses to fill a gap: what was not measured is `null`.

use std::collections::BTreeMap;
use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::parts::{Bytes, Condition, Ended, Generator, Mode, Part, Rates, Trend, rounded};
use super::{forms, html, human};
use crate::exit::Verdict;
use crate::histogram::{Histogram, Quantiles};
use crate::load::batch::Split;
use crate::load::condition;
use crate::load::outcome::{End, Outcome};
use crate::load::steady::steadiness;
use crate::load::timeline::Timeline;
use crate::metrics::Metric;
use crate::output::{self, Case, Human};
use crate::reason::Reason;

/// What was asked for, as the report shows it.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Without secrets.
    pub target: String,
    /// When the run began, in RFC 3339 and UTC.
    pub started_at: String,
    /// Connections, or streams over them, at once.
    pub connections: u64,
    /// What makes the run a bad one, if it holds.
    pub fail_if: Vec<condition::Condition>,
    /// Names and values, for the page.
    pub settings: BTreeMap<String, String>,
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
    pub response_us: Option<Quantiles>,
    /// Of those answered as expected.
    pub response_ok_us: Option<Quantiles>,
    /// Of the others.
    pub response_failed_us: Option<Quantiles>,
    /// From when requests were sent.
    pub service_us: Quantiles,
    /// Of those answered as expected.
    pub service_ok_us: Quantiles,
    /// Of the others.
    pub service_failed_us: Quantiles,
    /// How old those were that were cut off.
    pub cut_off_us: Quantiles,
    /// Connecting, with TLS: of connections that came about.
    pub connect_us: Quantiles,
    /// From when requests were due to when they were sent; null in the closed loop.
    pub late_us: Option<Quantiles>,
    /// What the run cost hardy itself.
    pub generator: Generator,
    /// Whether rate and times kept their level; null where the run was too short to tell.
    pub steady: Option<bool>,
    /// How they changed, where they did.
    pub trend: Option<Trend>,
    /// What would make it a bad one.
    pub conditions: Vec<Condition>,
    /// How it went, the oldest part first.
    pub timeline: Vec<Part>,
    #[serde(skip)]
    pub(super) shape: Split,
    #[serde(skip)]
    pub(super) windows: Timeline,
    #[serde(skip)]
    pub(super) settings: BTreeMap<String, String>,
    #[serde(skip)]
    pub(super) plots: bool,
}

impl Report {
    /// Of what was found.
    pub fn new(outcome: Outcome, subject: Subject) -> Report {
        let generator = Generator::of(&outcome);
        let rate =
            Rates { offered: outcome.offered_rate().map(rounded), achieved: rounded(outcome.achieved()) };
        let open = outcome.offered.is_some();
        let conditions = subject.fail_if.iter().map(|condition| Condition::of(condition, &outcome)).collect();
        let (steady, trend) = Trend::of(steadiness(&outcome.timeline));
        let of_open = |histogram: &Histogram| open.then(|| histogram.quantiles());
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
            service_us: totals.service.all().quantiles(),
            service_ok_us: totals.service.ok.quantiles(),
            service_failed_us: totals.service.failed.quantiles(),
            cut_off_us: totals.cut_off.quantiles(),
            connect_us: totals.connect.quantiles(),
            late_us: of_open(&totals.late),
            generator,
            steady,
            trend,
            conditions,
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
