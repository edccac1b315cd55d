//! One holder or waiter, as a file: a mark, when its lease ends, and who it is. Its name is its ticket.
//!
//! One that is tied to its process keeps the file locked for as long as it lives; one that is tied to a lease
//! writes there when that ends. Nothing else says that it is alive.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::{Member, Mode, Owner};
use crate::clock::Boot;
use crate::store::Error;
use crate::store::local::{BootId, damaged, failed, open};

/// The first byte of a file.
const PLAIN: u8 = b'-';
const ADMITTED: u8 = b'+';

/// After it, in as many digits: the moment at which the lease ends, so that it can be renewed in one write.
const MOMENT: usize = 20;
const HEADER: usize = 1 + MOMENT;

/// More than what anybody says about himself.
const LONGEST: u64 = 64 * 1024;

/// What is written about a holder or a waiter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub mode: Mode,
    pub owner: Owner,
    /// On the wall clock, to be shown.
    since_ms: i64,
    pub token: Option<u64>,
    /// What it is tied to: a lease, or else its process.
    pub lease: Option<Terms>,
    /// Which start of the host it belongs to.
    boot: String,
}

/// The lease that a [`super::super::Tie::Lease`] has.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Terms {
    pub ttl_ms: u64,
}

impl Terms {
    pub fn ttl(self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }
}

impl Entry {
    pub fn new(mode: Mode, owner: Owner, lease: Option<Terms>, boot: BootId) -> Entry {
        let since_ms = Timestamp::now().as_millisecond();
        Entry { mode, owner, since_ms, token: None, lease, boot: boot_text(boot) }
    }

    /// The same one as a holder from now on.
    pub fn admitted(&self, token: u64) -> Entry {
        Entry { since_ms: Timestamp::now().as_millisecond(), token: Some(token), ..self.clone() }
    }

    /// Writes all of it into a new file.
    pub fn write(&self, file: &File, expiry: Option<Boot>) -> io::Result<()> {
        let mut bytes = vec![PLAIN];
        bytes.extend_from_slice(moment(expiry).as_bytes());
        serde_json::to_writer(&mut bytes, self)?;
        file.write_all_at(&bytes, 0)
    }
}

fn boot_text(boot: BootId) -> String {
    format!("{:032x}", boot.0)
}

fn moment(expiry: Option<Boot>) -> String {
    format!("{:0MOMENT$}", expiry.map_or(0, Boot::as_millis))
}

/// Lets a lease end later.
pub fn renew(file: &File, expiry: Boot) -> io::Result<()> {
    file.write_all_at(moment(Some(expiry)).as_bytes(), 1)
}

/// Leaves word for the next waiter that this one did not give up.
pub fn mark_admitted(file: &File) -> io::Result<()> {
    file.write_all_at(&[ADMITTED], 0)
}

/// Whether a waiter who is gone got the lock.
pub fn was_admitted(file: &File) -> bool {
    let mut mark = [0];
    file.read_exact_at(&mut mark, 0).is_ok() && mark == [ADMITTED]
}

/// A file that was there.
pub struct Found {
    pub ticket: u64,
    pub path: PathBuf,
    pub entry: Entry,
    pub life: Life,
}

/// What keeps it.
pub enum Life {
    /// A process: this is the file that it keeps locked.
    Process(File),
    /// A lease, until then.
    Lease(Boot),
    /// Nothing: its process has ended.
    Ended,
    /// Nothing: its lease has ended, then.
    Expired(Boot),
    /// Nothing: the host was started again.
    OtherBoot,
}

impl Found {
    pub fn is_alive(&self) -> bool {
        matches!(self.life, Life::Process(_) | Life::Lease(_))
    }

    pub fn expiry(&self) -> Option<Boot> {
        match self.life {
            Life::Lease(expiry) => Some(expiry),
            _ => None,
        }
    }

    pub fn member(&self) -> Member {
        Member {
            mode: self.entry.mode,
            owner: Some(self.entry.owner.clone()),
            since: Timestamp::from_millisecond(self.entry.since_ms).ok(),
            token: self.entry.token,
            left: self.expiry().map(Boot::left),
            id: self.ticket.to_string(),
        }
    }
}

/// Looks at one; none if it is not there (any more).
///
/// # Errors
/// It cannot be read, or says nothing that makes sense.
pub fn find(directory: &Path, ticket: u64, boot: BootId) -> Result<Option<Found>, Error> {
    let path = directory.join(ticket.to_string());
    let file = match open(&path) {
        Err(gone) if gone.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| failed("read", &path, e))?,
    };
    // With others who look on, so that two who look do not take each other for its owner.
    let locked = match file.try_lock_shared() {
        Ok(()) => false,
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(e)) => return Err(failed("lock", &path, e)),
    };
    let mut bytes = Vec::new();
    (&file).take(LONGEST).read_to_end(&mut bytes).map_err(|e| failed("read", &path, e))?;
    let (entry, expiry) = match parse(&bytes) {
        Some(read) => read,
        // Its owner is just about to write it, or died before it could; or the host did.
        None if locked || bytes.iter().all(|byte| *byte == 0) => {
            (Entry::new(Mode::Exclusive, Owner::default(), None, boot), Boot::from_millis(0))
        }
        None => {
            let hint = format!("if you are sure that nobody holds this lock, remove {}", path.display());
            return Err(damaged(&path, "it does not say whose it is").hint(hint));
        }
    };
    let life = match entry.lease {
        // A file of the lease's kind is locked only while it is written.
        _ if locked => Life::Process(file),
        None => Life::Ended,
        Some(_) if entry.boot != boot_text(boot) => Life::OtherBoot,
        Some(_) if expiry <= Boot::now() => Life::Expired(expiry),
        Some(_) => Life::Lease(expiry),
    };
    Ok(Some(Found { ticket, path, entry, life }))
}

fn parse(bytes: &[u8]) -> Option<(Entry, Boot)> {
    let (header, json) = bytes.split_at_checked(HEADER)?;
    let moment = std::str::from_utf8(&header[1..]).ok()?.parse().ok()?;
    Some((serde_json::from_slice(json).ok()?, Boot::from_millis(moment)))
}
