//! From what was typed to a run of jobs.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args as _;

use super::JobArgs;
use crate::app::App;
use crate::circuit::Name;
use crate::cmd::breakers::SharedArgs;
use crate::cmd::load::run::Args;
use crate::cmd::load::settings::pace;
use crate::cmd::names::flag;
use crate::config::{self, Config};
use crate::error::Error;
use crate::load::jobs::{Form, Limits, Plan, Resume, Retries, Template, count};
use crate::load::plan::Stop;
use crate::process;
use crate::units;

/// Between SIGTERM and SIGKILL, where nothing else is said.
const GRACE: Duration = Duration::from_secs(5);
/// The same of `breaker run`, and its leisure to report.
const THROUGH_GRACE: Duration = Duration::from_secs(1);
const BACKOFF: Duration = Duration::from_secs(1);

/// What else of `load run` means something for jobs, by the names of the arguments.
const SHARED: &[&str] = &["requests", "duration", "rate", "stages", "arrivals", "timeout", "grace"];
const GLOBAL: &[&str] =
    &["output", "json", "report", "config", "profile", "color", "progress", "quiet", "verbose"];

/// A run, ready to be started.
#[derive(Debug)]
pub struct Settings {
    /// What is done.
    pub plan: Plan,
    /// Where the jobs come from.
    pub input: File,
    /// Their file, where they can be counted beforehand.
    file: Option<PathBuf>,
}

impl Settings {
    /// # Errors
    /// Usage errors, and an input that cannot be opened.
    pub fn resolve(args: &Args, app: &App) -> Result<Settings, Error> {
        applicable(args)?;
        let jobs = &args.jobs;
        if jobs.ungroup && app.console.is_json() {
            return Err(Error::usage(
                "--ungroup leaves stdout to the jobs, and --json wants it for the report",
            ));
        }
        let typed = |value: Option<units::Duration>, id| value.filter(|_| args.names.typed(id)).map(|d| d.0);
        let timeout = typed(args.knobs.timeout, "timeout");
        let grace = typed(args.knobs.grace, "grace");
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(Error::usage("--timeout must be more than 0s"));
        }
        let resume = match (jobs.resume, jobs.resume_failed) {
            (true, _) => Some(Resume::Ended),
            (_, true) => Some(Resume::Succeeded),
            _ => None,
        };
        let through = args.shared.name().map(|name| Through::new(name, timeout, grace, args, &app.config));
        let through = through.transpose()?;
        let plan = Plan {
            command: command(args, through.as_ref(), &app.config)?,
            search_path: config::search_path(),
            null: jobs.null,
            workers: workers(jobs.workers)?,
            pace: pace(args)?,
            stop: Stop { requests: args.requests, duration: typed(args.knobs.duration, "duration") },
            delay: jobs.delay.map_or(Duration::ZERO, |delay| delay.0),
            limits: Limits { load: jobs.max_load, memory: jobs.memfree.map(|size| size.0) },
            timeout: timeout.filter(|_| through.is_none()),
            grace: through.map_or(grace.unwrap_or(GRACE), |through| through.longest),
            retries: Retries {
                most: jobs.retries.unwrap_or(0),
                backoff: jobs.retry_backoff.map_or(BACKOFF, |backoff| backoff.0),
            },
            halt: jobs.halt,
            form: match (jobs.keep_order, jobs.line_buffer, jobs.ungroup) {
                (true, ..) => Form::InOrder,
                (_, true, _) => Form::Lines,
                (.., true) => Form::Inherited,
                _ => Form::Whole,
            },
            tag: jobs.tag,
            results: jobs.results.clone(),
            joblog: jobs.joblog.clone().map(|path| (path, resume)),
            temporary: std::env::temp_dir(),
        };
        let path = jobs.jobs.clone().unwrap_or_default();
        let file = (path != Path::new("-")).then_some(path);
        Ok(Settings { plan, input: open(file.as_deref())?, file })
    }

    /// How many jobs there are, if that can be found out without waiting for them.
    pub fn total(&self) -> Option<u64> {
        let path = self.file.as_ref().filter(|path| path.is_file())?;
        let jobs = File::open(path).and_then(|file| count(file, self.plan.null)).ok()?;
        Some(self.plan.stop.requests.map_or(jobs, |most| jobs.min(most)))
    }
}

/// Whoever asks for what only requests have expected something else.
fn applicable(args: &Args) -> Result<(), Error> {
    let own = JobArgs::augment_args(clap::Command::new("jobs"));
    let is_own = |id: &str| own.get_arguments().any(|argument| argument.get_id() == id);
    if args.shared.name().is_none() {
        SharedArgs::need_one(&args.names)?;
    }
    let known = |id: &str| SHARED.contains(&id) || GLOBAL.contains(&id) || SharedArgs::has(id) || is_own(id);
    match args.names.all_typed().find(|id| !known(id)) {
        None => Ok(()),
        Some("target") => {
            Err(Error::usage("a TARGET has no meaning with --jobs").hint("the command stands after --"))
        }
        Some("connections") => {
            Err(Error::usage("--connections has no meaning with --jobs").hint("use --workers"))
        }
        Some(id) => Err(Error::usage(format!("{} has no meaning with --jobs", flag(id)))),
    }
}

fn workers(wanted: Option<usize>) -> Result<usize, Error> {
    match wanted {
        Some(0) => Err(Error::usage("--workers must be at least 1, not 0")),
        Some(number) => Ok(number),
        None => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
    }
}

fn open(file: Option<&Path>) -> Result<File, Error> {
    let opened = match file {
        Some(path) => File::open(path),
        None => io::stdin().as_fd().try_clone_to_owned().map(File::from),
    };
    let name = file.map_or("stdin".into(), |path| path.display().to_string());
    opened.map_err(|error| Error::usage(format!("cannot read jobs from {name}")).because(error))
}

fn command(args: &Args, through: Option<&Through>, config: &Config) -> Result<Template, Error> {
    let jobs = &args.jobs;
    let sh = || process::find("sh".as_ref(), &config::search_path());
    let not_found = |error: process::StartError| Error::usage("there is no shell").because(error);
    let template = match jobs.shell {
        true => Template::shell(sh().map_err(not_found)?.into(), &jobs.command),
        false => Template::argv(&jobs.command),
    };
    if jobs.lock.is_none() && through.is_none() {
        return Ok(template);
    }
    // What `lock run` or `breaker run` does not find would be the failure of each job, not of the command.
    if let Some(program) = jobs.command.first().filter(|_| !jobs.shell && template.has_one_program()) {
        process::find(program, &config::search_path())
            .map_err(|error| super::refused(crate::load::jobs::Error::Start(error)))?;
    }
    // No breaker counts the time that a job waits for its lock.
    let mut words = match &jobs.lock {
        Some(lock) => ourselves(config, ["lock".into(), "run".into(), lock.clone(), "--".into()])?,
        None => Vec::new(),
    };
    words.extend(through.into_iter().flat_map(|through| through.words.clone()));
    Ok(template.run_by(&words))
}

/// Jobs that are run by `hardy breaker run NAME --`.
struct Through {
    words: Vec<OsString>,
    /// When that has ended its command, whatever the command does.
    longest: Duration,
}

impl Through {
    fn new(
        name: &Name,
        timeout: Option<Duration>,
        grace: Option<Duration>,
        args: &Args,
        config: &Config,
    ) -> Result<Through, Error> {
        let usual = || config::need(config.profile.breaker.timeout, "breaker.timeout");
        let timeout = timeout.map_or_else(|| usual().map(|usual| usual.0), Ok)?;
        let grace = grace.unwrap_or(THROUGH_GRACE);
        let mut words: Vec<OsString> = vec!["breaker".into(), "run".into(), name.as_str().into()];
        for (flag, time) in [("--timeout", timeout), ("--grace", grace)] {
            words.extend([flag.into(), units::Duration(time).to_string().into()]);
        }
        words.extend(args.shared.words());
        words.push("--".into());
        let mut through: Vec<OsString> = args.shared.variables();
        through.extend(ourselves(config, words)?);
        let longest = timeout.saturating_add(grace).saturating_add(THROUGH_GRACE);
        Ok(Through { words: through, longest })
    }
}

/// Hardy itself, with the same config.
fn ourselves(config: &Config, words: impl IntoIterator<Item = OsString>) -> Result<Vec<OsString>, Error> {
    let hardy = std::env::current_exe();
    let hardy = hardy.map_err(|error| {
        Error::unknown("cannot find hardy itself, for --lock or --breaker").because(error)
    })?;
    let path = config.path.clone().unwrap_or_else(|| "none".into());
    let mut all: Vec<OsString> = vec![hardy.into(), "--config".into(), path.into()];
    if let Some(profile) = config.chosen_profile() {
        all.extend(["--profile".into(), profile.into()]);
    }
    all.extend(words);
    Ok(all)
}
