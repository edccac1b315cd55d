//! What can be seen without changing anything, with no more than permission to read.

use std::path::Path;

use tokio::sync::mpsc;

use super::super::{Member, Name, Queue, Standing};
use super::entry::Found;
use super::folder::{Folder, is_used, parts_in};
use super::ledger;
use super::vigil::Vigil;
use crate::store::Error;
use crate::store::local::{BootId, Directory, Watch, WatchFlags};

/// Who holds and who waits.
pub fn queue(folder: &Folder) -> Result<Queue, Error> {
    Ok(look(folder)?.0)
}

/// The queue, with its holders as they were found.
fn look(folder: &Folder) -> Result<(Queue, Vec<Found>), Error> {
    // In this order: who gets the lock meanwhile is seen twice rather than not at all.
    let waiters = folder.look_at_waiters()?;
    let holders = folder.live_holders(false)?;
    let waits = |one: &&Found| one.is_alive() && holders.iter().all(|holder| holder.ticket != one.ticket);
    let waiters = waiters.iter().filter(waits).map(Found::member).collect();
    Ok((Queue { holders: holders.iter().map(Found::member).collect(), waiters }, holders))
}

/// The names of all locks that are in use, sorted.
pub fn names(store: &Directory) -> Result<Vec<Name>, Error> {
    let mut names = Vec::new();
    collect(&store.path().join("locks"), None, store.boot()?, &mut names)?;
    names.sort_unstable();
    Ok(names)
}

fn collect(path: &Path, above: Option<&str>, boot: BootId, names: &mut Vec<Name>) -> Result<(), Error> {
    for (part, path) in parts_in(path)? {
        let text = above.map_or_else(|| part.clone(), |above| format!("{above}/{part}"));
        // What is no name was not made by us.
        if let Ok(name) = text.parse()
            && is_used(&path, boot)?
        {
            names.push(name);
        }
        collect(&path, Some(&text), boot, names)?;
    }
    Ok(())
}

/// How a token stands.
pub fn standing(folder: &Folder, token: u64) -> Result<Standing, Error> {
    let tokens: Vec<u64> =
        folder.live_holders(false)?.iter().filter_map(|holder| holder.entry.token).collect();
    if tokens.contains(&token) {
        return Ok(Standing::Holds);
    }
    let newest = tokens.into_iter().max().max(ledger::last_token(&folder.path)?);
    Ok(match newest {
        Some(newest) if newest > token => Standing::Newer(newest),
        _ => Standing::Ended,
    })
}

/// Sends the queue at the start and whenever its holders are others; until nobody listens.
pub async fn report_changes(folder: &Folder, changes: &mpsc::Sender<Queue>) -> Result<(), Error> {
    let what = WatchFlags::MOVED_TO | WatchFlags::MODIFY | WatchFlags::DELETE;
    let mut told: Option<Vec<String>> = None;
    let mut vigil = Vigil::new();
    loop {
        // Begun before the look; looks every second as long as nobody has ever used the lock.
        let watch = Watch::begin(&folder.holders(), what);
        let (queue, holders) = look(folder)?;
        let ids: Vec<String> = queue.holders.iter().map(|one: &Member| one.id.clone()).collect();
        if told.as_ref() != Some(&ids) {
            if changes.send(queue).await.is_err() {
                return Ok(());
            }
            told = Some(ids);
        }
        vigil.watch(holders, usize::MAX)?;
        tokio::select! {
            () = watch.event() => {}
            () = changes.closed() => return Ok(()),
            look = vigil.event() => look?,
        }
    }
}
