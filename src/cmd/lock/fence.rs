//! `hardy lock fence`: a guard in a file, for a resource that cannot remember tokens itself.

use std::io;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use crate::config;
use crate::error::Error;
use crate::exit::Verdict;
use crate::lock::{self, Answer, FenceError};
use crate::output::{self, Human, Tone};

/// Let a fencing token pass only if the file has seen no higher one, and store it
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  hardy lock run nightly -- sh -c 'hardy lock fence /srv/data/.token && write-to /srv/data'

Comparing and storing is one step, and on disk before it returns. Exit 0: the token passes; 1: a higher one was seen,
whoever holds this one has been overtaken. The file must be on the same side of a partition as what it guards.")]
pub struct Args {
    /// The file that remembers; created by the first token
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// The fencing token [default: $HARDY_LOCK_TOKEN]
    #[arg(value_name = "TOKEN")]
    token: Option<u64>,
}

/// What the guard said.
#[derive(Serialize, JsonSchema)]
pub struct Report {
    file: String,
    token: u64,
    passes: bool,
    /// The highest token that was seen before.
    highest: Option<u64>,
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.lock.fence/v1";

    fn verdict(&self) -> Verdict {
        if self.passes { Verdict::Good } else { Verdict::Bad }
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        let text = match self.highest {
            Some(highest) if !self.passes => {
                out.tone(Tone::Bad, &format!("refused: {highest} was seen before"))
            }
            _ => out.tone(Tone::Good, "passes"),
        };
        out.line(format!("token {} {text}", self.token))
    }
}

/// Compares and stores.
pub fn run(args: &Args) -> Result<Report, Error> {
    let told = || config::lock_from_environment().1?.parse().ok();
    let token = args.token.or_else(told).ok_or_else(|| {
        Error::usage("no fencing token")
            .hint("give TOKEN; a command under `lock run` finds it in its environment")
    })?;
    let answer = lock::pass(&args.file, token).map_err(explained)?;
    let (passes, highest) = match answer {
        Answer::Passes(highest) => (true, highest),
        Answer::Refused(highest) => (false, Some(highest)),
    };
    Ok(Report { file: args.file.display().to_string(), token, passes, highest })
}

fn explained(error: FenceError) -> Error {
    let text = error.to_string();
    match error {
        FenceError::Io { source, .. } => Error::unknown(text)
            .because(source)
            .hint("the directory must exist, and file and directory must be writable"),
        FenceError::NoToken(_) => Error::unknown(text)
            .hint("give a file of its own to each resource, or write its highest token into this one"),
    }
}
