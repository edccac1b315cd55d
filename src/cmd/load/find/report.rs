//! What `hardy load find` found, and its verdict.

use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::exit::Verdict;
use crate::load::condition::Condition;
use crate::load::find::{Answer, Ended, Found, NOT_REACHED, Range, Step};
use crate::metrics::Metric;
use crate::output::{self, Case, Human, Outcome, Table, Tone};
use crate::units::brief;

/// The search.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Report {
    /// What was loaded.
    pub target: String,
    /// What had to hold.
    pub slo: Vec<String>,
    /// The highest rate that held; null when none did.
    pub held_per_s: Option<f64>,
    /// The lowest rate above it that failed twice.
    pub failed_per_s: Option<f64>,
    /// Why the search ended.
    pub end: End,
    /// How close the answer had to be: 0.05 for 5 %.
    pub resolution: f64,
    /// Every trial, in order.
    pub steps: Vec<StepReport>,
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The answer is as close as was asked for.
    Found,
    /// Even the highest rate held.
    HighestHeld,
    /// Not even the lowest rate held.
    NothingHeld,
    /// At rates that could hold there are too few requests to say so.
    TooFew,
    /// The generator could not send faster.
    GeneratorBound,
    /// By a signal.
    Interrupted,
}

/// One trial.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StepReport {
    /// Requests per second that were due.
    pub rate_per_s: f64,
    /// That ended.
    pub achieved_per_s: f64,
    /// 99th percentile of their response times; null when there are too few.
    pub p99_us: Option<u64>,
    /// Of those that ended, the share that failed, 0 to 1.
    pub error_rate: Option<f64>,
    /// What it says of the rate.
    pub result: Said,
    /// Conditions that were not met, or that could not be told.
    pub why: Vec<String>,
    /// Whether it repeats one that failed.
    pub again: bool,
    #[serde(skip)]
    line: Vec<String>,
}

/// What a trial says of its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// It held.
    Held,
    /// It did not.
    Failed,
    /// Too few requests to say.
    TooFew,
    /// The generator was the bottleneck.
    GeneratorBound,
    /// It was interrupted.
    Interrupted,
}

impl Report {
    pub fn new(target: &str, slo: &[Condition], range: Range, found: Found) -> Report {
        Report {
            target: target.to_owned(),
            slo: slo.iter().map(ToString::to_string).collect(),
            held_per_s: found.held,
            failed_per_s: found.failed,
            end: match found.ended {
                Ended::Found => End::Found,
                Ended::HighestHeld => End::HighestHeld,
                Ended::NothingHeld => End::NothingHeld,
                Ended::TooFew => End::TooFew,
                Ended::GeneratorBound => End::GeneratorBound,
                Ended::Interrupted => End::Interrupted,
            },
            resolution: range.resolution,
            steps: found.steps.iter().map(StepReport::new).collect(),
        }
    }

    /// Whether nothing but the rate itself was missed where the search ended.
    fn lacks_connections(&self) -> bool {
        let mut failed =
            self.steps.iter().filter(|step| Some(step.rate_per_s) == self.failed_per_s).peekable();
        failed.peek().is_some() && failed.all(|step| step.why == [NOT_REACHED])
    }

    /// What came of it, and what is to be known about that.
    fn closing(&self) -> [String; 2] {
        let slo = self.slo.join(", ");
        let (target, failed) = (&self.target, self.failed_per_s.map_or("any rate".to_owned(), rate));
        let said = self
            .held_per_s
            .map_or("no rate held".to_owned(), |held| format!("{target} bears {}", rate(held)));
        let (said, more) = match (self.end, self.held_per_s) {
            (End::Found, Some(_)) => (said, format!("with {slo}; {failed} is too much")),
            (End::HighestHeld, Some(_)) => {
                (said, format!("with {slo}, and perhaps more: --max-rate ended the search"))
            }
            (End::TooFew, _) => {
                (said, "there are too few requests to tell: use a longer --duration".to_owned())
            }
            (End::GeneratorBound, _) => (said, "beyond that the generator was the bottleneck".to_owned()),
            (End::Interrupted, _) => (said, "the search was interrupted".to_owned()),
            (End::NothingHeld | End::Found | End::HighestHeld, _) => {
                (format!("{target} does not bear {failed}"), format!("with {slo}"))
            }
        };
        [said, more]
    }
}

impl StepReport {
    fn new(step: &Step) -> StepReport {
        let (result, why) = match &step.answer {
            Answer::Held => (Said::Held, Vec::new()),
            Answer::Failed(why) => (Said::Failed, why.clone()),
            Answer::TooFew(why) => (Said::TooFew, why.clone()),
            Answer::GeneratorBound => (Said::GeneratorBound, Vec::new()),
            Answer::Interrupted => (Said::Interrupted, Vec::new()),
        };
        StepReport {
            rate_per_s: step.rate,
            achieved_per_s: step.achieved,
            p99_us: step.p99.and_then(|p99| u64::try_from(p99.as_micros()).ok()),
            error_rate: step.error_rate,
            result,
            why,
            again: step.again,
            line: cells(step),
        }
    }
}

/// A rate with three digits, or as many as it needs.
fn rate(per_second: f64) -> String {
    if per_second < 10.0 { format!("{per_second:.2}/s") } else { format!("{per_second:.0}/s") }
}

/// One trial, on a line of its own.
pub fn line(step: &Step) -> String {
    let cells = cells(step);
    format!("{}: achieved {}, p99 {}, errors {}: {}", cells[0], cells[1], cells[2], cells[3], cells[4])
}

fn cells(step: &Step) -> Vec<String> {
    let none = || "-".to_owned();
    let again = if step.again { " again" } else { "" };
    let said = match &step.answer {
        Answer::Held => format!("held{again}"),
        Answer::Failed(why) => format!("failed{again}: {}", why.join(", ")),
        Answer::TooFew(why) => format!("too few requests for {}", why.join(", ")),
        Answer::GeneratorBound => "the generator was the bottleneck".to_owned(),
        Answer::Interrupted => "interrupted".to_owned(),
    };
    vec![
        rate(step.rate),
        rate(step.achieved),
        step.p99.map_or_else(none, brief),
        step.error_rate.map_or_else(none, |share| format!("{:.2}%", share * 100.0)),
        said,
    ]
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.load.find/v1";

    fn verdict(&self) -> Verdict {
        match self.end {
            End::Found | End::HighestHeld => Verdict::Good,
            End::NothingHeld => Verdict::Bad,
            End::TooFew | End::GeneratorBound | End::Interrupted => Verdict::Unknown,
        }
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        let mut table = Table::new(&["RATE", "ACHIEVED", "P99", "ERRORS", "RESULT"]);
        for step in &self.steps {
            let tone = match step.result {
                Said::Held => Tone::Good,
                Said::Failed => Tone::Bad,
                Said::TooFew | Said::GeneratorBound | Said::Interrupted => Tone::Warn,
            };
            let last = step.line.len() - 1;
            let toned = |(at, cell): (usize, &String)| ((at == last).then_some(tone), cell.clone());
            table.toned_row(step.line.iter().enumerate().map(toned).collect());
        }
        out.table(table)?;
        out.line("")?;
        let tone = match self.verdict() {
            Verdict::Good => Tone::Good,
            Verdict::Bad => Tone::Bad,
            Verdict::Unknown => Tone::Warn,
        };
        let [said, more] = self.closing();
        out.line(out.tone(tone, &said))?;
        out.line(more)?;
        if self.lacks_connections() {
            out.line("the times were good to the end: with more connections (-c) it might bear more")?;
        }
        Ok(())
    }

    fn cases(&self) -> Vec<Case> {
        let (reason, message) = (format!("find.{}", self.end.id()), self.closing().join(", "));
        let outcome = match self.verdict() {
            Verdict::Good => Outcome::Pass,
            Verdict::Bad => Outcome::Fail { reason, message },
            Verdict::Unknown => Outcome::Error { reason, message },
        };
        vec![Case { name: self.target.clone(), time: Duration::ZERO, outcome }]
    }

    fn metrics(&self) -> Vec<Metric> {
        let help = "The highest rate that held; absent when none did.";
        let mut held = Metric::gauge("hardy_load_find_held_per_second", help);
        if let Some(rate) = self.held_per_s {
            held.sample(&[("target", &self.target)], rate);
        }
        vec![held]
    }
}

impl End {
    fn id(self) -> &'static str {
        match self {
            End::Found => "found",
            End::HighestHeld => "highest_held",
            End::NothingHeld => "nothing_held",
            End::TooFew => "too_few",
            End::GeneratorBound => "generator_bound",
            End::Interrupted => "interrupted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Report as _;

    fn report(ended: Ended, answer: Answer) -> Report {
        let failed = || Answer::Failed(vec![NOT_REACHED.to_owned()]);
        let step = |rate, again, answer| Step {
            rate,
            achieved: rate / 2.0,
            p99: Some(Duration::from_millis(5)),
            error_rate: Some(0.015),
            answer,
            again,
        };
        let steps = vec![
            step(5.0, false, Answer::Held),
            step(9.5, false, failed()),
            step(9.5, true, failed()),
            step(7.0, false, answer),
        ];
        let range = Range { start: 5.0, lowest: 1.0, highest: 100.0, resolution: 0.05 };
        let found = Found { steps, held: Some(5.0), failed: Some(9.5), ended };
        Report::new("http://h/", &["p99<50ms".parse().unwrap()], range, found)
    }

    #[test]
    fn a_report_fits_its_schema_and_a_screen() {
        let schema = serde_json::to_value(schemars::schema_for!(Report)).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        for (ended, answer, verdict, said) in [
            (
                Ended::Found,
                Answer::Held,
                Verdict::Good,
                "http://h/ bears 5.00/s\nwith p99<50ms; 9.50/s is too much\nthe times were good",
            ),
            (Ended::HighestHeld, Answer::Held, Verdict::Good, "and perhaps more"),
            (Ended::NothingHeld, Answer::Held, Verdict::Bad, "http://h/ does not bear 9.50/s\nwith p99<50ms"),
            (
                Ended::TooFew,
                Answer::TooFew(vec!["p99<50ms".into()]),
                Verdict::Unknown,
                "use a longer --duration",
            ),
            (
                Ended::GeneratorBound,
                Answer::GeneratorBound,
                Verdict::Unknown,
                "bears 5.00/s\nbeyond that the generator was",
            ),
            (Ended::Interrupted, Answer::Interrupted, Verdict::Unknown, "the search was interrupted"),
        ] {
            let report = report(ended, answer);
            let document = serde_json::to_value(&report).unwrap();
            let errors: Vec<_> =
                validator.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
            assert!(errors.is_empty(), "{errors:#?}");
            let mut text = Vec::new();
            report.human(&mut Human::new(&mut text, 80, false)).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains(said) && text.lines().all(|line| line.chars().count() <= 80), "{text}");
            assert_eq!((report.verdict(), report.cases().len(), report.metrics().len()), (verdict, 1, 1));
        }
    }
}
