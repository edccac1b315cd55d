//! Runs the binary in a bare environment, waits for conditions with a deadline, and stops what it started.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine; a test that reaches it has failed.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The binary without any configuration of the machine it runs on.
pub fn hardy() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hardy"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_lowercase();
        let foreign = text.starts_with("hardy_") || text.ends_with("_proxy");
        if foreign || ["xdg_config_home", "ci", "no_color", "clicolor_force"].contains(&text.as_str()) {
            command.env_remove(name);
        }
    }
    command.env("HARDY_CONFIG", "none").stdin(Stdio::null());
    command
}

/// What a finished run left behind.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Run {
        Run {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Run {
    /// The one JSON document on stdout.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e} in {self:?}"))
    }
}

/// Runs the binary to its end.
pub fn run(args: &[&str]) -> Run {
    hardy().args(args).output().expect("hardy runs").into()
}

/// Runs the binary to its end in a directory, with its hardy.toml.
pub fn run_in(directory: &Path, args: &[&str]) -> Run {
    hardy().env_remove("HARDY_CONFIG").current_dir(directory).args(args).output().expect("hardy runs").into()
}

/// Asks again until the condition holds; panics at the deadline.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A running process that is killed when the test is done with it.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Process {
    /// Starts the command; its stderr is read line by line.
    pub fn start(command: &mut Command) -> Process {
        let child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
        Process::of(child)
    }

    /// Takes over a child; its stderr, if that is piped, is read line by line.
    pub fn of(mut child: Child) -> Process {
        let (sender, lines) = channel();
        if let Some(stderr) = child.stderr.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Process { child, lines, seen: Vec::new() }
    }

    /// Waits for a line on stderr that contains the text, and returns it.
    pub fn line(&mut self, text: &str) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no line with {text:?} in time after {:#?}", self.seen)
                }
                Err(RecvTimeoutError::Disconnected) => panic!("ended without {text:?}: {:#?}", self.seen),
            }
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the child can be waited for").is_some()
    }

    /// Waits for the end; panics at the deadline.
    pub fn wait(&mut self) -> ExitStatus {
        wait_for("the process to end", || self.child.try_wait().expect("the child can be waited for"))
    }

    /// Waits for the end and returns everything it wrote (stdout only where it was piped).
    pub fn finish(mut self) -> Run {
        let status = self.wait();
        let mut stdout = String::new();
        if let Some(mut pipe) = self.child.stdout.take() {
            pipe.read_to_string(&mut stdout).expect("stdout is text");
        }
        self.seen.extend(self.lines.iter());
        Run { code: status.code(), stdout, stderr: self.seen.join("\n") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
