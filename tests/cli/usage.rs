//! Help, wrong input, and the ends of pipes.

use std::process::Stdio;

use super::support::{hardy, run};

#[test]
fn wrong_input_is_a_usage_error_on_stderr() {
    for args in [
        &["frobnicate"][..],
        &["config"],
        &["config", "show", "--report", "xml=x"],
        &["config", "show", "--report", "json=-"],
        &["config", "show", "-o", "yaml"],
        &["--json", "-o", "human", "config", "show"],
        &["man", "prob"],
        &["completions", "tcsh"],
    ] {
        let run = run(args);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{args:?}: {run:?}");
        assert!(run.stderr.starts_with("error: "), "{args:?}: {run:?}");
    }
}

#[test]
fn global_options_stand_on_either_side() {
    assert_eq!(run(&["--json", "config", "show"]).stdout, run(&["config", "show", "--json"]).stdout);
}

#[test]
fn a_closed_stdout_ends_output_quietly() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = hardy().args(["man"]).stdout(writer).stderr(Stdio::piped()).output().expect("hardy runs");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn a_full_disk_under_stdout_is_said() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let output = hardy().args(["config", "show"]).stdout(full).output().expect("hardy runs");
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"));
}

#[test]
fn the_short_help_fits_a_screen() {
    for args in [
        &["-h"][..],
        &["config", "-h"],
        &["completions", "-h"],
        &["man", "-h"],
        &["probe", "-h"],
        &["tls", "check", "-h"],
    ] {
        let lines = run(args).stdout.lines().count();
        assert!(lines <= 50, "{args:?} has {lines} lines");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_refused_before_any_work() {
    let run = run(&["config", "show", "--report", "json=/nowhere/report.json"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:?}");
    assert!(run.stderr.contains("/nowhere/report.json"), "{run:?}");
}

#[test]
fn a_page_is_refused_before_any_work_where_there_is_none() {
    let run = run(&["config", "show", "--report", "html=/tmp/never.html"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:?}");
    assert!(run.stderr.contains("no report as html") && run.stderr.contains("hardy load run"), "{run:?}");
}
