//! Certificates and keys in files: PEM, DER, PKCS#7, PKCS#12, and directories of them.
//!
//! Refuses to guess from a file's name: its bytes say what it is.

mod content;
mod directory;

use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub(super) use content::certificates;

use crate::input;

/// What one file holds.
#[derive(Debug, Default)]
pub struct Bundle {
    /// The file.
    pub path: PathBuf,
    /// In the order of the file; of PKCS#12, those that belong to a key first.
    pub certificates: Vec<CertificateDer<'static>>,
    /// In the order of the file, or that of another file of its directory that belongs to the first certificate.
    pub keys: Vec<PrivateKeyDer<'static>>,
    /// The other file that the keys are from.
    pub key_file: Option<PathBuf>,
    /// What was not read, and why: a key that is encrypted, a block that is damaged, or all of it.
    pub unread: Vec<String>,
    /// What was not looked at, as it lies deeper than a directory is read: directories.
    pub deeper: Vec<PathBuf>,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// It holds nothing of the kind.
    #[error("{} holds neither a certificate nor a key that can be read: {why}", .path.display())]
    Nothing {
        /// The file.
        path: PathBuf,
        /// What was expected or found.
        why: String,
    },
    /// It is PEM of other things: parameters, requests, lists.
    #[error("{} holds neither a certificate nor a key: its PEM is of another kind", .0.display())]
    Foreign(PathBuf),
    /// It is PKCS#12 and was not opened.
    #[error("cannot open {}: {why}", .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// That there is no password, that it is wrong, or what else.
        why: String,
    },
}

/// Reads a file, or the files of a directory and of the directories in it, sorted by name. Of a directory are left out:
/// files that hold nothing of the kind and are not called so, directories deeper down, which are named, keys that belong to no certificate beside them, and files whose certificates are
/// all in another one, as those of `cert.pem` are in `fullchain.pem`. `password` opens PKCS#12. Blocks.
///
/// # Errors
/// When the file cannot be read or holds nothing that can be; a file of a directory says so in `unread`.
pub fn read(path: &Path, password: Option<&str>) -> Result<Vec<Bundle>, FileError> {
    if path.is_dir() {
        return directory::read(path, password);
    }
    let bundle = one(path, password)?;
    if bundle.certificates.is_empty() && bundle.keys.is_empty() {
        return Err(FileError::Nothing { path: path.to_owned(), why: bundle.unread.join("; ") });
    }
    Ok(vec![bundle])
}

fn one(path: &Path, password: Option<&str>) -> Result<Bundle, FileError> {
    // Whoever has less time than for a pipe that says nothing looks to it.
    let bytes = input::bounded(path, input::LARGEST).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => FileError::Nothing { path: path.to_owned(), why: error.to_string() },
        _ => FileError::Read(path.to_owned(), error),
    })?;
    content::read(path, &bytes, password)
}

#[cfg(test)]
mod tests;
