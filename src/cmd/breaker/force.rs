//! `hardy breaker open|close|reset`: an operator knows better.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::settings::{self, StoreArgs};
use super::show::unknown;
use super::shown::Shown;
use crate::app::App;
use crate::breaker::Phase;
use crate::circuit::Name;
use crate::cmd::store::failed;
use crate::error::Error;
use crate::exit::Verdict;
use crate::output::{self, Human, printable};
use crate::units::Wait;

/// Hold a breaker open: nobody calls
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  hardy breaker open pay --for 30m --reason 'maintenance'
  hardy breaker open pay --for forever      # until `hardy breaker reset pay`, or close

Afterwards the next call is a trial.")]
pub struct OpenArgs {
    #[command(flatten)]
    hold: HoldArgs,
}

/// Hold a breaker closed: everybody calls, and it counts, but does not trip
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  hardy breaker close pay --for 5m --reason 'it is the monitor that is broken'

Afterwards it is closed as usual, and trips as usual.")]
pub struct CloseArgs {
    #[command(flatten)]
    hold: HoldArgs,
}

#[derive(clap::Args, Debug)]
struct HoldArgs {
    /// The breaker; it need not have been used
    #[arg(value_name = "NAME", add = settings::names())]
    name: Name,
    /// For how long, or `forever`
    #[arg(long = "for", value_name = "D", default_value = "10m")]
    span: Wait,
    /// Why, for others to read
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
}

/// Forget what a breaker has counted and what operators decided: it is closed
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  hardy breaker reset pay

Calls that run meanwhile are not counted. Its transitions stay in `hardy breaker show`.")]
pub struct ResetArgs {
    /// The breaker
    #[arg(value_name = "NAME", add = settings::names())]
    name: Name,
    #[command(flatten)]
    store: StoreArgs,
}

/// The breaker as it is now.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Report(Shown);

/// The longest reason in bytes: it is kept in the store.
const LONGEST_REASON: usize = 1000;

/// Holds it open.
pub async fn open(args: OpenArgs, app: &App) -> Result<Report, Error> {
    hold(args.hold, Phase::Open, app).await
}

/// Holds it closed.
pub async fn close(args: CloseArgs, app: &App) -> Result<Report, Error> {
    hold(args.hold, Phase::Closed, app).await
}

async fn hold(args: HoldArgs, phase: Phase, app: &App) -> Result<Report, Error> {
    if args.reason.as_ref().is_some_and(|reason| reason.len() > LONGEST_REASON) {
        return Err(Error::usage(format!("--reason has at most {LONGEST_REASON} bytes")));
    }
    let span = match args.span {
        Wait::Forever => None,
        Wait::For(span) => Some(span),
    };
    let panel = args.store.panel(&app.config)?;
    panel.force(&args.name, phase, span, args.reason.as_deref()).await.map_err(failed)?;
    now(&panel, &args.name, &args.store, app).await
}

/// Forgets everything.
pub async fn reset(args: ResetArgs, app: &App) -> Result<Report, Error> {
    let panel = args.store.panel(&app.config)?;
    // To create one would be to no purpose; a damaged one begins anew.
    if Shown::look(&panel, &args.name).await?.is_none() {
        return Err(unknown(&args.name, &args.store.place(&app.config)?));
    }
    panel.reset(&args.name).await.map_err(failed)?;
    now(&panel, &args.name, &args.store, app).await
}

async fn now(
    panel: &crate::circuit::Panel,
    name: &Name,
    store: &StoreArgs,
    app: &App,
) -> Result<Report, Error> {
    match Shown::look(panel, name).await? {
        Some(shown) => Ok(Report(shown)),
        None => Err(unknown(name, &store.place(&app.config)?)),
    }
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.breaker.show/v1";

    fn verdict(&self) -> Verdict {
        Verdict::Good
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        let (tone, state) = self.0.state();
        let state = out.tone(tone, &state);
        let why = Some(self.0.why()).filter(|why| !why.is_empty()).map(|why| format!(" {why}"));
        out.line(format!("{} is {state}{}", printable(&self.0.name), printable(&why.unwrap_or_default())))
    }
}
