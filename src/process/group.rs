//! The process group of one command: started, signalled and waited for as a whole.
//!
//! Its number stays ours as long as the leader was not waited for or any member is alive. Nobody uses it after that.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Child;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, geteuid, getpid, kill_process_group, test_kill_process_group, waitpgid, waitpid,
};

use super::{Command, StartError, Status, lending};

/// A command and its descendants, but for those that have left the group. Dropped before its end, it is killed.
#[derive(Debug)]
pub struct Group {
    id: Pid,
    ended: bool,
    gone: bool,
}

/// What has become of the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is stopped by the signal with this number.
    Stopped(i32),
    /// It is no more.
    Ended(Status),
}

impl Group {
    /// Starts the command, with our stdin, stdout and stderr, and with `inherited` open.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(command: &Command, inherited: Option<BorrowedFd<'_>>) -> Result<Group, StartError> {
        let mut ours = std::process::Command::new(&command.program);
        ours.args(&command.arguments).envs(command.environment.iter().map(|(name, value)| (name, value)));
        match lending(inherited, || Group::spawn(&mut ours)) {
            Ok((group, _)) => Ok(group),
            Err(error) => Err(StartError::new(&command.program, error)),
        }
    }

    /// Starts a command whose streams are settled already. The child is for its ends of pipes: it is this group that
    /// waits for it.
    ///
    /// # Errors
    /// Those of the system.
    pub fn spawn(command: &mut std::process::Command) -> io::Result<(Group, Child)> {
        let child = command.process_group(0).spawn()?;
        let id = pid(child.id()).ok_or(Errno::SRCH)?;
        Ok((Group { id, ended: false, gone: false }, child))
    }

    /// Its number, which is the leader's process id.
    pub fn id(&self) -> Pid {
        self.id
    }

    /// What has happened to the leader and was not told yet. Worth asking after each SIGCHLD.
    ///
    /// # Errors
    /// Somebody else has waited for it.
    pub fn change(&mut self) -> io::Result<Option<Change>> {
        if self.ended {
            return Ok(None);
        }
        let Some((_, status)) = waitpid(Some(self.id), WaitOptions::NOHANG | WaitOptions::UNTRACED)? else {
            return Ok(None);
        };
        if let Some(signal) = status.stopping_signal() {
            return Ok(Some(Change::Stopped(signal)));
        }
        self.ended = true;
        let code = status.exit_status().and_then(|code| u8::try_from(code).ok());
        let killed = status.terminating_signal().map(Status::Killed);
        Ok(Some(Change::Ended(killed.unwrap_or(Status::Exited(code.unwrap_or(u8::MAX))))))
    }

    /// Whether nobody of it is alive: known only after the leader's end was told by [`Group::change`].
    pub fn is_gone(&mut self) -> bool {
        if self.ended && !self.gone {
            // Whoever lost its parent is our child where we are the first process of a container.
            while let Ok(Some(_)) = waitpgid(self.id, WaitOptions::NOHANG) {}
            self.gone = is_empty(self.id);
        }
        self.gone
    }

    /// Sends a signal to all of it.
    ///
    /// # Errors
    /// When it may be sent to nobody of it: they run as another user.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        if self.gone {
            return Ok(());
        }
        signal_group(self.id, signal)
    }

    /// Sends a signal that is to be heeded at once, also where it is stopped.
    ///
    /// # Errors
    /// As [`Group::signal`].
    pub fn wake_with(&self, signal: Signal) -> io::Result<()> {
        self.signal(signal)?;
        self.signal(Signal::CONT)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.gone {
            let _ = self.signal(Signal::KILL);
            // Unless it may not be killed, this is a matter of microseconds.
            let _ = waitpid(Some(self.id), WaitOptions::NOHANG);
        }
    }
}

/// A process id that can be one of a leader: 0 would mean our own group, and 1 everybody.
pub(super) fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().filter(|&id| id > 1).and_then(Pid::from_raw)
}

/// Sends a signal to a group, if there is one.
pub(super) fn signal_group(group: Pid, signal: Signal) -> io::Result<()> {
    match kill_process_group(group, signal) {
        Err(Errno::SRCH) => Ok(()),
        sent => Ok(sent?),
    }
}

/// Whether no process of the group is alive. The dead for whom nobody has waited do not count: in a container they may
/// stay for ever.
pub(super) fn is_empty(group: Pid) -> bool {
    test_kill_process_group(group) == Err(Errno::SRCH) || !anyone_alive(group)
}

/// The group of a command of our user that was started with this entry, `NAME=value`, in its environment.
pub(super) fn marked(mark: &str) -> Option<Pid> {
    let ours = |id: Pid| fs::metadata(format!("/proc/{id}")).is_ok_and(|of| of.uid() == geteuid().as_raw());
    let has_it = |id: Pid| {
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|entry| entry == mark.as_bytes())
    };
    processes().ok()?.find(|&id| is_of(id, id) && id != getpid() && ours(id) && has_it(id))
}

fn processes() -> io::Result<impl Iterator<Item = Pid>> {
    let entries = fs::read_dir("/proc")?.flatten();
    Ok(entries.filter_map(|entry| pid(entry.file_name().to_str()?.parse().ok()?)))
}

fn anyone_alive(group: Pid) -> bool {
    let Ok(mut processes) = processes() else { return true };
    processes.any(|id| match fs::read(format!("/proc/{id}/stat")) {
        Ok(stat) => is_member_alive(&stat, group),
        // Gone, or hidden from us; the kernel tells its group all the same.
        Err(_) => is_of(id, group),
    })
}

/// Threads of the kernel are of group 0.
fn is_of(id: Pid, group: Pid) -> bool {
    let raw = |id: Pid| nix::unistd::Pid::from_raw(id.as_raw_nonzero().get());
    nix::unistd::getpgid(Some(raw(id))) == Ok(raw(group))
}

/// `PID (NAME) STATE PPID PGRP ...`, where the name may hold anything, and is cut within a character. With more than one
/// thread it is only the first one that is dead.
fn is_member_alive(stat: &[u8], group: Pid) -> bool {
    let rest = stat.rsplit(|&byte| byte == b')').next().map(String::from_utf8_lossy).unwrap_or_default();
    let fields: Vec<_> = rest.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<i32>().ok());
    let is_dead =
        matches!(fields.first(), Some(&"Z" | &"X")) && number(17).is_none_or(|threads| threads <= 1);
    !is_dead && number(2) == Some(group.as_raw_nonzero().get())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, Instant};

    use super::*;

    fn sh(text: &str) -> Command {
        Command { program: "sh".into(), arguments: vec!["-c".into(), text.into()], environment: Vec::new() }
    }

    fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(found) = condition() {
                return found;
            }
            assert!(Instant::now() < end, "waited in vain for {what}");
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    fn end(group: &mut Group) -> Status {
        until("the end", || match group.change().unwrap() {
            Some(Change::Ended(status)) => Some(status),
            _ => None,
        })
    }

    #[test]
    fn code_and_signal_are_told_apart() {
        assert_eq!(end(&mut Group::start(&sh("exit 7"), None).unwrap()), Status::Exited(7));
        assert_eq!(end(&mut Group::start(&sh("kill -9 $$"), None).unwrap()), Status::Killed(9));
    }

    #[test]
    fn what_cannot_be_started_says_why() {
        let start = |program: &str| {
            Group::start(&Command { program: program.into(), ..Command::default() }, None).unwrap_err()
        };
        assert!(matches!(start("no-such-command"), StartError::NotFound(name) if name == "no-such-command"));
        assert!(matches!(start("/etc/passwd"), StartError::Refused(name, _) if name == "/etc/passwd"));
        assert!(matches!(start("a\0b"), StartError::Refused(..)));
    }

    #[test]
    fn a_stop_is_told_and_a_stopped_one_can_be_terminated() {
        let mut group = Group::start(&sh("kill -STOP $$; sleep 60"), None).unwrap();
        until("the stop", || group.change().unwrap().filter(|change| matches!(change, Change::Stopped(19))));
        group.wake_with(Signal::TERM).unwrap();
        assert_eq!(end(&mut group), Status::Killed(15));
        until("nobody left", || group.is_gone().then_some(()));
    }

    #[test]
    fn the_group_is_not_gone_before_its_last_member() {
        let mut group = Group::start(&sh("sleep 60 & exit 0"), None).unwrap();
        assert_eq!(end(&mut group), Status::Exited(0));
        assert!(!group.is_gone());
        group.signal(Signal::KILL).unwrap();
        until("nobody left", || group.is_gone().then_some(()));
    }

    #[test]
    fn dropping_it_kills_it() {
        let group = Group::start(&sh("sleep 60 & sleep 60"), None).unwrap();
        let id = group.id();
        drop(group);
        until("nobody left", || is_empty(id).then_some(()));
    }

    #[test]
    fn the_inherited_descriptor_is_open_there_and_nowhere_else() {
        let file = tempfile::tempfile().unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&file);
        let text = format!("test -e /proc/self/fd/{number}");
        assert_eq!(end(&mut Group::start(&sh(&text), Some(file.as_fd())).unwrap()), Status::Exited(0));
        assert!(fcntl_is_closed_on_exec(&file));
        assert_eq!(end(&mut Group::start(&sh(&text), None).unwrap()), Status::Exited(1));
    }

    fn fcntl_is_closed_on_exec(file: &fs::File) -> bool {
        rustix::io::fcntl_getfd(file).unwrap().contains(rustix::io::FdFlags::CLOEXEC)
    }

    #[test]
    fn a_name_in_the_process_table_can_hold_anything() {
        let group = pid(42).unwrap();
        assert!(is_member_alive(b"50 (a) b (c) S 1 42 7", group));
        assert!(is_member_alive(b"50 (caf\xc3) S 1 42 7", group));
        assert!(!is_member_alive(b"50 (a) Z 1 42 7", group));
        assert!(!is_member_alive(b"50 (a S 1 42 7) S 1 43 7", group));
        assert!(!is_member_alive(b"", group));
    }

    #[test]
    fn one_whose_name_is_cut_within_a_character_is_alive() {
        let directory = tempfile::tempdir().unwrap();
        // The kernel keeps 15 bytes of it.
        let path = directory.path().join("fourteen-bytesé");
        fs::write(&path, "#!/bin/sh\nwhile :; do :; done").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        let text = format!("{} & exit 0", path.display());
        let mut group = Group::start(&sh(&text), None).unwrap();
        assert_eq!(end(&mut group), Status::Exited(0));
        until("its name", || {
            let mut names =
                fs::read_dir("/proc").unwrap().flatten().map(|entry| fs::read(entry.path().join("comm")));
            names.any(|name| name.is_ok_and(|name| name.starts_with(b"fourteen-bytes\xc3"))).then_some(())
        });
        assert!(!group.is_gone());
    }

    #[test]
    fn a_dead_first_thread_is_not_the_end_of_a_process() {
        let group = pid(42).unwrap();
        let zombie = |threads| format!("50 (a) Z 1 42 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0");
        assert!(is_member_alive(zombie(2).as_bytes(), group));
        assert!(!is_member_alive(zombie(1).as_bytes(), group));
    }
}
