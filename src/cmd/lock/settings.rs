//! What the store's settings mean, and how a lock is asked for.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::app::App;
use crate::cmd::store::store;
use crate::config::{self, Config, Layer, LockKnobs, StoreKnobs, need};
use crate::error::Error;
use crate::lock::{self, Kept, Locks, Mode, Name, Owner, Patience, Tie, Wanted};
use crate::store::Settings;
use crate::units::Wait;

use super::refused::explained;

/// A shorter lease than this cannot be renewed in time by anybody.
const SHORTEST: Duration = Duration::from_millis(500);

/// The flags of every lock command.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct StoreArgs {
    #[command(flatten)]
    knobs: StoreKnobs,
}

impl StoreArgs {
    /// As if these were typed.
    pub fn of(knobs: StoreKnobs) -> StoreArgs {
        StoreArgs { knobs }
    }

    /// The locks of the store that is configured.
    pub fn open(&self, config: &Config) -> Result<Locks, Error> {
        let (settings, prefix) = store(self.merged(config))?;
        Locks::open(&settings, &prefix).map_err(explained)
    }

    /// What is put before the names of locks.
    pub fn prefix(&self, config: &Config) -> Result<String, Error> {
        store(self.merged(config)).map(|(_, prefix)| prefix)
    }

    /// What was typed, or set in the environment, as variables: a command under a lock finds the same store.
    pub fn told(&self) -> Vec<(String, String)> {
        config::as_variables("store", &self.knobs)
    }

    /// Where the locks are, for people.
    pub fn place(&self, config: &Config) -> Result<String, Error> {
        Ok(match store(self.merged(config))?.0 {
            Settings::Local(local) => format!("on this host ({})", local.directory.display()),
            Settings::Etcd(etcd) => format!("in etcd ({})", etcd.endpoints.join(", ")),
        })
    }

    /// The same store, as variables for a process of our own.
    pub fn variables(&self, config: &Config) -> Vec<(String, String)> {
        config::as_variables("store", &self.merged(config))
    }

    /// Keeps the handle for `release` and `renew`. Without that it still is printed. `alone`: nobody else can hold the
    /// lock, so that older handles of it are of no more use.
    pub fn keep(&self, handle: &lock::Handle, alone: bool, app: &App) {
        let kept = self.kept(&app.config).map_err(|e| e.to_string());
        let keep = |kept: Kept| {
            if alone {
                kept.of(handle.kind(), &handle.name).iter().for_each(|old| kept.forget(old));
            }
            kept.keep(handle).map_err(|e| e.to_string())
        };
        if let Err(error) = kept.and_then(keep) {
            let text = format!("the handle is not kept on this host ({error}): pass it with --handle");
            app.console.warn(&text);
        }
    }

    /// The handle is of no use any more.
    pub fn forget(&self, handle: &lock::Handle, config: &Config) {
        // Where there is no directory for state, nothing was kept.
        if let Ok(kept) = self.kept(config) {
            kept.forget(handle);
        }
    }

    fn kept(&self, config: &Config) -> Result<Kept, Error> {
        let directory = self.merged(config).directory;
        directory.map_or_else(config::state_directory, Ok).map(|state| Kept::below(&state))
    }

    fn merged(&self, config: &Config) -> StoreKnobs {
        self.knobs.clone().or(config.profile.store.clone())
    }
}

/// One's own lock: the flags of `release` and `renew`.
#[derive(clap::Args, Debug)]
pub struct OwnArgs {
    /// The lock
    #[arg(value_name = "NAME", add = super::found::names())]
    name: Name,
    /// The handle, a file with it, or - for stdin [default: the one kept on this host]
    #[arg(long, value_name = "HANDLE")]
    handle: Option<String>,
    #[command(flatten)]
    pub store: StoreArgs,
}

impl OwnArgs {
    /// The locks of the store, and the handle that was given, or the one that is kept here.
    ///
    /// # Errors
    /// None, or more than one that could be meant.
    pub async fn open(&self, config: &Config) -> Result<(Locks, lock::Handle), Error> {
        let (locks, name) = (self.store.open(config)?, &self.name);
        let handle = match self.handle.as_deref().map(read).transpose()? {
            None => only(self.store.kept(config)?.of(locks.kind(), name), name, &locks).await?,
            Some(handle) if handle.name == *name => handle,
            Some(other) => {
                return Err(Error::usage(format!("the handle is one of {}, not of {name}", other.name)));
            }
        };
        Ok((locks, handle))
    }
}

/// How a lock is asked for: the flags of `acquire` and `run`.
#[derive(clap::Args, Clone, Debug)]
pub struct WantArgs {
    /// The lock: any text without control characters, such as my-lock or db/migrate
    #[arg(value_name = "NAME", add = super::found::names())]
    pub name: Name,
    /// Do not wait: exit 75 if others hold it
    #[arg(long = "try", conflicts_with = "wait")]
    pub try_only: bool,
    /// Share it with others that ask for --shared
    #[arg(long, short, conflicts_with = "slots")]
    pub shared: bool,
    /// A semaphore: share it with N-1 others
    #[arg(long, value_name = "N")]
    pub slots: Option<NonZeroU32>,
    /// Why, for others to read in `lock status`
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// The longest reason in bytes: it is kept in the store with every holder and waiter.
const LONGEST_REASON: usize = 1000;

impl WantArgs {
    /// A command under a lock that waits for the same lock waits for itself.
    ///
    /// # Errors
    /// It does.
    pub async fn not_within(&self, locks: &Locks) -> Result<(), Error> {
        let outer = config::handle_from_environment().and_then(|handle| handle.parse::<lock::Handle>().ok());
        let Some(outer) = outer.filter(|outer| outer.name == self.name && outer.kind() == locks.kind())
        else {
            return Ok(());
        };
        if self.shared || self.slots.is_some() {
            return Ok(());
        }
        let queue = locks.status(&self.name).await.map_err(explained)?;
        if !queue.holders.iter().any(|holder| holder.id == outer.id) {
            return Ok(());
        }
        Err(Error::usage(format!("{} is held by the command that this runs under", self.name))
            .hint("it would wait for itself: leave one of the two out, or give it another name"))
    }

    /// What is asked of the store.
    pub fn wanted(&self, knobs: &LockKnobs, pid: u32, tie: Tie) -> Result<Wanted, Error> {
        if self.reason.as_ref().is_some_and(|reason| reason.len() > LONGEST_REASON) {
            return Err(Error::usage(format!("--reason has at most {LONGEST_REASON} bytes")));
        }
        let mode = match self.slots {
            Some(slots) => Mode::Slots(slots),
            None if self.shared => Mode::Shared,
            None => Mode::Exclusive,
        };
        let patience = match need(knobs.wait, "lock.wait")? {
            _ if self.try_only => Patience::Try,
            Wait::For(Duration::ZERO) => Patience::Try,
            Wait::For(time) => Patience::For(time),
            Wait::Forever => Patience::Forever,
        };
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let owner = Owner { host, pid, reason: self.reason.clone() };
        Ok(Wanted { name: self.name.clone(), mode, ttl: ttl(knobs.ttl)?, patience, owner, tie })
    }
}

/// A lease that can be renewed.
///
/// # Errors
/// It is too short.
pub fn ttl(knob: Option<crate::units::Duration>) -> Result<Duration, Error> {
    match need(knob, "lock.ttl")?.0 {
        short if short < SHORTEST => Err(Error::usage(format!(
            "lock.ttl must be at least {}, not {}",
            crate::units::Duration(SHORTEST),
            crate::units::Duration(short)
        ))),
        long => Ok(long),
    }
}

/// The knobs of `lock`: flags over profile.
pub fn knobs(typed: &LockKnobs, config: &Config) -> LockKnobs {
    typed.clone().or(config.profile.lock.clone())
}

/// The only one of the kept handles that still holds; if none does, the newest one says so best.
async fn only(mut handles: Vec<lock::Handle>, name: &Name, locks: &Locks) -> Result<lock::Handle, Error> {
    if handles.len() > 1 {
        let queue = locks.status(name).await.map_err(explained)?;
        let newest = handles.last().cloned();
        handles.retain(|handle| queue.holders.iter().any(|holder| holder.id == handle.id));
        if handles.is_empty() {
            handles.extend(newest);
        }
    }
    match handles.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Error::usage(format!("no handle of {name} is kept on this host"))
            .hint("give the one that `lock acquire` printed: --handle TEXT, a file, or - for stdin")),
        several => {
            let list: Vec<String> = several.iter().map(ToString::to_string).collect();
            let error = Error::usage(format!("{} handles of {name} are kept on this host", several.len()));
            Err(error.hint(format!("say which one with --handle: {}", list.join(", "))))
        }
    }
}

/// A handle as it is, `-` for stdin, or a file that holds one.
fn read(given: &str) -> Result<lock::Handle, Error> {
    if let Ok(handle) = given.parse() {
        return Ok(handle);
    }
    let text = match given {
        "-" => std::io::read_to_string(std::io::stdin().lock()),
        path => std::fs::read_to_string(path),
    };
    let text = text.map_err(|e| {
        Error::usage(format!("{given:?} is no handle, and no file that holds one")).because(e)
    })?;
    text.parse().map_err(|e| Error::usage(format!("{given:?} holds no handle")).because(e))
}
