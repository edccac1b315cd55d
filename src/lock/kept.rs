//! Handles that are kept for the next call: one small file each, readable by their owner only.
//! It does not know whether a kept handle still holds its lock; the store does.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Handle, Name};

/// A directory of handles.
pub struct Kept {
    directory: PathBuf,
}

impl Kept {
    /// Those of this user, below the directory for state, which several users may share.
    pub fn below(state: &Path) -> Kept {
        let user = rustix::process::geteuid().as_raw();
        Kept { directory: state.join(format!("handles-{user}")) }
    }

    /// Keeps it, with mode 0600.
    ///
    /// # Errors
    /// The directory cannot be created or written.
    pub fn keep(&self, handle: &Handle) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let path = self.path(handle);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        writeln!(file, "{handle}")
    }

    /// All that are kept for a lock in stores of this kind, oldest token first. What cannot be read is none.
    pub fn of(&self, kind: &str, name: &Name) -> Vec<Handle> {
        let Ok(entries) = fs::read_dir(&self.directory) else { return Vec::new() };
        let begin = file_name(name, "");
        let ours = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&begin);
        let text = |entry: fs::DirEntry| fs::read_to_string(entry.path()).ok();
        let mut handles: Vec<Handle> = entries
            .flatten()
            .filter(ours)
            .filter_map(text)
            .filter_map(|text| text.parse().ok())
            .filter(|handle: &Handle| handle.name == *name && handle.kind() == kind)
            .collect();
        handles.sort_by_key(|handle| handle.token);
        handles
    }

    /// Keeps it no more.
    pub fn forget(&self, handle: &Handle) {
        // It may never have been kept here.
        let _ = fs::remove_file(self.path(handle));
    }

    fn path(&self, handle: &Handle) -> PathBuf {
        self.directory.join(file_name(&handle.name, &format!("{}:{}", handle.token, handle.id)))
    }
}

/// A name as part of a file name: `/` and `%` cannot be in it as they are.
fn file_name(name: &Name, rest: &str) -> String {
    format!("{}:{rest}", name.as_str().replace('%', "%25").replace('/', "%2F"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

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
        assert_eq!(mode(&kept.path(&handles[1])), 0o600);
        assert_eq!(mode(&kept.directory), 0o700);
    }
}
