//! `hardy lock status`: who holds what, since when, why, and who waits.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::found::{self, Member, ago, mode, whole};
use super::refused::explained;
use super::settings::StoreArgs;
use crate::app::App;
use crate::error::Error;
use crate::exit::Verdict;
use crate::lock::{self, Name, Queue};
use crate::metrics::Metric;
use crate::output::{self, Human, Table, Tone};

/// Show who holds and who waits
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  hardy lock status                 # all locks that somebody holds or waits for
  hardy lock status deploy nightly
  hardy lock status deploy --json | jq '.data.locks[0].holders[].host'")]
pub struct Args {
    /// Locks [default: all that somebody holds or waits for]
    #[arg(value_name = "NAME", add = super::found::names())]
    names: Vec<Name>,
    #[command(flatten)]
    store: StoreArgs,
}

/// The locks.
#[derive(Serialize, JsonSchema)]
pub struct Report {
    /// `local` or `etcd`.
    store: &'static str,
    locks: Vec<Lock>,
    #[serde(skip)]
    place: String,
    #[serde(skip)]
    queues: Vec<(Name, Queue)>,
}

#[derive(Serialize, JsonSchema)]
struct Lock {
    name: String,
    /// Those who hold it, oldest first.
    holders: Vec<Member>,
    /// Those who wait, in their order.
    waiters: Vec<Member>,
}

/// Reads the queues.
pub async fn run(args: Args, app: &App) -> Result<Report, Error> {
    let locks = args.store.open(&app.config)?;
    let names = match args.names.is_empty() {
        true => locks.names().await.map_err(explained)?,
        false => args.names,
    };
    let mut queues = Vec::new();
    for name in names {
        let queue = locks.status(&name).await.map_err(explained)?;
        queues.push((name, queue));
    }
    let shown = |(name, queue): &(Name, Queue)| Lock {
        name: name.to_string(),
        holders: queue.holders.iter().map(Member::from).collect(),
        waiters: queue.waiters.iter().map(Member::from).collect(),
    };
    let place = args.store.place(&app.config)?;
    Ok(Report { store: locks.kind(), place, locks: queues.iter().map(shown).collect(), queues })
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.lock.status/v1";

    fn verdict(&self) -> Verdict {
        Verdict::Good
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        if self.queues.is_empty() {
            return out.line(format!("nobody holds a lock or waits for one {}", self.place));
        }
        let mut table = Table::new(&["LOCK", "STATE", "WHO", "FOR", "LEFT", "TOKEN", "REASON"]);
        for (name, queue) in &self.queues {
            let mut label = name.to_string();
            if queue.holders.is_empty() && queue.waiters.is_empty() {
                table.toned_row(vec![(None, label.clone()), (Some(Tone::Good), "free".into())]);
            }
            for holder in &queue.holders {
                let state = if self.is_gone(holder) { "kept" } else { "held" };
                table.toned_row(row(std::mem::take(&mut label), state.into(), Tone::Strong, holder));
            }
            for (place, waiter) in queue.waiters.iter().enumerate() {
                let state = format!("waits {}", place + 1);
                table.toned_row(row(std::mem::take(&mut label), state, Tone::Faint, waiter));
            }
        }
        out.table(table)?;
        let gone = |holder: &&lock::Member| self.is_gone(holder);
        let kept = self.queues.iter().flat_map(|(_, queue)| queue.holders.iter().filter(gone));
        for holder in kept {
            let who = found::who(holder);
            out.line(format!(
                "{who} is gone, and what it had started keeps the lock: `fuser` on its file names it"
            ))?;
        }
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut holders = Metric::gauge("hardy_lock_holders", "How many hold the lock.");
        let mut waiters = Metric::gauge("hardy_lock_waiters", "How many wait for the lock.");
        for (name, queue) in &self.queues {
            let label = [("lock", name.as_str())];
            holders = holders.with(&label, queue.holders.len() as f64);
            waiters = waiters.with(&label, queue.waiters.len() as f64);
        }
        vec![holders, waiters]
    }
}

impl Report {
    /// On this host a command, or a daemon that it left, keeps the lock of a hardy that was killed.
    fn is_gone(&self, holder: &lock::Member) -> bool {
        let pid = holder.owner.as_ref().map_or(0, |owner| owner.pid);
        self.store == "local"
            && holder.left.is_none()
            && !std::path::Path::new(&format!("/proc/{pid}")).exists()
    }
}

fn row(name: String, state: String, tone: Tone, member: &lock::Member) -> Vec<(Option<Tone>, String)> {
    let state = match mode(member) {
        usual if usual.is_empty() => state,
        mode => format!("{state}, {mode}"),
    };
    let owner = member.owner.as_ref();
    vec![
        (None, name),
        (Some(tone), state),
        (None, found::who(member)),
        (None, ago(member.since)),
        (None, member.left.map(whole).unwrap_or_default()),
        (None, member.token.map(|token| token.to_string()).unwrap_or_default()),
        (None, owner.and_then(|owner| owner.reason.clone()).unwrap_or_default()),
    ]
}
