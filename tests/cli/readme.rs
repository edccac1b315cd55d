//! What the README and the long help tell people to type is understood by the binary.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::support::run;

/// The lines that begin with `hardy `, as a shell reads them, up to a pipe into something else, or to a command that
/// hardy would run.
fn commands(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with("hardy "));
    let end = |line: &str| [" | ", " > ", " < ", " -- "].iter().filter_map(|mark| line.find(mark)).min();
    lines.map(|line| line[..end(line).unwrap_or(line.len())].to_owned()).collect()
}

/// Lets a shell split the line, and the binary parse it: `--help` at the end stops it from doing it.
fn assert_understood(line: &str) {
    let hardy = env!("CARGO_BIN_EXE_hardy");
    let script = format!("hardy() {{ \"{hardy}\" \"$@\" --help >/dev/null; }}\n{line}\n");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_readme() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let blocks: String =
        readme.split("```sh").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    let lines = commands(&blocks);
    assert!(lines.len() > 10, "{lines:?}");
    lines.iter().for_each(|line| assert_understood(line));
}

#[test]
fn the_examples_of_the_help() {
    let parts =
        ["run", "acquire", "release", "status", "watch", "break", "verify"].map(|part| ["lock", part]);
    let of_breaker = ["run", "list", "show", "open", "close", "reset", "watch"].map(|part| ["breaker", part]);
    let whole = ["serve", "probe", "lock", "breaker", "tls", "config", "completions", "man"];
    let whole = whole.map(|command| vec![command]);
    let parts =
        parts.into_iter().chain(of_breaker).chain(["check", "cert"].map(|part| ["tls", part])).map(Vec::from);
    for command in whole.into_iter().chain(parts) {
        let help = run(&[&command[..], &["--help"]].concat()).stdout;
        let lines = commands(help.split("Examples:").nth(1).expect("examples"));
        assert!(!lines.is_empty(), "{command:?}");
        lines.iter().for_each(|line| assert_understood(line));
    }
}
