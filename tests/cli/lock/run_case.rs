//! A shell script under a lock, its words, its process group, and hardy's other child, the watchdog.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStdout, Command, Stdio};

use crate::lock::store::Store;
use crate::support::{Process, Run, wait_for};

/// `hardy lock run x FLAGS -- sh -c SCRIPT`.
pub struct Case {
    pub hardy: Process,
    stdout: BufReader<ChildStdout>,
    /// The process group of the script.
    pub group: i32,
}

impl Case {
    /// Starts it, and waits until the script runs.
    pub fn start(store: &Store, flags: &[&str], script: &str) -> Case {
        let mut hardy = store.hardy();
        hardy.args(["lock", "run", "x"]).args(flags).args(["--", "sh", "-c"]);
        Case::of(hardy.arg(format!("echo $$; {script}")))
    }

    /// The same with another command, which says its process id first.
    pub fn of(command: &mut Command) -> Case {
        Case::telling(command, Stdio::piped())
    }

    /// The same with a stderr that is read elsewhere.
    pub fn telling(command: &mut Command, stderr: impl Into<Stdio>) -> Case {
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let hardy = Process::of(child);
        match line.trim().parse() {
            Ok(group) => Case { hardy, stdout, group },
            Err(_) => panic!("not started: {:?}", hardy.finish()),
        }
    }

    /// The next line that the script writes.
    pub fn word(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Whether nobody of the group is alive.
    pub fn is_gone(&self) -> bool {
        processes().all(|process| process.group != self.group || process.is_dead)
    }

    /// Waits for that.
    pub fn wait_until_gone(&self) {
        wait_for("the end of the group", || self.is_gone().then_some(()));
    }

    /// The watchdog, as soon as there is one that is not `old`.
    pub fn watchdog(&self, old: i32) -> i32 {
        let hardy = i32::try_from(self.hardy.id()).unwrap();
        wait_for("a watchdog", || {
            let mut children = processes().filter(|p| p.parent == hardy && !p.is_dead && p.id != old);
            children.find(|p| p.is_watchdog()).map(|p| p.id)
        })
    }

    /// Waits for hardy's end; then nobody of the group is alive, and no watchdog is left.
    pub fn finish(mut self) -> Run {
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        let hardy = i32::try_from(self.hardy.id()).unwrap();
        let run = self.hardy.finish();
        assert!(processes().all(|p| p.group != self.group || p.is_dead), "it outlives hardy");
        assert!(processes().all(|p| p.parent != hardy), "hardy has left children");
        Run { stdout: said, ..run }
    }
}

/// Sends a signal to a process by its id, to a group by its negative id.
pub fn kill(id: i32, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, "--", &id.to_string()]).status();
    assert!(status.unwrap().success(), "no {id}");
}

struct Seen {
    id: i32,
    parent: i32,
    group: i32,
    session: i32,
    is_dead: bool,
}

impl Seen {
    /// One that is ready: in a session of its own, where no signal of the terminal reaches it.
    fn is_watchdog(&self) -> bool {
        let line = fs::read(format!("/proc/{}/cmdline", self.id)).unwrap_or_default();
        self.session == self.id && line.split(|&byte| byte == 0).nth(1) == Some(b"__watchdog")
    }
}

fn processes() -> impl Iterator<Item = Seen> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let is_dead = matches!(fields.next()?, "Z" | "X");
        let mut number = || fields.next()?.parse().ok();
        Some(Seen { id, parent: number()?, group: number()?, session: number()?, is_dead })
    })
}
