//! A whole run in a file: everything that was found, with histograms that can be merged and compared again.
//!
//! JSON of a version of its own, additive within it. What is read may come from anybody: it is read to a limit, and an
//! error names the file and what is wrong with it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::batch::Split;
use super::outcome::{End, Outcome};
use super::timeline::Window;
use crate::histogram::{Encoded, Histogram};

/// Name and version of the form.
pub const SCHEMA: &str = "hardy.load.saved/v1";

/// [`Saved::end`] of a run that nothing cut short.
const DONE: &str = "done";

/// Larger than any run can be: its timeline has an end.
const LARGEST: u64 = 32 << 20;

/// A run as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// [`SCHEMA`].
    pub schema: String,
    /// What was asked for, as it is shown to people, by name.
    pub settings: BTreeMap<String, String>,
    /// What ended it: `done`, `stopped`, `breaker_opened`, or the condition that was lost.
    pub end: String,
    /// From the end of the warm-up to the last answer.
    pub elapsed_s: f64,
    /// Requests that ended per second in the time of sending.
    pub rate_per_s: f64,
    /// Sent, the warm-up included.
    pub sent: u64,
    /// Of them, those of the warm-up that have ended; they are in nothing that follows.
    pub warm_up: u64,
    /// Ended.
    pub requests: u64,
    /// As expected.
    pub ok: u64,
    /// Not as expected.
    pub failed: u64,
    /// Due in that time; null in the closed loop.
    pub offered: Option<u64>,
    /// Due and never sent.
    pub unsent: u64,
    /// Kept back by an open breaker.
    pub short_circuited: u64,
    /// Failures by their reason.
    pub errors: BTreeMap<String, u64>,
    /// Answers by their status.
    pub status: BTreeMap<String, u64>,
    /// Of answers.
    pub received_bytes: u64,
    /// Of requests.
    pub written_bytes: u64,
    /// Processor time of the generator.
    pub cpu_s: f64,
    /// Share of one processor that the busiest thread used.
    pub busiest: f64,
    /// How it went over time.
    pub timeline: Vec<Point>,
    /// The distributions, in microseconds.
    pub histograms: Histograms,
}

/// One window of the timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Since the start of the run.
    pub start_s: f64,
    /// Likewise.
    pub end_s: f64,
    /// Ended as expected.
    pub ok: u64,
    /// And otherwise.
    pub failed: u64,
    /// Due and not sent, at its end.
    pub backlog: u64,
    /// Median of response times.
    pub p50_us: Option<u64>,
    /// Their 99th percentile.
    pub p99_us: Option<u64>,
}

/// The distributions of a run; those named `response` are empty in the closed loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they are those of the batch")]
pub struct Histograms {
    pub response_ok: Encoded,
    pub response_failed: Encoded,
    pub service_ok: Encoded,
    pub service_failed: Encoded,
    pub late: Encoded,
    pub connect: Encoded,
    pub cut_off: Encoded,
}

/// Why there is no run in a file.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", .path.display())]
pub struct ReadError {
    path: PathBuf,
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("larger than any saved run")]
    TooLarge,
    #[error("not a saved run: {0}")]
    Form(#[from] serde_json::Error),
    #[error("a document of the form {0}, not of {SCHEMA}: was it written by --save?")]
    Schema(String),
    #[error("its histogram {0} is damaged: {1}")]
    Histogram(&'static str, crate::histogram::Damaged),
    #[error("its {0} contradict each other")]
    Counts(&'static str),
}

impl Saved {
    /// The run as it is kept, with what was asked for.
    pub fn new(run: &Outcome, settings: BTreeMap<String, String>) -> Saved {
        let totals = &run.totals;
        let text = |(name, count): (&dyn ToString, u64)| (name.to_string(), count);
        Saved {
            schema: SCHEMA.to_owned(),
            settings,
            end: match &run.end {
                End::Done => DONE.to_owned(),
                End::Stopped => "stopped".to_owned(),
                End::BreakerOpened => "breaker_opened".to_owned(),
                End::Hopeless(condition) => condition.clone(),
            },
            elapsed_s: run.elapsed.as_secs_f64(),
            rate_per_s: run.achieved(),
            sent: totals.sent,
            warm_up: totals.warm_up,
            requests: totals.requests(),
            ok: totals.ok,
            failed: totals.failures(),
            offered: run.offered,
            unsent: run.unsent,
            short_circuited: totals.short_circuited,
            errors: totals.reasons().map(|(reason, count)| text((&reason.id(), count))).collect(),
            status: totals.statuses().map(|(status, count)| text((&status, count))).collect(),
            received_bytes: totals.received,
            written_bytes: totals.written,
            cpu_s: totals.cpu as f64 / 1e9,
            busiest: run.busiest,
            timeline: run.timeline.windows().iter().map(Point::new).collect(),
            histograms: Histograms {
                response_ok: Encoded::new(&totals.response.ok),
                response_failed: Encoded::new(&totals.response.failed),
                service_ok: Encoded::new(&totals.service.ok),
                service_failed: Encoded::new(&totals.service.failed),
                late: Encoded::new(&totals.late),
                connect: Encoded::new(&totals.connect),
                cut_off: Encoded::new(&totals.cut_off),
            },
        }
    }

    /// Writes it as one document.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut to, self)?;
        to.write_all(b"\n")
    }

    /// Reads one that [`Saved::write`] wrote, and checks it.
    ///
    /// # Errors
    /// There is no such file, or it holds something else.
    pub fn read(path: &Path) -> Result<Saved, ReadError> {
        read(path).map_err(|cause| ReadError { path: path.to_owned(), cause })
    }

    /// Whether it went on to its own end.
    pub fn is_whole(&self) -> bool {
        self.end == DONE
    }

    /// Response times of all requests that ended; in the closed loop service times.
    pub fn response(&self) -> Histogram {
        let [response_ok, response_failed, service_ok, service_failed] = [
            &self.histograms.response_ok,
            &self.histograms.response_failed,
            &self.histograms.service_ok,
            &self.histograms.service_failed,
        ]
        // They were checked when the run was read.
        .map(|encoded| encoded.decode().unwrap_or_default());
        let response = Split { ok: response_ok, failed: response_failed }.all();
        if response.count() > 0 { response } else { Split { ok: service_ok, failed: service_failed }.all() }
    }

    fn check(&self) -> Result<(), Cause> {
        let all = &self.histograms;
        for (name, encoded) in [
            ("response_ok", &all.response_ok),
            ("response_failed", &all.response_failed),
            ("service_ok", &all.service_ok),
            ("service_failed", &all.service_failed),
            ("late", &all.late),
            ("connect", &all.connect),
            ("cut_off", &all.cut_off),
        ] {
            encoded.decode().map_err(|damaged| Cause::Histogram(name, damaged))?;
        }
        let counts = (all.service_ok.count, all.service_failed.count);
        if counts != (self.ok, self.failed) || self.ok.checked_add(self.failed) != Some(self.requests) {
            return Err(Cause::Counts("counts of requests"));
        }
        if ![self.elapsed_s, self.rate_per_s].iter().all(|number| number.is_finite() && *number >= 0.0) {
            return Err(Cause::Counts("times"));
        }
        Ok(())
    }
}

impl Point {
    fn new(window: &Window) -> Point {
        let micros = |q| window.response.quantile(q).and_then(|time| u64::try_from(time.as_micros()).ok());
        Point {
            start_s: window.start as f64 / 1e9,
            end_s: window.end as f64 / 1e9,
            ok: window.ok,
            failed: window.failed,
            backlog: window.backlog,
            p50_us: micros(0.5),
            p99_us: micros(0.99),
        }
    }
}

fn read(path: &Path) -> Result<Saved, Cause> {
    #[derive(Deserialize)]
    struct Head {
        schema: String,
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Cause::TooLarge);
    }
    let Head { schema } = serde_json::from_slice(&bytes)?;
    if schema != SCHEMA {
        return Err(Cause::Schema(crate::text::printable(&schema)));
    }
    let saved: Saved = serde_json::from_slice(&bytes)?;
    saved.check()?;
    Ok(saved)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::batch::{Batch, Sample};
    use super::super::timeline::Timeline;
    use super::*;
    use crate::reason::Reason;

    fn outcome(open_loop: bool) -> Outcome {
        let (mut totals, mut timeline) = (Batch::default(), Timeline::default());
        for number in 0..1000u64 {
            let sample = Sample { due: 0, sent: 1_000_000, ended: 2_000_000 + number * 1000 };
            let result = if number % 100 == 0 { Err(Reason::Timeout) } else { Ok(()) };
            totals.ended(sample, open_loop, result);
        }
        totals.status(200);
        timeline.add(0, 250_000_000, &totals, 3);
        Outcome {
            totals,
            timeline,
            elapsed: Duration::from_millis(2500),
            sending: Duration::from_millis(2500),
            offered: open_loop.then_some(1003),
            unsent: 3,
            end: End::Hopeless("p99>1ms".into()),
            busiest: 0.25,
            peak_memory: None,
        }
    }

    fn saved(open_loop: bool) -> Saved {
        Saved::new(&outcome(open_loop), [("target".to_owned(), "http://h/".to_owned())].into())
    }

    fn reread(text: &[u8]) -> Result<Saved, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let name = format!("{}: ", file.path().display());
        Saved::read(file.path()).map_err(|error| error.to_string().strip_prefix(&name).unwrap().to_owned())
    }

    #[test]
    fn what_is_saved_reads_back() {
        for open_loop in [true, false] {
            let before = saved(open_loop);
            let mut text = Vec::new();
            before.write(&mut text).unwrap();
            let after = reread(&text).unwrap();
            assert_eq!(after, before);
            let times = after.response().summary();
            let first = if open_loop { 2000 } else { 1000 };
            assert_eq!((times.count, times.min_us, times.max_us), (1000, Some(first), Some(first + 999)));
            assert_eq!(
                (after.errors["timeout"], after.status["200"], after.offered.is_some()),
                (10, 1, open_loop)
            );
            assert_eq!((after.timeline[0].p99_us.is_some(), after.timeline[0].backlog), (true, 3));
        }
    }

    #[test]
    fn damaged_and_foreign_files_are_named_with_the_cause() {
        let good = serde_json::to_value(saved(true)).unwrap();
        let with = |path: &str, value: serde_json::Value| {
            let mut bad = good.clone();
            *bad.pointer_mut(path).unwrap() = value;
            reread(bad.to_string().as_bytes()).unwrap_err()
        };
        for (found, error) in [
            (reread(b"").unwrap_err(), "not a saved run: EOF"),
            (reread(&good.to_string().as_bytes()[..500]).unwrap_err(), "not a saved run: EOF"),
            (reread(b"\xff\xfe").unwrap_err(), "not a saved run: expected value"),
            (
                reread(b"{\"schema\":\"hardy.load/v1\"}").unwrap_err(),
                "a document of the form hardy.load/v1, not of hardy.load.saved/v1",
            ),
            (
                reread(b"{\"schema\":\"hardy.load.saved/v1\"}").unwrap_err(),
                "not a saved run: missing field `settings`",
            ),
            (with("/ok", 5.into()), "its counts of requests contradict each other"),
            (with("/requests", u64::MAX.into()), "its counts of requests contradict"),
            (with("/elapsed_s", (-1).into()), "its times contradict"),
            (with("/histograms/late/v2", "HIST".into()), "its histogram late is damaged: not base64"),
            (
                with("/histograms/service_ok/count", 3.into()),
                "its histogram service_ok is damaged: it does not have the count",
            ),
        ] {
            assert!(found.starts_with(error), "{found}");
        }
        let missing = Saved::read(Path::new("/nonexistent/run.json")).unwrap_err().to_string();
        assert!(missing.starts_with("/nonexistent/run.json: No such file"), "{missing}");
    }
}
