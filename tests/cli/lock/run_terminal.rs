//! `hardy lock run` at a terminal: the command reads it, Ctrl-C and Ctrl-Z are the command's, the shell has it back.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use crate::lock::store::Store;
use crate::support::{DEADLINE, wait_for};

/// An interactive shell in a terminal of its own.
struct Session {
    child: Child,
    keys: ChildStdin,
    shown: Receiver<Vec<u8>>,
    text: String,
    /// What was shown up to the last thing that was waited for.
    seen: String,
}

impl Session {
    fn start(store: &Store) -> Session {
        let hardy = store.hardy();
        let mut script = Command::new("script");
        script.args(["--quiet", "--command", "env PS1='> ' bash --norc --noprofile -i", "/dev/null"]);
        for (name, value) in hardy.get_envs() {
            value.map(|value| script.env(name, value));
        }
        script.env("HARDY", hardy.get_program()).env("TERM", "dumb");
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (keys, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, shown) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut session = Session { child, keys, shown, text: String::new(), seen: String::new() };
        session.see("> ");
        session
    }

    fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for this text after what was seen before.
    fn see(&mut self, text: &str) {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = self.text.find(text) {
                self.seen = self.text.drain(..at + text.len()).collect();
                return;
            }
            match self.shown.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.text.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("no {text:?} in {:?}", self.text),
            }
        }
    }

    /// Types a line whose echo does not hold what the command answers.
    fn say(&mut self, line: &str, answer: &str) {
        self.keys(&format!("{line}\n"));
        self.see("\n");
        self.see(answer);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Adds and multiplies what it reads, so that an echo is no answer.
const CALCULATOR: &str = "sh -c 'echo re\"\"ady; while read a b; do echo =$((a * b))=; done'";

#[test]
fn the_command_has_the_terminal_until_its_end() {
    let store = Store::local();
    let mut session = Session::start(&store);
    for pipe in ["", " | cat"] {
        session.say(&format!("\"$HARDY\" lock run x -- {CALCULATOR}{pipe}"), "ready");
        session.say("6 7", "=42=");
        session.keys("\x1a");
        session.see("Stopped");
        session.say("echo at the $((2 * 4))", "at the 8");
        session.say("fg", "\n");
        session.say("5 5", "=25=");
        session.keys("\x03");
        session.see("> ");
        session.say("echo code ${PIPESTATUS[0]}", "code 130");
        session.say("stty -a | grep -c ' icanon'", "1");
    }
    session.say("\"$HARDY\" lock run x -- sh -c 'stty raw -echo; kill -9 $$'; echo code $?", "code 137");
    session.say("stty -a | grep -c ' icanon'", "1");
}

#[test]
fn a_job_in_the_background_waits_for_its_turn() {
    let store = Store::local();
    let mut session = Session::start(&store);
    session.keys(&format!("\"$HARDY\" lock run x -- {CALCULATOR} &\n"));
    session.see("\n");
    session.see("ready");
    wait_for("the job to stop", || {
        session.say("jobs", "> ");
        session.seen.contains("Stopped").then_some(())
    });
    session.say("fg", "\n");
    session.say("3 5", "=15=");
    session.keys("\x04");
    session.say("echo code $?", "code 0");
}
