//! A command in a process group of its own, with all that a supervisor owes it: the terminal, the signals, an end.
//!
//! It touches none of the command's streams, knows nothing of locks, and leaves alone whoever has left the group.

mod group;
mod lookup;
mod signals;
mod terminal;
pub mod watchdog;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

pub use group::{Change, Group};
pub use lookup::find;
pub use signals::{Signals, is_ignored};
pub use terminal::Terminal;

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// A path, or a name to be found in `PATH`.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Put into its environment, which otherwise is ours.
    pub environment: Vec<(String, String)>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this code.
    Exited(u8),
    /// By the signal with this number.
    Killed(i32),
}

impl Status {
    /// As a shell tells it: 128 and the number of the signal.
    pub fn code(self) -> u8 {
        match self {
            Status::Exited(code) => code,
            Status::Killed(signal) => u8::try_from(128_i32.saturating_add(signal)).unwrap_or(u8::MAX),
        }
    }
}

/// Why a command could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Neither in `PATH` nor at the path, or its interpreter is not; a shell would exit with 127.
    #[error("{0}: no such command")]
    NotFound(String),
    /// It is there and cannot be executed; a shell would exit with 126.
    #[error("{0} cannot be executed")]
    Refused(String, #[source] io::Error),
}

impl StartError {
    /// What the system said when this program was to be started.
    pub fn new(program: &OsStr, error: io::Error) -> StartError {
        let name = program.to_string_lossy().into_owned();
        match error.kind() {
            io::ErrorKind::NotFound => StartError::NotFound(name),
            _ => StartError::Refused(name, error),
        }
    }
}

/// Does something while this descriptor is inherited by every program that is started. Nobody else may start one at
/// the same time.
fn lending<T>(descriptor: Option<BorrowedFd<'_>>, start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let Some(descriptor) = descriptor else { return start() };
    let before = fcntl_getfd(descriptor)?;
    fcntl_setfd(descriptor, before.difference(FdFlags::CLOEXEC))?;
    let started = start();
    fcntl_setfd(descriptor, before)?;
    started
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_told_as_a_shell_tells_it() {
        assert_eq!(Status::Exited(7).code(), 7);
        assert_eq!(Status::Killed(9).code(), 137);
        assert_eq!(Status::Killed(i32::MAX).code(), 255);
    }
}
