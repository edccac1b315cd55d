//! One store of each kind, empty, with whatever it needs running.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};

use tempfile::TempDir;

use crate::etcd::Etcd;
use crate::support::{Process, Run, hardy};

/// A store of its own for one test.
pub struct Store {
    directory: TempDir,
    etcd: Option<Etcd>,
}

impl Store {
    /// Runs the test with each kind of store.
    pub fn each(test: impl Fn(&Store)) {
        test(&Store::local());
        test(&Store::of(Etcd::single()));
    }

    /// The store of this host, in a directory of its own.
    pub fn local() -> Store {
        Store { directory: tempfile::tempdir().unwrap(), etcd: None }
    }

    /// A cluster of etcd.
    pub fn of(etcd: Etcd) -> Store {
        Store { directory: tempfile::tempdir().unwrap(), etcd: Some(etcd) }
    }

    /// The cluster, where it is one.
    pub fn etcd(&self) -> Option<&Etcd> {
        self.etcd.as_ref()
    }

    /// The same, to kill and restart its members.
    pub fn etcd_mut(&mut self) -> Option<&mut Etcd> {
        self.etcd.as_mut()
    }

    /// A directory for whatever the test needs; also that of the local store.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The binary, pointed at this store.
    pub fn hardy(&self) -> Command {
        let mut command = hardy();
        command.env("HARDY_STORE_DIRECTORY", self.directory().join("store"));
        if let Some(etcd) = &self.etcd {
            command.env("HARDY_STORE_ENDPOINTS", etcd.endpoints());
        }
        command
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Run {
        self.hardy().args(args).output().expect("hardy runs").into()
    }

    /// Whether no holder, waiter, key, lease or handle is left.
    pub fn is_clean(&self) -> bool {
        match &self.etcd {
            Some(etcd) => etcd.is_empty(),
            None => !has_entries(&self.directory().join("store/locks"), &["holders", "waiters"]),
        }
    }

    /// A run whose stdout is read line by line.
    pub fn lines(&self, args: &[&str]) -> Lines {
        let mut child = self.hardy().args(args).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Lines { stdout, _process: Process::of(child) }
    }
}

/// The lines of a run that goes on.
pub struct Lines {
    stdout: BufReader<ChildStdout>,
    _process: Process,
}

impl Lines {
    /// The next line; the test hangs into its runner's limit if none comes.
    pub fn next(&mut self) -> String {
        let mut line = String::new();
        assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the stream has ended");
        line
    }
}

/// Whether a directory of one of these names below `root` has anything in it.
fn has_entries(root: &Path, names: &[&str]) -> bool {
    let Ok(entries) = std::fs::read_dir(root) else { return false };
    entries.flatten().filter(|entry| entry.path().is_dir()).any(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        if names.contains(&name.as_str()) {
            std::fs::read_dir(entry.path()).unwrap().count() > 0
        } else {
            has_entries(&entry.path(), names)
        }
    })
}
