//! Records as files of one directory: `record=NAME`, replaced as a whole by whoever has the kernel's lock on
//! `guard=NAME`. A process that is killed at any moment leaves the old record or the new one.
//!
//! Nothing is flushed to the disk: a record tells of the last seconds, and after a loss of power they are over. A file
//! that such a loss has damaged is put aside by whoever reads it. What is to last is renamed, which makes most file
//! systems write its bytes before its name.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::super::{Error, Step};
use super::{Access, Directory, Guard, Settings, Watch, WatchFlags, anchor, failed, open};
use crate::clock::Boot;

/// The longest record that is read; what is longer was not written here.
const LONGEST: u64 = 1 << 20;

/// Most records are read at once.
const USUAL: usize = 4096;

/// The records of one kind.
pub struct Records {
    store: Directory,
    path: PathBuf,
}

impl Records {
    /// Creates nothing.
    ///
    /// # Errors
    /// The directory is on a network file system, and that is not allowed.
    pub fn open(settings: &Settings, kind: &'static str) -> Result<Records, Error> {
        let store = Directory::open(settings)?;
        let path = store.path().join(kind);
        Ok(Records { store, path })
    }

    /// The record; none if there is none.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.file("record", name);
        let mut bytes = Vec::with_capacity(USUAL);
        match open(&path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes)) {
            Ok(_) => Ok(Some(bytes)),
            Err(missing) if missing.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path, error)),
        }
    }

    /// Changes the record, alone with it.
    ///
    /// # Errors
    /// Its file cannot be used, or others kept it locked until then.
    pub async fn update<T>(
        &self,
        name: &str,
        by: Boot,
        mut step: impl FnMut(Option<&[u8]>) -> Step<T>,
    ) -> Result<T, Error> {
        let access = self.store.prepare()?;
        let guard = tokio::time::timeout(by.left(), self.guard(name, access)).await;
        let _guard = guard.map_err(|_| {
            let path = self.file("guard", name);
            Error::new(format!("others keep {} locked", path.display()))
                .hint(format!("look for a stopped process: `fuser -v {}`", path.display()))
        })??;
        match step(self.read(name)?.as_deref()) {
            Step::Keep(value) => Ok(value),
            Step::Put { bytes, aside, value, once: _, lasting } => {
                if aside {
                    self.put_aside(name)?;
                }
                self.replace(name, &bytes, lasting, access)?;
                Ok(value)
            }
        }
    }

    async fn guard(&self, name: &str, access: &Access) -> Result<Guard, Error> {
        let path = self.file("guard", name);
        loop {
            if let Some(guard) = Guard::take(&path, None).await? {
                // Neither the directory nor what is in it is followed to somewhere else.
                anchor(self.store.path(), &self.path).map_err(|e| failed("use", &self.path, e))?;
                return Ok(guard);
            }
            access.directory(&self.path).map_err(|e| failed("create", &self.path, e))?;
            access.open_or_create(&path).map_err(|e| failed("create", &path, e))?;
        }
    }

    fn replace(&self, name: &str, bytes: &[u8], lasting: bool, access: &Access) -> Result<(), Error> {
        let (draft, path) = (self.file("draft", name), self.file("record", name));
        let write = |mut file: File| file.write_all(bytes);
        let place = || if lasting { fs::rename(&draft, &path) } else { swap(&draft, &path) };
        access.draft(&draft).and_then(write).and_then(|()| place()).map_err(|e| failed("write", &path, e))
    }

    fn put_aside(&self, name: &str) -> Result<(), Error> {
        let (path, aside) = (self.file("record", name), self.file("damaged", name));
        fs::rename(&path, &aside).map_err(|e| failed("put aside", &path, e))
    }

    /// The names of all, in order.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("read", &self.path, error)),
        };
        let name = |entry: fs::DirEntry| decoded(entry.file_name().to_str()?.strip_prefix("record=")?);
        let mut names: Vec<String> = entries.flatten().filter_map(name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Begins to notice changes, of any of them.
    ///
    /// # Errors
    /// The directory cannot be created.
    pub fn changes(&self) -> Result<Watch, Error> {
        let access = self.store.prepare()?;
        access.directory(&self.path).map_err(|e| failed("create", &self.path, e))?;
        Ok(Watch::begin(&self.path, WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE))
    }

    fn file(&self, what: &str, name: &str) -> PathBuf {
        self.path.join(format!("{what}={}", encoded(name)))
    }
}

/// The same as to rename the draft, without what that costs: ext4 and others begin to write what replaces a file to the
/// disk, and wait for the one that was replaced to be there. What was replaced is removed.
fn swap(draft: &Path, path: &Path) -> io::Result<()> {
    match renameat_with(CWD, draft, CWD, path, RenameFlags::EXCHANGE) {
        Ok(()) => fs::remove_file(draft),
        // There is nothing to replace, or the file system cannot.
        Err(Errno::NOENT | Errno::INVAL | Errno::NOSYS) => fs::rename(draft, path),
        Err(other) => Err(other.into()),
    }
}

/// As a part of a file's name.
fn encoded(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F")
}

fn decoded(part: &str) -> Option<String> {
    let name = part.replace("%2F", "/").replace("%25", "%");
    (encoded(&name) == part).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn records(path: &std::path::Path) -> Records {
        Records::open(&Settings { directory: path.join("s"), allow_network: false }, "things").unwrap()
    }

    fn soon() -> Boot {
        Boot::now() + Duration::from_secs(20)
    }

    fn put(bytes: &[u8], aside: bool) -> Step<()> {
        Step::Put { bytes: bytes.to_vec(), aside, once: false, lasting: false, value: () }
    }

    #[tokio::test]
    async fn a_record_is_replaced_as_a_whole_and_listed_by_its_name() {
        let home = tempfile::tempdir().unwrap();
        let records = records(home.path());
        assert!(records.names().unwrap().is_empty() && records.read("a/b").unwrap().is_none());
        assert!(!home.path().join("s").exists(), "reading creates nothing");
        for name in ["z", "a/b", "50%2F"] {
            records
                .update(name, soon(), |before| put(&[before.map_or(0, <[u8]>::len) as u8], false))
                .await
                .unwrap();
        }
        assert_eq!(records.names().unwrap(), ["50%2F", "a/b", "z"]);
        records.update("z", soon(), |before| put(&[before.unwrap()[0] + 1, 7], false)).await.unwrap();
        assert_eq!(records.read("z").unwrap().unwrap(), [1, 7]);
        records.update("z", soon(), |_| Step::Keep(())).await.unwrap();
        assert_eq!(records.read("z").unwrap().unwrap(), [1, 7]);
    }

    #[tokio::test]
    async fn nothing_else_is_left_however_it_is_replaced() {
        let home = tempfile::tempdir().unwrap();
        let records = records(home.path());
        for (number, lasting) in [true, false, false, true, false].into_iter().enumerate() {
            let step = |_: Option<&[u8]>| Step::Put {
                bytes: vec![number as u8],
                aside: false,
                once: false,
                lasting,
                value: (),
            };
            records.update("x", soon(), step).await.unwrap();
            assert_eq!(records.read("x").unwrap().unwrap(), [number as u8]);
            let mut files: Vec<_> =
                fs::read_dir(&records.path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            files.sort_unstable();
            assert_eq!(files, ["guard=x", "record=x"]);
        }
    }

    #[tokio::test]
    async fn what_is_damaged_is_kept_beside() {
        let home = tempfile::tempdir().unwrap();
        let records = records(home.path());
        records.update("x", soon(), |_| put(b"bad", false)).await.unwrap();
        records.update("x", soon(), |_| put(b"good", true)).await.unwrap();
        let directory = home.path().join("s/things");
        assert_eq!(fs::read(directory.join("damaged=x")).unwrap(), b"bad");
        assert_eq!(records.read("x").unwrap().unwrap(), b"good");
        assert_eq!(records.names().unwrap(), ["x"]);
    }

    #[tokio::test]
    async fn whoever_keeps_it_locked_is_not_waited_for_beyond_the_bound() {
        let home = tempfile::tempdir().unwrap();
        let records = records(home.path());
        records.update("x", soon(), |_| put(b"1", false)).await.unwrap();
        let _stopped = Guard::take(&records.file("guard", "x"), None).await.unwrap().unwrap();
        let by = Boot::now() + Duration::from_millis(30);
        let error = records.update("x", by, |_| put(b"2", false)).await.unwrap_err().to_string();
        assert!(error.contains("guard=x locked"), "{error}");
        assert_eq!(records.read("x").unwrap().unwrap(), b"1");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_change_of_many_is_lost() {
        let home = tempfile::tempdir().unwrap();
        let add = async |path: PathBuf| {
            let records = records(&path);
            for _ in 0..50 {
                let step = |before: Option<&[u8]>| {
                    let count: u32 = before.map_or(0, |b| String::from_utf8_lossy(b).parse().unwrap());
                    put((count + 1).to_string().as_bytes(), false)
                };
                records.update("n", soon(), step).await.unwrap();
            }
        };
        let all: Vec<_> = (0..4).map(|_| tokio::spawn(add(home.path().to_owned()))).collect();
        for one in all {
            one.await.unwrap();
        }
        assert_eq!(records(home.path()).read("n").unwrap().unwrap(), b"200");
    }
}
