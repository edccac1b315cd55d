//! A lock in the hands of this process, and in those of whoever has a handle.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::{Error, Grant, Handle, Lease};
use super::entry::{self, Found, Life, Terms, find};
use super::folder::Folder;
use crate::clock::{self, Boot};
use crate::store;
use crate::store::local::{Guard, Watch, WatchFlags, failed, open, open_to_write};

/// To give a watch back takes the kernel 10 ms and more, several times what all else of a lock takes: what is soon over
/// has none.
const UNWATCHED: Duration = Duration::from_millis(200);

/// A lock in the hands of this process.
pub struct Held {
    folder: Folder,
    grant: Grant,
    /// Locked for as long as this process lives; none for a lease.
    file: Option<File>,
    /// Somebody asked for the file, to let a child inherit it.
    shared: AtomicBool,
}

impl Held {
    /// `file`: locked.
    pub fn new(folder: Folder, grant: Grant, file: File) -> Held {
        let file = if grant.lease.is_some() {
            let _ = file.unlock();
            None
        } else {
            Some(file)
        };
        Held { folder, grant, file, shared: AtomicBool::new(false) }
    }

    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// See [`super::super::Held::keep`].
    pub async fn keep(
        &self,
        lease: &watch::Sender<Option<Lease>>,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let kept = async {
            match self.grant.lease {
                Some(first) => self.renew_always(first, lease).await,
                None => self.until_taken().await,
            }
        };
        tokio::select! {
            lost = kept => Err(lost),
            () = stop.cancelled() => Ok(()),
        }
    }

    async fn until_taken(&self) -> Error {
        let path = self.folder.holders().join(&self.grant.handle.id);
        tokio::time::sleep(UNWATCHED).await;
        loop {
            let watch = Watch::begin(&path, WatchFlags::ATTRIB);
            if is_removed(&path) {
                return lost(&self.grant.handle, "it was taken away");
            }
            watch.event().await;
        }
    }

    async fn renew_always(&self, first: Lease, lease: &watch::Sender<Option<Lease>>) -> Error {
        let path = self.folder.holders().join(&self.grant.handle.id);
        let third = first.ttl / 3;
        let mut pause = third;
        loop {
            let watch = Watch::begin(&path, WatchFlags::ATTRIB);
            if path.exists() {
                tokio::select! {
                    slept = clock::sleep(pause) => if slept.is_err() { tokio::time::sleep(pause).await },
                    () = watch.event() => {}
                }
            }
            match renew(&self.folder, &self.grant.handle).await {
                Ok(renewed) => {
                    lease.send_replace(Some(renewed));
                    pause = third;
                }
                Err(lost @ Error::Lost { .. }) => return lost,
                Err(_) => pause = (third / 10).min(Duration::from_secs(1)),
            }
        }
    }

    /// See [`super::super::Held::descriptor`].
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.shared.store(true, Ordering::Relaxed);
        self.file.as_ref().map(AsFd::as_fd)
    }

    /// See [`super::super::Held::release`].
    pub async fn release(self) -> Result<(), Error> {
        let handle = &self.grant.handle;
        let Some(file) = self.file else { return release(&self.folder, handle).await };
        let path = self.folder.holders().join(&handle.id);
        let _guard = guard(&self.folder, handle).await?;
        if is_removed(&path) {
            return Err(lost(handle, "it was taken away"));
        }
        let refused = |e| failed("release", &path, e);
        if !self.shared.into_inner() {
            fs::remove_file(&path).map_err(refused)?;
            // Closing alone would not do while a process that is just being started still has a copy.
            return Ok(file.unlock().map_err(refused)?);
        }
        let again = open(&path).map_err(refused)?;
        // Closed, but not unlocked: a process that inherited it goes on holding, as with flock(1), and whoever
        // waits goes on waiting for that one. All who only look on share the lock, so it is not one of them.
        drop(file);
        match again.try_lock_shared() {
            Ok(()) => fs::remove_file(&path).map_err(refused)?,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) => return Err(refused(e).into()),
        }
        Ok(())
    }
}

/// No ticket comes again, so a file of that name is the same file.
fn is_removed(path: &Path) -> bool {
    matches!(fs::symlink_metadata(path), Err(e) if e.kind() == ErrorKind::NotFound)
}

fn lost(handle: &Handle, why: impl Into<String>) -> Error {
    Error::Lost { name: handle.name.clone(), token: handle.token, why: why.into() }
}

async fn guard(folder: &Folder, handle: &Handle) -> Result<Guard, Error> {
    match folder.guard().await? {
        Some(guard) => Ok(guard),
        None => Err(lost(handle, "this store knows nothing of it")),
    }
}

/// The holder that a handle names, as long as its lease runs. Needs the guard.
fn leased(folder: &Folder, handle: &Handle) -> Result<(Found, Terms), Error> {
    const GONE: &str = "its lease has ended, or it was released or taken away";
    let found = match handle.id.parse() {
        Ok(ticket) => find(&folder.holders(), ticket, folder.boot)?,
        Err(_) => None,
    };
    let found = found.filter(|found| found.entry.token == Some(handle.token));
    let found = found.ok_or_else(|| lost(handle, GONE))?;
    match (&found.life, found.entry.lease) {
        (Life::Lease(_), Some(terms)) => Ok((found, terms)),
        (Life::Expired(then), _) => Err(lost(handle, format!("its lease ended at {}", then.timestamp()))),
        (Life::OtherBoot, _) => Err(lost(handle, "this host was started again since")),
        (Life::Ended, _) => Err(lost(handle, "its process has ended")),
        _ => Err(of_a_process(&found, handle)),
    }
}

fn of_a_process(found: &Found, handle: &Handle) -> Error {
    let what = format!("{} belongs to the running process {}", handle.name, found.entry.owner.pid);
    let hint = format!("it ends with that process; `hardy lock break {}` takes it away", handle.name);
    store::Error::new(what).hint(hint).into()
}

/// Lets a lease run anew.
pub async fn renew(folder: &Folder, handle: &Handle) -> Result<Lease, Error> {
    let _guard = guard(folder, handle).await?;
    let (found, terms) = leased(folder, handle)?;
    let deadline = Boot::from_millis((Boot::now() + terms.ttl()).as_millis());
    let file = open_to_write(&found.path);
    let renewed = file.and_then(|file| entry::renew(&file, deadline));
    renewed.map_err(|e| failed("write", &found.path, e))?;
    Ok(Lease { ttl: terms.ttl(), deadline })
}

/// Gives a lease back.
pub async fn release(folder: &Folder, handle: &Handle) -> Result<(), Error> {
    let _guard = guard(folder, handle).await?;
    let (found, _) = leased(folder, handle)?;
    fs::remove_file(&found.path).map_err(|e| failed("remove", &found.path, e))?;
    folder.ring();
    Ok(())
}
