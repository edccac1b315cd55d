//! `hardy breaker watch`: a line whenever a breaker changes its state.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::sleep;

use super::hystrix;
use super::settings::{self, StoreArgs};
use super::shown::{Shown, clock, timestamp};
use crate::app::App;
use crate::breaker::Phase;
use crate::circuit::{Moment, Name, Panel};
use crate::cmd::store::failed;
use crate::error::Error;
use crate::exit::{Exit, Verdict};
use crate::output::{self, Human, Tone, printable};
use crate::serve::Address;

/// Between two looks, at least: many changes at once are looked at as one.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// Tell whenever a breaker changes its state
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  hardy breaker watch
  hardy breaker watch pay --json | jq --unbuffered -r '.data | \"\\(.name) \\(.state)\"'
  hardy breaker watch --hystrix-stream 127.0.0.1:7979 >/dev/null      # for the dashboards of Hystrix

The first lines say how it is now. Of many changes within a moment each is told; what changed while the store did not answer
is told afterwards. The stream, at /hystrix.stream, has an event for each breaker every second, and one at once when its state
changes. A breaker is one for its dashboards, however many hosts share it.")]
pub struct Args {
    /// Breakers [default: all]
    #[arg(value_name = "NAME", add = settings::names())]
    names: Vec<Name>,
    /// Serve the event stream of Hystrix on this address, for its dashboards
    #[arg(long, value_name = "ADDR")]
    hystrix_stream: Option<Address>,
    #[command(flatten)]
    store: StoreArgs,
}

impl Args {
    /// Whether it serves anybody but whoever reads stdout.
    pub fn serves(&self) -> bool {
        self.hystrix_stream.is_some()
    }
}

/// A state, and what led to it.
#[derive(Serialize, JsonSchema)]
struct Report {
    name: String,
    state: Option<Phase>,
    /// What has changed; null for the state that was found at first.
    transition: Option<Moment>,
    #[serde(skip)]
    told: (Tone, String),
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.breaker.watch/v1";

    fn verdict(&self) -> Verdict {
        Verdict::Good
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        let at = self.transition.as_ref().and_then(|moment| timestamp(moment.transition.at));
        let at = out.tone(Tone::Faint, &clock(at.unwrap_or_else(jiff::Timestamp::now)));
        let state = out.tone(self.told.0, &self.told.1);
        let why = self.transition.as_ref().map(|moment| {
            let by = printable(&moment.by);
            format!(": {} ({by})", moment.transition.why)
        });
        out.line(format!("{at} {} is {state}{}", printable(&self.name), why.unwrap_or_default()))
    }
}

/// Watches until a signal, or until nobody reads any more.
pub async fn run(args: Args, app: &App) -> Result<Exit, Error> {
    let panel = args.store.panel(&app.config)?;
    let stream = match &args.hystrix_stream {
        Some(address) => {
            let (panel, names) = (args.store.panel(&app.config)?, args.names.clone());
            Some(hystrix::serve(address, panel, names, app).await?)
        }
        None => None,
    };
    tokio::select! {
        biased;
        ended = watch(&panel, &args.names, stream.is_some(), app) => ended.map(|()| Exit::GOOD),
        () = app.shutdown.token.cancelled() => Ok(app.shutdown.signal().map_or(Exit::GOOD, Exit::signal)),
    }
}

/// `serves`: others look as well, however nobody reads.
async fn watch(panel: &Panel, names: &[Name], serves: bool, app: &App) -> Result<(), Error> {
    let only = match names {
        [one] => Some(one),
        _ => None,
    };
    let mut changes = panel.changes(only).await.map_err(failed)?;
    let mut seen = Seen::default();
    let mut shown = Shown::all(panel, names).await?;
    for name in names.iter().filter(|name| shown.iter().all(|shown| shown.name != name.as_str())) {
        app.console.note(&format!(
            "no call was made through {} so far: its first one is waited for",
            printable(name.as_str())
        ));
    }
    let mut warned = false;
    loop {
        for report in seen.news(&shown) {
            app.console.event(&report)?;
        }
        if app.console.reader_is_gone() && !serves {
            return Ok(());
        }
        sleep(PAUSE).await;
        changes.next().await;
        let looked = Shown::all(panel, names).await;
        if let (Err(error), false) = (&looked, warned) {
            app.console.warn(&format!("{error}; it goes on when the store answers"));
        }
        warned = looked.is_err();
        shown = looked.unwrap_or_default();
    }
}

/// What was told already: by name the generation; none for one that is damaged.
#[derive(Default)]
struct Seen(BTreeMap<String, Option<u64>>);

impl Seen {
    /// What has changed since.
    fn news(&mut self, all: &[Shown]) -> Vec<Report> {
        let mut news = Vec::new();
        all.iter().for_each(|shown| self.note(shown, &mut news));
        news
    }

    fn note(&mut self, shown: &Shown, news: &mut Vec<Report>) {
        let generation = shown.details.as_ref().map(|details| details.generation);
        let before = self.0.insert(shown.name.clone(), generation);
        if before == Some(generation) {
            return;
        }
        let told = shown.state();
        let report = |state, told, transition| Report { name: shown.name.clone(), state, transition, told };
        let moments = shown.details.iter().flat_map(|details| &details.transitions);
        let new: Vec<_> = match before {
            Some(Some(before)) => moments.filter(|moment| moment.generation > before).collect(),
            _ => Vec::new(),
        };
        let Some((last, earlier)) = new.split_last() else {
            return news.push(report(shown.state, told, None));
        };
        for moment in earlier {
            let phase = moment.transition.to;
            news.push(report(Some(phase), (Tone::Faint, phase.to_string()), Some((*moment).clone())));
        }
        news.push(report(shown.state, told, Some((*last).clone())));
    }
}
