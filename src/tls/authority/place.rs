//! A certificate and its key as two files: both are complete before either has its name.
//!
//! Refuses to replace what it was not told to replace, and anything that is no file. The key is never readable by
//! others, not even for a moment.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::Issued;

/// Where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// Why they are not there.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Something has that name already.
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    /// One name for both.
    #[error("{} cannot hold both the certificate and its key", .0.display())]
    Same(PathBuf),
    /// Something that is no file has that name.
    #[error("{} is no file", .0.display())]
    NoFile(PathBuf),
    /// The operating system refused.
    #[error("cannot write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

/// Writes both, the key with mode 0600; with `replace` over files that are there.
///
/// # Errors
/// Neither is written then, unless the very last step failed over files that were there.
pub fn place(files: &Files, issued: &Issued, replace: bool) -> Result<(), PlaceError> {
    let Files { certificate, key } = files;
    if certificate == key {
        return Err(PlaceError::Same(key.clone()));
    }
    for path in [certificate, key] {
        match fs::metadata(path) {
            Ok(there) if replace && there.is_file() => {}
            Ok(_) if replace => return Err(PlaceError::NoFile(path.clone())),
            Ok(_) => return Err(PlaceError::Exists(path.clone())),
            // What cannot be written shows below.
            Err(_) => {}
        }
    }
    let key_draft = draft(key, 0o600, &issued.key)?;
    let certificate_draft = draft(certificate, 0o644, &issued.certificate)?;
    put(key_draft, key, replace)?;
    put(certificate_draft, certificate, replace).inspect_err(|_| {
        if !replace {
            let _ = fs::remove_file(key);
        }
    })
}

/// The whole content beside `path`, on disk; it goes when it is dropped. `mode` is narrowed by the umask.
fn draft(path: &Path, mode: u32, text: &str) -> Result<NamedTempFile, PlaceError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let made = tempfile::Builder::new()
        .prefix(".hardy-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory)
        .and_then(|mut draft| {
            draft.write_all(text.as_bytes())?;
            draft.as_file().sync_all()?;
            Ok(draft)
        });
    made.map_err(|error| PlaceError::Write(path.to_owned(), error))
}

fn put(draft: NamedTempFile, path: &Path, replace: bool) -> Result<(), PlaceError> {
    let placed = if replace { draft.persist(path) } else { draft.persist_noclobber(path) };
    placed.map(drop).map_err(|failed| match failed.error.kind() {
        ErrorKind::AlreadyExists => PlaceError::Exists(path.to_owned()),
        _ => PlaceError::Write(path.to_owned(), failed.error),
    })
}
