//! Processes that contend for one lock, one after the other in each of fifty places, and how they ended.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use super::history::{Pinned, Resource};
use super::store::Store;

/// So many at a time.
pub const WORKERS: usize = 50;

/// Half of them leave nothing behind that keeps a lock of this host.
pub const fn ends_with_hardy(worker: usize) -> bool {
    worker % 2 == 1
}

/// The processes that contend.
pub struct Crew {
    program: OsString,
    environment: Vec<(OsString, Option<OsString>)>,
    arguments: Vec<OsString>,
    work: [&'static str; 3],
    running: Vec<Mutex<Option<Running>>>,
    pub over: AtomicBool,
    /// How often a member was killed.
    pub cluster: AtomicUsize,
    /// How they ended, how often, and what one of them said.
    pub exits: Mutex<BTreeMap<String, (usize, String)>>,
    pub wrong: Mutex<Vec<String>>,
}

struct Running {
    child: Child,
    /// A fault was its own.
    touched: bool,
}

impl Crew {
    pub fn new(store: &Store, resource: &Resource) -> Crew {
        let mut command = store.hardy();
        command.env("RESOURCE", resource.place());
        command.args(["lock", "run", "soak", "--ttl", "2s", "--grace", "300ms"]);
        let environment = command.get_envs().map(|(name, value)| (name.into(), value.map(Into::into)));
        Crew {
            program: command.get_program().into(),
            environment: environment.collect(),
            arguments: command.get_args().map(Into::into).collect(),
            work: resource.command(),
            running: (0..WORKERS).map(|_| Mutex::default()).collect(),
            over: AtomicBool::new(false),
            cluster: AtomicUsize::new(0),
            exits: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    fn command(&self, worker: usize) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).args(ends_with_hardy(worker).then_some("--no-inherit"));
        command.arg("--").args(self.work).env("WORKER", worker.to_string());
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// One process after the other.
    pub fn work(&self, worker: usize) {
        while !self.over.load(Ordering::Relaxed) {
            let cluster = self.cluster.load(Ordering::Relaxed);
            let mut child = self.command(worker).spawn().unwrap();
            let id = WaitId::Pid(Pid::from_child(&child));
            let mut stderr = child.stderr.take().unwrap();
            *self.running[worker].lock().unwrap() = Some(Running { child, touched: false });
            while waitid(id.clone(), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).is_err() {}
            // From here on nobody signals it.
            let mut ended = self.running[worker].lock().unwrap().take().unwrap();
            let status = ended.child.wait().unwrap();
            let mut said = String::new();
            let _ = stderr.read_to_string(&mut said);
            let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
            let disturbed = self.cluster.load(Ordering::Relaxed) != cluster;
            self.ended(code, ended.touched, disturbed, &said);
        }
    }

    fn ended(&self, code: i32, touched: bool, disturbed: bool, said: &str) {
        let how = match (code, touched) {
            (0, _) => "0".to_owned(),
            (code, true) => format!("{code} after a fault"),
            (code, false) => format!("{code} without one"),
        };
        let mut exits = self.exits.lock().unwrap();
        let (count, sample) = exits.entry(how).or_default();
        *count += 1;
        if sample.is_empty() {
            sample.push_str(said.trim());
        }
        drop(exits);
        // A lease that a busy machine did not renew in time is lost, and that is said.
        let fine = match code {
            // 75: a place in the queue, for the same reason.
            0 | 75 | 76 => true,
            // 143: hardy goes on after the watchdog has stopped the command, and before the end of the lease.
            137 | 143 => touched,
            3 => disturbed,
            _ => false,
        };
        if !fine || said.contains("panicked") {
            self.wrong.lock().unwrap().push(format!("exit {code}, touched {touched}: {said}"));
        }
    }

    /// Sends a signal to one of them, if it is there.
    pub fn disturb(&self, worker: usize, signal: Signal) -> Option<Pinned> {
        let mut running = self.running[worker].lock().unwrap();
        let running = running.as_mut()?;
        running.touched = true;
        let process = Pinned::new(i32::try_from(running.child.id()).unwrap())?;
        process.signal(signal).then_some(process)
    }

    /// What it is disturbed by is something else.
    pub fn touch(&self, worker: usize) {
        if let Some(running) = self.running[worker].lock().unwrap().as_mut() {
            running.touched = true;
        }
    }

    /// After a panic, too: whoever is left would wait for ever.
    pub fn kill(&self) {
        self.over.store(true, Ordering::Relaxed);
        for running in &self.running {
            if let Some(running) = running.lock().unwrap_or_else(|broken| broken.into_inner()).as_mut() {
                let _ = running.child.kill();
            }
        }
    }
}
