//! Runs a command under a lock, and ends it with all its children before the lock can be another's.
//!
//! It says what happened and prints nothing; what the command writes and reads is none of its business.

mod environment;
mod notes;
mod plan;
mod supervise;
mod times;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Error as LockError, Grant, Held, Lease};
use crate::process::watchdog::{self, Change};
use crate::process::{Command, Signals, StartError, Status, Terminal};
use notes::Notes;
use supervise::Surroundings;

pub use times::{StopTimes, longest_grace, margin, stop_times};

/// How the command is treated.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How long it may take to end after SIGTERM; cut to [`longest_grace`] of the lease that was granted.
    pub grace: Duration,
    /// Whether it inherits the open file that keeps a lock of the local store: its daemons keep the lock, and so does
    /// it when hardy is killed. Otherwise it ends with hardy.
    pub inherit: bool,
    /// How long it may run.
    pub max_hold: Option<Duration>,
    /// What the store puts before the name of a lock in etcd.
    pub prefix: String,
}

/// How it went.
#[derive(Debug)]
pub struct Ended {
    /// How the command ended.
    pub status: Status,
    /// Why the lock cannot be said to have been ours until the command's end, or why it was ended.
    pub cut: Option<Cut>,
    /// Whether it was asked to end; otherwise it ended before that, by itself.
    pub stopped: bool,
    /// Whether it ended by itself and left processes of its group behind, which then were ended.
    pub leftovers: bool,
    /// Whether the lock could be given back; a lost one needs that no more.
    pub release: Result<(), LockError>,
}

/// What cut the lock short.
#[derive(Debug)]
pub enum Cut {
    /// The store says that it is ours no more.
    Lost(LockError),
    /// The lease could not be renewed in time.
    Unrenewed,
    /// The lease was over before we knew of the command's end: this process was stopped, or slow.
    Over,
    /// It was held for as long as it may: [`Rules::max_hold`].
    Held(Duration),
}

impl Cut {
    /// Why the command is asked to end, for whoever is told the whole of it at the end.
    fn brief(&self) -> &'static str {
        match self {
            Cut::Lost(_) => "the lock is lost",
            Cut::Unrenewed | Cut::Over => "the lease could not be renewed in time",
            Cut::Held(_) => "held for as long as it may",
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cut::Lost(error) => write!(f, "{error}"),
            Cut::Unrenewed => f.write_str("the lease could not be renewed in time"),
            Cut::Over => f.write_str(
                "the lease was over while hardy was stopped or slow (Ctrl-Z, SIGSTOP, a busy host)",
            ),
            Cut::Held(time) => write!(f, "it was held for as long as it may, {time:?}"),
        }
    }
}

/// What happens meanwhile.
#[derive(Debug)]
pub enum Event {
    /// The command is asked to end: why, in a few words.
    Stopping(&'static str),
    /// It did not, and is killed.
    Killing,
    /// It has ended, and left processes behind, which are asked to end.
    Leftovers,
    /// Processes of it run as another user, and cannot be ended.
    Unstoppable(io::Error),
    /// The watchdog was replaced, or is missing: then hardy alone ends the command in time.
    Watchdog(Change),
    /// The lock of a command that was not started could not be given back.
    NotReleased(LockError),
}

/// Why the command was not run. The lock is given back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// SIGINT, SIGTERM or SIGHUP, by its number, came first.
    #[error("interrupted before the command was started")]
    Interrupted(i32),
    /// The lease is so near to its end that the command would have to be stopped at once.
    #[error("the lease was nearly over before the command could be started")]
    Late,
    /// Something that the supervision of a command needs.
    #[error("cannot supervise a command")]
    System(#[from] io::Error),
}

/// Runs the command, and gives the lock back after its end. `asked`: the numbers of SIGINT, SIGTERM and SIGHUP as they arrive;
/// they are passed on, as others that reach this process. To be awaited by the program's main thread: the kernel stops a
/// process by that one. `notes` is called in a thread of its own: it may block, and holds up nothing but the return
/// after the lock was given back.
///
/// # Errors
/// The command was not run.
pub async fn run(
    held: Held,
    command: Command,
    rules: &Rules,
    asked: UnboundedReceiver<i32>,
    notes: impl Fn(Event) + Send + 'static,
) -> Result<Ended, Error> {
    let notes = Notes::new(notes);
    let note = |event| notes.note(event);
    let mark = format!("{}={}", environment::HANDLE, held.grant().handle);
    let surroundings = Signals::listen(asked).map(|signals| Surroundings {
        signals,
        terminal: Terminal::controlling(),
        watchdog: watchdog::own(&mark),
        notes: &note,
    });
    under(held, command, rules, surroundings, &note).await
}

/// What is needed of a lock.
trait Keep {
    fn grant(&self) -> &Grant;
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
    async fn keep(
        &self,
        lease: &watch::Sender<Option<Lease>>,
        stop: &CancellationToken,
    ) -> Result<(), LockError>;
    async fn release(self) -> Result<(), LockError>;
}

impl Keep for Held {
    fn grant(&self) -> &Grant {
        Held::grant(self)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Held::descriptor(self)
    }

    async fn keep(
        &self,
        lease: &watch::Sender<Option<Lease>>,
        stop: &CancellationToken,
    ) -> Result<(), LockError> {
        Held::keep(self, lease, stop).await
    }

    async fn release(self) -> Result<(), LockError> {
        Held::release(self).await
    }
}

async fn under(
    lock: impl Keep,
    mut command: Command,
    rules: &Rules,
    surroundings: io::Result<Surroundings<'_>>,
    notes: &dyn Fn(Event),
) -> Result<Ended, Error> {
    let variables = environment::of(lock.grant(), &rules.prefix);
    command.environment.extend(variables.into_iter().map(|(name, value)| (name.to_owned(), value)));
    let outcome = match surroundings {
        Ok(surroundings) => supervise::to_the_end(&lock, &command, rules, surroundings).await,
        Err(error) => Err(error.into()),
    };
    let release = lock.release().await;
    match outcome {
        Ok((mut ended, _dismissed)) => {
            match release {
                // Taken away between the last renewal and now: the command may not have been alone.
                Err(error @ LockError::Lost { .. }) => drop(ended.cut.get_or_insert(Cut::Lost(error))),
                other => ended.release = other,
            }
            Ok(ended)
        }
        Err(error) => {
            if let Err(error) = release {
                notes(Event::NotReleased(error));
            }
            Err(error)
        }
    }
}
