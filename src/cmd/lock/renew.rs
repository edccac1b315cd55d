//! `hardy lock renew`: let the lease of one's own lock run anew.

use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::found::Got;
use super::refused::explained;
use super::settings::OwnArgs;
use crate::app::App;
use crate::error::Error;
use crate::exit::Verdict;
use crate::output::{self, Human};
use crate::units;

/// Let the lease of a lock run anew
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  while work; do hardy lock renew deploy || exit; done

A lock that was lost (it ended, or somebody broke it) is exit 76, and nothing is renewed.")]
pub struct Args {
    #[command(flatten)]
    own: OwnArgs,
}

/// The lock that goes on.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Report(Got);

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.lock.renew/v1";

    fn verdict(&self) -> Verdict {
        Verdict::Good
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        let ttl = units::Duration(Duration::from_millis(self.0.ttl_ms.unwrap_or_default()));
        out.line(format!("renewed {}, token {}, for {ttl}", self.0.name, self.0.token))
    }
}

/// Renews it.
pub async fn run(args: Args, app: &App) -> Result<Report, Error> {
    let (locks, handle) = args.own.open(&app.config).await?;
    let lease = locks.renew(&handle).await.map_err(explained)?;
    Ok(Report(Got::new(&handle, Some(lease), Duration::ZERO)))
}
