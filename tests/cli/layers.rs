//! Dependencies point downward only: this reads the `use crate::` lines and knows the floors.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms a room may use. What is not listed here does not exist.
const MAY_USE: &[(&str, &[&str])] = &[
    ("main", &[]),
    ("lib", &["*"]),
    (
        "cmd",
        &[
            "address",
            "app",
            "breaker",
            "circuit",
            "clock",
            "complete",
            "config",
            "error",
            "exit",
            "histogram",
            "http",
            "input",
            "limits",
            "load",
            "lock",
            "metrics",
            "output",
            "probe",
            "process",
            "reason",
            "serve",
            "shutdown",
            "store",
            "text",
            "tls",
            "units",
        ],
    ),
    ("cli", &["cmd", "complete", "config", "exit", "output"]),
    ("complete", &["config"]),
    ("app", &["config", "error", "exit", "output", "shutdown"]),
    ("shutdown", &["exit", "output", "process"]),
    ("limits", &[]),
    ("serve", &["http", "limits", "metrics", "text", "tls", "units"]),
    (
        "probe",
        &["address", "breaker", "circuit", "histogram", "http", "reason", "store", "text", "tls", "units"],
    ),
    (
        "load",
        &[
            "breaker",
            "circuit",
            "histogram",
            "http",
            "limits",
            "process",
            "reason",
            "store",
            "text",
            "tls",
            "units",
        ],
    ),
    ("tls", &["address", "http", "input", "reason", "text", "units"]),
    ("circuit", &["breaker", "clock", "histogram", "process", "store", "text"]),
    ("lock", &["clock", "process", "store", "text"]),
    ("store", &["clock", "text"]),
    ("address", &["text"]),
    ("reason", &["breaker"]),
    ("breaker", &[]),
    ("process", &["clock"]),
    ("clock", &[]),
    ("histogram", &[]),
    ("http", &["input", "reason", "units"]),
    ("config", &["error", "text", "units"]),
    ("output", &["error", "exit", "metrics", "text"]),
    ("error", &["exit"]),
    ("exit", &[]),
    ("input", &[]),
    ("metrics", &[]),
    ("text", &[]),
    ("units", &[]),
];

/// Words that a room must not contain, whatever it is called there.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("output", &["tokio::net", "reqwest"]),
    ("config", &["tokio", "reqwest"]),
    ("breaker", &["tokio", "Instant", "SystemTime"]),
    ("histogram", &["tokio", "Instant", "SystemTime"]),
];

fn rust_files(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("src can be read") {
        let path = entry.expect("src can be read").path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    let room = |path: &Path| {
        let first = path.strip_prefix(&root).unwrap().iter().next().unwrap().to_str().unwrap();
        first.trim_end_matches(".rs").to_owned()
    };
    files.into_iter().map(|p| (room(&p), p.clone(), fs::read_to_string(&p).unwrap())).collect()
}

/// The rooms that one line names: `use crate::exit::Exit`, `crate::config::need(..)`, `use crate::{cmd, exit}`.
fn rooms_named(line: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for after in line.split("crate::").skip(1) {
        let list = after.strip_prefix('{').map_or(after, |inside| inside.split('}').next().unwrap());
        let braced = after.starts_with('{');
        for part in list.split(',').take(if braced { usize::MAX } else { 1 }) {
            let name: String = part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            rooms.insert(name);
        }
    }
    rooms.remove("");
    rooms
}

#[test]
fn dependencies_point_downward() {
    let mut wrong = Vec::new();
    for (room, path, text) in sources() {
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("{}: the room `{room}` has no floor in this test", path.display()));
            continue;
        };
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for used in rooms_named(line) {
                if used != room && !allowed.contains(&"*") && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{}: {room} uses {used}: {}", path.display(), line.trim()));
                }
            }
        }
        for (_, words) in FORBIDDEN.iter().filter(|(name, _)| *name == room) {
            wrong.extend(
                words.iter().filter(|w| text.contains(**w)).map(|w| format!("{}: {w}", path.display())),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_small() {
    let long: Vec<_> =
        sources().into_iter().filter(|(_, _, text)| text.lines().count() > 500).map(|f| f.1).collect();
    assert!(long.is_empty(), "over 500 lines, to be split: {long:?}");
}
