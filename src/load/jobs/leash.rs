//! The process group of a worker's job, within reach of others: a worker that is stuck in a write cannot end its job.

use std::io;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, Weak};

use rustix::process::Signal;

use super::worker::lock;
use crate::process::Group;

/// One worker's.
#[derive(Debug, Default)]
pub struct Leash(Mutex<Reach>);

#[derive(Debug, Default)]
struct Reach {
    group: Weak<Mutex<Group>>,
    over: bool,
}

impl Leash {
    /// As [`Group::spawn`]; the group stays within reach until it is dropped.
    pub fn spawn(&self, command: &mut Command) -> io::Result<(Arc<Mutex<Group>>, Child)> {
        let mut reach = lock(&self.0);
        let (group, child) = Group::spawn(command)?;
        if reach.over {
            let _ = group.signal(Signal::KILL);
        }
        let group = Arc::new(Mutex::new(group));
        reach.group = Arc::downgrade(&group);
        Ok((group, child))
    }

    /// Kills the group, and those that are started from now on.
    pub fn kill(&self) {
        let mut reach = lock(&self.0);
        reach.over = true;
        if let Some(group) = reach.group.upgrade() {
            let mut group = lock(&group);
            // After its end its number may be another's.
            if !group.is_gone() {
                let _ = group.signal(Signal::KILL);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Change, Status};

    fn end(group: &Mutex<Group>) -> Status {
        loop {
            if let Some(Change::Ended(status)) = lock(group).change().unwrap() {
                return status;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn who_runs_is_killed_and_who_is_started_later() {
        let (leash, mut sleep) = (Leash::default(), Command::new("sleep"));
        sleep.arg("60");
        let (first, _) = leash.spawn(&mut sleep).unwrap();
        leash.kill();
        assert_eq!(end(&first), Status::Killed(9));
        let (second, _) = leash.spawn(&mut sleep).unwrap();
        assert_eq!(end(&second), Status::Killed(9));
    }
}
