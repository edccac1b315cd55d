//! The watchdog's own side: one thread, no runtime, a wait for orders, for the command's end, and for the moments.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::SigSet;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, Signal, chdir, pidfd_open, setsid};

use super::Orders;
use crate::clock::{self, Boot};
use crate::process::group;

/// The argument that makes hardy a watchdog. No subcommand, and no business of users.
pub const ARGUMENT: &str = "__watchdog";

/// How often to look whether the rest of the group has ended after its leader.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// How often to look for a command whose start hardy has not survived: it may not have its environment yet.
const LOOKS: u32 = 10;

/// As much as a pipe holds: a watchdog that was stopped must know its last orders before it acts on earlier ones.
const BACKLOG: usize = 1 << 16;

/// Does what the orders in stdin say, until they are carried out or nobody is left.
///
/// # Errors
/// The kernel refuses to wait.
pub fn watch() -> io::Result<()> {
    // It must not end with the terminal, the session or the service; hardy kills it when it is not needed.
    SigSet::all().thread_block()?;
    let _ = setsid();
    let _ = chdir("/");
    let mark = std::env::args_os().nth(2).unwrap_or_default();
    follow(&io::stdin().as_fd().try_clone_to_owned()?, &mark.to_string_lossy())
}

fn follow(input: &OwnedFd, mark: &str) -> io::Result<()> {
    let mut course = Course::default();
    let mut leader = None;
    let mut lines = Lines::default();
    loop {
        let ready = wait(&course, input, leader.as_ref())?;
        if ready.input {
            match lines.last(input) {
                Some(Some(orders)) => course.orders = Some(orders),
                Some(None) => {}
                None => course.alone(Boot::now()),
            }
        }
        if course.seeks(Boot::now()) {
            course.seek(mark);
        }
        let Some(group) = course.orders.and_then(|orders| orders.group) else {
            if course.alone && (course.orders.is_none() || course.looks >= LOOKS) {
                return Ok(());
            }
            continue;
        };
        if leader.is_none() && !course.ended {
            leader = pidfd_open(group, PidfdFlags::empty()).ok();
            course.ended = leader.is_none();
        } else if ready.leader {
            course.ended = true;
        } else if ready.nothing && course.ended && group::is_empty(group) {
            return Ok(());
        }
        while let Some(signal) = course.due(Boot::now()) {
            // Fails where the command runs as another user, and then nobody here can do more.
            let _ = group::signal_group(group, signal);
            if signal == Signal::TERM {
                let _ = group::signal_group(group, Signal::CONT);
            }
        }
    }
}

/// What to do when.
#[derive(Debug, Default)]
struct Course {
    orders: Option<Orders>,
    alone: bool,
    ended: bool,
    termed: bool,
    killed: bool,
    looks: u32,
}

impl Course {
    /// Whether something is to be done, and hardy has not come to say to whom.
    fn seeks(&self, now: Boot) -> bool {
        self.orders.is_some_and(|orders| orders.group.is_none())
            && (self.alone || self.next().is_some_and(|at| at <= now))
    }

    fn seek(&mut self, mark: &str) {
        self.looks = self.looks.saturating_add(1);
        if let Some(orders) = &mut self.orders {
            orders.group = group::marked(mark);
        }
    }

    /// hardy is no more.
    fn alone(&mut self, now: Boot) {
        self.alone = true;
        if let Some(orders) = self.orders.as_mut().filter(|orders| orders.ends_with_us) {
            let end = now + orders.grace;
            orders.term = Some(now);
            orders.kill = Some(orders.kill.map_or(end, |kill| kill.min(end)));
        }
    }

    fn term(&self) -> Option<Boot> {
        self.orders?.term.filter(|_| !self.termed && !self.killed)
    }

    fn kill(&self) -> Option<Boot> {
        self.orders?.kill.filter(|_| !self.killed)
    }

    fn next(&self) -> Option<Boot> {
        self.term().into_iter().chain(self.kill()).min()
    }

    fn due(&mut self, now: Boot) -> Option<Signal> {
        if self.kill().is_some_and(|at| at <= now) {
            self.killed = true;
            return Some(Signal::KILL);
        }
        if self.term().is_some_and(|at| at <= now) {
            self.termed = true;
            return Some(Signal::TERM);
        }
        None
    }
}

/// What is there to be seen to.
struct Ready {
    input: bool,
    leader: bool,
    nothing: bool,
}

fn wait(course: &Course, input: &OwnedFd, leader: Option<&OwnedFd>) -> io::Result<Ready> {
    let seeks = course.seeks(Boot::now());
    let timer = course.next().filter(|_| !seeks).map(clock::timer).transpose()?;
    let mut watched = Vec::with_capacity(3);
    let input = (!course.alone).then_some(input);
    let leader = leader.filter(|_| !course.ended);
    for descriptor in [input, leader, timer.as_ref()].into_iter().flatten() {
        watched.push(PollFd::new(descriptor, PollFlags::IN));
    }
    let woken = match poll(&mut watched, (course.ended || seeks).then_some(&LOOK)) {
        Err(rustix::io::Errno::INTR) => return Ok(Ready { input: false, leader: false, nothing: false }),
        woken => woken?,
    };
    let mut woke = watched.iter().map(|watched| !watched.revents().is_empty());
    let mut is_ready = |present: bool| present && woke.next() == Some(true);
    Ok(Ready { input: is_ready(input.is_some()), leader: is_ready(leader.is_some()), nothing: woken == 0 })
}

/// The stream of orders, cut into lines.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// Reads what is there: the last complete orders in it, if any; none at the end of the stream.
    fn last(&mut self, input: &OwnedFd) -> Option<Option<Orders>> {
        let mut bytes = vec![0; BACKLOG];
        let count = rustix::io::read(input, &mut bytes).ok().filter(|&count| count > 0)?;
        self.0.extend_from_slice(&bytes[..count]);
        let end = self.0.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let lines = self.0.drain(..end).collect::<Vec<_>>();
        let text = String::from_utf8_lossy(&lines);
        Some(text.lines().filter_map(|line| line.parse().ok()).next_back())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Child, Command, Stdio};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread::{self, JoinHandle};
    use std::time::Duration;

    use super::*;

    const FAR: Duration = Duration::from_secs(3600);

    /// A command in its own group, and a watchdog that is told of it by the test.
    struct Case {
        child: Child,
        pipe: Option<io::PipeWriter>,
        watchdog: JoinHandle<io::Result<()>>,
    }

    static CASES: AtomicU32 = AtomicU32::new(0);

    impl Case {
        fn of(text: &str) -> Case {
            let text = format!("{text}; echo; sleep 60 & sleep 60");
            let mark = format!("{}-{}", std::process::id(), CASES.fetch_add(1, Ordering::Relaxed));
            let mut sh = Command::new("sh");
            sh.args(["-c", &text]).env("WATCHED", &mark);
            let mut child = sh.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
            child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
            let (reader, pipe) = io::pipe().unwrap();
            Case {
                child,
                pipe: Some(pipe),
                watchdog: thread::spawn(move || follow(&reader.into(), &format!("WATCHED={mark}"))),
            }
        }

        fn orders(&self) -> Orders {
            let group = group::pid(self.child.id());
            Orders { group, term: None, kill: None, grace: FAR, ends_with_us: true }
        }

        fn tell(&mut self, orders: Orders) {
            write!(self.pipe.as_mut().unwrap(), "{orders}").unwrap();
        }

        /// The signal that ended the command; the watchdog ends as well.
        fn end(mut self) -> Option<i32> {
            let signal = self.child.wait().unwrap().signal();
            self.watchdog.join().unwrap().unwrap();
            signal
        }
    }

    const STUBBORN: &str = "trap '' TERM";

    #[test]
    fn it_asks_at_the_moment_for_that() {
        let mut case = Case::of(":");
        case.tell(Orders { term: Some(Boot::now() + Duration::from_millis(30)), ..case.orders() });
        assert_eq!(case.end(), Some(15));
    }

    #[test]
    fn it_kills_at_the_moment_for_that() {
        let mut case = Case::of(STUBBORN);
        let soon = Boot::now() + Duration::from_millis(30);
        case.tell(Orders { term: Some(soon), kill: Some(soon + Duration::from_millis(30)), ..case.orders() });
        assert_eq!(case.end(), Some(9));
    }

    #[test]
    fn the_last_orders_count() {
        let mut case = Case::of(":");
        let past = Boot::now() - Duration::from_secs(1);
        let (old, new) = (Orders { kill: Some(past), ..case.orders() }, case.orders());
        write!(case.pipe.as_mut().unwrap(), "{old}{new}").unwrap();
        case.tell(Orders { term: Some(Boot::now() + Duration::from_millis(50)), ..new });
        assert_eq!(case.end(), Some(15));
    }

    #[test]
    fn when_hardy_dies_the_command_ends() {
        let mut case = Case::of(":");
        case.tell(case.orders());
        case.pipe = None;
        assert_eq!(case.end(), Some(15));

        let mut case = Case::of(STUBBORN);
        case.tell(Orders { grace: Duration::from_millis(30), ..case.orders() });
        case.pipe = None;
        assert_eq!(case.end(), Some(9));
    }

    #[test]
    fn a_command_that_keeps_its_lock_may_outlive_hardy_but_not_its_time() {
        let mut case = Case::of(":");
        let term = Boot::now() + Duration::from_millis(100);
        case.tell(Orders { term: Some(term), ends_with_us: false, ..case.orders() });
        case.pipe = None;
        assert_eq!(case.end(), Some(15));
        assert!(Boot::now() >= term);
    }

    #[test]
    fn a_command_is_found_when_hardy_did_not_survive_its_start() {
        let mut case = Case::of(":");
        case.tell(Orders { group: None, ..case.orders() });
        case.pipe = None;
        assert_eq!(case.end(), Some(15));

        // As well as when it was stopped then.
        let mut case = Case::of(":");
        case.tell(Orders { group: None, term: Some(Boot::now()), ..case.orders() });
        assert_eq!(case.child.wait().unwrap().signal(), Some(15));
        case.pipe = None;
        case.watchdog.join().unwrap().unwrap();
    }

    #[test]
    fn one_that_was_never_started_is_not_waited_for() {
        let (reader, mut writer) = io::pipe().unwrap();
        let (term, kill) = (None, None);
        write!(writer, "{}", Orders { group: None, term, kill, grace: FAR, ends_with_us: true }).unwrap();
        drop(writer);
        follow(&reader.into(), "WATCHED=nobody").unwrap();
    }

    #[test]
    fn without_orders_it_does_nothing() {
        let (reader, writer) = io::pipe().unwrap();
        drop(writer);
        follow(&reader.into(), "").unwrap();
    }

    #[test]
    fn it_ends_by_itself_when_nobody_is_left() {
        let mut case = Case::of("sleep 0.01; echo; exit 3");
        case.tell(case.orders());
        assert_eq!(case.child.wait().unwrap().code(), Some(3));
        case.watchdog.join().unwrap().unwrap();
    }

    #[test]
    fn hardly_dead_it_keeps_the_earlier_end() {
        let group = group::pid(42);
        let (now, grace) = (Boot::from_millis(1000), Duration::from_millis(500));
        let end = |kill: Option<u64>| {
            let kill = kill.map(Boot::from_millis);
            let orders = Orders { group, term: None, kill, grace, ends_with_us: true };
            let mut course = Course { orders: Some(orders), ..Course::default() };
            course.alone(now);
            assert_eq!(course.due(now), Some(Signal::TERM));
            assert_eq!(course.due(now), None);
            course.next().unwrap().as_millis()
        };
        assert_eq!((end(None), end(Some(1200)), end(Some(9000))), (1500, 1200, 1500));
    }
}
