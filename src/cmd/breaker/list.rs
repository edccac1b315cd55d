//! `hardy breaker list`: all breakers of the store, a line each.

use std::io;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::settings::StoreArgs;
use super::shown::{Shown, metrics};
use crate::app::App;
use crate::error::Error;
use crate::exit::Verdict;
use crate::metrics::Metric;
use crate::output::{self, Human, Table};
use crate::units::brief;

/// List all breakers of the store: state, window, why
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  hardy breaker list
  hardy breaker list --json | jq -r '.data.breakers[] | select(.state != \"closed\") | .name'")]
pub struct Args {
    #[command(flatten)]
    store: StoreArgs,
}

/// All of them.
#[derive(Serialize, JsonSchema)]
pub struct Report {
    /// `local` or `etcd`.
    store: &'static str,
    breakers: Vec<Shown>,
    #[serde(skip)]
    place: String,
}

/// Reads the records.
pub async fn run(args: Args, app: &App) -> Result<Report, Error> {
    let panel = args.store.panel(&app.config)?;
    let breakers = Shown::all(&panel, &[]).await?;
    Ok(Report { store: panel.kind(), breakers, place: args.store.place(&app.config)? })
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.breaker.list/v1";

    fn verdict(&self) -> Verdict {
        Verdict::Good
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        if self.breakers.is_empty() {
            return out.line(format!("no breaker was ever used {}", self.place));
        }
        let mut table = Table::new(&["BREAKER", "STATE", "FOR", "WINDOW", "ERRORS", "FLYING", "WHY"]);
        for shown in &self.breakers {
            let (tone, state) = shown.state();
            let details = shown.details.as_ref();
            let cell =
                |of: &dyn Fn(&super::shown::Details) -> String| (None, details.map(of).unwrap_or_default());
            table.toned_row(vec![
                (None, shown.name.clone()),
                (Some(tone), state),
                cell(&|details| ago(details.since)),
                cell(&|details| details.window.requests.to_string()),
                cell(&|details| format!("{}%", details.window.error_percent)),
                cell(&|details| details.in_flight.to_string()),
                (None, shown.why()),
            ]);
        }
        out.table(table)
    }

    fn metrics(&self) -> Vec<Metric> {
        metrics(&self.breakers)
    }
}

/// How long ago that was; a clock behind says now.
pub fn ago(since: Option<Timestamp>) -> String {
    let age = since.map(|since| Timestamp::now().duration_since(since));
    age.map(|age| brief(Duration::try_from(age).unwrap_or_default())).unwrap_or_default()
}
