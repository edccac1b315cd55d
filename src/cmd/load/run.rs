//! `hardy load run`: one run against one target.

use std::convert::Infallible;
use std::path::PathBuf;

use jiff::Timestamp;
use tokio::sync::watch;

use super::asked;
use super::live::View;
use super::report::{Report, Subject};
use super::settings::{Breaker, Prepared, Settings};
use super::stages::Stages;
use super::{jobs, request, save, shared};
use crate::app::App;
use crate::cmd::breakers::SharedArgs;
use crate::cmd::names::Names;
use crate::complete;
use crate::config::LoadKnobs;
use crate::error::Error;
use crate::exit::Exit;
use crate::http::lookup::Override;
use crate::limits;
use crate::load::condition::Condition;
use crate::load::guard::{Guard, WhenOpen};
use crate::load::outcome::{Outcome, Snapshot};
use crate::load::run::{Judge, run as execute};
use crate::load::schedule::Arrivals;
use crate::load::watch::Watch;
use crate::probe::expect::StatusRange;
use crate::units::Rate;

/// Drive requests, or jobs, and say what came of them
#[derive(clap::Args, Debug, Default)]
#[command(after_long_help = "\
Examples:
  hardy load run http://127.0.0.1:8080 -c 64 -d 10s            # closed loop: 64 at once
  hardy load run api --rate 500/s --arrivals poisson -d 1m     # open loop: 500 per second, whatever comes back
  hardy load run api --stages 10s:100/s,30s:100/s-1000/s
  hardy load run api --breaker pay --when-open shed            # with all who use `hardy breaker run pay`
  hardy load run https://api.example --http2 -c 64 --streams 16 -n 100000
  ls *.wav | hardy load run --jobs - -w 4 -- lame {} {.}.mp3   # a job for each line, four at once
  hardy load run --jobs hosts --joblog log --resume --timeout 1m --retries 2 -- ssh {} uptime

Replacement strings in the words of a job:
  {} the line, as one argument whatever it contains; {.} without extension; {/} base name; {//} directory;
  {/.} base name without extension; {#} number of the job; {%} slot of its worker. Without any, {} is appended.
  A job has its own process group and an empty stdin. What it leaves in the group is ended with it.

Shared breaker:
  Ten times a second --breaker is told what has ended, and says what passes until then; no request asks it, and none takes a
  place. Its settings are those of the config, its timeout is that of the load. A run ends when it opens, whoever opened it; one
  that would begin while it is open sends nothing: exit 75. With --when-open shed requests are kept back instead, and counted.
  After the cooldown one of them is the trial, if nobody else makes it. The warm-up is not counted.
  With --jobs each job is run by `hardy breaker run NAME`: one that is not called ends with 75, one that takes too long with 124,
  and in NAME {} is replaced, as in --lock.")]
pub struct Args {
    // First, because those that follow take what it looks at.
    #[command(flatten)]
    pub(super) names: Names,
    /// URL (http https unix+http) or name in the config
    #[arg(value_name = "TARGET", add = complete::targets())]
    pub(super) target: Option<String>,
    /// End after so many requests, those of the warm-up included
    #[arg(long, short = 'n', value_name = "N", help_heading = "Load")]
    pub(super) requests: Option<u64>,
    /// Open loop: send so many per second, whatever comes back
    ///
    /// Each request is due at a time of its own. Response times count from then, so that a server that stalls is seen
    /// as its users would see it. Without it each connection sends when its last answer is there: the closed loop.
    #[arg(long, short, value_name = "RATE", conflicts_with_all = ["stages", "replay"], help_heading = "Load")]
    pub(super) rate: Option<Rate>,
    /// Open loop with rates that follow each other: LENGTH:RATE or LENGTH:FROM-TO, as in 10s:100/s,30s:100/s-1000/s
    #[arg(long, value_name = "STAGES", conflicts_with = "replay", help_heading = "Load")]
    pub(super) stages: Option<Stages>,
    /// How requests of a rate follow each other: constant, or poisson as those of many users do
    #[arg(
        long,
        value_name = "KIND",
        conflicts_with = "replay",
        help_heading = "Load",
        hide_possible_values = true,
        hide_short_help = true
    )]
    pub(super) arrivals: Option<ArrivalsArg>,
    #[command(flatten)]
    pub(super) knobs: LoadKnobs,
    #[command(flatten)]
    pub(super) request: request::RequestArgs,
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
    #[command(flatten)]
    pub(super) jobs: jobs::JobArgs,
    /// Statuses that are good: 200, 2xx or 200-204 [default: 200-399]
    #[arg(long, value_name = "STATUS", value_delimiter = ',', help_heading = "Verdict")]
    pub(super) expect_status: Vec<StatusRange>,
    /// Exit 1 if this holds: p99>200ms, error_rate>=1%, rate<900/s, failed>0, ... [repeatable]
    ///
    /// Quantiles (p50 to p99.99), mean and max are those of response times, success and failure together, and of service
    /// times in the closed loop. A quantile of too few requests says nothing: that is exit 3, never a pass. Without any
    /// --fail-if a run is good as soon as one request was answered as expected: say what is not good enough.
    #[arg(long, value_name = "CONDITION", help_heading = "Verdict")]
    pub(super) fail_if: Vec<Condition>,
    /// End the run as soon as a --fail-if is lost
    ///
    /// At once for what only grows (failed, cut_off); anything else when it holds for the whole run and held in five
    /// seconds in a row.
    #[arg(long, requires = "fail_if", help_heading = "Verdict")]
    pub(super) fail_fast: bool,
    /// Keep the whole run in this file, with its histograms, for `load compare`
    #[arg(long, value_name = "FILE", help_heading = "Verdict")]
    pub(super) save: Option<PathBuf>,
    #[command(flatten)]
    pub(super) shared: SharedArgs,
    /// Put a breaker of its own, with the settings of the config, in front of the run
    #[arg(long, conflicts_with = "breaker", help_heading = "Circuit breaker", hide_short_help = true)]
    pub(super) own_breaker: bool,
    /// What an open breaker means: abort the run, or shed requests until it closes [default: abort]
    ///
    /// A run that would begin while the shared breaker is open sends nothing, and ends with 75.
    #[arg(
        long,
        value_name = "ACTION",
        help_heading = "Circuit breaker",
        hide_possible_values = true,
        hide_short_help = true
    )]
    pub(super) when_open: Option<WhenOpenArg>,
}

/// How the target is reached.
#[derive(clap::Args, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// HTTP/2, over TLS
    #[arg(long, conflicts_with = "http2_prior_knowledge")]
    pub(super) http2: bool,
    /// HTTP/2 without asking first: without TLS, or over a unix socket
    #[arg(long, hide_short_help = true)]
    pub(super) http2_prior_knowledge: bool,
    /// Streams over each connection of HTTP/2; --connections counts streams
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub(super) streams: Option<usize>,
    /// A connection for each request
    #[arg(long, hide_short_help = true)]
    pub(super) no_keep_alive: bool,
    /// Believe any certificate
    #[arg(long)]
    pub(super) insecure: bool,
    /// Show the server this certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "key", hide_short_help = true)]
    pub(super) cert: Option<PathBuf>,
    /// The key of --cert (PEM)
    #[arg(long, value_name = "FILE", requires = "cert", hide_short_help = true)]
    pub(super) key: Option<PathBuf>,
    /// Use this address for that name and port, as curl does [repeatable]
    #[arg(long, value_name = "HOST:PORT:ADDR", hide_short_help = true)]
    pub(super) resolve: Vec<Override>,
}

/// `--arrivals`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ArrivalsArg {
    /// At equal distances.
    Constant,
    /// Independently of each other.
    Poisson,
}

impl ArrivalsArg {
    pub(super) fn engine(self) -> Arrivals {
        match self {
            ArrivalsArg::Constant => Arrivals::Constant,
            ArrivalsArg::Poisson => Arrivals::Poisson,
        }
    }
}

/// `--when-open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WhenOpenArg {
    /// End the run.
    Abort,
    /// Keep requests back.
    Shed,
}

impl WhenOpenArg {
    pub(super) fn engine(self) -> WhenOpen {
        match self {
            WhenOpenArg::Abort => WhenOpen::Abort,
            WhenOpenArg::Shed => WhenOpen::Shed,
        }
    }
}

impl Args {
    /// Whether jobs are run, and no requests sent.
    pub fn runs_jobs(&self) -> bool {
        self.jobs.is_asked_for()
    }
}

/// Runs it to its end, shown while it goes on.
pub async fn run(args: Args, app: &App) -> Result<Exit, Error> {
    if args.runs_jobs() {
        return jobs::run(args, app).await;
    }
    let settings = Settings::resolve(&args, &app.config).await?;
    settings.warnings.iter().for_each(|warning| app.console.warn(warning));
    let mut file = args.save.as_deref().map(save::open).transpose()?;
    let watch = args.fail_fast.then(|| Watch::new(args.fail_if.clone()));
    let started_at = format!("{:.3}", Timestamp::now());
    let outcome = match settings.breaker {
        Breaker::None => once(&settings.run, watch, app).await?,
        Breaker::Own(config, when_open) => {
            once(&settings.run, (Guard::new(config, when_open), watch), app).await?
        }
        Breaker::Shared(circuit, when_open, without_store) => {
            shared::run(&settings.run, (circuit, when_open, without_store), watch, app).await?
        }
    };
    let kept = file.as_mut().map(|file| file.keep(&outcome, &settings.run));
    let subject = Subject {
        target: settings.run.target.clone(),
        started_at,
        connections: settings.run.plan.workers as u64,
        fail_if: args.fail_if,
        settings: asked::of(&settings.run),
        plots: !app.console.is_quiet(),
    };
    let exit = app.finish(&Report::new(outcome, subject))?;
    // A full disk must not cost the report.
    kept.transpose().map(|_| exit)
}

/// One run of what was prepared.
pub async fn once(run: &Prepared, judge: impl Judge, app: &App) -> Result<Outcome, Error> {
    limits::raise_open_files();
    let snapshots = watch::Sender::new(Snapshot::default());
    let outcome = tokio::select! {
        outcome = execute(run.plan.clone(), run.wire.clone(), judge, &snapshots, &app.shutdown.token) => outcome,
        never = show(run, &snapshots, app) => match never {},
    };
    outcome.map_err(|error| Error::unknown("cannot start the threads of the load").because(error))
}

/// Draws the run while it goes on, where somebody sees it.
async fn show(run: &Prepared, snapshots: &watch::Sender<Snapshot>, app: &App) -> Infallible {
    let live = app.console.live();
    if live.is_shown() {
        let view = View::of(run);
        let mut seen = snapshots.subscribe();
        while seen.changed().await.is_ok() {
            let snapshot = seen.borrow_and_update().clone();
            live.draw(|out| view.draw(out, &snapshot));
        }
    }
    std::future::pending().await
}
