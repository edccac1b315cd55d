//! A guard for a resource that has none of its own: a file that remembers the highest token it has seen.
//! Comparing and storing is one step, so that two writers cannot both believe that they came last.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
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
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(io)?;
        file.lock().map_err(io)?;
        if !is_still(path, &file).map_err(io)? {
            continue;
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io)?;
        let highest = match text.trim() {
            "" => None,
            number => Some(number.parse().map_err(|_| FenceError::NoToken(path.to_owned()))?),
        };
        return match highest {
            Some(higher) if higher > token => Ok(Answer::Refused(higher)),
            Some(same) if same == token => Ok(Answer::Passes(highest)),
            _ => replace(path, &file, token).map(|()| Answer::Passes(highest)).map_err(io),
        };
    }
}

/// Whether the path still leads to the file that was opened.
fn is_still(path: &Path, file: &File) -> io::Result<bool> {
    let (opened, named) = (rustix::fs::fstat(file)?, rustix::fs::stat(path));
    Ok(named.is_ok_and(|named| (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)))
}

/// Puts a new file in the place of the old one, with its mode; the caller holds the old one's lock.
fn replace(path: &Path, old: &File, token: u64) -> io::Result<()> {
    let real = fs::canonicalize(path)?;
    let mut name = real.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = real.with_file_name(name);
    let mut file = File::create(&new)?;
    let written = writeln!(file, "{token}")
        .and_then(|()| file.set_permissions(old.metadata()?.permissions()))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&new, &real));
    if written.is_err() {
        // What is half written must not stay; the error to tell is the first one.
        let _ = fs::remove_file(&new);
    }
    written?;
    File::open(real.parent().unwrap_or(Path::new("/")))?.sync_all()
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
        for text in ["x", "-1", "1 2", "99999999999999999999"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(pass(&path, 9), Err(FenceError::NoToken(_))), "{text:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert!(matches!(pass(&directory.path().join("no/where"), 1), Err(FenceError::Io { .. })));
        assert!(matches!(pass(directory.path(), 1), Err(FenceError::Io { .. })));
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
