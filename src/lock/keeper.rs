//! A process in the background that keeps a lock for as long as another process lives.
//! It holds nothing itself: when it is killed, the lease runs out as it would have without it.

use std::ffi::OsStr;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::{Error, Handle, Locks};
use crate::clock::{self, Boot};

/// What a keeper prints on its stdout when it has renewed the lock for the first time.
pub const READY: &str = "kept";

/// The longest time for a keeper to get ready.
const START: Duration = Duration::from_secs(10);

/// The pause before a renewal that failed is tried again.
const AGAIN: Duration = Duration::from_millis(250);

/// A process whose end can be waited for, and which cannot be mistaken for a later one with its number.
pub struct Watched(pipe::Receiver);

impl Watched {
    /// # Errors
    /// There is no such process, or it belongs to somebody else.
    pub fn new(pid: u32) -> io::Result<Watched> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        // Not a pipe, but like one it is a descriptor that becomes readable.
        let descriptor = pidfd_open(raw, PidfdFlags::NONBLOCK)?;
        Ok(Watched(pipe::Receiver::from_owned_fd_unchecked(descriptor)?))
    }

    /// Until it has ended.
    pub async fn ended(&self) {
        // An error means that the descriptor is of no use: then nobody can say that the process still lives.
        let _ = self.0.readable().await;
    }
}

/// Starts a keeper: this program, with these arguments and variables, in a session of its own. Returns when it is
/// ready.
///
/// # Errors
/// It could not be started, or ended with what it said on stderr.
pub async fn start(arguments: &[impl AsRef<OsStr>], variables: &[(String, String)]) -> io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).envs(variables.iter().map(|(name, value)| (name, value)));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        // Until it is ready; then it is nobody's.
        .kill_on_drop(true)
        .spawn()?;
    let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let mut line = String::new();
    let ready = tokio::time::timeout(START, BufReader::new(stdout).read_line(&mut line)).await;
    if matches!(ready, Ok(Ok(_))) && line.trim() == READY {
        // Dropped without a kill: what is forgotten here is only the handle of a process that goes on.
        std::mem::forget(child);
        return Ok(());
    }
    // It is not ready in time, or not at all: nobody is to renew what is given back now.
    let _ = child.start_kill();
    let mut said = String::new();
    let _ = tokio::time::timeout(AGAIN, stderr.read_to_string(&mut said)).await;
    let first = said.lines().next().unwrap_or("it did not get ready").trim_start_matches("error: ");
    Err(io::Error::other(first.to_owned()))
}

/// Leaves the terminal and the session of whoever started this process.
pub fn leave_session() {
    // Fails only for the leader of a process group, which has nothing to leave.
    let _ = rustix::process::setsid();
}

/// Renews until the process has ended, the time is over or `cancel`, then gives the lock back.
///
/// # Errors
/// [`Error::Lost`]; the store's, when it did not answer for as long as the lease ran.
pub async fn keep_for(
    locks: &Locks,
    handle: &Handle,
    process: &Watched,
    until: Option<Boot>,
    ready: impl FnOnce(),
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let mut lease = locks.renew(handle).await?;
    ready();
    loop {
        let mut pause = lease.ttl / 3;
        if let Some(until) = until {
            pause = pause.min(until.left());
        }
        tokio::select! {
            () = process.ended() => break,
            () = cancel.cancelled() => break,
            _ = clock::sleep(pause) => {}
        }
        if until.is_some_and(|until| until.left().is_zero()) {
            break;
        }
        lease = loop {
            match locks.renew(handle).await {
                Err(Error::Store(_)) if !lease.deadline.left().is_zero() => {
                    tokio::time::sleep(AGAIN).await;
                }
                renewed => break renewed?,
            }
        };
    }
    locks.release(handle).await
}
