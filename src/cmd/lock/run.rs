//! `hardy lock run`: a command that runs only while its lock is held.

use std::ffi::OsString;
use std::io;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use super::found::other_ttl;
use super::refused::{BusyArgs, explained};
use super::settings::{self, StoreArgs, WantArgs};
use super::waiting;
use crate::app::App;
use crate::config::LockKnobs;
use crate::error::Error;
use crate::exit::{Exit, Verdict};
use crate::lock::run::{self, Cut, Ended, Event, Rules, longest_grace};
use crate::lock::{Grant, Name, Tie, Wanted};
use crate::output::{self, Case, Console, Human, Outcome};
use crate::process::watchdog::Change;
use crate::process::{Command, StartError};
use crate::units;

/// Run a command while holding a lock, and stop it before the lock can be another's
#[derive(clap::Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  hardy lock run nightly -- ./backup.sh                       # waits for its turn
  hardy lock run nightly --try -E 0 -- ./backup.sh            # on twenty hosts by cron: one runs, the others are content
  hardy lock run deploy --wait 10m --reason 'release 4.2' -- make deploy
  hardy lock run api --slots 3 --max-hold 1h -- ./worker
  hardy lock run nightly -- sh -c 'upload --token \"$HARDY_LOCK_TOKEN\" dump.sql'

The command has its own process group; its stdin, stdout, stderr and exit code are its own, and signals are passed on.
How it went is told only to --report.
It finds HARDY_LOCK_NAME, HARDY_LOCK_TOKEN, HARDY_LOCK_HANDLE and, with a lease, HARDY_LOCK_DEADLINE in its environment.

In etcd the lease is renewed every third of --ttl. When that fails, the whole process group gets SIGTERM, and SIGKILL
--grace later, before the lease ends; a watchdog process does so even when hardy is stopped or killed. That is exit 76.
On this host the kernel keeps the lock for as long as hardy, the command, or a daemon that it started lives.
Background jobs that the command leaves in its process group are ended with it; start a daemon with setsid.")]
pub struct Args {
    #[command(flatten)]
    want: WantArgs,
    #[command(flatten)]
    knobs: LockKnobs,
    /// Stop the command after this time; exit 76
    #[arg(long, value_name = "D")]
    max_hold: Option<units::Duration>,
    /// On this host: daemons that the command starts do not keep the lock
    ///
    /// By default the command inherits the open file that keeps a lock of this host, as with flock(1), and whatever
    /// it leaves behind in a session of its own keeps the lock.
    #[arg(long, hide_short_help = true)]
    no_inherit: bool,
    #[command(flatten)]
    busy: BusyArgs,
    /// Exit with N when the command could not be run: lock refused, or store not reachable
    #[arg(long, value_name = "N", hide_short_help = true)]
    fallback_exit: Option<u8>,
    #[command(flatten)]
    store: StoreArgs,
    /// The command and its arguments
    #[arg(value_name = "CMD", last = true, required = true)]
    command: Vec<OsString>,
}

/// Runs it; its exit code is ours.
pub async fn run(args: Args, app: &App) -> Result<Exit, Error> {
    let (busy, fallback) = (args.busy.clone(), args.fallback_exit.map(Exit::of_command));
    let outcome = busy.settle(under_lock(args, app).await);
    outcome.map_err(|error| match fallback {
        Some(code) if [Exit::REFUSED, Exit::UNKNOWN].contains(&error.exit()) => error.with_exit(code),
        _ => error,
    })
}

async fn under_lock(args: Args, app: &App) -> Result<Exit, Error> {
    let knobs = settings::knobs(&args.knobs, &app.config);
    let wanted = args.want.wanted(&knobs, std::process::id(), Tie::Process)?;
    let rules = Rules {
        grace: grace(&knobs, &wanted)?,
        inherit: !args.no_inherit,
        max_hold: args.max_hold.map(|units::Duration(time)| time),
        prefix: args.store.prefix(&app.config)?,
    };
    let (program, arguments) = match args.command.split_first() {
        Some((program, arguments)) => (program.clone(), arguments.to_vec()),
        None => return Err(Error::usage("no command to run")),
    };
    let locks = args.store.open(&app.config)?;
    args.want.not_within(&locks).await?;
    let held = waiting::for_lock(&locks, &wanted, app).await?;
    let grant = held.grant().clone();
    tell(&wanted, &grant, app);
    let Some(signals) = app.shutdown.hand_over() else {
        held.release().await.map_err(explained)?;
        return Ok(Exit::signal(app.shutdown.signal().unwrap_or_default()));
    };
    let command = Command { program, arguments, environment: args.store.told() };
    let (console, name) = (app.console.clone(), grant.handle.name.clone());
    let notes = move |event| note(&event, &name, &console);
    let begun = Instant::now();
    let ended = run::run(held, command, &rules, signals, notes).await;
    settle(ended.map_err(|error| not_run(error, &grant))?, &grant, begun.elapsed(), app)
}

/// What was typed must fit into the lease; the default is cut to fit.
fn grace(knobs: &LockKnobs, wanted: &Wanted) -> Result<Duration, Error> {
    const USUAL: Duration = Duration::from_secs(5);
    let longest = longest_grace(wanted.ttl);
    match knobs.grace {
        None => Ok(USUAL.min(longest)),
        Some(units::Duration(grace)) if grace <= longest => Ok(grace),
        Some(grace) => Err(Error::usage(format!(
            "a grace of {grace} does not fit into a lease of {}: at most {}",
            units::Duration(wanted.ttl),
            units::Duration(longest)
        ))
        .hint("raise --ttl: the command must be gone before the lease ends")),
    }
}

fn tell(wanted: &Wanted, grant: &Grant, app: &App) {
    if let Some(text) = other_ttl(wanted.ttl, grant) {
        app.console.note(&text);
    }
    let waited = units::brief(grant.waited);
    app.console.detail(&format!("acquired {} after {waited}, token {}", wanted.name, grant.token()));
}

/// What the operator is told while the command runs.
fn note(event: &Event, name: &Name, console: &Console) {
    match event {
        Event::Stopping(why) => console.warn(&format!("{why}: stopping the command")),
        Event::Killing => console.warn("the command does not end: killing it"),
        Event::Leftovers => {
            console.warn("the command left processes behind: ending them before the lock is released");
        }
        Event::Unstoppable(error) => console.warn(&format!(
            "processes of the command cannot be ended ({error}): they outlive the lock of {name}"
        )),
        Event::Watchdog(Change::Replaced) => console.warn("the watchdog had died; a new one watches"),
        Event::Watchdog(Change::Missing(error)) => {
            console.warn(&format!("there is no watchdog ({error}): hardy alone ends the command in time"));
        }
        Event::NotReleased(error) => {
            console.warn(&format!("{name} could not be released: {error}; its lease ends by itself"));
        }
    }
}

fn told(cut: &Cut, grant: &Grant) -> String {
    match cut {
        Cut::Lost(error) => error.to_string(),
        Cut::Held(time) => {
            format!("{} was held for {}, as long as it may", grant.handle.name, units::Duration(*time))
        }
        other => format!("{}: {other}", grant.handle.name),
    }
}

/// How it went, for `--report`; stdout is the command's own.
#[derive(Serialize, JsonSchema)]
struct Report {
    name: String,
    store: String,
    /// The fencing token.
    token: u64,
    /// How long it took to get the lock.
    waited_ms: u64,
    /// The exit code of the command, with 128 and the number of a signal that ended it.
    exit_code: u8,
    /// Why the command cannot be said to have run alone, or why it was stopped; null if all went well.
    lost: Option<String>,
    #[serde(skip)]
    time: Duration,
}

impl Report {
    fn new(ended: &Ended, grant: &Grant, time: Duration) -> Report {
        Report {
            name: grant.handle.name.to_string(),
            store: grant.handle.store.clone(),
            token: grant.token(),
            waited_ms: u64::try_from(grant.waited.as_millis()).unwrap_or(u64::MAX),
            exit_code: ended.status.code(),
            lost: ended.cut.as_ref().map(|cut| told(cut, grant)),
            time,
        }
    }
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.lock.run/v1";

    fn verdict(&self) -> Verdict {
        if self.lost.is_none() && self.exit_code == 0 { Verdict::Good } else { Verdict::Bad }
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        out.line(format!("{}: token {}, exit {}", self.name, self.token, self.exit_code))
    }

    fn cases(&self) -> Vec<Case> {
        let fail = |reason: &str, message| Outcome::Fail { reason: reason.to_owned(), message };
        let outcome = match (&self.lost, self.exit_code) {
            (Some(lost), _) => fail("lost", lost.clone()),
            (None, 0) => Outcome::Pass,
            (None, code) => fail("exit", format!("the command ended with {code}")),
        };
        vec![Case { name: self.name.clone(), time: self.time, outcome }]
    }
}

/// The exit code of a command that ran.
fn settle(ended: Ended, grant: &Grant, time: Duration, app: &App) -> Result<Exit, Error> {
    if let Err(error) = app.console.file(&Report::new(&ended, grant, time)) {
        // The exit code stays that of the command.
        app.console.warn(&error.to_string());
    }
    if let Some(cut) = &ended.cut {
        let text = told(cut, grant);
        let text = if ended.stopped { text } else { format!("{text}; the command had ended by itself") };
        let hint = match cut {
            Cut::Held(_) => "raise --max-hold, or find out why it took so long",
            _ => {
                "another may have held it since: check what it guards, or let that refuse old tokens (lock fence)"
            }
        };
        return Err(Error::lost(text).hint(hint));
    }
    if let Err(error) = &ended.release {
        let name = &grant.handle.name;
        app.console.warn(&format!("{name} could not be released: {error}; its lease ends by itself"));
    }
    Ok(Exit::of_command(ended.status.code()))
}

fn not_run(error: run::Error, grant: &Grant) -> Error {
    let text = error.to_string();
    match error {
        run::Error::Start(start) => start_failed(start),
        run::Error::Interrupted(signal) => Error::unknown(text).with_exit(Exit::signal(signal)),
        run::Error::Late => Error::lost(format!("{}: {text}", grant.handle.name))
            .hint("raise --ttl, or look at what delays this host"),
        run::Error::System(cause) => Error::unknown(text).because(cause),
    }
}

fn start_failed(start: StartError) -> Error {
    let text = start.to_string();
    let exit = match start {
        StartError::NotFound(_) => Exit::NOT_FOUND,
        StartError::Refused(..) => Exit::NOT_EXECUTABLE,
    };
    let error = Error::usage(text).with_exit(exit);
    let error = match start {
        StartError::NotFound(_) => error,
        StartError::Refused(_, cause) => error.because(cause),
    };
    error.hint("the lock is released; what follows `--` is a program and its arguments")
}
