//! `hardy lock watch`: a line whenever others hold the lock: leader election for scripts.

use std::io;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::mpsc;

use super::found::{Member, mode, who};
use super::refused::explained;
use super::settings::StoreArgs;
use crate::app::App;
use crate::error::Error;
use crate::exit::{Exit, Verdict};
use crate::lock::{self, Name, Queue};
use crate::output::{self, Human, Tone};

/// Tell whenever the holders of a lock change
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  hardy lock watch leader
  hardy lock watch leader --json | jq --unbuffered -r '.data.holders[0].host // \"nobody\"'
  hardy lock watch leader --exec 'systemctl reload proxy'

The first line says how it is now. CMD finds HARDY_LOCK_NAME, HARDY_LOCK_HOLDER (host:pid, empty for nobody) and
HARDY_LOCK_TOKEN in its environment; one runs after the other, and what they print goes to stderr.")]
pub struct Args {
    /// The lock
    #[arg(value_name = "NAME", add = super::found::names())]
    name: Name,
    /// Run this by `sh -c` on each change
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
}

/// One change.
#[derive(Serialize, JsonSchema)]
struct Report {
    name: String,
    /// When this was seen; RFC 3339.
    #[schemars(with = "String")]
    time: Timestamp,
    /// Who holds it now.
    holders: Vec<Member>,
    #[serde(skip)]
    told: Vec<String>,
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.lock.watch/v1";

    fn verdict(&self) -> Verdict {
        Verdict::Good
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        let time = out.tone(Tone::Faint, &self.time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        let holders = match self.told.is_empty() {
            true => out.tone(Tone::Warn, "held by nobody"),
            false => format!("held by {}", output::printable(&self.told.join("; "))),
        };
        out.line(format!("{time} {} {holders}", self.name))
    }
}

/// Watches until a signal, or until nobody reads any more.
pub async fn run(args: Args, app: &App) -> Result<Exit, Error> {
    let locks = args.store.open(&app.config)?;
    let stop = app.shutdown.token.child_token();
    let (sender, mut changes) = mpsc::channel(16);
    let mut watching = std::pin::pin!(locks.watch(&args.name, &sender, &stop));
    loop {
        let queue = tokio::select! {
            ended = &mut watching => {
                ended.map_err(explained)?;
                return Ok(app.shutdown.signal().map_or(Exit::GOOD, Exit::signal));
            }
            Some(queue) = changes.recv() => queue,
        };
        app.console.event(&report(&args.name, &queue))?;
        if app.console.reader_is_gone() && args.exec.is_none() {
            stop.cancel();
        }
        if let Some(text) = &args.exec {
            let run = lock::on_change(text, &args.name, &queue);
            tokio::select! {
                ended = run => if let Err(error) = ended {
                    app.console.warn(&format!("cannot run --exec by sh: {error}"));
                },
                () = stop.cancelled() => {}
            }
        }
    }
}

fn report(name: &Name, queue: &Queue) -> Report {
    let told = |holder: &lock::Member| {
        let owner = holder.owner.as_ref();
        let token = holder.token.map(|token| format!(", token {token}"));
        let mode = Some(mode(holder)).filter(|mode| !mode.is_empty()).map(|mode| format!(", {mode}"));
        let reason = owner.and_then(|owner| owner.reason.as_ref()).map(|reason| format!(" ({reason})"));
        [Some(who(holder)), token, mode, reason].into_iter().flatten().collect()
    };
    Report {
        name: name.to_string(),
        time: Timestamp::now(),
        holders: queue.holders.iter().map(Member::from).collect(),
        told: queue.holders.iter().map(told).collect(),
    }
}
