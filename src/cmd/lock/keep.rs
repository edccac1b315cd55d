//! `hardy lock keep`, hidden: the process in the background that `acquire --keep-alive-for-pid` leaves behind.

use std::time::Duration;

use super::refused::explained;
use super::settings::StoreArgs;
use crate::app::App;
use crate::clock::Boot;
use crate::error::Error;
use crate::exit::Exit;
use crate::lock::Handle;
use crate::lock::keeper::{self, Watched};
use crate::units;

/// Keep a lock for as long as a process lives
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The lock
    #[arg(long)]
    handle: Handle,
    /// The process
    #[arg(long)]
    pid: u32,
    /// Give the lock back after this time
    #[arg(long)]
    max_hold: Option<units::Duration>,
    #[command(flatten)]
    store: StoreArgs,
}

/// Renews until the process ends.
pub async fn run(args: Args, app: &App) -> Result<Exit, Error> {
    let process = Watched::new(args.pid).map_err(|e| no_process(args.pid).because(e))?;
    let until = args.max_hold.map(|units::Duration(time)| Boot::now() + time);
    let locks = args.store.open(&app.config)?;
    keeper::leave_session();
    let ready = || drop(app.console.emit_text(&format!("{}\n", keeper::READY)));
    let kept = keeper::keep_for(&locks, &args.handle, &process, until, ready, &app.shutdown.token).await;
    // A lost one stays, so that `release` can say that it was lost.
    kept.map_err(explained)?;
    args.store.forget(&args.handle, &app.config);
    Ok(Exit::GOOD)
}

/// What the keeper is to do, before there is a lock.
pub struct Order {
    /// The process that it waits for.
    pub pid: u32,
    /// How long at most.
    pub max_hold: Option<Duration>,
    /// The store, as variables.
    pub store: Vec<(String, String)>,
}

impl Order {
    /// The process, before anything is done for it.
    pub fn watch(&self) -> Result<Watched, Error> {
        Watched::new(self.pid).map_err(|e| no_process(self.pid).because(e))
    }

    /// Starts the keeper, and waits until it is ready.
    pub async fn start(&self, handle: &Handle) -> Result<(), Error> {
        let mut arguments: Vec<String> =
            ["--config", "none", "lock", "keep", "--handle"].map(str::to_owned).into();
        arguments.extend([handle.to_string(), "--pid".to_owned(), self.pid.to_string()]);
        if let Some(time) = self.max_hold {
            arguments.extend(["--max-hold".to_owned(), units::Duration(time).to_string()]);
        }
        let started = keeper::start(&arguments, &self.store).await;
        started.map_err(|e| {
            Error::unknown(format!("cannot keep {} alive for process {}", handle.name, self.pid)).because(e)
        })
    }
}

fn no_process(pid: u32) -> Error {
    Error::usage(format!("there is no process {pid} to keep the lock for"))
        .hint("`$$` is the shell that calls, `$!` its last job in the background")
}
