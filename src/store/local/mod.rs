//! The store of one host: a directory, guarded by kernel file locks. It knows the directory, who may write there,
//! and how to be alone in it; what the files mean is the matter of the rooms above.

mod access;
mod guard;
mod kernel;
mod records;
mod watch;

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::Error;
pub use access::{Access, anchor, open, open_fifo, open_to_write};
pub use guard::{Guard, Kind, locked};
pub use kernel::BootId;
pub use records::Records;
pub use watch::{Watch, WatchFlags};

/// Where it is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The directory; created when it is first written to.
    pub directory: PathBuf,
    /// Use it even on a network file system, whose file locks other hosts may not see.
    pub allow_network: bool,
}

/// The directory of a store.
pub struct Directory {
    path: PathBuf,
    boot: OnceLock<BootId>,
    access: OnceLock<Access>,
    id: OnceLock<String>,
}

/// The length of a store's own name.
const ID: usize = 8;

impl Directory {
    /// Creates nothing.
    ///
    /// # Errors
    /// The directory is on a network file system, and that is not allowed.
    pub fn open(settings: &Settings) -> Result<Directory, Error> {
        if !settings.allow_network {
            kernel::refuse_network(&settings.directory)?;
        }
        Ok(Directory {
            path: settings.directory.clone(),
            boot: OnceLock::new(),
            access: OnceLock::new(),
            id: OnceLock::new(),
        })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What tells this start of the host from others.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn boot(&self) -> Result<BootId, Error> {
        remember(&self.boot, BootId::read).copied()
    }

    /// Creates the directory if it is missing; returns who may use what is created in it.
    ///
    /// # Errors
    /// It cannot be created or looked at.
    pub fn prepare(&self) -> Result<&Access, Error> {
        remember(&self.access, || {
            let here = || match fs::metadata(&self.path) {
                Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                    fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
                    fs::metadata(&self.path)
                }
                other => other,
            };
            here().map(|directory| Access::of(&directory)).map_err(|e| failed("use", &self.path, e))
        })
    }

    /// The name of this store, 8 characters chosen at random when it was first used.
    ///
    /// # Errors
    /// It cannot be read or written, or is no name.
    pub fn id(&self) -> Result<&str, Error> {
        remember(&self.id, || {
            let path = self.path.join("id");
            let access = self.prepare()?;
            read_or_make_id(&path, access).map_err(|e| match e.kind() {
                io::ErrorKind::InvalidData => damaged(&path, "it does not hold the name of the store")
                    .hint(format!("remove {}: the handles of detached locks become void", path.display())),
                _ => failed("use", &path, e),
            })
        })
        .map(String::as_str)
    }
}

/// The value of the cell, made if need be; an error is not remembered.
fn remember<T>(cell: &OnceLock<T>, make: impl FnOnce() -> Result<T, Error>) -> Result<&T, Error> {
    match cell.get() {
        Some(value) => Ok(value),
        None => {
            let value = make()?;
            Ok(cell.get_or_init(|| value))
        }
    }
}

fn read_or_make_id(path: &Path, access: &Access) -> io::Result<String> {
    let mut text = String::new();
    match open(path) {
        Ok(mut file) => file.read_to_string(&mut text)?,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => 0,
        Err(other) => return Err(other),
    };
    if text.is_empty() {
        // Several may come here at once: the first one to lock the file writes it.
        let mut file = access.open_or_create(path)?;
        file.lock()?;
        file.read_to_string(&mut text)?;
        if text.is_empty() {
            text = format!("{:0ID$x}", fastrand::u32(..));
            file.write_all(text.as_bytes())?;
        }
    }
    let plain = text.len() == ID && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if plain { Ok(text) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// The operating system refused.
pub fn failed(what: &str, path: &Path, cause: io::Error) -> Error {
    let hint = match cause.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(
            "use a directory that you may write to: `[store] directory` or HARDY_STORE_DIRECTORY; users who share \
             one need write permission on it through its group or for all",
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some("make room on that file system"),
        _ => None,
    };
    let error = Error::new(format!("cannot {what} {}", path.display())).because(cause);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// A file is not what it should be.
pub fn damaged(path: &Path, why: &str) -> Error {
    Error::new(format!("{} is damaged: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn directory(path: PathBuf) -> Directory {
        Directory::open(&Settings { directory: path, allow_network: false }).unwrap()
    }

    #[test]
    fn it_is_created_for_its_owner_alone_and_keeps_its_name() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state/hardy");
        let store = directory(path.clone());
        assert!(!path.exists());
        let id = store.id().unwrap().to_owned();
        assert_eq!(id.len(), ID);
        assert_eq!(directory(path.clone()).id().unwrap(), id);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(path.join("id")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn many_who_come_first_agree_on_the_name() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("hardy");
        let ids: Vec<String> = std::thread::scope(|scope| {
            let all: Vec<_> =
                (0..8).map(|_| scope.spawn(|| directory(path.clone()).id().unwrap().to_owned())).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    #[test]
    fn a_name_that_is_none_is_said_to_be_damaged() {
        let home = tempfile::tempdir().unwrap();
        for text in ["x", "123456789", "../../..", "a:b:c:d:"] {
            fs::write(home.path().join("id"), text).unwrap();
            let (what, _, hint) = directory(home.path().into()).id().unwrap_err().into_parts();
            assert!(what.contains("id is damaged"), "{what}");
            assert!(hint.unwrap().contains("remove"));
        }
    }
}
