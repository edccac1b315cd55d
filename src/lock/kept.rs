//! Handles that are kept for the next call: one small file each, readable by their owner only.
//! It does not know whether a kept handle still holds its lock; the store does.
//!
//! Others may be able to write where the directory is: it is used only if nobody else can have put anything in it,
//! and through one descriptor, so that it cannot be swapped meanwhile.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, renameat, unlinkat};
use rustix::process::geteuid;

use super::{Handle, Name};

const OTHERS_MAY_WRITE: u32 = 0o022;

/// A directory of handles.
pub struct Kept {
    directory: PathBuf,
}

impl Kept {
    /// Those of this user, below the directory for state, which several users may share.
    pub fn below(state: &Path) -> Kept {
        let user = geteuid().as_raw();
        Kept { directory: state.join(format!("handles-{user}")) }
    }

    /// Keeps it, with mode 0600.
    ///
    /// # Errors
    /// The directory cannot be created or written, or is not this user's alone.
    pub fn keep(&self, handle: &Handle) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let directory = self.open()?;
        // No name of a handle: each begins with that of its lock.
        let draft = format!(":{:016x}", fastrand::u64(..));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&directory, &draft, flags, Mode::from_raw_mode(0o600))?);
        let kept = writeln!(file, "{handle}")
            .and_then(|()| Ok(renameat(&directory, &draft, &directory, entry_name(handle))?));
        if kept.is_err() {
            let _ = unlinkat(&directory, &draft, AtFlags::empty());
        }
        kept
    }

    /// All that are kept for a lock in stores of this kind, oldest token first. What cannot be read is none.
    pub fn of(&self, kind: &str, name: &Name) -> Vec<Handle> {
        let Ok(directory) = self.open() else { return Vec::new() };
        let Ok(entries) = Dir::read_from(&directory) else { return Vec::new() };
        let begin = file_name(name, "");
        let mut handles: Vec<Handle> = entries
            .flatten()
            .filter_map(|entry| Some(entry.file_name().to_str().ok()?.to_owned()))
            .filter(|entry| entry.starts_with(&begin))
            .filter_map(|entry| read(&directory, &entry).ok()?.parse().ok())
            .filter(|handle: &Handle| handle.name == *name && handle.kind() == kind)
            .collect();
        handles.sort_by_key(|handle| handle.token);
        handles
    }

    /// Keeps it no more.
    pub fn forget(&self, handle: &Handle) {
        // It may never have been kept here.
        if let Ok(directory) = self.open() {
            let _ = unlinkat(&directory, entry_name(handle), AtFlags::empty());
        }
    }

    /// The directory, if it is this user's alone.
    fn open(&self) -> io::Result<File> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let directory =
            OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(&self.directory)?;
        let found = directory.metadata()?;
        if found.uid() == geteuid().as_raw() && found.mode() & OTHERS_MAY_WRITE == 0 {
            return Ok(directory);
        }
        let what = format!("{} belongs to another user, or others may write to it", self.directory.display());
        Err(io::Error::new(ErrorKind::PermissionDenied, what))
    }
}

fn read(directory: &File, entry: &str) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut text = String::new();
    File::from(openat(directory, entry, flags, Mode::empty())?).read_to_string(&mut text)?;
    Ok(text)
}

fn entry_name(handle: &Handle) -> String {
    file_name(&handle.name, &format!("{}:{}", handle.token, handle.id))
}

/// A name as part of a file name: `/` and `%` cannot be in it as they are.
fn file_name(name: &Name, rest: &str) -> String {
    format!("{}:{rest}", name.as_str().replace('%', "%25").replace('/', "%2F"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn handles_are_kept_by_name_and_kind() {
        let state = tempfile::tempdir().unwrap();
        let kept = Kept::below(state.path());
        let handles: Vec<Handle> = ["local-1:a/b:10:1", "local-1:a/b:9:2", "etcd-1:a/b:7:3", "local-1:a:8:4"]
            .map(|text| text.parse().unwrap())
            .into();
        assert!(kept.of("local", &handles[0].name).is_empty());
        handles.iter().for_each(|handle| kept.keep(handle).unwrap());
        assert_eq!(kept.of("local", &handles[0].name), [handles[1].clone(), handles[0].clone()]);
        assert_eq!(kept.of("etcd", &handles[0].name), [handles[2].clone()]);
        kept.forget(&handles[0]);
        kept.forget(&handles[0]);
        assert_eq!(kept.of("local", &handles[0].name), [handles[1].clone()]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&kept.directory.join(entry_name(&handles[1]))), 0o600);
        assert_eq!(mode(&kept.directory), 0o700);
    }

    #[test]
    fn nothing_is_written_where_others_may_have_left_a_link() {
        let state = tempfile::tempdir().unwrap();
        let kept = Kept::below(state.path());
        let handle: Handle = "local-1:deploy:1:1".parse().unwrap();
        let victim = state.path().join("victim");
        fs::write(&victim, "local-1:deploy:1:1").unwrap();
        // One of this user's that has such a link is written in place of the link.
        fs::create_dir(&kept.directory).unwrap();
        fs::set_permissions(&kept.directory, fs::Permissions::from_mode(0o700)).unwrap();
        let link = kept.directory.join(entry_name(&handle));
        symlink(&victim, &link).unwrap();
        assert!(kept.of("local", &handle.name).is_empty());
        kept.keep(&handle).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
        // Others may write to it.
        fs::set_permissions(&kept.directory, fs::Permissions::from_mode(0o770)).unwrap();
        assert_eq!(kept.keep(&handle).unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert!(kept.of("local", &handle.name).is_empty());
        // It is a link, or belongs to another user, which only root can arrange.
        let other = state.path().join("other");
        fs::rename(&kept.directory, &other).unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o700)).unwrap();
        symlink(&other, &kept.directory).unwrap();
        kept.keep(&handle).unwrap_err();
        fs::remove_file(&kept.directory).unwrap();
        fs::rename(&other, &kept.directory).unwrap();
        if std::os::unix::fs::chown(&kept.directory, Some(64_001), None).is_ok() {
            assert_eq!(kept.keep(&handle).unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "local-1:deploy:1:1");
    }
}
