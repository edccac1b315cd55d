//! Who may use what the store creates: its owner alone, or all who may write to its directory.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{CWD, Mode, mkfifoat};

const GROUP_MAY_WRITE: u32 = 0o020;
const OTHERS_MAY_WRITE: u32 = 0o002;

/// Write permission on the store's directory, as it is passed on to all below.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    writers: u32,
    group: u32,
}

impl Access {
    /// As on this directory.
    pub fn of(directory: &Metadata) -> Access {
        Access { writers: directory.mode() & (GROUP_MAY_WRITE | OTHERS_MAY_WRITE), group: directory.gid() }
    }

    /// Creates a directory, unless it exists; a new one is there after a loss of power, too.
    ///
    /// # Errors
    /// As mkdir(2) and fsync(2).
    pub fn directory(&self, path: &Path) -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {
                self.pass_on(path, self.writers | self.writers << 1 | self.writers >> 1)?;
                path.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())
            }
            Err(exists) if exists.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// Creates a file that does not exist yet, for reading and writing.
    ///
    /// # Errors
    /// As open(2).
    pub fn create(&self, path: &Path) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        self.pass_on(path, self.writers | self.writers << 1)?;
        Ok(file)
    }

    /// Opens a file for reading and writing; creates it if it is missing.
    ///
    /// # Errors
    /// As open(2).
    pub fn open_or_create(&self, path: &Path) -> io::Result<File> {
        let open = || OpenOptions::new().read(true).write(true).open(path);
        match open() {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => match self.create(path) {
                Err(raced) if raced.kind() == io::ErrorKind::AlreadyExists => open(),
                other => other,
            },
            other => other,
        }
    }

    /// Creates a named pipe, unless something has that name.
    ///
    /// # Errors
    /// As mkfifo(3).
    pub fn fifo(&self, path: &Path) -> io::Result<()> {
        match mkfifoat(CWD, path, Mode::from_raw_mode(0o600)) {
            Ok(()) => self.pass_on(path, self.writers | self.writers << 1),
            Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }

    /// Adds the permissions of the others, whatever the umask: it is the directory that says who may write.
    fn pass_on(&self, path: &Path, bits: u32) -> io::Result<()> {
        if self.writers == 0 {
            return Ok(());
        }
        let created = fs::metadata(path)?;
        // Whoever may write as one of the group may give to the group.
        if self.writers == GROUP_MAY_WRITE && created.gid() != self.group {
            std::os::unix::fs::chown(path, None, Some(self.group))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(created.mode() & 0o7777 | bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_write_to_the_directory_may_use_what_is_in_it() {
        for (root, directory, file) in
            [(0o700, 0o700, 0o600), (0o755, 0o700, 0o600), (0o770, 0o770, 0o660), (0o777, 0o777, 0o666)]
        {
            let home = tempfile::tempdir().unwrap();
            fs::set_permissions(home.path(), fs::Permissions::from_mode(root)).unwrap();
            let access = Access::of(&fs::metadata(home.path()).unwrap());
            let mode = |name: &str| fs::metadata(home.path().join(name)).unwrap().mode() & 0o777;
            access.directory(&home.path().join("d")).unwrap();
            access.create(&home.path().join("f")).unwrap();
            access.fifo(&home.path().join("p")).unwrap();
            assert_eq!((mode("d"), mode("f"), mode("p")), (directory, file, file), "{root:o}");
            access.directory(&home.path().join("d")).unwrap();
            access.fifo(&home.path().join("p")).unwrap();
            access.open_or_create(&home.path().join("f")).unwrap();
            access.create(&home.path().join("f")).unwrap_err();
        }
    }
}
