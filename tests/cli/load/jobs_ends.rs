//! How runs of jobs end: timeouts, halts, signals, readers that go away; and that nothing is left behind.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::jobs::{command, jobs};
use crate::support::{Process, wait_for};

/// A process that is alive and has this word on its command line.
fn alive(word: &str) -> Option<String> {
    let has_it = |line: Vec<u8>| line.split(|byte| *byte == 0).any(|found| found == word.as_bytes());
    let mut processes = fs::read_dir("/proc").unwrap().flatten();
    let found = processes.find(|entry| fs::read(entry.path().join("cmdline")).is_ok_and(has_it))?;
    found.file_name().into_string().ok()
}

fn is_alive(word: &str) -> bool {
    alive(word).is_some()
}

/// A time for sleep(1) that no other test sleeps.
fn nap(number: u32) -> String {
    format!("{}.{number}", 10_000 + std::process::id())
}

fn wait_for_file(path: &Path) {
    wait_for("a file of a job", || path.exists().then_some(()));
}

#[test]
fn a_timeout_ends_the_whole_group_and_stays_in_the_joblog() {
    let (directory, nap) = (tempfile::tempdir().unwrap(), nap(1));
    let log = directory.path().join("log");
    let script = format!("trap '' TERM; sleep {nap} & wait; sleep {nap}");
    let words = [
        "--timeout",
        "200ms",
        "--grace",
        "100ms",
        "--joblog",
        log.to_str().unwrap(),
        "--",
        "sh",
        "-c",
        &script,
    ];
    let run = jobs("x\n", &words);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("timeout: 1"), "{run:?}");
    assert!(!is_alive(&nap));
    let text = fs::read_to_string(log).unwrap();
    let fields: Vec<&str> = text.lines().nth(1).unwrap().split('\t').collect();
    assert_eq!((fields[6], fields[7]), ("-1", "9"), "{text}");
}

#[test]
fn what_a_job_leaves_in_its_group_is_ended_with_it() {
    let nap = nap(2);
    let run = jobs("x\n", &["--", "sh", "-c", &format!("sleep {nap} & exit 0")]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(!is_alive(&nap));
}

#[test]
fn what_is_ended_with_its_job_is_asked_first() {
    let directory = tempfile::tempdir().unwrap();
    let (ready, asked) = (directory.path().join("ready"), directory.path().join("asked"));
    let rest = format!("trap 'echo >{}; exit' TERM; echo >{}", asked.display(), ready.display());
    let script = format!(
        "({rest}; while :; do sleep 0.01; done) & until test -e {}; do sleep 0.01; done; exit 0",
        ready.display()
    );
    let run = jobs("x\n", &["--grace", "10m", "--", "sh", "-c", &script]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(asked.exists(), "{run:?}");
}

#[test]
fn a_halt_now_ends_what_runs_and_soon_waits_for_it() {
    let nap = nap(3);
    let script = format!("test {{}} = 1 && exit 1; test {{}} = 2 && exec sleep {nap}; echo {{}}");
    let words = ["--json", "-w", "2", "--halt", "now,fail=1", "--", "sh", "-c", &script];
    let run = jobs("2\n1\n3\n4\n", &words);
    let data = &run.json()["data"];
    assert_eq!(
        (run.code, &data["end"], &data["failed"], &data["cut_off"]),
        (Some(1), &"halted".into(), &1.into(), &1.into()),
        "{data}"
    );
    assert!(!is_alive(&nap));
    let soon =
        jobs("1\n2\n3\n4\n", &["-w", "1", "--halt", "soon,fail=2", "--", "sh", "-c", "echo {}; exit 1"]);
    assert_eq!((soon.code, soon.stdout.as_str()), (Some(1), "1\n2\n"), "{soon:?}");
    let success = jobs("1\n0\n3\n", &["-w", "1", "--halt", "now,success=1", "--", "sh", "-c", "exit {}"]);
    assert_eq!(success.code, Some(0), "{success:?}");
}

#[test]
fn an_interrupt_ends_jobs_and_reports() {
    let (directory, nap) = (tempfile::tempdir().unwrap(), nap(4));
    let ready = directory.path().join("ready");
    let script = format!("echo begun; echo >{}; sleep {nap} & wait", ready.display());
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let log = directory.path().join("log");
        let mut started = command(&["--joblog", log.to_str().unwrap(), "-w", "1", "--", "sh", "-c", &script]);
        let mut child =
            started.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Its stdin stays open: nobody waits for more jobs.
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"a\nb\n").unwrap();
        let process = Process::of(child);
        wait_for_file(&ready);
        process.signal(signal);
        let run = process.finish();
        assert_eq!((run.code, run.stdout.as_str()), (Some(code), "begun\n"), "{signal}: {run:?}");
        assert!(run.stderr.contains("1 cut off") && run.stderr.contains("interrupted"), "{run:?}");
        assert!(!is_alive(&nap), "{signal}");
        assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 1, "a later run does it");
        fs::remove_file(&ready).unwrap();
    }
}

#[test]
fn a_job_that_the_interrupt_hits_as_well_is_cut_off_and_not_failed() {
    let run = jobs("x\n", &["-w", "1", "--json", "--", "sh", "-c", "kill -INT $PPID; kill -INT $$"]);
    let document: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let data = &document["data"];
    assert_eq!((run.code, &data["failed"], &data["cut_off"]), (Some(130), &0.into(), &1.into()), "{run:?}");
    let run = jobs("x\n", &["--json", "--", "sh", "-c", "kill -INT $$"]);
    let document: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, &document["data"]["failed"]), (Some(1), &1.into()), "{run:?}");
}

#[test]
fn a_second_signal_does_not_wait_for_the_grace() {
    let (directory, nap) = (tempfile::tempdir().unwrap(), nap(5));
    let (ready, asked) = (directory.path().join("ready"), directory.path().join("asked"));
    let script = format!(
        "trap 'echo >{}' TERM; echo >{}; while :; do sleep {nap} & wait; done",
        asked.display(),
        ready.display()
    );
    let mut started = command(&["--grace", "10m", "--", "sh", "-c", &script]);
    let mut child = started.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"a\n").unwrap();
    let mut process = Process::of(child);
    wait_for_file(&ready);
    process.signal("INT");
    wait_for_file(&asked);
    // One that comes at once is an echo of the first.
    let code = wait_for("the end", || {
        process.signal("INT");
        process.has_ended().then(|| process.wait().code())
    });
    assert_eq!(code, Some(130));
    wait_for("nobody left", || (!is_alive(&nap)).then_some(()));
}

#[test]
fn jobs_end_with_a_run_whose_reader_does_not_read() {
    for (grace, signals, nap) in [("100ms", 1, nap(7)), ("10m", 2, nap(8))] {
        let (reader, writer) = std::io::pipe().unwrap();
        let script = format!("sleep {nap} & seq 1000000; wait");
        let mut started = command(&["--line-buffer", "--grace", grace, "--", "sh", "-c", &script]);
        started.stdin(Stdio::piped()).stdout(writer.try_clone().unwrap()).stderr(Stdio::piped());
        let mut child = started.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"x\n").unwrap();
        let mut process = Process::of(child);
        wait_for("a pipe that is full", || {
            let mut pipe = [PollFd::new(&writer, PollFlags::OUT)];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            (is_alive(&nap) && poll(&mut pipe, Some(&now)) == Ok(0)).then_some(())
        });
        process.signal("TERM");
        if signals == 2 {
            // One that comes at once is an echo of the first.
            wait_for("nobody left", || {
                process.signal("TERM");
                (!is_alive(&nap)).then_some(())
            });
        }
        assert_eq!(process.wait().code(), Some(143), "{grace}");
        wait_for("nobody left", || (!is_alive(&nap)).then_some(()));
        drop(reader);
    }
}

#[test]
fn an_endless_input_ends_quietly_with_its_reader() {
    let mut started = command(&["--", "echo"]);
    let mut child =
        started.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || while stdin.write_all(b"line\n").is_ok() {});
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "line\n");
    let run = Process::of(child).finish();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(!run.stderr.contains("error") && !run.stderr.contains("roken"), "{run:?}");
    feeder.join().unwrap();
}

#[test]
fn who_writes_for_a_reader_that_is_gone_ends() {
    let mut started = command(&["--line-buffer", "--", "yes"]);
    let mut child =
        started.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"x\n").unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let run = Process::of(child).finish();
    assert_eq!((line.as_str(), run.code), ("x\n", Some(0)), "{run:?}");
    assert!(run.stderr.contains("1 cut off"), "{run:?}");
}

#[test]
fn jobs_start_while_their_input_is_still_written() {
    let mut started = command(&["-q", "--", "echo"]);
    let mut child =
        started.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut out) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for text in ["a\n", "b\n"] {
        stdin.write_all(text.as_bytes()).unwrap();
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, text);
    }
    drop(stdin);
    assert_eq!(Process::of(child).finish().code, Some(0));
}

#[test]
fn a_job_that_says_nothing_of_its_end_does_not_hold_the_run() {
    // A daemon in a session of its own keeps the pipe open, and is left alone.
    let (directory, nap) = (tempfile::tempdir().unwrap(), nap(6));
    let ready = directory.path().join("ready");
    let ready = ready.display();
    let daemon = format!("setsid sh -c 'echo >{ready}; exec sleep {nap}' &");
    let script = format!("{daemon} until test -s {ready}; do sleep 0.01; done; echo done");
    let run = jobs("x\n", &["-q", "--", "sh", "-c", &script]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "done\n"), "{run:?}");
    let daemon = wait_for("the daemon to live on", || alive(&nap));
    assert!(Command::new("kill").arg(daemon).status().unwrap().success());
}
