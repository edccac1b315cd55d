//! `hardy load run --jobs`: what runs, what is printed, what is written down.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Run, hardy, run};

/// `hardy load run --jobs -` with these words and this on stdin.
pub fn command(words: &[&str]) -> Command {
    let mut command = hardy();
    command.args(["load", "run", "--jobs", "-"]).args(words);
    command
}

pub fn jobs(input: &str, words: &[&str]) -> Run {
    let mut child = command(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("hardy runs");
    child.stdin.take().unwrap().write_all(input.as_bytes()).expect("jobs are read");
    child.wait_with_output().expect("it ends").into()
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

fn fields(line: &str, which: &[usize]) -> Vec<String> {
    let all: Vec<&str> = line.split('\t').collect();
    which.iter().map(|index| all[*index].trim().to_owned()).collect()
}

#[test]
fn the_pool_of_the_article() {
    let run = jobs("1\n2\n3\n4\n5\n", &["-w", "3", "--", "sh", "-c", "sleep 0.1; echo $(( {} * 2 ))"]);
    assert_eq!((run.code, sorted(&run.stdout)), (Some(0), vec!["10", "2", "4", "6", "8"]), "{run:?}");
    assert!(run.stderr.contains("5 jobs in ") && run.stderr.contains("5 ok, 0 failed"), "{run:?}");
    assert!(run.stderr.contains("run time: p50 "), "{run:?}");
}

#[test]
fn a_line_is_one_argument_whatever_it_contains() {
    let hostile = "a b; $(echo x) `id` \"'\\ * ~";
    let run = jobs(&format!("{hostile}\n"), &["-q", "--", "printf", "<%s>\\n"]);
    assert_eq!(run.stdout, format!("<{hostile}>\n"), "{run:?}");
    let shell = jobs(&format!("{hostile}\n"), &["-q", "--shell", "--", "printf '<%s>\\n' {} | cat"]);
    assert_eq!(shell.stdout, format!("<{hostile}>\n"), "{shell:?}");
    let null = jobs("a\nb\0c", &["-q", "-0", "-k", "--", "printf", "<%s>"]);
    assert_eq!(null.stdout, "<a\nb><c>", "{null:?}");
}

#[test]
fn replacement_strings() {
    let words = ["-q", "-k", "-w", "1", "--", "echo", "{} {.} {/} {//} {/.} {#} {%}"];
    let run = jobs("a/b.c\nx\n", &words);
    assert_eq!(run.stdout, "a/b.c a/b b.c a b 1 1\nx x x . x 2 1\n", "{run:?}");
    // A program of its own for each.
    let run = jobs("true\nfalse\nno-such-program\n", &["--", "{}"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.stderr.contains("1 ok, 2 failed") && run.stderr.contains("not started: no-such-program"),
        "{run:?}"
    );
}

#[test]
fn output_is_whole_ordered_tagged_or_as_it_comes() {
    let script = "echo {}1; echo {}e >&2; sleep 0.0{}; echo {}2";
    let ordered = jobs("9\n5\n1\n", &["-q", "-k", "-w", "3", "--", "sh", "-c", script]);
    assert_eq!(ordered.stdout, "91\n92\n51\n52\n11\n12\n", "{ordered:?}");
    assert_eq!(ordered.stderr, "9e\n5e\n1e\n", "{ordered:?}");
    let tagged = jobs("a\nb\n", &["-q", "-k", "--tag", "--", "printf", "x\\n{}y"]);
    assert_eq!(tagged.stdout, "a\tx\na\tay\nb\tx\nb\tby\n", "{tagged:?}");
    let lines = jobs("a\nb\n", &["-q", "--line-buffer", "--tag", "--", "sh", "-c", "seq 1000; printf {}"]);
    let of = |tag: &str| lines.stdout.lines().filter(|line| line.starts_with(tag)).count();
    assert_eq!((of("a\t"), of("b\t"), lines.stdout.lines().count()), (1001, 1001, 2002));
    let own = jobs("a\nb\n", &["-q", "-w", "1", "--ungroup", "--", "echo"]);
    assert_eq!(own.stdout, "a\nb\n", "{own:?}");
}

#[test]
fn large_outputs_arrive_whole() {
    let words = ["-q", "-k", "-w", "3", "--", "sh", "-c", "yes {} | head -c 3000000"];
    let run = jobs("1\n2\n3\n4\n5\n", &words);
    let expected: String = (1..=5).map(|n| format!("{n}\n").repeat(1_500_000)).collect();
    assert!(run.stdout == expected, "{} bytes", run.stdout.len());
}

#[test]
fn the_report_tells_why_jobs_failed() {
    let script = "case {} in 1) exit 3;; 2) kill -9 $$;; 3) sleep 60;; esac";
    let words = ["--json", "--timeout", "300ms", "-w", "4", "--", "sh", "-c", script];
    let run = jobs("1\n2\n3\n4\n", &words);
    let document = run.json();
    assert_eq!(
        (run.code, &document["schema"], &document["verdict"]),
        (Some(1), &"hardy.load.jobs/v1".into(), &"bad".into())
    );
    let data = &document["data"];
    assert_eq!((&data["jobs"], &data["ok"], &data["failed"]), (&4.into(), &1.into(), &3.into()), "{data}");
    let errors = &data["errors"];
    assert_eq!(
        (&errors["exit"]["3"], &errors["signal"]["9"], &errors["timeout"]),
        (&1.into(), &1.into(), &1.into()),
        "{data}"
    );
    assert_eq!(data["failures"].as_array().unwrap().len(), 3, "{data}");
}

#[test]
fn with_json_the_output_of_jobs_goes_to_stderr() {
    let run = jobs("a\n", &["--json", "--", "echo"]);
    assert_eq!(
        (run.code, run.stderr.as_str(), &run.json()["data"]["ok"]),
        (Some(0), "a\n", &1.into()),
        "{run:?}"
    );
}

#[test]
fn junit_has_a_case_for_each_job() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("junit.xml");
    let report = format!("junit={}", file.display());
    let run = jobs("0\n7\n", &["-q", "--report", &report, "--", "sh", "-c", "exit {}"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    let text = fs::read_to_string(file).unwrap();
    for part in ["tests=\"2\"", "failures=\"1\"", "job 1: 0", "job 2: 7", "exit code 7"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_job_is_tried_again_until_it_went_well() {
    let directory = tempfile::tempdir().unwrap();
    let script = format!("echo x >>{}/{{}}; test $(wc -l <{0}/{{}}) = {{}}", directory.path().display());
    let words = ["--json", "--retries", "2", "--retry-backoff", "1ms", "--", "sh", "-c", &script];
    let run = jobs("1\n3\n5\n", &words);
    let data = &run.json()["data"];
    // 5 is tried three times in vain.
    assert_eq!(
        (&data["ok"], &data["failed"], &data["retried"]),
        (&2.into(), &1.into(), &4.into()),
        "{run:?}"
    );
    assert_eq!(run.code, Some(1));
}

#[test]
fn a_joblog_is_that_of_gnu_parallel_and_a_run_goes_on_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let log_text = || fs::read_to_string(&log).unwrap();
    let path = log.to_str().unwrap();
    let script = format!("echo {{}}; test {{}} != b || test -e {}/now", directory.path().display());
    let first = jobs("a\nb\n", &["-q", "-w", "1", "--joblog", path, "--", "sh", "-c", &script]);
    assert_eq!((first.code, first.stdout.as_str()), (Some(1), "a\nb\n"), "{first:?}");
    let text = log_text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand");
    assert_eq!(fields(lines[1], &[0, 1, 4, 5, 6, 7]), ["1", ":", "0", "2", "0", "0"]);
    assert_eq!(fields(lines[2], &[0, 5, 6, 7]), ["2", "2", "1", "0"]);
    assert!(lines[1].contains("\tsh -c 'echo a; test a != b"), "{text}");

    // Killed in the middle of a line; and now b would succeed.
    fs::write(&log, text + "3\t:\t17").unwrap();
    fs::write(directory.path().join("now"), "").unwrap();
    let resume = |how: &str| jobs("a\nb\nc\n", &["-k", "--joblog", path, how, "--", "sh", "-c", &script]);
    let second = resume("--resume");
    assert_eq!((second.code, second.stdout.as_str()), (Some(0), "c\n"), "{second:?}");
    assert!(second.stderr.contains("2 skipped"), "{second:?}");
    let third = resume("--resume-failed");
    assert_eq!((third.code, third.stdout.as_str()), (Some(0), "b\n"), "{third:?}");
    assert_eq!(resume("--resume-failed").stdout, "");
    assert_eq!(log_text().lines().count(), 5);
}

#[test]
fn what_is_no_joblog_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("notes");
    fs::write(&log, "dear diary\n").unwrap();
    let run = jobs("a\n", &["--joblog", log.to_str().unwrap(), "--resume", "--", "echo"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""), "{run:?}");
    assert!(run.stderr.contains("line 1 is not of a joblog"), "{run:?}");
    assert_eq!(fs::read_to_string(log).unwrap(), "dear diary\n");
}

#[test]
fn results_are_kept_by_number() {
    let directory = tempfile::tempdir().unwrap();
    let results = directory.path().join("r");
    let words =
        ["-q", "--results", results.to_str().unwrap(), "--", "sh", "-c", "echo {}; echo e >&2; exit 4"];
    let run = jobs("a/../b\nc\n", &words);
    assert_eq!(run.code, Some(1), "{run:?}");
    let read = |name: &str| fs::read_to_string(results.join(name)).unwrap();
    assert_eq!(
        (read("1/stdout"), read("1/stderr"), read("2/stdout")),
        ("a/../b\n".into(), "e\n".into(), "c\n".into())
    );
    let job: serde_json::Value = serde_json::from_str(&read("1/job")).unwrap();
    assert_eq!((&job["line"], &job["exit"]), (&"a/../b".into(), &4.into()), "{job}");
}

#[test]
fn a_command_that_is_not_there_is_told_once_and_before_anything_runs() {
    let run = jobs("1\n2\n3\n", &["--", "no-such-command"]);
    assert_eq!((run.code, run.stderr.matches("no such command").count()), (Some(127), 1), "{run:?}");
    let run = jobs("1\n2\n", &["-w", "1", "--", "/etc/passwd"]);
    assert_eq!((run.code, run.stderr.matches("cannot be executed").count()), (Some(126), 1), "{run:?}");
    let lock = jobs("1\n", &["--lock", "x", "--", "no-such-command"]);
    assert_eq!(lock.code, Some(127), "{lock:?}");
}

#[test]
fn a_line_that_no_argument_can_hold_is_the_failure_of_its_job() {
    let run = jobs(&format!("a\n{}\nb\n", "x".repeat(200_000)), &["-k", "--", "echo"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), "a\nb\n"));
    assert!(run.stderr.contains("longer than an argument can be"));
}

#[test]
fn jobs_under_a_lock_do_not_overlap() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().display();
    let script =
        format!("mkdir {place}/one && sleep 0.05 && rmdir {place}/one && echo {{}} $HARDY_LOCK_NAME");
    let mut command = command(&["-q", "-w", "4", "--lock", "one", "--", "sh", "-c", &script]);
    command.env("HARDY_STORE_DIRECTORY", directory.path().join("store"));
    let input = file(directory.path(), "1\n2\n3\n4\n");
    let run: Run = command.stdin(input).output().unwrap().into();
    assert_eq!(
        (run.code, sorted(&run.stdout)),
        (Some(0), vec!["1 one", "2 one", "3 one", "4 one"]),
        "{run:?}"
    );
}

fn file(directory: &Path, text: &str) -> fs::File {
    let path = directory.join("jobs");
    fs::write(&path, text).unwrap();
    fs::File::open(path).unwrap()
}

#[test]
fn jobs_come_from_a_file_and_an_empty_one_has_none() {
    let directory = tempfile::tempdir().unwrap();
    file(directory.path(), "a\n\nb");
    let path = directory.path().join("jobs");
    let from =
        |path: &Path| run(&["load", "run", "--jobs", path.to_str().unwrap(), "-k", "--", "echo", "<{}>"]);
    assert_eq!(from(&path).stdout, "<a>\n<>\n<b>\n");
    let empty = jobs("", &["--", "echo"]);
    assert_eq!((empty.code, empty.stdout.as_str()), (Some(0), ""), "{empty:?}");
    assert!(empty.stderr.contains("0 jobs"), "{empty:?}");
    let none = from(&directory.path().join("none"));
    assert_eq!((none.code, none.stdout.as_str()), (Some(2), ""), "{none:?}");
    let folder = from(directory.path());
    assert_eq!(folder.code, Some(3), "{folder:?}");
}

#[test]
fn starts_are_paced_and_counted() {
    let count = |words: &[&str]| {
        let run = jobs(&"x\n".repeat(50), words);
        run.stdout.lines().count()
    };
    assert_eq!(count(&["-q", "-n", "7", "--", "echo"]), 7);
    let elapsed = |words: &[&str]| jobs("a\nb\nc\nd\n", words).json()["data"]["elapsed_s"].as_f64().unwrap();
    // Three distances of 50 ms at least, however fast the machine is.
    assert!(elapsed(&["--json", "--rate", "20/s", "--", "true"]) >= 0.15);
    assert!(elapsed(&["--json", "--delay", "50ms", "-w", "4", "--", "true"]) >= 0.15);
    let held = jobs("a\n", &["-v", "-d", "300ms", "--memfree", "1000000GiB", "--", "echo"]);
    assert_eq!((held.code, held.stdout.as_str()), (Some(0), ""), "{held:?}");
    assert!(held.stderr.contains("no job is started") && held.stderr.contains("MiB of memory"), "{held:?}");
}

#[test]
fn what_has_no_meaning_for_jobs_is_refused() {
    for (words, says) in [
        (&["--warm-up", "1s", "--", "true"][..], "--warm-up has no meaning with --jobs"),
        (&["-c", "3", "--", "true"], "use --workers"),
        (&["-w", "0", "--", "true"], "--workers must be at least 1"),
        (&["--halt", "later", "--", "true"], "now or soon"),
        (&["--resume", "--", "true"], "--joblog"),
        (&["--ungroup", "-k", "--", "true"], "--keep-order"),
        (&["--ungroup", "--json", "--", "true"], "--ungroup"),
        (&[], "CMD"),
    ] {
        let run = jobs("", words);
        assert!(run.code == Some(2) && run.stderr.contains(says), "{words:?}: {run:?}");
    }
    let alone = run(&["load", "run", "--tag", "http://127.0.0.1:1"]);
    assert!(alone.code == Some(2) && alone.stderr.contains("--jobs"), "{alone:?}");
}
