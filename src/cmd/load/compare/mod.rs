//! `hardy load compare`: are the new runs better or worse than those of the base, or can nobody tell?

mod report;

use std::path::PathBuf;

use clap::Args as _;

use super::each::EachArgs;
use super::run::once;
use super::settings::{Prepared, Settings as RunSettings};
use crate::app::App;
use crate::cmd::names::flag;
use crate::complete;
use crate::error::Error;
use crate::exit::Exit;
use crate::load::compare::{Figures, MOST_RUNS, Metric};
use crate::load::outcome::End;
use crate::load::saved::Saved;
use crate::load::watch::Watch;
use crate::units::{Percent, Rate, counted};

use report::{Report, Run, Side};

/// Say whether new runs are better or worse than those of a base
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  hardy load compare before-*.json -- after-*.json     # each written by load run --save
  hardy load compare --ab http://127.0.0.1:8080 http://127.0.0.1:8081 --runs 6 -d 30s
  hardy load compare --ab blue green --rate 500/s --metric p99,error-rate --floor 10%

How it is told:
  The run is the unit, for requests of one run hang together. A metric is better or worse when Mann and Whitney's test
  over the runs finds it (5 %, after Holm's correction for several metrics), its bootstrapped 95 % interval contains
  no 0, and the medians differ by more than the floor. It is the same when the whole interval lies within the floor.
  Else it is inconclusive; so are fewer than 5 runs on each side (4 for one metric), which cannot be told from chance.
  One run on a side is shown, and proves nothing. Error rates have a floor of 0.1 percentage points.

Verdict:
  0 same or better   1 worse in any metric   3 inconclusive, or one run only on a side")]
pub struct Args {
    /// Saved runs of the base
    #[arg(value_name = "BASE", required_unless_present = "ab", conflicts_with = "ab")]
    base: Vec<PathBuf>,
    /// Saved runs to be judged
    #[arg(value_name = "NEW", last = true, required_unless_present = "ab", conflicts_with = "ab")]
    new: Vec<PathBuf>,
    /// Make the runs now, in turn: URL or name of the base, and of what is to be judged
    #[arg(long, num_args = 2, value_names = ["A", "B"], add = complete::targets())]
    ab: Vec<String>,
    /// Runs of each, in turn [default: 6]
    #[arg(long, value_name = "N")]
    runs: Option<usize>,
    /// Only these: rate, p50, p99 or error-rate [default: all] [repeatable]
    #[arg(
        long,
        value_name = "METRIC",
        value_delimiter = ',',
        hide_possible_values = true,
        help_heading = "Verdict"
    )]
    metric: Vec<MetricArg>,
    /// Smaller differences count as none [default: 5%]
    #[arg(long, value_name = "SHARE", help_heading = "Verdict")]
    floor: Option<Percent>,
    /// End each run after so many requests
    #[arg(long, short = 'n', value_name = "N", help_heading = "Load")]
    requests: Option<u64>,
    /// Open loop: send so many per second, whatever comes back
    #[arg(long, short, value_name = "RATE", help_heading = "Load")]
    rate: Option<Rate>,
    #[command(flatten)]
    each: EachArgs,
}

impl Args {
    /// A flag that was typed and says how runs are made.
    fn of_runs(&self) -> Option<String> {
        let each = EachArgs::augment_args(clap::Command::new("runs"));
        let of_each = |id: &str| each.get_arguments().any(|argument| argument.get_id() == id);
        // The names do not know what stands before them.
        let before = [
            ("runs", self.runs.is_some()),
            ("requests", self.requests.is_some()),
            ("rate", self.rate.is_some()),
        ];
        let before = before.into_iter().filter(|(_, typed)| *typed).map(|(id, _)| id);
        before.chain(self.each.names.all_typed().filter(|id| of_each(id))).next().map(flag)
    }
}

/// `--metric`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum MetricArg {
    /// Requests per second.
    Rate,
    /// Median response time.
    P50,
    /// 99th percentile of response times.
    P99,
    /// Share of failed requests.
    ErrorRate,
}

impl MetricArg {
    fn engine(self) -> Metric {
        match self {
            MetricArg::Rate => Metric::Rate,
            MetricArg::P50 => Metric::P50,
            MetricArg::P99 => Metric::P99,
            MetricArg::ErrorRate => Metric::ErrorRate,
        }
    }
}

/// What the arguments and the config mean together.
struct Settings {
    source: Source,
    metrics: Vec<Metric>,
    /// 0.05 for 5 %.
    floor: f64,
}

/// Where the runs come from.
enum Source {
    Saved { base: Vec<PathBuf>, new: Vec<PathBuf> },
    Made { sides: Box<[Prepared; 2]>, runs: usize },
}

impl Settings {
    async fn resolve(mut args: Args, app: &App) -> Result<Settings, Error> {
        let floor = args.floor.map_or(0.05, |Percent(percent)| percent / 100.0);
        let mut metrics: Vec<Metric> = Vec::new();
        for metric in args.metric.iter().map(|metric| metric.engine()) {
            if !metrics.contains(&metric) {
                metrics.push(metric);
            }
        }
        if metrics.is_empty() {
            metrics = Metric::ALL.to_vec();
        }
        let source = match <[String; 2]>::try_from(std::mem::take(&mut args.ab)) {
            Ok(targets) => {
                let runs = args.runs.unwrap_or(6);
                within_bounds(runs, "--runs")?;
                let mut run = args.each.run();
                (run.requests, run.rate) = (args.requests, args.rate);
                Source::Made { sides: prepared(run, targets, app).await?.into(), runs }
            }
            Err(_) => {
                if let Some(flag) = args.of_runs() {
                    return Err(Error::usage(format!("{flag} has no meaning for runs that were saved"))
                        .hint("make the runs now with --ab A B"));
                }
                within_bounds(args.base.len(), "the base")?;
                within_bounds(args.new.len(), "the new side")?;
                Source::Saved { base: args.base, new: args.new }
            }
        };
        Ok(Settings { source, metrics, floor })
    }
}

fn within_bounds(runs: usize, what: &str) -> Result<(), Error> {
    if (1..=MOST_RUNS).contains(&runs) {
        return Ok(());
    }
    Err(Error::usage(format!("{what}: expected 1 to {MOST_RUNS} runs, not {runs}")))
}

async fn prepared(
    mut run: super::run::Args,
    targets: [String; 2],
    app: &App,
) -> Result<[Prepared; 2], Error> {
    let [a, b] = targets;
    run.target = Some(a);
    let base = RunSettings::resolve(&run, &app.config).await?;
    run.target = Some(b);
    let new = RunSettings::resolve(&run, &app.config).await?;
    new.warnings.iter().for_each(|warning| app.console.warn(warning));
    Ok([base.run, new.run])
}

/// Reads the runs, or makes them, and compares.
pub async fn run(args: Args, app: &App) -> Result<Report, Error> {
    let settings = Settings::resolve(args, app).await?;
    let [base, new] = match &settings.source {
        Source::Saved { base, new } => [read(base)?, read(new)?],
        Source::Made { sides, runs } => make(sides, *runs, app).await?,
    };
    Ok(Report::new(base, new, &settings.metrics, settings.floor))
}

fn read(paths: &[PathBuf]) -> Result<Side, Error> {
    let mut side = Side::default();
    for path in paths {
        let saved =
            Saved::read(path).map_err(|error| Error::unknown("cannot read a saved run").because(error))?;
        if !saved.is_whole() {
            let what =
                format!("{}: a run that was cut short ({}) cannot be compared", path.display(), saved.end);
            return Err(Error::usage(what));
        }
        side.runs.push(Run::new(path.display().to_string(), &Figures::of_saved(&saved), saved.busiest));
        side.settings.push(saved.settings);
    }
    Ok(side)
}

/// One of each in turn, so that what changes with time changes both.
async fn make(sides: &[Prepared; 2], runs: usize, app: &App) -> Result<[Side; 2], Error> {
    let mut made = [Side::default(), Side::default()];
    'all: for number in 1..=runs {
        for (prepared, side) in sides.iter().zip(&mut made) {
            let outcome = once(prepared, Watch::default(), app).await?;
            if outcome.end == End::Stopped {
                break 'all;
            }
            let figures = Figures::of(&outcome);
            app.console.note(&format!("run {number} of {runs}: {}: {:.1}/s", prepared.target, figures.rate));
            side.runs.push(Run::new(prepared.target.clone(), &figures, outcome.busiest));
        }
    }
    if made.iter().any(|side| side.runs.is_empty()) {
        let signal = app.shutdown.signal().unwrap_or_default();
        let what =
            format!("interrupted after {}: there is nothing to compare", counted(made[0].runs.len(), "run"));
        return Err(Error::unknown(what).with_exit(Exit::signal(signal)));
    }
    Ok(made)
}
