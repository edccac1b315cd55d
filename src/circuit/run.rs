//! A command in a process group of its own, ended as a whole at its timeout. Its streams are its own, signals are passed
//! on, and the terminal is lent to it.
//!
//! Where hardy itself is killed nobody ends the command: a watchdog would cost as much as the whole call.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_current_process_group};

use crate::clock::{self, Boot};
use crate::process::{Change, Command, Group, Signals, StartError, Status, Terminal};

/// How soon, at first, to look again for processes that were left behind, and how late at most.
const SOON: Duration = Duration::from_millis(5);
const LATE: Duration = Duration::from_millis(100);

/// How a command ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// How the command itself ended.
    pub status: Status,
    /// Whether it was ended because its time was over.
    pub timed_out: bool,
    /// Whether it was asked to end by a signal to us, or from the terminal.
    pub interrupted: bool,
    /// Until its end, or until its time was over.
    pub latency: Duration,
}

/// Why it was not run, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Something that the supervision of a command needs.
    #[error("cannot supervise a command")]
    System(#[from] io::Error),
}

/// Runs it to its end, and ends whom it leaves in its group. SIGTERM at the timeout, SIGKILL `grace` later.
///
/// # Errors
/// It was not run, or nobody could wait for it.
pub async fn run(
    command: &Command,
    timeout: Duration,
    grace: Duration,
    signals: &mut Signals,
) -> Result<Ended, Error> {
    let terminal = Terminal::controlling();
    let begun = (Instant::now(), Boot::now());
    let group = Group::start(command, None)?;
    if let Some(terminal) = &terminal {
        terminal.started(&group);
    }
    let (begun, limit) = (begun.0, begun.1 + timeout);
    let mut one =
        Supervision { group, terminal, grace, begun, due: Due::Term(limit), ended: None, interrupted: false };
    let mut ended = one.until_gone(signals).await?;
    ended.interrupted |= one.settle_terminal(ended.status, signals).await;
    Ok(ended)
}

/// What happens next if the command goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Term(Boot),
    Kill(Boot),
    Nothing,
}

struct Supervision {
    group: Group,
    terminal: Option<Terminal>,
    grace: Duration,
    begun: Instant,
    due: Due,
    ended: Option<(Status, Duration)>,
    interrupted: bool,
}

impl Supervision {
    async fn until_gone(&mut self, signals: &mut Signals) -> io::Result<Ended> {
        let (mut pause, mut over) = (SOON, None);
        loop {
            self.look()?;
            if let Some((status, latency)) = self.ended
                && self.group.is_gone()
            {
                let (timed_out, interrupted) = (over.is_some(), self.interrupted);
                return Ok(Ended { status, timed_out, interrupted, latency: over.unwrap_or(latency) });
            }
            if self.act() && self.ended.is_none() {
                over = Some(self.begun.elapsed());
            }
            tokio::select! {
                signal = signals.next() => self.received(signal),
                () = until(self.due) => {}
                () = tokio::time::sleep(pause), if self.ended.is_some() => pause = LATE.min(pause * 2),
            }
        }
    }

    fn look(&mut self) -> io::Result<()> {
        while let Some(change) = self.group.change()? {
            match change {
                Change::Stopped(signal) => {
                    if let Some(terminal) = &self.terminal {
                        terminal.stopped(&self.group, signal);
                    }
                }
                Change::Ended(status) => self.ended = Some((status, self.begun.elapsed())),
            }
        }
        // Whoever is left in its group had no more to do than to serve it.
        if self.ended.is_some() && !self.group.is_gone() && matches!(self.due, Due::Term(_)) {
            self.end();
        }
        Ok(())
    }

    /// Does what is due; whether its time was over just now.
    fn act(&mut self) -> bool {
        let now = Boot::now();
        match self.due {
            Due::Term(then) if then <= now => {
                self.end();
                true
            }
            Due::Kill(then) if then <= now => {
                self.due = Due::Nothing;
                let _ = self.group.signal(Signal::KILL);
                false
            }
            _ => false,
        }
    }

    /// What may not be signalled runs as another user, and is waited for.
    fn end(&mut self) {
        self.due = Due::Kill(Boot::now() + self.grace);
        let _ = self.group.wake_with(Signal::TERM);
    }

    fn received(&mut self, signal: Signal) {
        if signal == Signal::CHILD {
            return;
        }
        if signal == Signal::CONT
            && let Some(terminal) = &self.terminal
        {
            terminal.started(&self.group);
        }
        let asks = matches!(signal, Signal::TERM | Signal::INT | Signal::HUP | Signal::QUIT);
        self.interrupted |= asks;
        let _ = if asks { self.group.wake_with(signal) } else { self.group.signal(signal) };
    }

    /// Our group is in the foreground again. Ctrl-C was seen by the command alone, and whoever called us must not go on
    /// as if nothing had been; whether that was so.
    async fn settle_terminal(&self, status: Status, signals: &mut Signals) -> bool {
        let killed = match status {
            Status::Exited(_) => None,
            Status::Killed(signal) => Some(signal),
        };
        let interrupted =
            self.terminal.as_ref().is_some_and(|terminal| terminal.ended(self.group.id(), killed));
        if interrupted && kill_current_process_group(Signal::INT).is_ok() {
            let ours = async { while signals.next().await != Signal::INT {} };
            let _ = tokio::time::timeout(LATE, ours).await;
        }
        interrupted
    }
}

async fn until(due: Due) {
    let (Due::Term(then) | Due::Kill(then)) = due else { return std::future::pending().await };
    if clock::sleep_until(then).await.is_err() {
        tokio::time::sleep(then.left()).await;
    }
}
