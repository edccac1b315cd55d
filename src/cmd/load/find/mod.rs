//! `hardy load find`: how much does it bear, before its users notice?

mod report;

use std::sync::Arc;

use super::each::EachArgs;
use super::run::once;
use super::settings::{Prepared, Settings as RunSettings};
use crate::app::App;
use crate::complete;
use crate::error::Error;
use crate::load::condition::Condition;
use crate::load::find::{Answer, Range, Step, find};
use crate::load::plan::Pace;
use crate::load::schedule::{Arrivals, Schedule, Stage};
use crate::load::watch::Watch;
use crate::units::{Percent, Rate};

use report::Report;

/// Search for the highest rate at which the conditions hold
#[derive(clap::Args, Debug)]
#[command(mut_arg("duration", |arg| arg.help("Length of each trial")))]
#[command(after_long_help = "\
Examples:
  hardy load find http://127.0.0.1:8080 --slo 'p99<50ms' --slo 'error_rate<0.1%'
  hardy load find api --slo 'p99<200ms' --start 50/s --max-rate 2000/s -c 200 -d 30s

How it searches:
  Each trial is a run in the open loop. From --start the rate is doubled while all conditions hold and 98 % of what was
  due has ended, or halved while not; then the gap is narrowed. A rate that fails is tried once more. A trial in which
  the generator was the bottleneck ends the search: nothing is concluded from it. Too few connections (-c) look like a
  target that does not reach the rate.

Verdict:
  0 a rate was found   1 not even the lowest rate held   3 the generator was the bottleneck, or too few requests to say")]
pub struct Args {
    /// URL (http https unix+http) or name in the config
    #[arg(value_name = "TARGET", add = complete::targets())]
    target: String,
    /// What must hold: p99<50ms, error_rate<0.1%, mean<20ms, failed<=0 [repeatable]
    ///
    /// METRIC then < <= > or >= then a value. p50, p99.9, mean and max are response times of all requests that ended,
    /// service_p99 counts from when they were sent, ok_p99 is of good answers only; error_rate, rate, failed, cut_off,
    /// unsent.
    #[arg(long, value_name = "CONDITION", required = true, help_heading = "Verdict")]
    slo: Vec<Condition>,
    /// The first rate [default: 100/s]
    #[arg(long, value_name = "RATE", help_heading = "Search")]
    start: Option<Rate>,
    /// Try no lower rate [default: 1/s]
    #[arg(long, value_name = "RATE", help_heading = "Search", hide_short_help = true)]
    min_rate: Option<Rate>,
    /// Try no higher rate [default: 1000000/s]
    #[arg(long, value_name = "RATE", help_heading = "Search")]
    max_rate: Option<Rate>,
    /// How close the answer must be [default: 5%]
    #[arg(long, value_name = "SHARE", help_heading = "Search")]
    resolution: Option<Percent>,
    #[command(flatten)]
    each: EachArgs,
}

/// What the arguments and the config mean together.
struct Settings {
    run: Prepared,
    arrivals: Arrivals,
    conditions: Vec<Condition>,
    range: Range,
}

impl Settings {
    async fn resolve(args: Args, app: &App) -> Result<Settings, Error> {
        let range = range(&args)?;
        if args.each.names.typed("replay") {
            return Err(Error::usage("--replay has times of its own, but a search tries rates"));
        }
        let mut run = args.each.run();
        (run.target, run.rate) = (Some(args.target), Some(Rate(range.start)));
        let arrivals = run.arrivals.map(super::run::ArrivalsArg::engine).unwrap_or_default();
        let RunSettings { run, warnings, .. } = RunSettings::resolve(&run, &app.config).await?;
        warnings.iter().for_each(|warning| app.console.warn(warning));
        Ok(Settings { run, arrivals, conditions: args.slo, range })
    }

    /// The run of one trial.
    fn at(&self, rate: f64) -> Prepared {
        let mut run = self.run.clone();
        let stages = vec![Stage::for_ever(rate)];
        run.plan.pace = Pace::Open(Arc::new(Schedule::Stages(stages, self.arrivals)));
        run
    }
}

fn range(args: &Args) -> Result<Range, Error> {
    let given = |rate: Option<Rate>, default| rate.map_or(default, |Rate(rate)| rate);
    let (lowest, highest) = (given(args.min_rate, 1.0), given(args.max_rate, 1e6));
    if lowest <= 0.0 {
        return Err(Error::usage("--min-rate must be more than 0/s"));
    }
    if highest < lowest {
        return Err(Error::usage(format!(
            "--max-rate ({}) is lower than --min-rate ({})",
            Rate(highest),
            Rate(lowest)
        )));
    }
    let start = match args.start {
        Some(Rate(start)) if !(lowest..=highest).contains(&start) => {
            let bounds = format!("--start must lie between {} and {}", Rate(lowest), Rate(highest));
            return Err(Error::usage(bounds).hint("move the bounds with --min-rate and --max-rate"));
        }
        start => given(start, 100.0f64.clamp(lowest, highest)),
    };
    let resolution = args.resolution.map_or(5.0, |Percent(percent)| percent);
    if resolution < 1.0 {
        return Err(Error::usage(format!("--resolution must be at least 1%, not {}", Percent(resolution))));
    }
    Ok(Range { start, lowest, highest, resolution: resolution / 100.0 })
}

/// Searches to the end; each trial is told of as it ends.
pub async fn run(args: Args, app: &App) -> Result<Report, Error> {
    let settings = Settings::resolve(args, app).await?;
    let found = find(settings.range, async |rate, again| {
        let outcome = once(&settings.at(rate), Watch::default(), app).await?;
        let step = Step::of(rate, again, &outcome, &settings.conditions);
        if step.answer != Answer::Interrupted {
            app.console.note(&report::line(&step));
        }
        Ok::<_, Error>(step)
    });
    Ok(Report::new(&settings.run.target, &settings.conditions, settings.range, found.await?))
}
