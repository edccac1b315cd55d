//! Waiting for a lock, and saying meanwhile for whom.

use std::io;
use std::time::Duration;

use tokio::sync::watch;

use super::found::{ago, who};
use super::refused::unavailable;
use crate::app::App;
use crate::error::Error;
use crate::lock::{self, Ahead, Held, Locks, Name, Wanted};
use crate::output::{Human, Tone};
use crate::units::counted;

/// Between two looks at the queue.
const LOOK: Duration = Duration::from_secs(2);

/// Gets the lock, with a line on the terminal for as long as others have it.
pub async fn for_lock(locks: &Locks, wanted: &Wanted, app: &App) -> Result<Held, Error> {
    let (sender, mut seen) = watch::channel(Ahead::default());
    let live = app.console.live();
    let mut acquiring = std::pin::pin!(locks.acquire(wanted, &sender, &app.shutdown.token));
    let mut looking = std::pin::pin!(look(locks, wanted, &sender));
    // Ages grow without news.
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let got = loop {
        tokio::select! {
            got = &mut acquiring => break got,
            Ok(()) = seen.changed() => {}
            _ = tick.tick(), if live.is_shown() => {}
            () = &mut looking, if live.is_shown() => {}
        }
        live.draw(|out| draw(out, &wanted.name, &seen.borrow_and_update()));
    };
    drop(live);
    got.map_err(|error| unavailable(error, app))
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

fn draw(out: &mut Human<'_>, name: &Name, ahead: &Ahead) -> io::Result<()> {
    let Some(first) = ahead.holders.first() else { return Ok(()) };
    let mut line = format!("waiting for {name}, held by {}", who(first));
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
    let line = out.tone(Tone::Faint, &line);
    out.line(line)?;
    match first.owner.as_ref().and_then(|owner| owner.reason.as_deref()) {
        Some(reason) => {
            let reason = out.tone(Tone::Faint, &format!("  its reason: {reason}"));
            out.line(reason)
        }
        None => Ok(()),
    }
}
