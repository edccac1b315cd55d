//! A guard for a resource that has none of its own: a file that remembers the highest token it has seen.
//! Comparing and storing is one step, so that two writers cannot both believe that they came last.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What the guard says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No higher token was seen; this one is stored. With the highest before it, if there was one.
    Passes(Option<u64>),
    /// This higher one was seen before.
    Refused(u64),
}

/// Why the guard could not answer.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// The file cannot be read or written.
    #[error("cannot use {path} as a fence")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds something else than a number; guessing could let an old holder through.
    #[error("{0} does not hold a fencing token")]
    NoToken(PathBuf),
}

/// More than any token has digits.
const LONGEST: u64 = 64;

/// A pipe must not be waited for; it is refused.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

/// Compares `token` with what the file holds, and stores it if it is not lower; on disk before this returns.
///
/// The file is replaced, never rewritten, so that a crash leaves the old or the new token. Its lock is that of the
/// file itself: whoever gets the lock of a file that was replaced meanwhile starts again.
///
/// # Errors
/// See [`FenceError`]. Nothing was stored then.
pub fn pass(path: &Path, token: u64) -> Result<Answer, FenceError> {
    let io = |source| FenceError::Io { path: path.to_owned(), source };
    loop {
        let mut file = match OpenOptions::new().read(true).append(true).custom_flags(NONBLOCK).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if begin(path, token).map_err(io)? {
                    return Ok(Answer::Passes(None));
                }
                continue;
            }
            opened => opened.map_err(io)?,
        };
        if !file.metadata().map_err(io)?.is_file() {
            return Err(FenceError::NoToken(path.to_owned()));
        }
        file.lock().map_err(io)?;
        if !is_still(path, &file).map_err(io)? {
            continue;
        }
        let mut text = String::new();
        (&mut file).take(LONGEST).read_to_string(&mut text).map_err(io)?;
        // An empty one is a damaged one: it may have held any token.
        let highest: u64 = text.trim().parse().map_err(|_| FenceError::NoToken(path.to_owned()))?;
        if highest > token {
            return Ok(Answer::Refused(highest));
        }
        if highest < token {
            replace(path, &file, token).map_err(io)?;
        }
        return Ok(Answer::Passes(Some(highest)));
    }
}

/// Whether the path still leads to the file that was opened.
fn is_still(path: &Path, file: &File) -> io::Result<bool> {
    let (opened, named) = (rustix::fs::fstat(file)?, rustix::fs::stat(path));
    Ok(named.is_ok_and(|named| (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)))
}

/// The first token: the file appears with it, or another one was faster.
fn begin(path: &Path, token: u64) -> io::Result<bool> {
    let (new, mut file) = beside(path)?;
    let linked =
        writeln!(file, "{token}").and_then(|()| file.sync_all()).and_then(|()| fs::hard_link(&new, path));
    // It has its own name now, or is of no use.
    let _ = fs::remove_file(&new);
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        other => other.and_then(|()| sync_directory(path)).map(|()| true),
    }
}

/// Puts a new file in the place of the old one, with its mode and, where that is allowed, its owner; the caller holds
/// the old one's lock.
fn replace(path: &Path, old: &File, token: u64) -> io::Result<()> {
    let real = fs::canonicalize(path)?;
    let (new, mut file) = beside(&real)?;
    let meta = old.metadata()?;
    let written = writeln!(file, "{token}")
        .and_then(|()| {
            // Only root can give a file away; for others it stays their own.
            let _ = std::os::unix::fs::fchown(&file, Some(meta.uid()), Some(meta.gid()));
            file.set_permissions(meta.permissions())
        })
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&new, &real));
    if written.is_err() {
        // What is half written must not stay; the error to tell is the first one.
        let _ = fs::remove_file(&new);
    }
    written?;
    sync_directory(&real)
}

/// A new file in the same directory, under a name that nobody could have put a link at.
fn beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}-{:x}", std::process::id(), fastrand::u64(..)));
    let new = path.with_file_name(name);
    let file = OpenOptions::new().write(true).create_new(true).open(&new)?;
    Ok((new, file))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_that_do_not_go_back_pass() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fence");
        let answers: Vec<_> = [5, 5, 7, 6, 7, 8].map(|token| pass(&path, token).unwrap()).into();
        let passes = |before: u64| Answer::Passes(Some(before));
        let expected = [Answer::Passes(None), passes(5), passes(5), Answer::Refused(7), passes(7), passes(7)];
        assert_eq!(answers, expected);
        assert_eq!(fs::read_to_string(&path).unwrap(), "8\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside the file");
    }

    #[test]
    fn what_is_no_token_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fence");
        for text in ["", "\n", "x", "-1", "1 2", "99999999999999999999"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(pass(&path, 9), Err(FenceError::NoToken(_))), "{text:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert!(matches!(pass(&directory.path().join("no/where"), 1), Err(FenceError::Io { .. })));
        assert!(matches!(pass(directory.path(), 1), Err(FenceError::Io { .. })));
        assert!(matches!(pass(Path::new("/dev/null"), 1), Err(FenceError::NoToken(_))));
    }

    #[test]
    fn of_many_at_once_each_sees_only_lower_ones_pass_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fence");
        let passed = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for worker in 0..8u64 {
                let (path, passed) = (&path, &passed);
                scope.spawn(move || {
                    for round in 0..25 {
                        let token = round * 8 + worker + 1;
                        if let Answer::Passes(before) = pass(path, token).unwrap() {
                            passed.lock().unwrap().push((before.unwrap_or(0), token));
                        }
                    }
                });
            }
        });
        let mut passed = passed.into_inner().unwrap();
        passed.sort_unstable();
        // Each one that passed names its predecessor, and together they are one chain.
        assert!(passed.windows(2).all(|pair| pair[0].1 == pair[1].0), "{passed:?}");
        assert_eq!(passed.last().unwrap().1, 200);
    }
}
