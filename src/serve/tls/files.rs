//! Whether files have changed: by looking, once in a while. Looking sees through swapped symbolic links
//! (as Kubernetes does with secrets) and works on file systems that report nothing.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What tells two states of a file apart: device, inode, size, seconds and nanoseconds of the last change.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// The files of one certificate.
#[derive(Clone, Debug)]
pub(in super::super) struct Watch {
    paths: Vec<PathBuf>,
    /// As they were when last loaded.
    loaded: Vec<Stamp>,
    /// As they were at the last look.
    seen: Vec<Stamp>,
}

impl Watch {
    pub(super) fn new(paths: Vec<PathBuf>) -> Watch {
        let now: Vec<Stamp> = paths.iter().map(|path| stamp(path)).collect();
        Watch { paths, loaded: now.clone(), seen: now }
    }

    /// Whether the files have changed since they were last loaded, and not since the last look: a
    /// certificate and its key are two writes, and half of them is no pair. Blocks on the disk.
    pub(in super::super) fn look(&mut self) -> bool {
        let now: Vec<Stamp> = self.paths.iter().map(|path| stamp(path)).collect();
        let settled = now == self.seen;
        self.seen = now;
        let changed = settled && self.seen != self.loaded;
        if changed {
            self.loaded.clone_from(&self.seen);
        }
        changed
    }
}

fn stamp(path: &Path) -> Stamp {
    let about = std::fs::metadata(path).ok()?;
    Some((about.dev(), about.ino(), about.size(), about.mtime(), about.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_change_counts_once_it_has_settled() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&a, "1").unwrap();
        fs::write(&b, "1").unwrap();
        let mut watch = Watch::new(vec![a.clone(), b.clone()]);
        assert!(!watch.look());
        fs::write(&a, "22").unwrap();
        assert!(!watch.look());
        fs::write(&b, "22").unwrap();
        assert!(!watch.look());
        assert!(watch.look());
        assert!(!watch.look());
    }

    #[test]
    fn swapped_links_and_vanished_files_are_changes() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("v1")).unwrap();
        fs::create_dir(at("v2")).unwrap();
        fs::write(at("v1/cert"), "1").unwrap();
        fs::write(at("v2/cert"), "1").unwrap();
        symlink("v1", at("current")).unwrap();
        let mut watch = Watch::new(vec![at("current/cert")]);
        symlink("v2", at("next")).unwrap();
        fs::rename(at("next"), at("current")).unwrap();
        assert!(!watch.look());
        assert!(watch.look());
        fs::remove_file(at("v2/cert")).unwrap();
        assert!(!watch.look());
        assert!(watch.look());
    }
}
