//! What a lock's errors mean for the command line: words, a next step, an exit code.

use std::time::Duration;

use crate::app::App;
use crate::error::Error;
use crate::exit::Exit;
use crate::lock;
use crate::output::printable;
use crate::units::{brief, counted};

use super::found::{ago, mode, who};

/// Who did not wait wants to read of no time.
const WORTH_TELLING: Duration = Duration::from_millis(100);

/// The exit code in place of 75.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct BusyArgs {
    /// Exit with N in place of 75 when others hold it
    #[arg(long, short = 'E', value_name = "N", hide_short_help = true)]
    conflict_exit_code: Option<u8>,
}

impl BusyArgs {
    /// The outcome of an attempt, with the exit code that was asked for.
    pub fn settle(&self, outcome: Result<Exit, Error>) -> Result<Exit, Error> {
        outcome.map_err(|error| match self.conflict_exit_code {
            Some(code) if error.exit() == Exit::REFUSED => error.with_exit(Exit::of_command(code)),
            _ => error,
        })
    }
}

/// What a person wants to know of a holder: since when, as what, why.
fn details(holder: &lock::Member) -> String {
    let since = Some(ago(holder.since)).filter(|since| !since.is_empty()).map(|since| format!("for {since}"));
    let mode = Some(mode(holder)).filter(|mode| !mode.is_empty());
    let reason = holder.owner.as_ref().and_then(|owner| owner.reason.as_deref()).map(printable);
    let known: Vec<String> = [since, mode, reason].into_iter().flatten().collect();
    if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) }
}

/// What ended a wait for a lock; a signal has its own exit code.
pub fn unavailable(error: lock::Error, app: &App) -> Error {
    match (&error, app.shutdown.signal()) {
        (lock::Error::Interrupted, Some(signal)) => explained(error).with_exit(Exit::signal(signal)),
        _ => explained(error),
    }
}

/// The error with its exit code and the next command to try.
pub fn explained(error: lock::Error) -> Error {
    // Names in etcd can be anybody's bytes.
    let text = printable(&error.to_string());
    match error {
        lock::Error::Busy { name, holders, waiters, waited } => {
            let by = match holders.first() {
                Some(first) => format!(" by {}{}", who(first), details(first)),
                None => " by others".to_owned(),
            };
            let more = match holders.len() {
                0 | 1 => String::new(),
                several => format!(" and {}", counted(several - 1, "other")),
            };
            let queue = match waiters {
                0 => String::new(),
                some => format!(", {} before this one", counted(some, "waiter")),
            };
            let after = match waited {
                short if short < WORTH_TELLING => String::new(),
                long => format!(" after {}", brief(long)),
            };
            Error::refused(format!("{name} is held{by}{more}{queue}{after}"))
                .hint(format!("`hardy lock status {name}` shows the queue; --wait D waits longer"))
        }
        lock::Error::Lost { .. } => Error::lost(text)
            .hint("whatever it guarded may be in the hands of another holder: check before going on"),
        lock::Error::Displaced { .. } => Error::refused(text)
            .hint("it was cut off or paused for longer than --ttl, or somebody deleted its key: try again"),
        lock::Error::Conflict { .. } => Error::usage(text)
            .hint("give them names of which none begins with the other and a slash, such as foo-bar"),
        lock::Error::OtherStore { .. } => {
            Error::usage(text).hint("use the endpoints, or the directory, that it was acquired with")
        }
        lock::Error::Interrupted => Error::unknown("interrupted while waiting for the lock"),
        lock::Error::Store(error) => crate::cmd::store::failed(error),
    }
}
