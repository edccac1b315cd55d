//! The numbers that a lock has given out, so that none comes again: not after a crash, not after a loss of power,
//! not from a damaged file.
//!
//! Two slots, written in turn: a write that is cut short leaves the other one. What is written reaches the disk
//! late, and only a ceiling is forced there, ahead of the numbers below it: after another start of the host, or
//! with one slot lost, counting goes on from the ceiling.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::store::Error;
use crate::store::local::{Access, BootId, Guard, damaged, failed, open, open_to_write};

/// How many numbers are given out for one wait for the disk.
const AHEAD: u64 = 1024;

const MAGIC: &[u8; 8] = b"hardylk1";
const SLOT: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    /// The slot with the higher one is the newer.
    sequence: u64,
    /// The last number given out: as a ticket, or as a token.
    last: u64,
    /// The last one given out as a token.
    token: u64,
    /// No number above it was given out.
    ceiling: u64,
    boot: BootId,
}

impl Slot {
    fn to_bytes(self) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        bytes[..8].copy_from_slice(MAGIC);
        for (i, number) in [self.sequence, self.last, self.token, self.ceiling].into_iter().enumerate() {
            bytes[8 + 8 * i..16 + 8 * i].copy_from_slice(&number.to_le_bytes());
        }
        bytes[40..56].copy_from_slice(&self.boot.0.to_le_bytes());
        let sum = checksum(&bytes[..56]);
        bytes[56..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; SLOT]) -> Option<Slot> {
        let number = |at: usize| bytes[at..at + 8].iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let boot = u128::from(number(40)) | u128::from(number(48)) << 64;
        let intact = &bytes[..8] == MAGIC && number(56) == checksum(&bytes[..56]);
        intact.then(|| Slot {
            sequence: number(8),
            last: number(16),
            token: number(24),
            ceiling: number(32),
            boot: BootId(boot),
        })
    }
}

/// FNV-1a with 64 bits: every change of a single byte changes it.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The numbers of one lock, for as long as its guard is held.
pub struct Ledger {
    file: File,
    path: PathBuf,
    /// What holds now; its boot id is this start of the host.
    now: Slot,
    /// Where it stands.
    place: usize,
    /// Up to here numbers are safe to give out.
    limit: u64,
}

impl Ledger {
    /// Opens it; creates it for a lock that never had one.
    ///
    /// # Errors
    /// It cannot be used, or is damaged.
    pub fn open(directory: &Path, guard: &mut Guard, access: &Access, boot: BootId) -> Result<Ledger, Error> {
        let path = directory.join("state");
        let file = match open_to_write(&path) {
            Err(missing) if missing.kind() == ErrorKind::NotFound => {
                if guard.is_marked() {
                    return Err(beyond_repair(&path, directory, "it is missing"));
                }
                create(&path, directory, access, boot).map_err(|e| failed("create", &path, e))?
            }
            other => other.map_err(|e| failed("open", &path, e))?,
        };
        let slots = read(&file).map_err(|e| failed("read", &path, e))?;
        let Some((place, newer)) = newer(&slots) else {
            return Err(beyond_repair(&path, directory, "both of its copies are unreadable"));
        };
        if !guard.is_marked() {
            guard.mark()?;
        }
        let ceilings = || slots.iter().flatten().map(|slot| slot.ceiling);
        let whole = slots.iter().all(Option::is_some) && newer.boot == boot;
        let (last, limit) = if whole {
            (newer.last, ceilings().min().unwrap_or(0))
        } else {
            let ceiling = ceilings().max().unwrap_or(0).max(newer.last);
            (ceiling, ceiling)
        };
        Ok(Ledger { file, path, now: Slot { last, boot, ..newer }, place, limit })
    }

    /// The next number, as a place in the queue.
    ///
    /// # Errors
    /// The file cannot be written: then no number was given out.
    pub fn ticket(&mut self) -> Result<u64, Error> {
        let last = self.next()?;
        self.write(Slot { last, ..self.now })?;
        Ok(last)
    }

    /// The next number, as a fencing token.
    ///
    /// # Errors
    /// As [`Ledger::ticket`].
    pub fn token(&mut self) -> Result<u64, Error> {
        let last = self.next()?;
        self.write(Slot { last, token: last, ..self.now })?;
        Ok(last)
    }

    fn next(&mut self) -> Result<u64, Error> {
        if self.now.last >= self.limit {
            let ceiling = self.now.last.saturating_add(AHEAD);
            // In both slots, for either may be the one that is left; one after the other, for the same reason.
            for _ in 0..2 {
                self.write(Slot { ceiling, ..self.now })?;
                self.file.sync_data().map_err(|e| failed("write", &self.path, e))?;
            }
            self.limit = ceiling;
        }
        match self.now.last.checked_add(1) {
            Some(next) if next <= self.limit => Ok(next),
            _ => Err(damaged(&self.path, "its numbers have come to their end")),
        }
    }

    /// In place of the older slot.
    fn write(&mut self, slot: Slot) -> Result<(), Error> {
        let slot = Slot { sequence: self.now.sequence.saturating_add(1), ..slot };
        let place = 1 - self.place;
        self.file
            .write_all_at(&slot.to_bytes(), (place * SLOT) as u64)
            .map_err(|e| failed("write", &self.path, e))?;
        (self.now, self.place) = (slot, place);
        Ok(())
    }
}

/// The last token given out, as far as one can read without the guard; none if there never was one.
///
/// # Errors
/// The file cannot be read, or is damaged.
pub fn last_token(directory: &Path) -> Result<Option<u64>, Error> {
    let path = directory.join("state");
    let slots = match open(&path).and_then(|file| read(&file)) {
        Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| failed("read", &path, e))?,
    };
    match newer(&slots) {
        Some((_, slot)) => Ok(Some(slot.token).filter(|token| *token > 0)),
        None => Err(beyond_repair(&path, directory, "both of its copies are unreadable")),
    }
}

fn create(path: &Path, directory: &Path, access: &Access, boot: BootId) -> io::Result<File> {
    let draft = directory.join("state.new");
    let file = access.draft(&draft)?;
    for sequence in 0..2 {
        let slot = Slot { sequence, last: 0, token: 0, ceiling: AHEAD, boot };
        file.write_all_at(&slot.to_bytes(), sequence * SLOT as u64)?;
    }
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(directory)?.sync_all()?;
    Ok(file)
}

fn read(file: &File) -> io::Result<[Option<Slot>; 2]> {
    let mut bytes = [0; 2 * SLOT];
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let mut slots = bytes[..length].as_chunks().0.iter().map(Slot::from_bytes);
    Ok([slots.next().flatten(), slots.next().flatten()])
}

fn newer(slots: &[Option<Slot>; 2]) -> Option<(usize, Slot)> {
    let present = slots.iter().enumerate().filter_map(|(place, slot)| Some((place, (*slot)?)));
    present.max_by_key(|(_, slot)| slot.sequence)
}

fn beyond_repair(path: &Path, directory: &Path, why: &str) -> Error {
    damaged(path, why).hint(format!(
        "nobody knows which tokens were given out: make sure that nobody holds the lock and that no resource \
         remembers a token of it, then remove {} to begin again with token 1",
        directory.display()
    ))
}
