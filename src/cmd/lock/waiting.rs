//! Waiting for a lock, and saying meanwhile for whom.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::found::{ago, who, whole};
use super::refused::unavailable;
use crate::app::App;
use crate::error::Error;
use crate::lock::keeper::Watched;
use crate::lock::{self, Ahead, Held, Locks, Name, Patience, Wanted};
use crate::output::{Human, Tone, printable};
use crate::units::{self, counted};

/// Where no terminal shows it, a wait of this length is worth one line: for the log of a cron job.
const SAY: Duration = Duration::from_secs(5);

/// Between two looks at the queue.
const LOOK: Duration = Duration::from_secs(2);

/// Gets the lock, with a line on the terminal for as long as others have it.
pub async fn for_lock(locks: &Locks, wanted: &Wanted, app: &App) -> Result<Held, Error> {
    until(&app.shutdown.token, locks, wanted, app).await
}

async fn until(cancel: &CancellationToken, locks: &Locks, wanted: &Wanted, app: &App) -> Result<Held, Error> {
    let (sender, mut seen) = watch::channel(Ahead::default());
    let live = app.console.live();
    let view = View { name: &wanted.name, patience: wanted.patience, begun: Instant::now() };
    let mut said = false;
    let mut acquiring = std::pin::pin!(locks.acquire(wanted, &sender, cancel));
    let mut looking = std::pin::pin!(look(locks, wanted, &sender));
    // Ages grow without news.
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let got = loop {
        tokio::select! {
            got = &mut acquiring => break got,
            Ok(()) = seen.changed() => {}
            _ = tick.tick(), if live.is_shown() || !said => {}
            () = &mut looking, if live.is_shown() => {}
        }
        let ahead = seen.borrow_and_update().clone();
        live.draw(|out| view.draw(out, &ahead));
        if !live.is_shown() && !said && view.begun.elapsed() >= SAY {
            said = true;
            app.console.note(&printable(&view.line(&ahead)));
        }
    };
    drop(live);
    got.map_err(|error| unavailable(error, app))
}

/// The same for a process that is to have the lock: when that has ended, there is nothing to wait for.
pub async fn for_lock_of(process: Watched, locks: &Locks, wanted: &Wanted, app: &App) -> Result<Held, Error> {
    let stop = app.shutdown.token.child_token();
    let ended = Cell::new(false);
    let watch = async {
        process.ended().await;
        ended.set(true);
        stop.cancel();
        std::future::pending::<()>().await;
    };
    let got = tokio::select! {
        got = until(&stop, locks, wanted, app) => got,
        () = watch => Err(Error::unknown("interrupted")),
    };
    match got {
        Err(_) if ended.get() => Err(Error::usage(format!(
            "process {}, for which {} was to be got, has ended",
            wanted.owner.pid, wanted.name
        ))),
        other => other,
    }
}

/// Looks at the queue from time to time, for a person who waits: whoever stands far behind is told of nothing but its
/// own turn.
async fn look(locks: &Locks, wanted: &Wanted, ahead: &watch::Sender<Ahead>) {
    loop {
        tokio::time::sleep(LOOK).await;
        // Without an answer the last one stays.
        let Ok(queue) = locks.status(&wanted.name).await else { continue };
        let ours = |waiter: &lock::Member| waiter.owner.as_ref() == Some(&wanted.owner);
        if let Some(waiters) = queue.waiters.iter().position(ours) {
            ahead.send_replace(Ahead { holders: queue.holders, waiters });
        }
    }
}

/// What is said of a wait.
struct View<'a> {
    name: &'a Name,
    patience: Patience,
    begun: Instant,
}

impl View<'_> {
    fn line(&self, ahead: &Ahead) -> String {
        let waited = whole(self.begun.elapsed());
        let of = match self.patience {
            Patience::For(time) => format!(" of {}", units::Duration(time)),
            Patience::Try | Patience::Forever => String::new(),
        };
        let mut line = format!("waiting {waited}{of} for {}", self.name);
        let Some(first) = ahead.holders.first() else { return line };
        line += &format!(": held by {}", who(first));
        if ahead.holders.len() > 1 {
            line += &format!(" and {}", counted(ahead.holders.len() - 1, "other"));
        }
        let since = ago(first.since);
        if !since.is_empty() {
            line += &format!(" for {since}");
        }
        if ahead.waiters > 0 {
            line += &format!(", {} ahead", counted(ahead.waiters, "waiter"));
        }
        line
    }

    fn draw(&self, out: &mut Human<'_>, ahead: &Ahead) -> io::Result<()> {
        let Some(first) = ahead.holders.first() else { return Ok(()) };
        let line = out.tone(Tone::Faint, &self.line(ahead));
        out.line(line)?;
        match first.owner.as_ref().and_then(|owner| owner.reason.as_deref()) {
            Some(reason) => {
                let reason = out.tone(Tone::Faint, &format!("  its reason: {reason}"));
                out.line(reason)
            }
            None => Ok(()),
        }
    }
}
