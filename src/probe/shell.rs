//! Runs a text by `sh -c` in a process group of its own.
//!
//! Dropping the run kills the whole group, so a timeout or an interruption leaves nothing behind. Refuses to pass
//! hardy's own stdin or stdout on: a command must not mix with the report.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use super::expect::excerpt;

/// Of a longer output only so much is kept.
const OUTPUT_CAP: usize = 1 << 20;

/// How long to wait for the end of the output of a command that has ended: a process it left behind may hold
/// the pipe open for ever. All that the command itself wrote is in the pipe by then.
const DRAIN: Duration = Duration::from_millis(50);

/// What is kept of the command's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    /// Only what it says on stderr.
    Stderr,
    /// Both streams, apart.
    Both,
}

/// A command that ended by itself.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// The beginning of its stdout.
    pub stdout: Vec<u8>,
    /// The beginning of its stderr.
    pub stderr: Vec<u8>,
}

impl Ended {
    /// How it ended, with its last words.
    pub fn verdict(&self) -> String {
        match self.last_words() {
            Some(words) => format!("{}: {words}", self.status),
            None => self.status.to_string(),
        }
    }

    /// The last line it said on stderr, quoted.
    pub fn last_words(&self) -> Option<String> {
        let said = String::from_utf8_lossy(&self.stderr);
        said.lines().map(str::trim).rfind(|line| !line.is_empty()).map(excerpt)
    }
}

/// Runs `text` with `environment` added to hardy's own, and waits for its end.
///
/// # Errors
/// When `sh` cannot be started.
pub async fn run(text: &str, environment: &[(&str, &str)], capture: Capture) -> io::Result<Ended> {
    run_with(text, environment, capture, None).await
}

/// The same with `input` on its stdin, which it need not read.
///
/// # Errors
/// When `sh` cannot be started.
pub async fn run_with(
    text: &str,
    environment: &[(&str, &str)],
    capture: Capture,
    input: Option<&[u8]>,
) -> io::Result<Ended> {
    let stdout = match capture {
        Capture::Stderr => Stdio::null(),
        Capture::Both => Stdio::piped(),
    };
    let mut child = Command::new("sh")
        .args(["-c", text])
        .envs(environment.iter().copied())
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(stdout)
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let mut group = Group::of(&child);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let feeding = feed(child.stdin.take(), input.unwrap_or_default());
    let reading = async { tokio::join!(keep(out, &mut stdout), keep(err, &mut stderr), feeding) };
    let mut reading = Box::pin(reading);
    let status = tokio::select! {
        status = child.wait() => Some(status),
        _ = &mut reading => None,
    };
    let status = match status {
        Some(status) => {
            group.forget();
            let _ = timeout(DRAIN, &mut reading).await;
            status
        }
        None => child.wait().await,
    };
    group.forget();
    drop(reading);
    Ok(Ended { status: status?, stdout, stderr })
}

/// Writes all of it, if the command takes it, and closes.
async fn feed(stdin: Option<ChildStdin>, input: &[u8]) {
    if let Some(mut stdin) = stdin {
        // A command that does not care for it may close its stdin.
        let _ = stdin.write_all(input).await;
    }
}

/// Reads to the end, so that the command never blocks on a full pipe, and keeps the beginning.
async fn keep(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let room = OUTPUT_CAP - kept.len();
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
}

/// The process group of a command that was not yet waited for, so that its number cannot be another's.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Fails only when all its processes are gone, which is what is wanted.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_output_is_kept_apart_and_the_status_told() {
        let ended = run("echo out; echo err >&2; exit 3", &[], Capture::Both).await.unwrap();
        assert_eq!(ended.status.code(), Some(3));
        assert_eq!((&ended.stdout[..], &ended.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    }

    #[tokio::test]
    async fn the_input_is_there_for_who_reads_it() {
        let input = vec![b'x'; 1 << 20];
        let run = |text| run_with(text, &[], Capture::Both, Some(&input));
        assert_eq!(run("wc -c").await.unwrap().stdout.trim_ascii(), b"1048576");
        assert!(run("exec <&-; sleep 0.01").await.unwrap().status.success());
    }

    #[tokio::test]
    async fn a_process_left_behind_does_not_hold_the_run() {
        let run = run("echo said; sleep 60 & echo $!", &[], Capture::Both);
        let ended = timeout(Duration::from_secs(20), run).await.expect("held by the sleep").unwrap();
        let text = String::from_utf8(ended.stdout).unwrap();
        let (said, pid) = text.trim().split_once('\n').unwrap();
        assert_eq!(said, "said");
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn a_large_output_is_read_to_its_end_and_cut() {
        let ended = run("head -c 3000000 /dev/zero", &[], Capture::Both).await.unwrap();
        assert!(ended.status.success());
        assert_eq!(ended.stdout.len(), OUTPUT_CAP);
    }

    #[tokio::test]
    async fn dropping_the_run_kills_the_whole_group() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let text = "(sleep 60 & echo $! > \"$FILE\"; wait) & wait";
        let environment = [("FILE", path)];
        let mut run = Box::pin(run(text, &environment, Capture::Stderr));
        let grandchild = async {
            loop {
                let text = std::fs::read_to_string(path).unwrap();
                match text.trim().parse() {
                    Ok(pid) if text.ends_with('\n') => break Pid::from_raw(pid).unwrap(),
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let pid = tokio::select! {
            pid = timeout(Duration::from_secs(20), grandchild) => pid.expect("no process id"),
            _ = &mut run => panic!("ended early"),
        };
        drop(run);
        let gone = async {
            while rustix::process::test_kill_process(pid).is_ok() && !is_zombie(pid) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), gone).await.expect("the grandchild lives on");
    }

    /// Killed, but not yet waited for by whoever is its parent now.
    fn is_zombie(pid: Pid) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        stat.map_or(true, |stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
    }
}
