//! To be alone with some files for a moment: a kernel lock on a file that is never removed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Access, Error, failed, open_to_write};
use crate::clock::Boot;

/// Whoever has it works for microseconds; only a stopped process keeps it longer. But a thousand processes that are
/// all started at once have to wait for their turns on the processor, too.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ends when it is dropped.
pub struct Guard {
    file: File,
    path: PathBuf,
    marked: bool,
}

impl Guard {
    /// Waits for it; none if there is no such file and none may be created.
    ///
    /// # Errors
    /// The file cannot be used, or another process keeps it for seconds.
    pub async fn take(path: &Path, create: Option<&Access>) -> Result<Option<Guard>, Error> {
        let refused = |e| failed("lock", path, e);
        let deadline = Boot::now() + PATIENCE;
        loop {
            let opened = match create {
                Some(access) => access.open_or_create(path),
                None => open_to_write(path),
            };
            let file = match opened {
                Err(missing) if missing.kind() == io::ErrorKind::NotFound && create.is_none() => {
                    return Ok(None);
                }
                other => other.map_err(refused)?,
            };
            let file = match file.try_lock() {
                Ok(()) => file,
                Err(fs::TryLockError::WouldBlock) => wait_for(file, path, deadline).await?,
                Err(fs::TryLockError::Error(e)) => return Err(refused(e)),
            };
            // Somebody may have removed the file, although nobody should: then the lock on it means nothing.
            let ours = file.metadata().map_err(refused)?;
            match fs::symlink_metadata(path) {
                Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {
                    return Ok(Some(Guard { file, path: path.into(), marked: ours.len() > 0 }));
                }
                Ok(_) => {}
                Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(refused(e)),
            }
            if deadline.left().is_zero() {
                return Err(taken_too_long(path));
            }
        }
    }

    /// Whether what it guards was complete once.
    pub fn is_marked(&self) -> bool {
        self.marked
    }

    /// Remembers, also over a loss of power, that what it guards is complete.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn mark(&mut self) -> Result<(), Error> {
        let written = self.file.write_all(b"complete\n").and_then(|()| self.file.sync_all());
        written.map_err(|e| failed("write", &self.path, e))?;
        self.marked = true;
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Closing alone would not do while a process that is just being started still has a copy.
        let _ = self.file.unlock();
    }
}

async fn wait_for(file: File, path: &Path, deadline: Boot) -> Result<File, Error> {
    let locked = locked(file, Kind::Exclusive).map_err(|e| failed("lock", path, e))?;
    match tokio::time::timeout(deadline.left(), locked).await {
        Ok(Ok(file)) => file.map_err(|e| failed("lock", path, e)),
        // The thread always sends.
        Ok(Err(_)) | Err(_) => Err(taken_too_long(path)),
    }
}

fn taken_too_long(path: &Path) -> Error {
    Error::new(format!("another process keeps {} locked for more than {PATIENCE:?}", path.display()))
        .hint(format!("look for a stopped process: `fuser -v {}`", path.display()))
}

/// With how many others a file is locked.
#[derive(Clone, Copy)]
pub enum Kind {
    /// None.
    Exclusive,
    /// Others who look on.
    Shared,
}

/// Waits for the lock in a thread of its own, which nobody waits for at the end of the process.
///
/// # Errors
/// No thread could be had.
pub fn locked(file: File, kind: Kind) -> io::Result<oneshot::Receiver<io::Result<File>>> {
    let (sender, receiver) = oneshot::channel();
    let wait = move || {
        let locked = loop {
            let locked = match kind {
                Kind::Exclusive => file.lock(),
                Kind::Shared => file.lock_shared(),
            };
            match locked {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let _ = sender.send(locked.map(|()| file));
    };
    std::thread::Builder::new().name("file lock".into()).stack_size(64 * 1024).spawn(wait)?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time() {
        let home = tempfile::tempdir().unwrap();
        let access = Access::of(&fs::metadata(home.path()).unwrap());
        let path = home.path().join("guard");
        assert!(Guard::take(&path, None).await.unwrap().is_none());
        let first = Guard::take(&path, Some(&access)).await.unwrap().unwrap();
        let mut second = Box::pin(Guard::take(&path, None));
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut second).await.is_err());
        drop(first);
        assert!(second.await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_file_that_was_replaced_guards_nothing() {
        let home = tempfile::tempdir().unwrap();
        let access = Access::of(&fs::metadata(home.path()).unwrap());
        let path = home.path().join("guard");
        let mut first = Guard::take(&path, Some(&access)).await.unwrap().unwrap();
        first.mark().unwrap();
        let waiting = Guard::take(&path, Some(&access));
        tokio::pin!(waiting);
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut waiting).await.is_err());
        fs::remove_file(&path).unwrap();
        let _other = Guard::take(&path, Some(&access)).await.unwrap().unwrap();
        drop(first);
        // It now waits for the file that has the name, which another one has.
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut waiting).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_owner_is_reported() {
        let home = tempfile::tempdir().unwrap();
        let access = Access::of(&fs::metadata(home.path()).unwrap());
        let path = home.path().join("guard");
        let _stopped = Guard::take(&path, Some(&access)).await.unwrap().unwrap();
        let error = Guard::take(&path, None).await.err().unwrap().to_string();
        assert!(error.contains("guard locked for more than 30s"), "{error}");
    }
}
