//! One start of one job: what it writes, how long it may take, and that nothing of it stays.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{PidfdFlags, Signal, pidfd_open};

use super::alarm::{Alarm, Level, readable, wait_for};
use super::leash::Leash;
use super::printer::Stream;
use super::worker::lock;
use crate::process::{Change, Group, Status};

/// The end of a group is asked for so often, once its leader is gone.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// So long after SIGKILL it is given up.
const STUBBORN: Duration = Duration::from_secs(2);
/// What a pipe can hold: more than that was not written before the end.
const PIPE: usize = 1024 * 1024;
/// SIGKILL.
const KILL: i32 = 9;

/// What is to be kept to while a job runs.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The job is stopped after this time.
    pub timeout: Option<Duration>,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Its stdout and stderr come to us.
    pub piped: bool,
    /// Asks for the end of all.
    pub alarm: &'a Alarm,
    /// Keeps the job within reach while nobody here looks at the alarm.
    pub leash: &'a Leash,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// Of its leader.
    pub status: Status,
    /// Why it was ended, if not by itself.
    pub cause: Option<Cause>,
    /// From its start to the end of its leader.
    pub took: Duration,
    /// Some of its processes could not be ended.
    pub left_behind: bool,
}

/// Why a job was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It took too long.
    Timeout,
    /// The run ends.
    Stopped,
}

/// What a job's output is handed to; whether it is still wanted.
pub type Take<'a> = &'a mut dyn FnMut(Stream, &[u8]) -> bool;

/// Runs the command to its end and that of its process group.
///
/// # Errors
/// It could not be started.
pub fn run(command: &mut Command, rules: Rules<'_>, buffer: &mut [u8], take: Take<'_>) -> io::Result<Ended> {
    command.stdin(Stdio::null());
    if rules.piped {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    let begun = Instant::now();
    let (group, child) = rules.leash.spawn(command)?;
    // Dropping the group kills it, should the descriptor not be had.
    let leader = pidfd_open(lock(&group).id(), PidfdFlags::empty())?;
    let mut attempt = Attempt {
        rules,
        group,
        leader,
        pipes: pipes(child),
        begun,
        ended: None,
        cause: None,
        step: Step::Running,
        deadline: rules.timeout.and_then(|timeout| begun.checked_add(timeout)),
        listens: Some(Level::Terminate),
    };
    attempt.watch(buffer, take)
}

fn pipes(child: Child) -> Vec<(Stream, OwnedFd)> {
    let out = child.stdout.map(|pipe| (Stream::Out, pipe.into()));
    let err = child.stderr.map(|pipe| (Stream::Err, pipe.into()));
    out.into_iter().chain(err).collect()
}

/// How far its end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Running,
    Terminated,
    Killed,
}

struct Attempt<'a> {
    rules: Rules<'a>,
    group: Arc<Mutex<Group>>,
    leader: OwnedFd,
    pipes: Vec<(Stream, OwnedFd)>,
    begun: Instant,
    ended: Option<(Status, Duration)>,
    cause: Option<Cause>,
    step: Step,
    /// When the next step is taken.
    deadline: Option<Instant>,
    /// Until when it has been listened to the alarm.
    listens: Option<Level>,
}

impl Attempt<'_> {
    fn watch(&mut self, buffer: &mut [u8], take: Take<'_>) -> io::Result<Ended> {
        let mut left_behind = false;
        loop {
            self.wait(buffer, take)?;
            if let Some((status, took)) = self.ended {
                let is_gone = lock(&self.group).is_gone();
                left_behind |= !is_gone && self.step == Step::Killed && self.is_late();
                if is_gone || left_behind {
                    self.drain(buffer, take);
                    return Ok(Ended { status, cause: self.cause, took, left_behind });
                }
                if self.step == Step::Running {
                    // A job is not over while something of it runs.
                    self.terminate();
                }
            }
            if self.is_late() {
                self.go_on();
            }
        }
    }

    /// Waits for whatever comes first, and deals with what came.
    fn wait(&mut self, buffer: &mut [u8], take: Take<'_>) -> io::Result<()> {
        let is_over = self.ended.is_some();
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let time = if is_over { Some(LOOK_EVERY) } else { left };
        let alarm = self.rules.alarm;
        let bell = self.listens.map(|level| alarm.bell(level));
        let mut descriptors = Vec::with_capacity(4);
        descriptors.extend(self.pipes.iter().map(|(_, pipe)| readable(pipe)));
        let count = descriptors.len();
        // Those that are there come after the pipes, in this order.
        descriptors.extend(bell.as_ref().map(readable));
        descriptors.extend((!is_over).then(|| readable(&self.leader)));
        wait_for(&mut descriptors, time)?;
        let came: Vec<bool> = descriptors.iter().map(|of| !of.revents().is_empty()).collect();
        drop(descriptors);
        let (pipes, others) = came.split_at(count);
        let mut readable = pipes.iter();
        self.pipes.retain(|(stream, pipe)| {
            !readable.next().copied().unwrap_or(false) || read(*stream, pipe, buffer, take)
        });
        if !is_over && others.last() == Some(&true) {
            self.see_the_end()?;
        }
        if bell.is_some() && others.first() == Some(&true) {
            self.heed_the_alarm();
        }
        Ok(())
    }

    fn see_the_end(&mut self) -> io::Result<()> {
        let change = lock(&self.group).change()?;
        if let Some(Change::Ended(status)) = change {
            self.ended = Some((status, self.begun.elapsed()));
            if status == Status::Killed(KILL) && self.rules.alarm.is_raised(Level::Kill) {
                // Somebody else has heeded the alarm for us.
                self.cause.get_or_insert(Cause::Stopped);
            }
        }
        Ok(())
    }

    fn heed_the_alarm(&mut self) {
        if self.listens == Some(Level::Terminate) {
            self.listens = Some(Level::Kill);
            // What had ended already was not stopped.
            if self.ended.is_none() {
                self.cause.get_or_insert(Cause::Stopped);
            }
            if self.step == Step::Running {
                self.terminate();
            }
        } else {
            self.listens = None;
            self.kill();
        }
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Its time for this step is over.
    fn go_on(&mut self) {
        match self.step {
            Step::Running => {
                self.cause.get_or_insert(Cause::Timeout);
                self.terminate();
            }
            Step::Terminated => self.kill(),
            // The leader is waited for, however long that takes.
            Step::Killed => self.deadline = Some(Instant::now() + STUBBORN),
        }
    }

    fn terminate(&mut self) {
        // Not to be allowed to is to have nobody left to send it to, but for the kernel's word.
        let _ = lock(&self.group).wake_with(Signal::TERM);
        self.step = Step::Terminated;
        self.deadline = Instant::now().checked_add(self.rules.grace);
    }

    fn kill(&mut self) {
        let _ = lock(&self.group).signal(Signal::KILL);
        self.step = Step::Killed;
        self.deadline = Some(Instant::now() + STUBBORN);
    }

    /// What the job wrote before its end and nobody has read. Who has left the group may hold the pipe for ever.
    fn drain(&mut self, buffer: &mut [u8], take: Take<'_>) {
        for (stream, pipe) in std::mem::take(&mut self.pipes) {
            let mut left = PIPE;
            while left > 0 && is_ready(&pipe) && read(stream, &pipe, buffer, take) {
                left = left.saturating_sub(buffer.len());
            }
        }
    }
}

fn is_ready(pipe: &OwnedFd) -> bool {
    let mut descriptors = [readable(pipe)];
    wait_for(&mut descriptors, Some(Duration::ZERO)).is_ok() && !descriptors[0].revents().is_empty()
}

/// Reads once; whether there may be more.
fn read(stream: Stream, pipe: &impl AsFd, buffer: &mut [u8], take: Take<'_>) -> bool {
    match rustix::io::read(pipe, &mut *buffer) {
        Ok(0) => false,
        Ok(count) => take(stream, &buffer[..count]),
        Err(error) => error == rustix::io::Errno::INTR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Found {
        ended: Ended,
        out: String,
        err: String,
    }

    fn rules(alarm: &Alarm) -> Rules<'_> {
        let leash = Box::leak(Box::default());
        Rules { timeout: None, grace: Duration::from_secs(60), piped: true, alarm, leash }
    }

    fn sh(text: &str, rules: Rules<'_>) -> Found {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let ended =
            run(Command::new("sh").args(["-c", text]), rules, &mut [0; 4096], &mut |stream, bytes| {
                match stream {
                    Stream::Out => out.extend_from_slice(bytes),
                    Stream::Err => err.extend_from_slice(bytes),
                }
                true
            });
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Found { ended: ended.unwrap(), out: text(out), err: text(err) }
    }

    fn is_gone(out: &str) -> bool {
        let id: u32 = out.lines().next().unwrap().trim().parse().unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // One that nobody has waited for is dead all the same.
        stat.rsplit(')').next().is_none_or(|rest| rest.trim().is_empty() || rest.trim().starts_with('Z'))
    }

    #[test]
    fn all_that_it_writes_is_read_and_stdin_is_empty() {
        let alarm = Alarm::new().unwrap();
        let found = sh("cat; seq 100000; echo e >&2; exit 3", rules(&alarm));
        assert_eq!((found.ended.status, found.ended.cause), (Status::Exited(3), None));
        assert_eq!((found.out.lines().count(), found.err.as_str()), (100_000, "e\n"));
    }

    #[test]
    fn a_timeout_reaches_the_whole_group() {
        let alarm = Alarm::new().unwrap();
        let timeout = Some(Duration::from_millis(100));
        let found = sh("sleep 60 & echo $!; wait", Rules { timeout, ..rules(&alarm) });
        assert_eq!((found.ended.status, found.ended.cause), (Status::Killed(15), Some(Cause::Timeout)));
        assert!(is_gone(&found.out));
    }

    #[test]
    fn who_does_not_heed_sigterm_is_killed_after_the_grace() {
        let alarm = Alarm::new().unwrap();
        let (timeout, grace) = (Some(Duration::from_millis(100)), Duration::from_millis(50));
        let text = "trap '' TERM; echo $$; while :; do sleep 1; done";
        let found = sh(text, Rules { timeout, grace, ..rules(&alarm) });
        assert_eq!((found.ended.status, found.ended.cause), (Status::Killed(9), Some(Cause::Timeout)));
        assert!(is_gone(&found.out));
    }

    #[test]
    fn what_is_left_in_the_group_is_ended_and_a_daemon_is_not_waited_for() {
        let alarm = Alarm::new().unwrap();
        let found = sh("sleep 60 & echo $!; exit 0", rules(&alarm));
        assert_eq!((found.ended.status, found.ended.cause), (Status::Exited(0), None));
        assert!(is_gone(&found.out));
        // It holds the pipe for as long as it lives.
        let directory = tempfile::tempdir().unwrap();
        let ready = directory.path().join("ready");
        let daemon = format!("setsid sh -c 'echo $$; echo >{}; exec sleep 60' &", ready.display());
        let script = format!("{daemon} until test -s {}; do sleep 0.01; done", ready.display());
        let found = sh(&script, rules(&alarm));
        assert!(!is_gone(&found.out));
        Command::new("kill").arg(found.out.trim()).status().unwrap();
    }

    #[test]
    fn the_alarm_ends_it() {
        let alarm = Alarm::new().unwrap();
        alarm.raise(Level::Terminate);
        let found = sh("echo $$; sleep 60", rules(&alarm));
        assert_eq!((found.ended.status, found.ended.cause), (Status::Killed(15), Some(Cause::Stopped)));
        // Once it ignores SIGTERM it says so.
        let (alarm, mut command) = (Alarm::new().unwrap(), Command::new("sh"));
        command.args(["-c", "trap '' TERM; echo; while :; do sleep 1; done"]);
        let ended = run(&mut command, rules(&alarm), &mut [0; 16], &mut |_, _| {
            alarm.raise(Level::Kill);
            true
        });
        let ended = ended.unwrap();
        assert_eq!((ended.status, ended.cause), (Status::Killed(9), Some(Cause::Stopped)));
    }

    #[test]
    fn a_stopped_one_is_ended_too() {
        let alarm = Alarm::new().unwrap();
        let timeout = Some(Duration::from_millis(100));
        let found = sh("kill -STOP $$", Rules { timeout, ..rules(&alarm) });
        assert_eq!((found.ended.status, found.ended.cause), (Status::Killed(15), Some(Cause::Timeout)));
    }

    #[test]
    fn output_that_nobody_wants_ends_who_writes_it() {
        let alarm = Alarm::new().unwrap();
        let ended = run(&mut Command::new("yes"), rules(&alarm), &mut [0; 4096], &mut |_, _| false).unwrap();
        assert_eq!(ended.status, Status::Killed(13));
    }
}
