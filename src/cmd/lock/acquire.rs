//! `hardy lock acquire`: get it in one call, give it back in another.

use std::io;
use std::time::Duration;

use clap::parser::ValueSource;
use schemars::JsonSchema;
use serde::Serialize;

use super::found::{Got, other_ttl};
use super::keep;
use super::refused::BusyArgs;
use super::settings::{self, StoreArgs, WantArgs};
use super::waiting;
use crate::app::App;
use crate::config::LockKnobs;
use crate::error::Error;
use crate::exit::{Exit, Verdict};
use crate::lock::{Grant, Locks, Mode, Tie};
use crate::output::{self, Human};
use crate::units;

/// Get a lock, print its handle, and leave
#[derive(clap::Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  hardy lock acquire deploy --wait 5m --ttl 10m && { ./deploy.sh; hardy lock release deploy; }
  handle=$(hardy lock acquire deploy --try) || exit     # exit 75: others hold it
  hardy lock release deploy --handle \"$handle\"
  hardy lock acquire db --keep-alive-for-pid $$         # renewed until this shell ends, then given back
  hardy lock acquire api --slots 3 --json | jq -r .data.token

The lock ends --ttl after it was got, or after its last `lock renew`. Its handle is printed, and kept for `release`,
`renew` on this host. A service that runs for long is better off with `lock run`.")]
pub struct Args {
    #[command(flatten)]
    want: WantArgs,
    #[command(flatten)]
    knobs: Patience,
    /// Renew it until that process ends, then give it back
    #[arg(long, value_name = "PID")]
    keep_alive_for_pid: Option<u32>,
    /// But give it back after this time
    #[arg(long, value_name = "D", requires = "keep_alive_for_pid")]
    max_hold: Option<units::Duration>,
    #[command(flatten)]
    busy: BusyArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// The knobs of a lock; the one that only a command has is hidden, and refused.
#[derive(Clone, Debug, Default)]
struct Patience {
    knobs: LockKnobs,
    grace: bool,
}

impl clap::Args for Patience {
    fn augment_args(command: clap::Command) -> clap::Command {
        LockKnobs::augment_args(command).mut_arg("grace", |grace| grace.hide(true))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Patience::augment_args(command)
    }
}

impl clap::FromArgMatches for Patience {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Patience, clap::Error> {
        let grace = matches.value_source("grace") == Some(ValueSource::CommandLine);
        Ok(Patience { knobs: LockKnobs::from_arg_matches(matches)?, grace })
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Patience::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The lock that was got.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
struct Report(Got);

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.lock.acquire/v1";

    fn verdict(&self) -> Verdict {
        Verdict::Good
    }

    /// The handle alone, so that `handle=$(hardy lock acquire ...)` is all that a script needs.
    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        out.line(&self.0.handle)
    }
}

/// Gets the lock, or says who has it.
pub async fn run(args: Args, app: &App) -> Result<Exit, Error> {
    let busy = args.busy.clone();
    busy.settle(acquire(args, app).await)
}

async fn acquire(args: Args, app: &App) -> Result<Exit, Error> {
    if args.knobs.grace {
        return Err(Error::usage("--grace has no meaning here: `acquire` runs no command")
            .hint("`hardy lock run NAME --grace D -- CMD` runs one"));
    }
    let knobs = settings::knobs(&args.knobs.knobs, &app.config);
    let pid = args.keep_alive_for_pid.unwrap_or_else(caller);
    let wanted = args.want.wanted(&knobs, pid, Tie::Lease)?;
    let locks = args.store.open(&app.config)?;
    let keeper = args.keep_alive_for_pid.map(|pid| keep::Order {
        pid,
        max_hold: args.max_hold.map(|units::Duration(time)| time),
        store: args.store.variables(&app.config),
    });
    args.want.not_within(&locks).await?;
    let held = match &keeper {
        None => waiting::for_lock(&locks, &wanted, app).await?,
        // Nobody is to get a lock for a process that has ended, or for another one with its number.
        Some(order) => waiting::for_lock_of(order.watch()?, &locks, &wanted, app).await?,
    };
    if let Some(signal) = app.shutdown.signal() {
        // It was got in the same moment; who asked for the end does not want it.
        held.release().await.map_err(super::refused::explained)?;
        return Ok(Exit::signal(signal));
    }
    let grant = held.leave();
    if let Some(text) = other_ttl(wanted.ttl, &grant) {
        app.console.note(&text);
    }
    if let Some(order) = keeper {
        give_to_keeper(&order, &grant, &locks, app).await?;
    }
    if let Some(lease) = grant.lease
        && lease.deadline.left().is_zero()
    {
        let text = format!(
            "{} was got, and its lease of {} is over already",
            wanted.name,
            units::Duration(lease.ttl)
        );
        return Err(Error::lost(text).hint("this host was paused, or is very busy: raise --ttl"));
    }
    args.store.keep(&grant.handle, wanted.mode == Mode::Exclusive, app);
    app.console.interactive_note(&told(&grant, pid, args.keep_alive_for_pid.is_some()));
    let told = app.finish(&Report(Got::new(&grant.handle, grant.lease, grant.waited)));
    if !matches!(told, Ok(Exit::GOOD)) {
        // Whoever was interrupted, or cannot read the handle, does not know that there is a lock.
        args.store.forget(&grant.handle, &app.config);
        let _ = locks.release(&grant.handle).await;
    }
    told
}

/// A lock that nobody keeps alive must not stay behind.
async fn give_to_keeper(order: &keep::Order, grant: &Grant, locks: &Locks, app: &App) -> Result<(), Error> {
    let started = tokio::select! {
        started = order.start(&grant.handle) => started,
        () = app.shutdown.token.cancelled() => {
            let signal = app.shutdown.signal().unwrap_or_default();
            Err(Error::unknown("interrupted").with_exit(Exit::signal(signal)))
        }
    };
    if started.is_err() {
        // The first error is the one to tell; the lease ends by itself.
        let _ = locks.release(&grant.handle).await;
    }
    started
}

fn told(grant: &Grant, pid: u32, kept: bool) -> String {
    let (name, token) = (&grant.handle.name, grant.token());
    let waited = if grant.waited < Duration::from_secs(1) {
        String::new()
    } else {
        format!(" after {}", units::brief(grant.waited))
    };
    let until = match grant.lease {
        _ if kept => format!("until process {pid} ends"),
        Some(lease) => format!("for {}", units::Duration(lease.ttl)),
        None => "until it is released".to_owned(),
    };
    format!("acquired {name}{waited}, token {token}, {until}; its handle:")
}

/// The process that called: a shell, a script. hardy's own is gone when somebody looks.
fn caller() -> u32 {
    rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs())
}
