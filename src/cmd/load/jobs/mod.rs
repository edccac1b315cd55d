//! `hardy load run --jobs`: a command for each line, several at once.

mod report;
mod settings;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::run::Args;
use crate::app::App;
use crate::error::Error;
use crate::exit::Exit;
use crate::load::jobs::{self, End, Event, Halt, Observers, Orders, Outcome, Sink, Snapshot, Stream};
use crate::output::{Human, Live, Relay};
use crate::process::StartError;
use crate::units;
use crate::units::brief;

use report::Report;
use settings::Settings;

/// Jobs instead of requests.
#[derive(clap::Args, Debug, Default)]
#[command(next_help_heading = "Jobs")]
pub struct JobArgs {
    /// Run CMD for each line of this file, or of stdin (-), instead of sending requests
    #[arg(long, value_name = "FILE", requires = "command")]
    jobs: Option<PathBuf>,
    /// Jobs at once [default: processors]
    #[arg(long, short, value_name = "N", requires = "jobs")]
    workers: Option<usize>,
    /// Jobs end with a NUL byte, not with a newline
    #[arg(long, short = '0', requires = "jobs", hide_short_help = true)]
    null: bool,
    /// Join the words, with the line quoted, and have `sh -c` run them
    #[arg(long, requires = "jobs")]
    shell: bool,
    /// Run a job that failed again, so often
    ///
    /// Its worker waits for it. Of the output, only that of the last try is shown, unless it comes line by line.
    #[arg(long, value_name = "N", requires = "jobs")]
    retries: Option<u32>,
    /// Pause before the first retry, doubled for each further one, with jitter [default: 1s]
    #[arg(long, value_name = "D", requires = "retries", hide_short_help = true)]
    retry_backoff: Option<units::Duration>,
    /// Stop after so many ends: now|soon,fail|success|done=N|N%
    ///
    /// now: what runs is ended, too; soon: it is waited for. A percentage is one of the jobs that have ended, once there
    /// are three. A run that is stopped by successes is good.
    #[arg(long, value_name = "RULE", requires = "jobs")]
    halt: Option<Halt>,
    /// Time between two starts
    #[arg(long, value_name = "D", requires = "jobs", hide_short_help = true)]
    delay: Option<units::Duration>,
    /// Start nothing while the load average is above this
    #[arg(long = "load", value_name = "MAX", requires = "jobs", hide_short_help = true)]
    max_load: Option<f64>,
    /// Start nothing while less memory than this is available
    #[arg(long, value_name = "SIZE", requires = "jobs", hide_short_help = true)]
    memfree: Option<units::Size>,
    /// Print output in the order of the jobs, not as they end
    #[arg(long, short, requires = "jobs")]
    keep_order: bool,
    /// Begin each line of output with the line of its job and a tab
    #[arg(long, requires = "jobs", hide_short_help = true)]
    tag: bool,
    /// Print each line of output as it comes, not that of a job at its end
    #[arg(long, requires = "jobs", conflicts_with = "keep_order", hide_short_help = true)]
    line_buffer: bool,
    /// Let jobs write to stdout and stderr themselves
    #[arg(
        long,
        requires = "jobs",
        conflicts_with_all = ["keep_order", "line_buffer", "tag", "results"],
        hide_short_help = true
    )]
    ungroup: bool,
    /// Keep the output of each job in DIR/NUMBER/stdout and stderr, and what became of it in job (JSON)
    #[arg(long, value_name = "DIR", requires = "jobs", hide_short_help = true)]
    results: Option<PathBuf>,
    /// Write down each job that has ended, as GNU parallel does
    ///
    /// Tab-separated: Seq Host Starttime JobRuntime Send Receive Exitval Signal Command. Exitval is -1 after a timeout. A
    /// job that was cut off is not in it, so that --resume runs it.
    #[arg(long, value_name = "FILE", requires = "jobs")]
    joblog: Option<PathBuf>,
    /// Leave out the jobs that --joblog lists; the input must be the same
    #[arg(long, requires = "joblog")]
    resume: bool,
    /// The same, but run those again that failed
    #[arg(long, requires = "joblog", conflicts_with = "resume", hide_short_help = true)]
    resume_failed: bool,
    /// Run each job under this lock, as `hardy lock run` does; {} is replaced
    #[arg(long, value_name = "NAME", requires = "jobs", hide_short_help = true)]
    lock: Option<OsString>,
    /// The command of each job
    #[arg(value_name = "CMD", last = true, requires = "jobs")]
    command: Vec<OsString>,
}

impl JobArgs {
    /// Whether jobs are to be run.
    pub(super) fn is_asked_for(&self) -> bool {
        self.jobs.is_some()
    }
}

/// Runs them, and reports on stderr: stdout is theirs.
pub(super) async fn run(args: Args, app: &App) -> Result<Exit, Error> {
    let settings = Settings::resolve(&args, app)?;
    let Some(mut signals) = app.shutdown.hand_over() else {
        return Ok(Exit::signal(app.shutdown.signal().unwrap_or_default()));
    };
    let live = app.console.live();
    let total = if live.is_shown() { settings.total() } else { None };
    let (snapshots, mut seen) = watch::channel(Snapshot::default());
    let (events, mut told) = mpsc::unbounded_channel();
    let observers = Observers { snapshots: live.is_shown().then_some(snapshots), events: Some(events) };
    let (orders, mut asked) = (Orders::default(), Asked::default());
    let work = jobs::run(settings.plan, settings.input, Streams(app.console.relay()), observers, &orders);
    let mut work = std::pin::pin!(work);
    let outcome = loop {
        tokio::select! {
            outcome = &mut work => break outcome,
            Ok(()) = seen.changed() => show(&live, &seen.borrow_and_update(), total),
            Some(event) = told.recv() => tell(&event, app),
            Some(signal) = signals.recv() => asked.heed(signal, &orders, app),
        }
    };
    drop(live);
    while let Ok(event) = told.try_recv() {
        tell(&event, app);
    }
    finish(outcome.map_err(refused)?, asked.first.map(|(signal, _)| signal), app)
}

fn finish(outcome: Outcome, signal: Option<i32>, app: &App) -> Result<Exit, Error> {
    let Outcome { tally, elapsed, end } = outcome;
    let broken = match end {
        End::Broken(jobs::Error::Start(error)) if tally.ok + tally.failed == 0 => {
            return Err(refused(error.into()));
        }
        End::Broken(error) => Err(refused(error)),
        End::Halted(_) | End::ReaderGone | End::Stopped | End::Done => Ok(end),
    };
    let report = Report::new(tally, elapsed, broken.as_ref().ok(), signal);
    let exit = app.console.emit_beside(&report)?;
    broken.map(|_| exit)
}

/// Signals as they come: the first ends the jobs, the next one does not wait for them.
#[derive(Default)]
struct Asked {
    first: Option<(i32, Instant)>,
}

/// A second signal so soon is an echo of the first.
const ECHO: Duration = Duration::from_millis(100);

impl Asked {
    fn heed(&mut self, signal: i32, orders: &Orders, app: &App) {
        match self.first {
            None => {
                self.first = Some((signal, Instant::now()));
                app.console.interactive_note("stopping the jobs... (again to kill them)");
                orders.stop.cancel();
            }
            Some((_, at)) if at.elapsed() > ECHO => orders.kill.cancel(),
            Some(_) => {}
        }
    }
}

/// Where the output of jobs goes.
struct Streams(Relay);

impl Sink for Streams {
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        match stream {
            Stream::Out => self.0.out(bytes),
            Stream::Err => {
                self.0.err(bytes);
                Ok(())
            }
        }
    }
}

fn tell(event: &Event, app: &App) {
    let console = &app.console;
    match event {
        Event::Held(why) => console.detail(&format!("no job is started: {why}")),
        Event::Retrying(number, why) => console.detail(&format!("job {number}: {why}; once more")),
        Event::LeftBehind(number) => {
            console.warn(&format!("processes of job {number} could not be ended"));
        }
        Event::Exhausted(why) => console.warn(&format!("going on with fewer jobs at once: {why}")),
    }
}

fn show(live: &Live, now: &Snapshot, total: Option<u64>) {
    live.draw(|out: &mut Human<'_>| out.line(progress(now, total)));
}

/// `12 of 100 jobs, 3 running, 1 failed, 4.2/s, about 21s left`.
fn progress(now: &Snapshot, total: Option<u64>) -> String {
    let done = now.ended + now.skipped;
    let seconds = now.elapsed.as_secs_f64();
    let rate = if seconds > 0.0 { now.ended as f64 / seconds } else { 0.0 };
    let mut text = match total {
        Some(total) => format!("{done} of {total} jobs"),
        None => units::counted(done, "job"),
    };
    text += &format!(", {} running, {} failed, {rate:.1}/s", now.running, now.failed);
    if let Some(left) = total.map(|total| total.saturating_sub(done))
        && rate > 0.0
    {
        let left = Duration::try_from_secs_f64(left as f64 / rate).unwrap_or(Duration::MAX);
        text += &format!(", about {} left", brief(left));
    }
    text
}

fn refused(error: jobs::Error) -> Error {
    let text = error.to_string();
    let hint = "what follows `--` is a program and its arguments; for a line of shell add --shell";
    match error {
        jobs::Error::Start(StartError::NotFound(_)) => {
            Error::usage(text).with_exit(Exit::NOT_FOUND).hint(hint)
        }
        jobs::Error::Start(StartError::Refused(_, cause)) => {
            Error::usage(text).with_exit(Exit::NOT_EXECUTABLE).because(cause).hint(hint)
        }
        jobs::Error::Input(cause)
        | jobs::Error::Output(cause)
        | jobs::Error::Temporary(_, cause)
        | jobs::Error::Results(_, cause)
        | jobs::Error::System(cause) => Error::unknown(text).because(cause),
        jobs::Error::Joblog(_, cause) => Error::unknown(text).because(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_knows_what_is_left_where_the_number_is_known() {
        let now = Snapshot { elapsed: Duration::from_secs(10), ended: 20, failed: 1, skipped: 5, running: 3 };
        assert_eq!(progress(&now, None), "25 jobs, 3 running, 1 failed, 2.0/s");
        assert_eq!(progress(&now, Some(125)), "25 of 125 jobs, 3 running, 1 failed, 2.0/s, about 50.0s left");
        assert_eq!(progress(&Snapshot::default(), Some(1)), "0 of 1 jobs, 0 running, 0 failed, 0.0/s");
    }
}
