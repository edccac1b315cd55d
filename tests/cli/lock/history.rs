//! A resource that a lock guards, and the history of who used it: each life of a command is the life of a connection.
//!
//! The kernel closes the socket of a process before its parent can learn of its death. So whoever comes while an
//! earlier connection is open has come while an earlier command was alive.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::support::DEADLINE;

/// The command: connected for as long as it lives, until it is told to end. `$RESOURCE` is `HOST/PORT`.
const COMMAND: &str = r#"
exec 3<>"/dev/tcp/$RESOURCE" || exit 99
echo "$HARDY_LOCK_TOKEN $HARDY_LOCK_HANDLE $$ $PPID ${WORKER:-0}" >&3
read -r -t 300 <&3
exit 0
"#;

/// The same, but it does not end when it is asked to.
const STUBBORN: &str = "trap '' TERM";

/// The command itself ends at once; its child is connected, and does not end when it is asked to: not even before it has
/// done anything, or nobody would hear of it.
const PARENT: &str = r#"
exec 3<>"/dev/tcp/$RESOURCE" || exit 99
echo "$HARDY_LOCK_TOKEN $HARDY_LOCK_HANDLE $$ $PPID ${WORKER:-0}" >&3
trap '' TERM
(read -r -t 300 <&3) &
exit 0
"#;

/// The end of a connection on the loopback is there at once, or when the machine has time for it.
const PATIENCE: Duration = Duration::from_millis(20);

/// So many events are told when something is wrong.
const TOLD: usize = 30;

/// The resource, and what has happened to it.
pub struct Resource {
    address: SocketAddr,
    arrivals: Receiver<Arc<Life>>,
    history: Arc<Mutex<History>>,
    listener: TcpListener,
}

/// One command, from its connection to the end of that.
pub struct Life {
    pub token: u64,
    /// The part of the handle that tells one holder from another.
    pub id: String,
    /// Process of the command.
    command: Option<Pinned>,
    /// Process of hardy.
    pub hardy: i32,
    /// Who it is, as `$WORKER` says.
    pub worker: usize,
    pub arrived: Instant,
    stream: TcpStream,
}

/// What was seen, and what must not have been.
#[derive(Default)]
struct History {
    open: Vec<Arc<Life>>,
    events: VecDeque<String>,
    wrong: Vec<String>,
    seen: Seen,
    /// Workers that were paused.
    forgiven: Vec<usize>,
    begun: Option<Instant>,
}

/// Counts of a history.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub acquisitions: usize,
    pub highest: u64,
    /// Came too late, by their token, after they had been paused.
    pub refused: usize,
    /// The longest time for which the end of an earlier life had to be waited for.
    pub patience: Duration,
    /// Handles in the order of arrival.
    pub ids: Vec<String>,
}

impl Resource {
    /// For at most that many at a time, on the loopback.
    pub fn open(slots: usize) -> Resource {
        Resource::at(TcpListener::bind("127.0.0.1:0").unwrap(), slots)
    }

    /// The same with another address.
    pub fn at(listener: TcpListener, slots: usize) -> Resource {
        let address = listener.local_addr().unwrap();
        let history = Arc::new(Mutex::new(History::default()));
        let (sender, arrivals) = channel();
        let (own, shared) = (listener.try_clone().unwrap(), history.clone());
        std::thread::spawn(move || accept(&own, slots, &shared, &sender));
        Resource { address, arrivals, history, listener }
    }

    /// What goes after `--`.
    pub fn command(&self) -> [&'static str; 3] {
        ["bash", "-c", COMMAND]
    }

    /// A command that only SIGKILL ends.
    pub fn stubborn(&self) -> [String; 3] {
        ["bash", "-c", &format!("{STUBBORN}\n{COMMAND}")].map(str::to_owned)
    }

    /// A command that leaves behind a child, which only SIGKILL ends.
    pub fn parent(&self) -> [&'static str; 3] {
        ["bash", "-c", PARENT]
    }

    /// The value of `RESOURCE` in the environment of hardy.
    pub fn place(&self) -> String {
        format!("{}/{}", self.address.ip(), self.address.port())
    }

    /// The next command, if one comes in that time.
    pub fn within(&self, time: Duration) -> Option<Arc<Life>> {
        match self.arrivals.recv_timeout(time) {
            Ok(life) => Some(life),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("the resource is closed: {}", self.wrong()),
        }
    }

    /// The next command.
    pub fn next(&self) -> Arc<Life> {
        self.within(2 * DEADLINE).unwrap_or_else(|| panic!("nobody comes; {}", self.wrong()))
    }

    /// That one was paused: if it comes later than a higher token, it is refused, which is what tokens are for.
    pub fn forgive(&self, worker: usize) {
        self.history.lock().unwrap().forgiven.push(worker);
    }

    /// Adds a line to the history.
    pub fn note(&self, text: String) {
        self.history.lock().unwrap().note(text);
    }

    /// Panics if anything was wrong.
    pub fn check(&self) -> Seen {
        let history = self.history.lock().unwrap();
        assert!(history.wrong.is_empty(), "{}", history.told());
        history.seen.clone()
    }

    /// How many were there.
    pub fn count(&self) -> usize {
        self.history.lock().unwrap().seen.acquisitions
    }

    /// What was wrong, with what came before.
    pub fn wrong(&self) -> String {
        self.history.lock().unwrap().told()
    }
}

impl Drop for Resource {
    fn drop(&mut self) {
        // Wakes the thread, wherever the listener is.
        let _ = shutdown(&self.listener, Shutdown::Both);
    }
}

impl Life {
    /// Tells it to end.
    pub fn end(&self) {
        let _ = (&self.stream).write_all(b"\n");
    }

    /// Whether it has ended.
    pub fn is_gone(&self) -> bool {
        let mut byte = [0];
        match recv(&self.stream, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((_, count)) => count == 0,
            Err(rustix::io::Errno::AGAIN) => false,
            Err(_) => true,
        }
    }

    /// Signals the command, if it is still there.
    pub fn signal(&self, signal: Signal) {
        if let Some(command) = &self.command {
            command.signal(signal);
        }
    }

    fn told(&self) -> String {
        format!("token {} ({}) of worker {}", self.token, self.id, self.worker)
    }

    /// Waits for its end, for that long; whether it came.
    pub fn gone_within(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            if self.is_gone() {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let left = Timespec::try_from(left.max(Duration::from_millis(1))).unwrap();
            let _ = poll(&mut [PollFd::new(&self.stream, PollFlags::IN)], Some(&left));
        }
    }

    /// Waits for its end; when it was seen.
    pub fn gone(&self) -> Instant {
        assert!(self.gone_within(DEADLINE), "the command with token {} lives on", self.token);
        Instant::now()
    }
}

fn accept(listener: &TcpListener, slots: usize, shared: &Mutex<History>, arrivals: &Sender<Arc<Life>>) {
    while let Ok((stream, _)) = listener.accept() {
        let arrived = Instant::now();
        let before = std::mem::take(&mut shared.lock().unwrap().open);
        let (alive, patience) = still_alive(before, slots);
        let life = introduced(stream, arrived).map(Arc::new);
        let mut history = shared.lock().unwrap();
        history.seen.patience = history.seen.patience.max(patience);
        if let Some(life) = &life
            && history.is_late(life)
        {
            history.open = alive;
            continue;
        }
        if alive.len() >= slots {
            let who = life.as_ref().map_or("somebody".to_owned(), |life| life.told());
            let others: Vec<_> = alive.iter().map(|life| life.told()).collect();
            history.is_wrong(format!("{who} came while others were alive: {}", others.join(", ")));
        }
        history.open = alive;
        // Without a life: killed before it could say its name.
        let Some(life) = life else { continue };
        history.arrived(&life, slots);
        if arrivals.send(life).is_err() {
            return;
        }
    }
}

/// Who of them is still there, and how long that took.
fn still_alive(mut lives: Vec<Arc<Life>>, slots: usize) -> (Vec<Arc<Life>>, Duration) {
    lives.retain(|life| !life.is_gone());
    if lives.len() < slots {
        return (lives, Duration::ZERO);
    }
    let begun = Instant::now();
    while lives.len() >= slots && begun.elapsed() < PATIENCE {
        lives.retain(|life| !life.gone_within(Duration::from_millis(1)));
    }
    (lives, begun.elapsed())
}

/// Reads who it is.
fn introduced(stream: TcpStream, arrived: Instant) -> Option<Life> {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).ok()?;
    let fields: Vec<_> = line.trim().split(' ').collect();
    let [token, handle, command, hardy, worker] = fields[..] else { return None };
    Some(Life {
        token: token.parse().ok()?,
        id: handle.rsplit(':').next()?.to_owned(),
        command: Pinned::command(command.parse().ok()?),
        hardy: hardy.parse().ok()?,
        worker: worker.parse().ok()?,
        arrived,
        stream,
    })
}

impl History {
    fn note(&mut self, text: String) {
        let begun = *self.begun.get_or_insert_with(Instant::now);
        self.events.push_back(format!("{:9.3} {text}", begun.elapsed().as_secs_f64()));
        if self.events.len() > TOLD {
            self.events.pop_front();
        }
    }

    fn is_wrong(&mut self, text: String) {
        self.note(format!("WRONG: {text}"));
        self.wrong.push(format!("{text}\n{}", Vec::from(self.events.clone()).join("\n")));
    }

    /// Refuses it: it was paused after it had got the lock, and its token tells.
    fn is_late(&mut self, life: &Life) -> bool {
        let late = life.token < self.seen.highest && self.forgiven.contains(&life.worker);
        if late {
            self.seen.refused += 1;
            self.note(format!("{} is refused", life.told()));
        }
        late
    }

    fn arrived(&mut self, life: &Arc<Life>, slots: usize) {
        self.note(format!("{} comes", life.told()));
        let highest = self.seen.highest;
        // Several that get in together may come in any order.
        let grows = if slots == 1 { life.token > highest } else { !self.seen.ids.contains(&life.id) };
        if !grows {
            self.is_wrong(format!("{} came after the token {highest}", life.told()));
        }
        self.seen.highest = highest.max(life.token);
        self.seen.acquisitions += 1;
        self.seen.ids.push(life.id.clone());
        self.open.push(life.clone());
    }

    fn told(&self) -> String {
        match self.wrong.first() {
            Some(first) => format!("{} times wrong, first: {first}", self.wrong.len()),
            None => format!("nothing is wrong:\n{}", Vec::from(self.events.clone()).join("\n")),
        }
    }
}

/// A process that is signalled by a descriptor: its number may be another's by then.
pub struct Pinned(OwnedFd);

impl Pinned {
    /// A process that was not waited for yet.
    pub fn new(pid: i32) -> Option<Pinned> {
        Some(Pinned(pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?))
    }

    /// The command, if it still is that one.
    fn command(pid: i32) -> Option<Pinned> {
        let pinned = Pinned::new(pid)?;
        arguments(pid)?.contains(COMMAND).then_some(pinned)
    }

    /// The watchdog of that hardy.
    pub fn watchdog(hardy: i32) -> Option<Pinned> {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        ids.find_map(|pid| {
            let pinned = Pinned::new(pid).filter(|_| parent_of(pid) == Some(hardy))?;
            arguments(pid)?.contains("__watchdog").then_some(pinned)
        })
    }

    /// Sends it, if the process is still there; whether it is.
    pub fn signal(&self, signal: Signal) -> bool {
        pidfd_send_signal(&self.0, signal).is_ok()
    }
}

fn arguments(pid: i32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may contain anything, also `)`.
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

/// The checker itself: what it must notice.
mod tests {
    use super::*;

    struct Command(TcpStream);

    impl Command {
        fn come(resource: &Resource, token: u64, worker: usize) -> Command {
            let stream = TcpStream::connect(resource.address).unwrap();
            writeln!(&stream, "{token} etcd-1:x:{token}:{token:x} 1 1 {worker}").unwrap();
            Command(stream)
        }
    }

    fn said(resource: &Resource, text: &str) {
        crate::support::wait_for(text, || resource.wrong().contains(text).then_some(()));
    }

    #[test]
    fn one_after_the_other_is_right() {
        let resource = Resource::open(1);
        for token in [3, 4, 9] {
            let command = Command::come(&resource, token, 0);
            assert_eq!(resource.next().token, token);
            drop(command);
        }
        assert_eq!((resource.check().highest, resource.count()), (9, 3));
    }

    #[test]
    fn two_at_a_time_are_not() {
        let resource = Resource::open(1);
        let _first = Command::come(&resource, 1, 0);
        let _second = Command::come(&resource, 2, 1);
        said(&resource, "token 2 (2) of worker 1 came while others were alive: token 1 (1) of worker 0");
    }

    #[test]
    fn of_three_at_a_time_two_are_right() {
        let resource = Resource::open(2);
        let _first = Command::come(&resource, 2, 0);
        let _second = Command::come(&resource, 1, 1);
        resource.next();
        resource.next();
        resource.check();
        let _third = Command::come(&resource, 3, 2);
        said(&resource, "token 3 (3) of worker 2 came while others were alive");
    }

    #[test]
    fn a_token_that_does_not_grow_is_wrong_or_refused() {
        let resource = Resource::open(1);
        drop(Command::come(&resource, 7, 0));
        resource.next();
        resource.forgive(1);
        let mut refused = Command::come(&resource, 6, 1);
        assert_eq!(std::io::Read::read(&mut refused.0, &mut [0]).unwrap(), 0);
        assert_eq!(resource.check().refused, 1);
        drop(Command::come(&resource, 7, 2));
        said(&resource, "token 7 (7) of worker 2 came after the token 7");
    }
}
