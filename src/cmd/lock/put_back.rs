//! `hardy lock release`: only one's own lock.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::refused::explained;
use super::settings::OwnArgs;
use crate::app::App;
use crate::error::Error;
use crate::exit::Verdict;
use crate::output::{self, Human};

/// Give a lock back
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  hardy lock release deploy                      # with the handle that `acquire` kept on this host
  hardy lock release deploy --handle \"$handle\"
  hardy lock release deploy --handle - < handle  # on another host

A lock that was lost before (it ended, or somebody broke it) is exit 76: another may have held it meanwhile.")]
pub struct Args {
    #[command(flatten)]
    own: OwnArgs,
}

/// What was given back.
#[derive(Serialize, JsonSchema)]
pub struct Report {
    name: String,
    store: String,
    /// The fencing token that it had.
    token: u64,
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.lock.release/v1";

    fn verdict(&self) -> Verdict {
        Verdict::Good
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        out.line(format!("released {}, token {}", self.name, self.token))
    }
}

/// Releases it; a handle that is of no use any more is forgotten.
pub async fn run(args: Args, app: &App) -> Result<Report, Error> {
    let (locks, handle) = args.own.open(&app.config).await?;
    let released = locks.release(&handle).await;
    if matches!(released, Ok(()) | Err(crate::lock::Error::Lost { .. })) {
        args.own.store.forget(&handle, &app.config);
    }
    released.map_err(explained)?;
    Ok(Report { name: handle.name.to_string(), store: handle.store, token: handle.token })
}
