//! Candidates that only a look at the config, or at a store, can tell: targets, profiles, locks.
//! Silent on every failure: a shell that is completing has no use for an error.

use std::ffi::OsString;
use std::path::PathBuf;

use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use crate::config;

/// The variable by which a shell asks for candidates.
pub const VARIABLE: &str = "HARDY_COMPLETE";

/// Answers a shell that asks for candidates, and ends; otherwise does nothing.
pub fn answer_shell(grammar: impl Fn() -> clap::Command) {
    // What asks is rare, and the others are in a hurry.
    if !config::is_in_environment(VARIABLE) {
        return;
    }
    CompleteEnv::with_factory(grammar).var(VARIABLE).complete();
}

/// The names of `[profile.NAME]`.
pub fn profiles() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(config::names(&source()).1))
}

/// The names of `[targets.NAME]`.
pub fn targets() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(config::names(&source()).0))
}

/// Names that take more than a look at the config to find: `find` is told which config the line would use.
pub fn found(find: fn(&config::Source) -> Option<Vec<String>>) -> ArgValueCandidates {
    ArgValueCandidates::new(move || candidates(find(&source()).unwrap_or_default()))
}

fn candidates(names: Vec<String>) -> Vec<CompletionCandidate> {
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// The config that the half-typed line would use: `--config` there, else the usual places.
fn source() -> config::Source {
    let path = typed("--config").map(PathBuf::from);
    config::Source { path: path.or_else(config::path_from_environment), profile: None }
}

/// The value of a flag in the half-typed line.
pub fn typed(flag: &str) -> Option<OsString> {
    let words: Vec<_> = std::env::args_os().collect();
    let after = words.windows(2).find(|pair| pair[0] == flag).map(|pair| pair[1].clone());
    let joined = || words.iter().find_map(|word| word.to_str()?.strip_prefix(flag)?.strip_prefix('='));
    after.or_else(|| joined().map(OsString::from))
}
