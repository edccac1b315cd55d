//! `hardy lock release`: only one's own lock.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::refused::explained;
use super::settings::StoreArgs;
use crate::app::App;
use crate::error::Error;
use crate::exit::Verdict;
use crate::lock::Name;
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
    /// The lock
    #[arg(value_name = "NAME", add = super::found::names())]
    name: Name,
    /// The handle, a file with it, or - for stdin [default: the one kept on this host]
    #[arg(long, value_name = "HANDLE")]
    handle: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
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
    let locks = args.store.open(&app.config)?;
    let handle = args.store.handle(args.handle.as_deref(), &args.name, &locks, &app.config).await?;
    let released = locks.release(&handle).await;
    if matches!(released, Ok(()) | Err(crate::lock::Error::Lost { .. })) {
        args.store.forget(&handle, &app.config);
    }
    released.map_err(explained)?;
    Ok(Report { name: handle.name.to_string(), store: handle.store, token: handle.token })
}
