//! Files that a flag names: read as far as a bound, and waited for no longer than one who typed it would.
//!
//! Refuses what has no end, as `/dev/zero`, and what says nothing, as a pipe that nobody writes into; a pipe that does, as
//! `<(...)` in a shell, is as good as a file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long a pipe or a device may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of certificates, keys, passwords and policies that are read.
pub const LARGEST: u64 = 16 << 20;

/// All of a file of at most so many bytes. Blocks; for a pipe or a device ten seconds at most.
///
/// # Errors
/// It cannot be read, is larger, or does not end in time.
pub fn read(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    if path.is_file() {
        return bounded(path, largest);
    }
    let owned = path.to_owned();
    in_time(PATIENCE, move || bounded(&owned, largest))?
}

/// The same, as text.
///
/// # Errors
/// Those of [`read`], and what is no UTF-8.
pub fn read_text(path: &Path, largest: u64) -> io::Result<String> {
    String::from_utf8(read(path, largest)?).map_err(|_| io::Error::other("it is not text in UTF-8"))
}

/// Reads in any way, ten seconds at most where the path is a pipe or a device. What does not end is left to itself.
///
/// # Errors
/// It did not end in time.
pub fn patiently<T: Send + 'static>(path: &Path, read: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    if path.is_file() || path.is_dir() {
        return Ok(read());
    }
    in_time(PATIENCE, read)
}

fn in_time<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (done, result) = mpsc::sync_channel(1);
    // Nobody waits any more for what comes late.
    thread::Builder::new().spawn(move || done.send(work()))?;
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("it did not end within {limit:?}"));
    result.recv_timeout(limit).map_err(late)
}

/// All of a file of at most so many bytes, however long a pipe takes. Blocks.
///
/// # Errors
/// It cannot be read, or is larger.
pub fn bounded(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(largest.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        let why = format!("it is larger than {} MiB", largest >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_read_to_the_bound_and_no_further() {
        let error = read(Path::new("/dev/zero"), 1 << 20).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (io::ErrorKind::FileTooLarge, "it is larger than 1 MiB")
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "12345").unwrap();
        assert_eq!(read(file.path(), 5).unwrap(), b"12345");
        assert_eq!(read(file.path(), 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(&file.path().join("none"), 4).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn what_does_not_end_is_given_up() {
        let (_open, never) = mpsc::channel::<()>();
        let error = in_time(Duration::from_millis(10), move || never.recv()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
