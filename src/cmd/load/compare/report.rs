//! What `hardy load compare` found, and its verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::exit::Verdict;
use crate::load::compare::{self, Compared, Figures, Metric};
use crate::load::outcome::BUSY;
use crate::metrics;
use crate::output::{self, Case, Human, Outcome, Table, Tone};
use crate::units::{brief, counted};

/// The comparison.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Report {
    /// All metrics together.
    pub result: Said,
    /// One by one.
    pub metrics: Vec<MetricReport>,
    /// Smaller differences count as none: 0.05 for 5 %.
    pub floor: f64,
    /// So many runs on each side are needed before a difference can be told from chance.
    pub needed_runs: usize,
    /// Settings that were not the same for all runs.
    pub differing_settings: Vec<String>,
    /// Runs in which the generator itself may have been the bottleneck.
    pub generator_bound_runs: usize,
    /// The runs of the base.
    pub base: Vec<Run>,
    /// Those that were judged.
    pub new: Vec<Run>,
}

/// The runs of one side, with what was asked of each where that is known.
#[derive(Debug, Default)]
pub struct Side {
    pub runs: Vec<Run>,
    pub settings: Vec<BTreeMap<String, String>>,
}

/// One run.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Run {
    /// Its file, or its target.
    pub source: String,
    /// Requests that ended, per second.
    pub rate_per_s: f64,
    /// Median response time.
    pub p50_us: Option<u64>,
    /// 99th percentile of response times.
    pub p99_us: Option<u64>,
    /// Of requests that ended, the share that failed, 0 to 1.
    pub error_rate: Option<f64>,
    /// Share of one processor that the generator's busiest thread used.
    pub busiest: f64,
}

impl Run {
    pub fn new(source: String, figures: &Figures, busiest: f64) -> Run {
        let Figures { rate, p50_us, p99_us, error_rate } = *figures;
        Run { source, rate_per_s: rate, p50_us, p99_us, error_rate, busiest }
    }

    fn figures(&self) -> Figures {
        let Run { rate_per_s, p50_us, p99_us, error_rate, .. } = *self;
        Figures { rate: rate_per_s, p50_us, p99_us, error_rate }
    }
}

/// What a comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// The new runs are better.
    Better,
    /// They are worse.
    Worse,
    /// No difference that is larger than the floor.
    Same,
    /// Cannot be told.
    Inconclusive,
    /// One run on a side: it proves nothing.
    Indicative,
}

/// One metric.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct MetricReport {
    /// `rate_per_s`, `p50_us`, `p99_us` or `error_rate`; base and new are of that unit.
    pub metric: &'static str,
    /// Median over the runs of the base; null when one has too few requests.
    pub base: Option<f64>,
    /// Median over the new runs.
    pub new: Option<f64>,
    /// By which share the new median is larger; of the error rate by how much. Null where that is no number.
    pub change: Option<f64>,
    /// Lower end of its 95 % interval.
    pub change_low: Option<f64>,
    /// Upper end of it.
    pub change_high: Option<f64>,
    /// How probable such ranks are by chance, corrected for the number of metrics.
    pub p: Option<f64>,
    /// What it says.
    pub result: Said,
    #[serde(skip)]
    of: Metric,
}

impl Report {
    pub fn new(base: Side, new: Side, metrics: &[Metric], floor: f64) -> Report {
        let figures = |side: &Side| side.runs.iter().map(Run::figures).collect::<Vec<_>>();
        let found = compare::compare(&figures(&base), &figures(&new), metrics, floor);
        let busy = base.runs.iter().chain(&new.runs).filter(|run| run.busiest > BUSY).count();
        Report {
            result: said(found.verdict),
            metrics: found.metrics.iter().map(MetricReport::new).collect(),
            floor,
            needed_runs: found.needed,
            differing_settings: differing(base.settings.iter().chain(&new.settings)),
            generator_bound_runs: busy,
            base: base.runs,
            new: new.runs,
        }
    }

    fn few(&self) -> bool {
        self.base.len().min(self.new.len()) < self.needed_runs
    }
}

/// The names of settings that some runs had otherwise; another target is what comparisons are for.
fn differing<'a>(all: impl Iterator<Item = &'a BTreeMap<String, String>>) -> Vec<String> {
    let all: Vec<_> = all.collect();
    let names: BTreeSet<&String> = all.iter().flat_map(|settings| settings.keys()).collect();
    let differs = |name: &&String| all.windows(2).any(|pair| pair[0].get(*name) != pair[1].get(*name));
    names.into_iter().filter(|name| *name != "target").filter(differs).cloned().collect()
}

fn said(verdict: compare::Verdict) -> Said {
    match verdict {
        compare::Verdict::Better => Said::Better,
        compare::Verdict::Worse => Said::Worse,
        compare::Verdict::Same => Said::Same,
        compare::Verdict::Inconclusive => Said::Inconclusive,
        compare::Verdict::Indicative => Said::Indicative,
    }
}

impl Said {
    fn id(self) -> &'static str {
        match self {
            Said::Better => "better",
            Said::Worse => "worse",
            Said::Same => "same",
            Said::Inconclusive => "inconclusive",
            Said::Indicative => "indicative",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Said::Better | Said::Same => Tone::Good,
            Said::Worse => Tone::Bad,
            Said::Inconclusive | Said::Indicative => Tone::Warn,
        }
    }
}

impl MetricReport {
    fn new(compared: &Compared) -> MetricReport {
        let Compared { metric, base, new, change, interval, p, verdict } = *compared;
        let (change_low, change_high) = interval.unwrap_or_default();
        let id = match metric {
            Metric::Rate => "rate_per_s",
            Metric::P50 => "p50_us",
            Metric::P99 => "p99_us",
            Metric::ErrorRate => "error_rate",
        };
        MetricReport {
            metric: id,
            base,
            new,
            change,
            change_low,
            change_high,
            p,
            result: said(verdict),
            of: metric,
        }
    }

    fn name(&self) -> &'static str {
        match self.of {
            Metric::Rate => "rate",
            Metric::P50 => "p50",
            Metric::P99 => "p99",
            Metric::ErrorRate => "error rate",
        }
    }

    fn value(&self, value: Option<f64>) -> String {
        let Some(value) = value else { return "-".to_owned() };
        match self.of {
            Metric::Rate => format!("{value:.1}/s"),
            Metric::P50 | Metric::P99 => brief(Duration::from_secs_f64(value / 1e6)),
            Metric::ErrorRate => format!("{:.2}%", value * 100.0),
        }
    }

    /// Shares, and differences of error rates in percentage points.
    fn percent(&self, change: Option<f64>) -> String {
        match (change, self.of) {
            (None, _) => "-".to_owned(),
            (Some(change), Metric::ErrorRate) => format!("{:+.2}pp", change * 100.0),
            (Some(change), _) => format!("{:+.1}%", change * 100.0),
        }
    }

    fn row(&self) -> Vec<(Option<Tone>, String)> {
        let interval = match self.p {
            None => "-".to_owned(),
            Some(_) => format!("{}..{}", self.percent(self.change_low), self.percent(self.change_high)),
        };
        let cells = [
            self.name().to_owned(),
            self.value(self.base),
            self.value(self.new),
            self.percent(self.change),
            interval,
            self.p.map_or_else(|| "-".to_owned(), |p| format!("{p:.3}")),
        ];
        let mut row: Vec<_> = cells.into_iter().map(|cell| (None, cell)).collect();
        row.push((Some(self.result.tone()), self.result.id().to_owned()));
        row
    }

    fn message(&self) -> String {
        let (base, new) = (self.value(self.base), self.value(self.new));
        format!("{} is {}: {base} before, {new} now", self.name(), self.result.id())
    }
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.load.compare/v1";

    fn verdict(&self) -> Verdict {
        match self.result {
            Said::Better | Said::Same => Verdict::Good,
            Said::Worse => Verdict::Bad,
            Said::Inconclusive | Said::Indicative => Verdict::Unknown,
        }
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        let mut table = Table::new(&["METRIC", "BASE", "NEW", "CHANGE", "95% INTERVAL", "P", "RESULT"]);
        self.metrics.iter().for_each(|metric| table.toned_row(metric.row()));
        out.table(table)?;
        out.line("")?;
        let result = out.tone(self.result.tone(), self.result.id());
        let (base, new) = (counted(self.base.len(), "run"), counted(self.new.len(), "run"));
        out.line(format!("{result}: {new} against {base} of the base, floor {:.0}%", self.floor * 100.0))?;
        if self.few() {
            out.line(format!(
                "{} on each side are needed to tell a difference from chance",
                counted(self.needed_runs, "run")
            ))?;
        }
        if self.generator_bound_runs > 0 {
            let runs = counted(self.generator_bound_runs, "run");
            out.line(format!("in {runs} the generator may have been the bottleneck"))?;
        }
        if !self.differing_settings.is_empty() {
            let names = self.differing_settings.join(", ");
            out.line(out.tone(Tone::Warn, &format!("the runs had different settings: {names}")))?;
        }
        Ok(())
    }

    fn cases(&self) -> Vec<Case> {
        let case = |metric: &MetricReport| {
            let (reason, message) = (metric.result.id().to_owned(), metric.message());
            let outcome = match metric.result {
                Said::Better | Said::Same => Outcome::Pass,
                Said::Worse => Outcome::Fail { reason, message },
                Said::Inconclusive | Said::Indicative => Outcome::Error { reason, message },
            };
            Case { name: metric.name().to_owned(), time: Duration::ZERO, outcome }
        };
        self.metrics.iter().map(case).collect()
    }

    fn metrics(&self) -> Vec<metrics::Metric> {
        let help = "By which share the new median is larger; of the error rate by how much.";
        let mut change = metrics::Metric::gauge("hardy_load_compare_change", help);
        let mut result =
            metrics::Metric::gauge("hardy_load_compare_result", "1 for what is said of the metric.");
        for metric in &self.metrics {
            if let Some(value) = metric.change {
                change.sample(&[("metric", metric.metric)], value);
            }
            result.sample(&[("metric", metric.metric), ("result", metric.result.id())], 1.0);
        }
        vec![change, result]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Report as _;

    fn side(runs: usize, rate: f64) -> Side {
        let run = |n: usize| Run {
            source: format!("{n}.json"),
            rate_per_s: rate + n as f64,
            p50_us: Some(100_000 + n as u64),
            p99_us: Some(200_000),
            error_rate: Some(0.5),
            busiest: 0.95,
        };
        Side { runs: (0..runs).map(run).collect(), settings: Vec::new() }
    }

    #[test]
    fn a_report_fits_its_schema_and_a_screen() {
        let schema = serde_json::to_value(schemars::schema_for!(Report)).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        // The last one has no ratio that is a number.
        for (base, new) in [
            (side(6, 123_456.0), side(6, 100_000.0)),
            (side(1, 5.0), side(1, 5.0)),
            (side(6, -6.0), side(6, 5.0)),
        ] {
            let report = Report::new(base, new, &Metric::ALL, 0.05);
            let document = serde_json::to_value(&report).unwrap();
            let errors: Vec<_> =
                validator.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
            assert!(errors.is_empty(), "{errors:#?}");
            let mut text = Vec::new();
            report.human(&mut Human::new(&mut text, 80, false)).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
            assert_eq!((report.cases().len(), report.metrics().len()), (4, 2));
        }
    }

    #[test]
    fn only_settings_that_differ_are_named() {
        let run = |target: &str, rate: &str| {
            BTreeMap::from([("target".to_owned(), target.to_owned()), ("rate".to_owned(), rate.to_owned())])
        };
        assert!(differing([run("a", "5/s"), run("b", "5/s")].iter()).is_empty());
        assert_eq!(differing([run("a", "5/s"), run("a", "6/s"), BTreeMap::new()].iter()), ["rate"]);
    }
}
