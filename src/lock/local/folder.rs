//! Where the files of one lock are, and who of those that they name is alive.
//!
//! The lock `a/b` is the directory `locks/=a/=b`; the sign keeps the names of locks apart from those of the files
//! in it: `guard`, `state`, `bell`, `holders/TICKET`, `waiters/TICKET`.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::super::{Error, Mode, Name, holders};
use super::entry::{Entry, Found, find};
use crate::clock::Boot;
use crate::store::local::{Access, BootId, Directory, Guard, anchor, failed, open_fifo};
use crate::store::{self};

/// The directory of one lock.
#[derive(Clone, Debug)]
pub struct Folder {
    pub name: Name,
    pub path: PathBuf,
    locks: PathBuf,
    pub boot: BootId,
}

impl Folder {
    pub fn of(store: &Directory, name: &Name) -> Result<Folder, Error> {
        let locks = store.path().join("locks");
        Ok(Folder { name: name.clone(), path: path_of(&locks, name.as_str()), locks, boot: store.boot()? })
    }

    pub fn holders(&self) -> PathBuf {
        self.path.join("holders")
    }

    pub fn waiters(&self) -> PathBuf {
        self.path.join("waiters")
    }

    pub fn bell(&self) -> PathBuf {
        self.path.join("bell")
    }

    /// To be alone with the files; none if the lock was never used.
    pub async fn guard(&self) -> Result<Option<Guard>, Error> {
        let guard = Guard::take(&self.path.join("guard"), None).await?;
        if guard.is_some() {
            for directory in [self.holders(), self.waiters()] {
                self.anchor(&directory).map_err(|e| failed("use", &directory, e))?;
            }
        }
        Ok(guard)
    }

    /// The same, for a lock that may be new.
    pub async fn guard_or_create(&self, access: &Access) -> Result<Guard, Error> {
        loop {
            if let Some(guard) = self.guard().await? {
                return Ok(guard);
            }
            self.refuse_conflict()?;
            self.create(access)?;
            // Last, for it says that the others are there.
            let path = self.path.join("guard");
            access.open_or_create(&path).map_err(|e| failed("create", &path, e))?;
        }
    }

    fn create(&self, access: &Access) -> Result<(), store::Error> {
        let make = |path: &Path| access.directory(path).map_err(|e| failed("create", path, e));
        make(&self.locks)?;
        let mut path = self.locks.clone();
        for part in self.name.parts() {
            path.push(format!("={part}"));
            make(&path)?;
        }
        make(&self.holders())?;
        make(&self.waiters())?;
        // Where the file system has no named pipes, whoever waits looks every second.
        let _ = access.fifo(&self.bell());
        Ok(())
    }

    /// All who hold it, dead ones too, oldest first.
    pub fn look_at_holders(&self) -> Result<Vec<Found>, store::Error> {
        look_at(&self.holders(), self.boot)
    }

    /// All who wait for it, dead ones too, oldest first.
    pub fn look_at_waiters(&self) -> Result<Vec<Found>, store::Error> {
        look_at(&self.waiters(), self.boot)
    }

    /// Who holds the lock. The dead are removed if `sweep`; that needs the guard.
    pub fn live_holders(&self, sweep: bool) -> Result<Vec<Found>, store::Error> {
        let (alive, dead): (Vec<_>, Vec<_>) = self.look_at_holders()?.into_iter().partition(Found::is_alive);
        if sweep {
            dead.iter().for_each(remove);
        }
        Ok(alive)
    }

    /// The last of those who wait, or of those before a ticket.
    pub fn last_waiter(&self, before: u64, sweep: bool) -> Result<Option<Found>, store::Error> {
        let waiters = self.waiters();
        for ticket in tickets(&waiters)?.into_iter().rev().filter(|ticket| *ticket < before) {
            match find(&waiters, ticket, self.boot)? {
                Some(found) if found.is_alive() => return Ok(Some(found)),
                Some(dead) if sweep => remove(&dead),
                _ => {}
            }
        }
        Ok(None)
    }

    /// How many wait before a ticket. Some of them may be dead.
    pub fn count_waiters(&self, before: u64) -> Result<usize, store::Error> {
        Ok(tickets(&self.waiters())?.into_iter().filter(|ticket| *ticket < before).count())
    }

    /// Refuses the name if one above or below is in use. Whoever wants a lock first shows itself, then asks: of two
    /// who come at once at least one notices.
    pub fn refuse_conflict(&self) -> Result<(), Error> {
        let used = |other: &str| self.is_used(&path_of(&self.locks, other));
        for above in self.name.above() {
            if used(above)? {
                return Err(self.conflict(above.to_owned()));
            }
        }
        match self.used_below(&self.path, self.name.as_str())? {
            Some(below) => Err(self.conflict(below)),
            None => Ok(()),
        }
    }

    fn conflict(&self, other: String) -> Error {
        Error::Conflict { name: self.name.clone(), other }
    }

    fn used_below(&self, path: &Path, name: &str) -> Result<Option<String>, store::Error> {
        for (part, path) in parts_in(path)? {
            let name = format!("{name}/{part}");
            if self.is_used(&path)? {
                return Ok(Some(name));
            }
            if let Some(below) = self.used_below(&path, &name)? {
                return Ok(Some(below));
            }
        }
        Ok(None)
    }

    fn is_used(&self, path: &Path) -> Result<bool, store::Error> {
        is_used(path, self.boot)
    }

    /// See [`anchor`]: nobody can have put a link to elsewhere among these directories.
    fn anchor(&self, directory: &Path) -> std::io::Result<(File, PathBuf)> {
        anchor(self.locks.parent().unwrap_or(&self.locks), directory)
    }

    /// A new file for a holder or a waiter; it is locked, complete and for all to read once it has its name. Needs
    /// the guard.
    pub fn place(
        &self,
        path: &Path,
        access: &Access,
        entry: &Entry,
        expiry: Option<Boot>,
    ) -> Result<File, store::Error> {
        let place = || -> std::io::Result<File> {
            let (_here, here) = self.anchor(&self.path)?;
            let (directory, name) = (path.parent(), path.file_name());
            let (_there, there) = self.anchor(directory.unwrap_or(path))?;
            let draft = here.join("entry.new");
            let file = access.draft(&draft)?;
            file.lock()?;
            entry.write(&file, expiry)?;
            fs::rename(&draft, there.join(name.unwrap_or_default()))?;
            Ok(file)
        };
        place().map_err(|e| failed("write", path, e))
    }

    /// Tells the first of those who wait, if there is one, to look again.
    pub fn ring(&self) {
        let bell = open_fifo(&self.bell());
        // There is no pipe, or it is full of earlier calls.
        let _ = bell.and_then(|mut bell| bell.write_all(b"!"));
    }
}

fn path_of(locks: &Path, name: &str) -> PathBuf {
    name.split('/').fold(locks.to_owned(), |path, part| path.join(format!("={part}")))
}

/// Whether one more may hold it.
pub fn admits(present: &[Found], mode: Mode) -> bool {
    let modes = present.iter().map(|one| one.entry.mode).chain([mode]);
    holders(modes) == present.len() + 1
}

/// Removes one who is dead, or is to be so.
pub fn remove(found: &Found) {
    // What cannot be removed is dead all the same.
    let _ = fs::remove_file(&found.path);
}

/// Whether somebody holds the lock in this directory, or waits for it. First the waiters: who moves meanwhile moves
/// from there to the holders, and is among both for a moment.
pub fn is_used(path: &Path, boot: BootId) -> Result<bool, store::Error> {
    for directory in [path.join("waiters"), path.join("holders")] {
        for ticket in tickets(&directory)? {
            if find(&directory, ticket, boot)?.is_some_and(|found| found.is_alive()) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn look_at(directory: &Path, boot: BootId) -> Result<Vec<Found>, store::Error> {
    let found = tickets(directory)?.into_iter().map(|ticket| find(directory, ticket, boot));
    found.filter_map(Result::transpose).collect()
}

/// The names of the files that are tickets, sorted; none if there is no such directory.
fn tickets(directory: &Path) -> Result<Vec<u64>, store::Error> {
    let mut tickets: Vec<u64> = names_in(directory)?.iter().filter_map(|name| name.parse().ok()).collect();
    tickets.sort_unstable();
    Ok(tickets)
}

/// The parts of locks' names in a directory, with the paths.
pub fn parts_in(directory: &Path) -> Result<Vec<(String, PathBuf)>, store::Error> {
    let names = names_in(directory)?;
    let part = |name: &String| Some((name.strip_prefix('=')?.to_owned(), directory.join(name)));
    Ok(names.iter().filter_map(part).collect())
}

fn names_in(directory: &Path) -> Result<Vec<String>, store::Error> {
    let read = || -> std::io::Result<Vec<String>> {
        fs::read_dir(directory)?.map(|one| Ok(one?.file_name().to_string_lossy().into_owned())).collect()
    };
    match read() {
        Err(missing) if missing.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(|e| failed("read", directory, e)),
    }
}
