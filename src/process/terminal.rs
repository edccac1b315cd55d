//! The controlling terminal, lent to the group of a command: the kernel sends Ctrl-C and Ctrl-Z to the foreground
//! group, and lets nobody else read.
//!
//! A command whose stdin and stdout are the terminal gets it at once. Any other gets it when it asks (when it is
//! stopped for its attempt to read), because in `hardy ... | less` the pager is of our group and needs it, too.

use std::fs::File;
use std::io::{self, IsTerminal};

use nix::sys::signal::{SigSet, Signal as Masked};
use rustix::process::{Pid, Signal, getpgrp, kill_current_process_group};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr, tcsetpgrp};

use super::Group;

/// Our controlling terminal.
pub struct Terminal {
    tty: File,
    ours: Pid,
    modes: Option<Termios>,
    at_once: bool,
}

/// What to do with a command that was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It asked for the terminal and gets it.
    Give,
    /// Its user stopped it, or it has to wait for the terminal as we have: we stop, too, so that the shell is back.
    Suspend,
    /// Somebody stopped it from elsewhere, and will continue it.
    Nothing,
}

impl Terminal {
    /// None for a service, a cron job, a pipeline in CI.
    pub fn controlling() -> Option<Terminal> {
        let tty = File::options().read(true).write(true).open("/dev/tty").ok()?;
        let modes = tcgetattr(&tty).ok();
        let at_once = io::stdin().is_terminal() && io::stdout().is_terminal();
        Some(Terminal { tty, ours: getpgrp(), modes, at_once })
    }

    /// The command has just been started, or continued.
    pub fn started(&self, group: &Group) {
        if self.at_once && self.foreground() == Some(self.ours) {
            self.set_foreground(group.id());
        }
    }

    /// The command was stopped by this signal. Returns when it runs again, or has to stay stopped.
    pub fn stopped(&self, group: &Group, signal: i32) {
        match answer(self.foreground(), self.ours, group.id(), signal) {
            Answer::Nothing => return,
            Answer::Give => self.set_foreground(group.id()),
            Answer::Suspend => {
                let had = self.take_back(group.id());
                // SIGTTIN, for which this process has no handler: the kernel stops all of our group, as it would
                // have for Ctrl-Z, unless no shell is there that could continue it.
                let _ = kill_current_process_group(Signal::TTIN);
                let asked = asks_for_it(signal);
                if (had || asked) && self.foreground() == Some(self.ours) {
                    self.set_foreground(group.id());
                }
            }
        }
        let _ = group.signal(Signal::CONT);
    }

    /// The command has ended. `killed`: by this signal, so that it could not tidy up.
    ///
    /// True if it had the terminal and was ended by Ctrl-C: the script that called us has seen none of it.
    pub fn ended(&self, group: Pid, killed: Option<i32>) -> bool {
        let had = self.take_back(group);
        if killed.is_some()
            && self.foreground() == Some(self.ours)
            && let Some(modes) = &self.modes
        {
            let _ = tcsetattr(&self.tty, OptionalActions::Now, modes);
        }
        had && killed == Some(Signal::INT.as_raw())
    }

    fn foreground(&self) -> Option<Pid> {
        tcgetpgrp(&self.tty).ok()
    }

    fn take_back(&self, group: Pid) -> bool {
        let had = self.foreground() == Some(group);
        if had {
            self.set_foreground(self.ours);
        }
        had
    }

    /// From the background this would stop us by SIGTTOU, if the signal were not blocked meanwhile.
    fn set_foreground(&self, group: Pid) {
        let mut mask = SigSet::empty();
        mask.add(Masked::SIGTTOU);
        if mask.thread_block().is_ok() {
            // Fails when the group has ended, or the terminal is gone: then there is nothing to hand over.
            let _ = tcsetpgrp(&self.tty, group);
            let _ = mask.thread_unblock();
        }
    }
}

fn asks_for_it(signal: i32) -> bool {
    signal == Signal::TTIN.as_raw() || signal == Signal::TTOU.as_raw()
}

fn answer(foreground: Option<Pid>, ours: Pid, theirs: Pid, signal: i32) -> Answer {
    let near = foreground == Some(ours) || foreground == Some(theirs);
    match (near, asks_for_it(signal)) {
        (true, true) => Answer::Give,
        (true, false) | (false, true) => Answer::Suspend,
        (false, false) => Answer::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_is_given_to_whoever_asks_if_it_is_ours() {
        let pid = |id| Pid::from_raw(id);
        let (ours, theirs) = (pid(10).unwrap(), pid(20).unwrap());
        let (ttin, tstp) = (Signal::TTIN.as_raw(), Signal::TSTP.as_raw());
        for (foreground, signal, expected) in [
            (pid(10), ttin, Answer::Give),
            (pid(20), ttin, Answer::Give),
            (pid(20), tstp, Answer::Suspend),
            (pid(10), tstp, Answer::Suspend),
            (pid(30), ttin, Answer::Suspend),
            (pid(30), tstp, Answer::Nothing),
            (None, tstp, Answer::Nothing),
        ] {
            assert_eq!(answer(foreground, ours, theirs, signal), expected, "{foreground:?} {signal}");
        }
    }
}
