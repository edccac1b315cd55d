//! `hardy breaker watch`: a line whenever a breaker changes its state.

use std::collections::BTreeMap;
use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::settings::{self, StoreArgs};
use super::shown::{Shown, clock, timestamp};
use crate::app::App;
use crate::breaker::Phase;
use crate::circuit::{Moment, Name, Panel};
use crate::cmd::store::failed;
use crate::error::Error;
use crate::exit::{Exit, Verdict};
use crate::output::{self, Human, Tone, printable};

/// Tell whenever a breaker changes its state
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  hardy breaker watch
  hardy breaker watch pay --json | jq --unbuffered -r '.data | \"\\(.name) \\(.state)\"'

The first lines say how it is now. Of many changes within a moment each is told.")]
pub struct Args {
    /// Breakers [default: all]
    #[arg(value_name = "NAME", add = settings::names())]
    names: Vec<Name>,
    #[command(flatten)]
    store: StoreArgs,
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
    let only = match args.names.as_slice() {
        [one] => Some(one),
        _ => None,
    };
    let mut seen = Seen { panel: &panel, names: &args.names, generations: BTreeMap::new() };
    let watching = async {
        let mut changes = panel.changes(only).await.map_err(failed)?;
        loop {
            for report in seen.news().await? {
                app.console.event(&report)?;
            }
            if app.console.reader_is_gone() {
                return Ok(Exit::GOOD);
            }
            changes.next().await;
        }
    };
    tokio::select! {
        biased;
        ended = watching => ended,
        () = app.shutdown.token.cancelled() => Ok(app.shutdown.signal().map_or(Exit::GOOD, Exit::signal)),
    }
}

/// What was told already.
struct Seen<'a> {
    panel: &'a Panel,
    names: &'a [Name],
    /// By name; none for one that is damaged.
    generations: BTreeMap<String, Option<u64>>,
}

impl Seen<'_> {
    /// What has changed since.
    async fn news(&mut self) -> Result<Vec<Report>, Error> {
        let names = match self.names {
            [] => self.panel.names().await.map_err(failed)?,
            some => some.to_vec(),
        };
        let mut news = Vec::new();
        for name in names {
            if let Some(shown) = Shown::look(self.panel, &name).await? {
                self.note(&shown, &mut news);
            }
        }
        Ok(news)
    }

    fn note(&mut self, shown: &Shown, news: &mut Vec<Report>) {
        let generation = shown.details.as_ref().map(|details| details.generation);
        let before = self.generations.insert(shown.name.clone(), generation);
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
