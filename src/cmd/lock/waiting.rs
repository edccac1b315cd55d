//! Waiting for a lock, and saying meanwhile for whom.

use std::io;

use tokio::sync::watch;

use super::found::{ago, who};
use super::refused::unavailable;
use crate::app::App;
use crate::error::Error;
use crate::lock::{Ahead, Held, Locks, Name, Wanted};
use crate::output::{Human, Tone};
use crate::units::counted;

/// Gets the lock, with a line on the terminal for as long as others have it.
pub async fn for_lock(locks: &Locks, wanted: &Wanted, app: &App) -> Result<Held, Error> {
    let (sender, mut seen) = watch::channel(Ahead::default());
    let live = app.console.live();
    let mut acquiring = std::pin::pin!(locks.acquire(wanted, &sender, &app.shutdown.token));
    // Ages grow without news.
    let mut tick = tokio::time::interval(std::time::Duration::from_secs(1));
    let got = loop {
        tokio::select! {
            got = &mut acquiring => break got,
            Ok(()) = seen.changed() => {}
            _ = tick.tick(), if live.is_shown() => {}
        }
        live.draw(|out| draw(out, &wanted.name, &seen.borrow_and_update()));
    };
    drop(live);
    got.map_err(|error| unavailable(error, app))
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
