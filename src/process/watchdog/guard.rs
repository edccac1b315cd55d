//! hardy's side of the watchdog: starts it, tells it, and starts another when it has died.

use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::Orders;
use crate::clock::Boot;
use crate::process::{group, lending};

/// A new one is started no more often than that.
const PAUSE: Duration = Duration::from_secs(1);

/// A watchdog, as far as one can be had; dropped, it is no more.
pub struct Guard<'a> {
    command: Command,
    keeps: Option<BorrowedFd<'a>>,
    orders: Option<Orders>,
    running: Option<Running>,
    started: Boot,
}

struct Running {
    id: Pid,
    pipe: ChildStdin,
}

/// A watchdog that was killed, and is waited for when this is dropped: until then its descriptor may be open.
pub struct Dismissed(Option<Pid>);

/// What has become of the watchdog.
#[derive(Debug)]
pub enum Change {
    /// It has died, and another one has taken its place.
    Replaced,
    /// There is none; it is tried again in a while.
    Missing(io::Error),
}

impl<'a> Guard<'a> {
    /// Starts it, without orders yet. It keeps that descriptor open as long as it lives.
    pub fn start(mut command: Command, keeps: Option<BorrowedFd<'a>>) -> (Guard<'a>, Option<Change>) {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut guard = Guard { command, keeps, orders: None, running: None, started: Boot::now() };
        let missing = guard.spawn().err().map(Change::Missing);
        (guard, missing)
    }

    /// Tells it, and remembers that for the next one.
    pub fn tell(&mut self, orders: Orders) {
        if self.orders.replace(orders) != Some(orders)
            && let Some(running) = &mut self.running
            // It is dead, or has been stopped for so long that the pipe is full.
            && send(&mut running.pipe, orders).is_err()
        {
            let _ = kill_process(running.id, Signal::KILL);
        }
    }

    /// Looks after it. Worth doing after each SIGCHLD, and at [`Guard::retry`].
    pub fn look(&mut self) -> Option<Change> {
        if let Some(running) = &self.running {
            match waitpid(Some(running.id), WaitOptions::NOHANG) {
                Ok(None) => return None,
                Ok(Some(_)) | Err(_) => self.running = None,
            }
        }
        if self.retry()? > Boot::now() {
            return None;
        }
        match self.spawn() {
            Ok(()) => Some(Change::Replaced),
            Err(error) => Some(Change::Missing(error)),
        }
    }

    /// When to try again, if there is none now.
    pub fn retry(&self) -> Option<Boot> {
        self.running.is_none().then(|| self.started + PAUSE)
    }

    /// It is not needed any more.
    pub fn dismiss(&mut self) -> Dismissed {
        let id = self.running.take().map(|running| running.id);
        if let Some(id) = id {
            let _ = kill_process(id, Signal::KILL);
        }
        Dismissed(id)
    }

    fn spawn(&mut self) -> io::Result<()> {
        self.started = Boot::now();
        let mut child = lending(self.keeps, || self.command.spawn())?;
        let (Some(id), Some(pipe)) = (group::pid(child.id()), child.stdin.take()) else {
            return Err(io::Error::other("a process without a number or a pipe"));
        };
        rustix::io::ioctl_fionbio(&pipe, true)?;
        let mut running = Running { id, pipe };
        if let Some(orders) = self.orders {
            send(&mut running.pipe, orders)?;
        }
        self.running = Some(running);
        Ok(())
    }
}

/// In one piece: orders that are cut would be no orders.
fn send(pipe: &mut impl Write, orders: Orders) -> io::Result<()> {
    pipe.write_all(orders.to_string().as_bytes())
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.dismiss();
    }
}

impl Drop for Dismissed {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            let _ = waitpid(Some(id), WaitOptions::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Notes its orders in a file, instead of following them.
    fn scribe(file: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "exec cat >>\"$0\""]).arg(file);
        command
    }

    fn until(what: &str, mut condition: impl FnMut() -> bool) {
        let end = Boot::now() + Duration::from_secs(30);
        while !condition() {
            assert!(Boot::now() < end, "waited in vain for {what}");
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    #[test]
    fn a_new_one_knows_the_last_orders() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let said = || std::fs::read_to_string(file.path()).unwrap();
        let (mut guard, missing) = Guard::start(scribe(file.path()), None);
        assert!(missing.is_none());
        let group = group::pid(42);
        let orders = Orders { group, term: None, kill: None, grace: PAUSE, ends_with_us: true };
        guard.tell(orders);
        guard.tell(orders);
        until("the orders", || said() == orders.to_string());
        let first = guard.running.as_ref().unwrap().id;
        kill_process(first, Signal::KILL).unwrap();
        until("another one", || matches!(guard.look(), Some(Change::Replaced)));
        assert_ne!(guard.running.as_ref().unwrap().id, first);
        until("the orders again", || said() == format!("{orders}{orders}"));
    }

    #[test]
    fn where_none_can_be_started_that_is_said_and_tried_again() {
        let (mut guard, missing) = Guard::start(Command::new("/no/such/watchdog"), None);
        assert!(matches!(missing, Some(Change::Missing(_))));
        assert!(guard.look().is_none(), "too early");
        guard.started = Boot::now() - PAUSE;
        assert!(matches!(guard.look(), Some(Change::Missing(_))));
    }

    #[test]
    fn one_that_was_stopped_for_long_is_replaced() {
        let mut command = Command::new("sleep");
        command.arg("60");
        let (mut guard, _) = Guard::start(command, None);
        let group = group::pid(42);
        for kill in 0..10_000 {
            let kill = Some(Boot::from_millis(kill));
            guard.tell(Orders { group, term: None, kill, grace: PAUSE, ends_with_us: true });
        }
        until("another one", || matches!(guard.look(), Some(Change::Replaced)));
    }
}
