//! `hardy lock break`: take a lock away from whoever holds it.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::found::{Member, ago, who};
use super::refused::explained;
use super::settings::StoreArgs;
use crate::app::App;
use crate::error::Error;
use crate::exit::Verdict;
use crate::lock::{self, Name};
use crate::output::{self, Human};
use crate::units::counted;

/// Take a lock away from its holders
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  hardy lock break deploy          # asks first
  hardy lock break deploy --yes    # in a script

The next waiter gets the lock at once. A command under `lock run` is stopped as soon as its hardy notices; until then
the two overlap, and only the fencing token tells them apart. A holder that cannot notice (it is cut off, or paused)
is stopped when its lease ends; the command of an etcdctl goes on.")]
pub struct Args {
    /// The lock
    #[arg(value_name = "NAME", add = super::found::names())]
    name: Name,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Who held it.
#[derive(Serialize, JsonSchema)]
pub struct Report {
    name: String,
    /// From whom it was taken.
    holders: Vec<Member>,
    #[serde(skip)]
    told: Vec<String>,
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.lock.break/v1";

    fn verdict(&self) -> Verdict {
        Verdict::Good
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        if self.told.is_empty() {
            return out.line(format!("{} is held by nobody", self.name));
        }
        self.told.iter().try_for_each(|holder| out.line(format!("took {} away from {holder}", self.name)))
    }
}

/// Asks, and takes it away.
pub async fn run(args: Args, app: &App) -> Result<Report, Error> {
    let locks = args.store.open(&app.config)?;
    let name = &args.name;
    if !args.yes {
        let queue = locks.status(name).await.map_err(explained)?;
        if let Some(first) = queue.holders.first() {
            let others = match queue.holders.len() {
                1 => String::new(),
                more => format!(" and {}", counted(more - 1, "other")),
            };
            let question = format!("Take {name} away from {}{others}?", told(first));
            match app.console.confirm(&question) {
                Some(true) => {}
                Some(false) => return Err(Error::usage(format!("{name} was not taken away"))),
                None => {
                    return Err(Error::usage(format!("{name} is held by {}", told(first)))
                        .hint("nobody can be asked here: pass --yes to take it away"));
                }
            }
        }
    }
    let holders = locks.take_away(name).await.map_err(explained)?;
    Ok(Report {
        name: name.to_string(),
        told: holders.iter().map(told).collect(),
        holders: holders.iter().map(Member::from).collect(),
    })
}

fn told(holder: &lock::Member) -> String {
    let mut text = who(holder);
    if let Some(token) = holder.token {
        text += &format!(", token {token}");
    }
    let held = ago(holder.since);
    if !held.is_empty() {
        text += &format!(", held for {held}");
    }
    match holder.owner.as_ref().and_then(|owner| owner.reason.as_deref()) {
        Some(reason) => format!("{text} ({})", output::printable(reason)),
        None => text,
    }
}
