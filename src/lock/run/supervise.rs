//! One command, from its start until nobody of its group is left.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use rustix::process::{Signal, kill_current_process_group};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::plan::{Due, Plan};
use super::{Cut, Ended, Error, Event, Keep, LockError, Rules};
use crate::clock::{self, Boot};
use crate::lock::Lease;
use crate::process::watchdog::{Dismissed, Guard};
use crate::process::{self, Command, Group, Signals, Status, Terminal};

/// How soon, at first, to look again for processes that were left behind.
const SOON: Duration = Duration::from_millis(10);

/// How late at most.
const LATE: Duration = Duration::from_millis(100);

/// What a supervision needs besides the lock.
pub struct Surroundings<'a> {
    pub signals: Signals,
    pub terminal: Option<Terminal>,
    /// Starts a watchdog.
    pub watchdog: std::process::Command,
    pub notes: &'a dyn Fn(Event),
}

/// Starts the command and waits for its end while the lock is kept. The watchdog need not be waited for before the lock
/// is given back, unless it keeps the lock.
pub async fn to_the_end(
    lock: &impl Keep,
    command: &Command,
    rules: &Rules,
    surroundings: Surroundings<'_>,
) -> Result<(Ended, Option<Dismissed>), Error> {
    let Surroundings { mut signals, terminal, watchdog, notes } = surroundings;
    let lease = lock.grant().lease;
    let mut plan = Plan::new(rules.grace, lease, rules.max_hold.map(|time| Boot::now() + time));
    let (to_command, to_watchdog) =
        if rules.inherit { (lock.descriptor(), None) } else { (None, lock.descriptor()) };
    let ends_with_us = to_command.is_none();
    let needs_watchdog = plan.next().is_some() || to_watchdog.is_some();
    let mut guard = needs_watchdog.then(|| {
        let (guard, missing) = Guard::start(watchdog, to_watchdog);
        missing.into_iter().for_each(|change| notes(Event::Watchdog(change)));
        guard
    });
    if let Some(number) = signals.asked() {
        return Err(Error::Interrupted(number));
    }
    if plan.due(Boot::now()) == Some(Due::Unrenewed) {
        return Err(Error::Late);
    }
    if let Some(guard) = &mut guard {
        // Should we not survive the start.
        guard.tell(plan.orders(None, ends_with_us));
    }
    let group = Group::start(command, to_command)?;
    let mut one = Supervision {
        group,
        plan,
        guard,
        ends_with_us,
        terminal,
        notes,
        max_hold: rules.max_hold.unwrap_or_default(),
        status: None,
        cut: None,
        stopped: false,
        leftovers: false,
        pause: SOON,
    };
    one.started();
    let (sender, leases) = watch::channel(lease);
    let stop = CancellationToken::new();
    let status = one.until_gone(lock.keep(&sender, &stop), leases, &mut signals).await?;
    one.settle_terminal(status, &mut signals).await;
    if one.plan.is_over(Boot::now()) {
        one.cut.get_or_insert(Cut::Over);
    }
    let dismissed = one.guard.as_mut().map(Guard::dismiss).filter(|_| to_watchdog.is_none());
    let Supervision { cut, stopped, leftovers, .. } = one;
    Ok((Ended { status, cut, stopped, leftovers, release: Ok(()) }, dismissed))
}

/// A command that runs.
struct Supervision<'a> {
    group: Group,
    plan: Plan,
    guard: Option<Guard<'a>>,
    ends_with_us: bool,
    terminal: Option<Terminal>,
    notes: &'a dyn Fn(Event),
    max_hold: Duration,
    /// Of the command itself; others of its group may be left.
    status: Option<Status>,
    cut: Option<Cut>,
    stopped: bool,
    leftovers: bool,
    pause: Duration,
}

impl Supervision<'_> {
    fn started(&mut self) {
        self.tell_watchdog();
        if let Some(terminal) = &self.terminal {
            terminal.started(&self.group);
        }
    }

    async fn until_gone(
        &mut self,
        keep: impl Future<Output = Result<(), LockError>>,
        mut leases: watch::Receiver<Option<Lease>>,
        signals: &mut Signals,
    ) -> io::Result<Status> {
        let mut keep = pin!(keep);
        let mut kept = true;
        loop {
            self.look()?;
            if let Some(status) = self.status
                && self.group.is_gone()
            {
                return Ok(status);
            }
            self.act(Boot::now());
            tokio::select! {
                signal = signals.next() => self.received(signal),
                end = &mut keep, if kept => {
                    kept = false;
                    if let Err(error) = end {
                        self.stop(Cut::Lost(error));
                    }
                }
                Ok(()) = leases.changed() => {
                    if let Some(lease) = *leases.borrow_and_update() {
                        self.plan.renewed(&lease);
                        self.tell_watchdog();
                    }
                }
                () = until(self.next()) => {}
                () = tokio::time::sleep(self.pause), if self.status.is_some() => {
                    self.pause = LATE.min(self.pause * 2);
                }
            }
        }
    }

    /// Sees what has become of the command and of the watchdog.
    fn look(&mut self) -> io::Result<()> {
        while let Some(change) = self.group.change()? {
            match change {
                process::Change::Stopped(signal) => {
                    if let Some(terminal) = &self.terminal {
                        terminal.stopped(&self.group, signal);
                    }
                }
                process::Change::Ended(status) => self.ended(status),
            }
        }
        // Without the leader it has little to do, and may have ended itself.
        if self.status.is_none()
            && let Some(change) = self.guard.as_mut().and_then(Guard::look)
        {
            (self.notes)(Event::Watchdog(change));
        }
        Ok(())
    }

    /// The command has ended. Whoever it left in its group must not outlive the lock.
    fn ended(&mut self, status: Status) {
        self.status = Some(status);
        if let Some(cut) = self.overdue() {
            // This process was stopped, and the watchdog has done its work.
            self.stopped = true;
            self.cut.get_or_insert(cut);
        }
        // Once it was asked to end, they were as well, and need a moment more.
        if self.group.is_gone() || self.plan.is_ending() {
            return;
        }
        self.leftovers = true;
        self.ask();
        (self.notes)(Event::Leftovers);
    }

    /// Why it should have been asked to end before, and was not.
    fn overdue(&mut self) -> Option<Cut> {
        let now = Boot::now();
        if self.plan.is_over(now) {
            return Some(Cut::Over);
        }
        if self.plan.is_ending() {
            return None;
        }
        match self.plan.due(now)? {
            Due::Unrenewed => Some(Cut::Unrenewed),
            Due::Held => Some(Cut::Held(self.max_hold)),
            Due::Kill => None,
        }
    }

    fn act(&mut self, now: Boot) {
        while let Some(due) = self.plan.due(now) {
            match due {
                Due::Unrenewed => self.stop(Cut::Unrenewed),
                Due::Held => self.stop(Cut::Held(self.max_hold)),
                Due::Kill => {
                    let sent = self.group.signal(Signal::KILL);
                    (self.notes)(Event::Killing);
                    self.may_fail(sent);
                }
            }
        }
    }

    fn stop(&mut self, cut: Cut) {
        let cut = self.cut.get_or_insert(cut);
        if self.status.is_none() && !self.stopped {
            self.stopped = true;
            let why = cut.brief();
            self.ask();
            (self.notes)(Event::Stopping(why));
        } else {
            self.ask();
        }
    }

    fn ask(&mut self) {
        let asked_before = self.plan.is_ending();
        self.plan.ask(Boot::now());
        if !asked_before {
            let sent = self.group.wake_with(Signal::TERM);
            self.may_fail(sent);
        }
        self.tell_watchdog();
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
        let sent = match signal {
            Signal::TERM | Signal::INT | Signal::HUP | Signal::QUIT => self.group.wake_with(signal),
            _ => self.group.signal(signal),
        };
        self.may_fail(sent);
    }

    fn may_fail(&self, sent: io::Result<()>) {
        if let Err(error) = sent {
            (self.notes)(Event::Unstoppable(error));
        }
    }

    fn tell_watchdog(&mut self) {
        if let Some(guard) = &mut self.guard {
            guard.tell(self.plan.orders(Some(self.group.id()), self.ends_with_us));
        }
    }

    fn next(&self) -> Option<Boot> {
        let retry = self.guard.as_ref().and_then(Guard::retry).filter(|_| self.status.is_none());
        self.plan.next().into_iter().chain(retry).min()
    }

    /// Our group is in the foreground again. Ctrl-C was seen by the command alone, and whoever called us must not go
    /// on as if nothing had been.
    async fn settle_terminal(&self, status: Status, signals: &mut Signals) {
        let killed = match status {
            Status::Exited(_) => None,
            Status::Killed(signal) => Some(signal),
        };
        let Some(terminal) = &self.terminal else { return };
        if terminal.ended(self.group.id(), killed) && kill_current_process_group(Signal::INT).is_ok() {
            // It comes to us as well, and is no wish to end what is left to do.
            let ours = async { while signals.next().await != Signal::INT {} };
            let _ = timeout(LATE, ours).await;
        }
    }
}

async fn until(moment: Option<Boot>) {
    match moment {
        // Without a timer that goes on while the machine sleeps, one that does not.
        Some(moment) => {
            if clock::sleep_until(moment).await.is_err() {
                tokio::time::sleep(moment.left()).await;
            }
        }
        None => std::future::pending().await,
    }
}
