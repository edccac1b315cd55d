//! Files that the settings name, read whole. What is no regular file is refused: opening a pipe that nobody
//! writes to would wait for ever.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::error::Error;
use crate::units::Size;

/// Reads a file of at most `limit` bytes, and names it when that fails.
pub(super) fn read(what: &'static str, path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    regular(path, limit).map_err(|cause| Error::Unreadable { what, path: path.to_owned(), cause })
}

fn regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(OpenOptions::new().read(true), path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other(format!("it is {}, not a regular file", name(about.file_type()))));
    }
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        return Err(io::Error::other(format!("it is larger than {}", Size(limit))));
    }
    Ok(content)
}

/// Opens without waiting for the other end of a pipe.
pub(super) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    options.custom_flags(flags.bits().cast_signed()).open(path)
}

fn name(kind: FileType) -> &'static str {
    match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_char_device() || kind.is_block_device() => "a device",
        () => "something else",
    }
}
