//! What became of the jobs, and the verdict.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::exit::{Exit, Verdict};
use crate::histogram::Summary;
use crate::load::jobs::{End, Failure, Finished, On, Tally};
use crate::metrics::Metric;
use crate::output::{self, Case, Human, Outcome, Table, Tone};
use crate::units::{brief, counted};

/// So many failures are told to a person.
const SHOWN: usize = 10;

/// All jobs of a run.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Report {
    /// Jobs that ended, well or not.
    jobs: u64,
    /// Jobs that ended with 0.
    ok: u64,
    /// Jobs that did not, after all retries.
    failed: u64,
    errors: Errors,
    /// Tries after the first one.
    retried: u64,
    /// Jobs that were left out because a joblog lists them.
    skipped: u64,
    /// Jobs that were under way when the run was stopped, and were ended.
    cut_off: u64,
    elapsed_s: f64,
    /// Jobs that ended per second.
    rate: f64,
    /// How long jobs ran that ended well; of several tries the last.
    runtime_us: Summary,
    /// How long those ran that failed.
    failed_runtime_us: Summary,
    /// Why the run ended.
    end: Ended,
    /// The first 10000 that failed.
    failures: Vec<FailedJob>,
    #[serde(skip)]
    passes: Vec<Finished>,
    #[serde(skip)]
    signal: Option<i32>,
    #[serde(skip)]
    good_halt: bool,
}

/// Why jobs failed, and how many.
#[derive(Debug, Serialize, JsonSchema)]
struct Errors {
    /// By exit code.
    exit: BTreeMap<String, u64>,
    /// By the number of the signal that ended them.
    signal: BTreeMap<String, u64>,
    /// Stopped for taking too long.
    timeout: u64,
    /// Never started.
    not_started: u64,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Ended {
    /// No more jobs.
    Done,
    /// By --halt.
    Halted,
    /// By a signal.
    Interrupted,
    /// Nobody read its output any more.
    ReaderGone,
    /// It could not go on; stderr says why.
    Broken,
}

/// A job that failed.
#[derive(Debug, Serialize, JsonSchema)]
struct FailedJob {
    /// From 1.
    number: u64,
    /// Its line, at most 200 bytes of it.
    line: String,
    /// In words.
    reason: String,
    /// Its exit code; -1 after a timeout.
    exit: i32,
    /// The signal that ended it, or 0.
    signal: i32,
    runtime_us: u64,
    #[serde(skip)]
    id: &'static str,
}

impl Report {
    /// `end`: none where the run broke. `signal`: the number of the one that stopped it.
    pub fn new(tally: Tally, elapsed: Duration, end: Option<&End>, signal: Option<i32>) -> Report {
        let jobs = tally.ok + tally.failed;
        let seconds = elapsed.as_secs_f64();
        let by = |counts: Vec<(String, u64)>| counts.into_iter().collect();
        Report {
            jobs,
            ok: tally.ok,
            failed: tally.failed,
            errors: Errors {
                exit: by(tally.exits.iter().map(|(code, count)| (code.to_string(), *count)).collect()),
                signal: by(tally
                    .signals
                    .iter()
                    .map(|(signal, count)| (signal.to_string(), *count))
                    .collect()),
                timeout: tally.timed_out,
                not_started: tally.not_started,
            },
            retried: tally.retried,
            skipped: tally.skipped,
            cut_off: tally.cut_off,
            elapsed_s: seconds,
            rate: if seconds > 0.0 { jobs as f64 / seconds } else { 0.0 },
            runtime_us: tally.ok_times.summary(),
            failed_runtime_us: tally.failed_times.summary(),
            end: match end {
                _ if signal.is_some() => Ended::Interrupted,
                None | Some(End::Broken(_)) => Ended::Broken,
                Some(End::Done) => Ended::Done,
                Some(End::Halted(_)) => Ended::Halted,
                Some(End::Stopped) => Ended::Interrupted,
                Some(End::ReaderGone) => Ended::ReaderGone,
            },
            good_halt: matches!(end, Some(End::Halted(halt)) if halt.on == On::Success),
            failures: tally.failures.iter().map(FailedJob::new).collect(),
            passes: tally.passes,
            signal,
        }
    }

    fn headline(&self) -> String {
        let mut parts = vec![format!("{} ok", self.ok), format!("{} failed", self.failed)];
        for (count, what) in [(self.cut_off, "cut off"), (self.retried, "retried"), (self.skipped, "skipped")]
        {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        let time = brief(Duration::try_from_secs_f64(self.elapsed_s).unwrap_or_default());
        format!("{} in {time} ({:.1}/s): {}", counted(self.jobs, "job"), self.rate, parts.join(", "))
    }

    /// `exit 1: 3, signal 9: 1, timeout: 2`.
    fn reasons(&self) -> String {
        let errors = &self.errors;
        let exits = errors.exit.iter().map(|(code, count)| format!("exit {code}: {count}"));
        let signals = errors.signal.iter().map(|(signal, count)| format!("signal {signal}: {count}"));
        let others = [(errors.timeout, "timeout"), (errors.not_started, "not started")];
        let others =
            others.iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{why}: {count}"));
        exits.chain(signals).chain(others).collect::<Vec<_>>().join(", ")
    }
}

impl FailedJob {
    fn new(job: &Finished) -> FailedJob {
        let (exit, signal) = job.failure.as_ref().map_or((0, 0), Failure::logged);
        FailedJob {
            number: job.number,
            line: job.line.clone(),
            reason: job.failure.as_ref().map(ToString::to_string).unwrap_or_default(),
            exit,
            signal,
            runtime_us: u64::try_from(job.took.as_micros()).unwrap_or(u64::MAX),
            id: match job.failure {
                Some(Failure::Signal(_)) => "signal",
                Some(Failure::Timeout(_)) => "timeout",
                Some(Failure::NotStarted(..)) => "not_started",
                Some(Failure::Exit(_)) | None => "exit",
            },
        }
    }

    fn name(&self) -> String {
        format!("job {}: {}", self.number, self.line)
    }
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.load.jobs/v1";

    fn verdict(&self) -> Verdict {
        match self.end {
            Ended::Broken => Verdict::Unknown,
            _ if self.failed > 0 && !self.good_halt => Verdict::Bad,
            _ => Verdict::Good,
        }
    }

    fn exit(&self) -> Exit {
        self.signal.map_or_else(|| self.verdict().into(), Exit::signal)
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        let tone = match self.verdict() {
            Verdict::Good => Tone::Good,
            Verdict::Bad => Tone::Bad,
            Verdict::Unknown => Tone::Warn,
        };
        let headline = out.tone(tone, &self.headline());
        out.line(headline)?;
        if self.failed > 0 {
            out.line(format!("failed by {}", self.reasons()))?;
        }
        for (what, summary) in [("run time", &self.runtime_us), ("failed after", &self.failed_runtime_us)] {
            if let Some(line) = quantiles(summary) {
                out.line(format!("{what}: {line}"))?;
            }
        }
        match self.end {
            Ended::Halted => out.line("stopped by --halt")?,
            Ended::Interrupted => out.line("interrupted")?,
            Ended::Done | Ended::ReaderGone | Ended::Broken => {}
        }
        if self.failures.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["JOB", "WHY", "LINE"]);
        for job in self.failures.iter().take(SHOWN) {
            table.row([job.number.to_string(), job.reason.clone(), job.line.clone()]);
        }
        out.table(table)?;
        match self.failed.saturating_sub(SHOWN as u64) {
            0 => Ok(()),
            more => out.line(format!("and {more} more")),
        }
    }

    fn cases(&self) -> Vec<Case> {
        let passes = self.passes.iter().map(|job| Case {
            name: format!("job {}: {}", job.number, job.line),
            time: job.took,
            outcome: Outcome::Pass,
        });
        let failures = self.failures.iter().map(|job| Case {
            name: job.name(),
            time: Duration::from_micros(job.runtime_us),
            outcome: Outcome::Fail { reason: job.id.to_owned(), message: job.reason.clone() },
        });
        passes.chain(failures).collect()
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut jobs = Metric::gauge("hardy_load_jobs", "Jobs of this run, by what became of them.");
        for (outcome, count) in
            [("ok", self.ok), ("failed", self.failed), ("cut_off", self.cut_off), ("skipped", self.skipped)]
        {
            jobs.sample(&[("outcome", outcome)], count as f64);
        }
        let elapsed = Metric::gauge("hardy_load_jobs_elapsed_seconds", "How long this run took.");
        let retried =
            Metric::gauge("hardy_load_jobs_retried", "Tries of this run after the first one of a job.");
        let mut times = Metric::gauge("hardy_load_jobs_runtime_seconds", "How long jobs ran.");
        for (outcome, summary) in [("ok", &self.runtime_us), ("failed", &self.failed_runtime_us)] {
            for (stat, us) in stats(summary) {
                times.sample(&[("outcome", outcome), ("stat", stat)], us as f64 / 1e6);
            }
        }
        vec![jobs, elapsed.with(&[], self.elapsed_s), retried.with(&[], self.retried as f64), times]
    }
}

/// Those that the samples can bear.
fn stats(summary: &Summary) -> impl Iterator<Item = (&'static str, u64)> {
    let all = [
        ("p50", summary.p50_us),
        ("p90", summary.p90_us),
        ("p99", summary.p99_us),
        ("p999", summary.p999_us),
        ("max", summary.max_us),
    ];
    all.into_iter().filter_map(|(stat, us)| Some((stat, us?)))
}

fn quantiles(summary: &Summary) -> Option<String> {
    let shown = |(stat, us)| format!("{stat} {}", brief(Duration::from_micros(us)));
    let all: Vec<String> = stats(summary).map(shown).collect();
    (!all.is_empty()).then(|| all.join("  "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::jobs::Halt;
    use crate::output::Report as _;

    fn tally() -> Tally {
        let failure = Some(Failure::Exit(3));
        let failed = Finished { number: 2, line: "b".into(), took: Duration::from_millis(5), failure };
        let mut tally = Tally { ok: 1, failed: 1, failures: vec![failed], ..Tally::default() };
        tally.exits.insert(3, 1);
        tally.ok_times.record(Duration::from_millis(1));
        tally
    }

    fn report(end: &End, signal: Option<i32>) -> Report {
        Report::new(tally(), Duration::from_secs(2), Some(end), signal)
    }

    #[test]
    fn a_report_fits_its_schema() {
        let schema = serde_json::to_value(schemars::schema_for!(Report)).unwrap();
        let document = serde_json::to_value(report(&End::Done, None)).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let errors: Vec<_> = validator.iter_errors(&document).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }

    #[test]
    fn the_verdict_follows_from_the_failures() {
        let halted = |rule: &str| End::Halted(rule.parse::<Halt>().unwrap());
        for (end, signal, exit) in [
            (End::Done, None, Exit::BAD),
            (End::ReaderGone, None, Exit::BAD),
            (End::Stopped, Some(2), Exit::signal(2)),
            (halted("now,fail=1"), None, Exit::BAD),
            (halted("now,success=1"), None, Exit::GOOD),
        ] {
            assert_eq!(report(&end, signal).exit(), exit, "{end:?}");
        }
        let broken = Report::new(Tally::default(), Duration::ZERO, None, None);
        assert_eq!((broken.verdict(), broken.exit()), (Verdict::Unknown, Exit::UNKNOWN));
        let good = Report::new(Tally::default(), Duration::ZERO, Some(&End::Done), None);
        assert_eq!(
            (good.exit(), good.headline()),
            (Exit::GOOD, "0 jobs in 0us (0.0/s): 0 ok, 0 failed".into())
        );
    }

    #[test]
    fn a_person_reads_why() {
        let mut text = Vec::new();
        report(&End::Done, None).human(&mut Human::new(&mut text, 80, false)).unwrap();
        let text = String::from_utf8(text).unwrap();
        for part in [
            "2 jobs in 2.00s (1.0/s): 1 ok, 1 failed",
            "failed by exit 3: 1",
            "run time: p50 1.00ms",
            "exit code 3",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
