//! Who may use what the store creates: its owner alone, or all who may write to its directory.
//!
//! Those who share a directory need not trust each other with anything else: nothing here follows a symbolic link,
//! permissions are changed on descriptors only, and what others may use appears under its name with all of them.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, mkfifoat, openat, renameat_with};
use rustix::io::Errno;

const GROUP_MAY_WRITE: u32 = 0o020;
const OTHERS_MAY_WRITE: u32 = 0o002;

/// Neither follows a link nor waits at a pipe that somebody left there.
const PLAIN: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK);

/// Opens a file for reading; no symbolic link.
///
/// # Errors
/// As open(2).
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(PLAIN.bits().cast_signed()).open(path)
}

/// Opens a file for reading and writing; no symbolic link.
///
/// # Errors
/// As open(2).
pub fn open_to_write(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(PLAIN.bits().cast_signed()).open(path)
}

/// Opens a named pipe for reading and writing, and nothing else.
///
/// # Errors
/// As open(2), or it is no pipe.
pub fn open_fifo(path: &Path) -> io::Result<File> {
    let file = open_to_write(path)?;
    if file.metadata()?.file_type().is_fifo() { Ok(file) } else { Err(ErrorKind::InvalidInput.into()) }
}

/// A directory below another one, with no symbolic link between them, and a path to it that stays the same directory
/// for as long as it is open, whatever becomes of its name.
///
/// # Errors
/// As open(2), or it does not lie below.
pub fn anchor(root: &Path, directory: &Path) -> io::Result<(File, PathBuf)> {
    let below = directory.strip_prefix(root).map_err(|_| ErrorKind::InvalidInput)?;
    let mut at = File::open(root)?;
    for part in below {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        at = File::from(openat(&at, part, flags, Mode::empty())?);
    }
    let path = PathBuf::from(format!("/proc/self/fd/{}", at.as_raw_fd()));
    Ok((at, path))
}

fn open_directory(path: &Path) -> io::Result<File> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

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
    /// As mkdir(2) and fsync(2), or something else has that name.
    pub fn directory(&self, path: &Path) -> io::Result<()> {
        match fs::symlink_metadata(path) {
            Ok(there) if there.is_dir() => return Ok(()),
            Ok(_) => return Err(ErrorKind::NotADirectory.into()),
            Err(missing) if missing.kind() == ErrorKind::NotFound => {}
            Err(other) => return Err(other),
        }
        let draft = draft_of(path);
        fs::DirBuilder::new().mode(0o700).create(&draft)?;
        let ready = open_directory(&draft)
            .and_then(|made| self.pass_on(&made, self.writers | self.writers << 1 | self.writers >> 1))
            .and_then(|()| place_directory(&draft, path));
        if let Err(refused) = ready {
            let _ = fs::remove_dir(&draft);
            return if refused.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(refused) };
        }
        path.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())
    }

    /// Creates a file for reading and writing, under a name that only who has the guard uses: what an earlier one
    /// left there is removed. To be renamed once it is complete.
    ///
    /// # Errors
    /// As unlink(2) and open(2).
    pub fn draft(&self, path: &Path) -> io::Result<File> {
        match self.create(path) {
            Err(used) if used.kind() == ErrorKind::AlreadyExists => {
                fs::remove_file(path)?;
                self.create(path)
            }
            other => other,
        }
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        // A new file, so no link is followed.
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        self.pass_on(&file, self.writers | self.writers << 1)?;
        Ok(file)
    }

    /// Opens a file for reading and writing; creates it if it is missing.
    ///
    /// # Errors
    /// As open(2) and link(2).
    pub fn open_or_create(&self, path: &Path) -> io::Result<File> {
        match open_to_write(path) {
            Err(missing) if missing.kind() == ErrorKind::NotFound => match self.create_at_once(path) {
                Err(raced) if raced.kind() == ErrorKind::AlreadyExists => open_to_write(path),
                other => other,
            },
            other => other,
        }
    }

    /// Creates a file that never has less than its permissions.
    fn create_at_once(&self, path: &Path) -> io::Result<File> {
        if self.writers == 0 {
            return self.create(path);
        }
        let draft = draft_of(path);
        let file = self.create(&draft)?;
        let linked = fs::hard_link(&draft, path);
        fs::remove_file(&draft)?;
        linked.map(|()| file)
    }

    /// Creates a named pipe, unless something has that name.
    ///
    /// # Errors
    /// As mkfifo(3), or somebody put something else there.
    pub fn fifo(&self, path: &Path) -> io::Result<()> {
        match mkfifoat(CWD, path, Mode::from_raw_mode(0o600)) {
            Ok(()) => self.pass_on(&open_fifo(path)?, self.writers | self.writers << 1),
            Err(Errno::EXIST) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }

    /// Adds the permissions of the others, whatever the umask: it is the directory that says who may write.
    fn pass_on(&self, created: &File, bits: u32) -> io::Result<()> {
        if self.writers == 0 {
            return Ok(());
        }
        let now = created.metadata()?;
        // Only a pipe or a directory may be another one than what was made, and then it is somebody else's.
        if now.uid() != rustix::process::geteuid().as_raw() {
            return Err(ErrorKind::PermissionDenied.into());
        }
        // Whoever may write as one of the group may give to the group.
        if self.writers == GROUP_MAY_WRITE && now.gid() != self.group {
            std::os::unix::fs::fchown(created, None, Some(self.group))?;
        }
        created.set_permissions(Permissions::from_mode(now.mode() & 0o7777 | bits))
    }
}

/// A name beside it that nobody else uses.
fn draft_of(path: &Path) -> PathBuf {
    path.with_file_name(format!("new-{:016x}", fastrand::u64(..)))
}

/// Gives the directory its name, unless that is in use.
fn place_directory(draft: &Path, path: &Path) -> io::Result<()> {
    match renameat_with(CWD, draft, CWD, path, RenameFlags::NOREPLACE) {
        // The file system cannot; one that replaces an empty directory will do.
        Err(Errno::INVAL | Errno::NOSYS) => match fs::rename(draft, path) {
            Err(used) if used.kind() == ErrorKind::DirectoryNotEmpty => Err(ErrorKind::AlreadyExists.into()),
            other => other,
        },
        other => Ok(other?),
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
            assert_eq!(fs::read_dir(home.path()).unwrap().count(), 3);
        }
    }

    #[test]
    fn a_link_that_somebody_left_is_never_followed() {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o777)).unwrap();
        let access = Access::of(&fs::metadata(home.path()).unwrap());
        let (victim, link) = (home.path().join("victim"), home.path().join("link"));
        fs::write(&victim, "secret").unwrap();
        fs::set_permissions(&victim, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        open(&link).unwrap_err();
        open_to_write(&link).unwrap_err();
        open_fifo(&link).unwrap_err();
        open_fifo(&victim).unwrap_err();
        access.open_or_create(&link).unwrap_err();
        access.directory(&link).unwrap_err();
        access.fifo(&link).unwrap();
        // The link goes, the file stays.
        access.draft(&link).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "secret");
        assert_eq!(fs::metadata(&victim).unwrap().mode() & 0o777, 0o600);
    }
}
