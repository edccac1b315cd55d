//! `hardy lock verify`: does this token still hold? For a resource that can ask before it obeys.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::refused::explained;
use super::settings::StoreArgs;
use crate::app::App;
use crate::config;
use crate::error::Error;
use crate::exit::Verdict;
use crate::lock::{Name, Standing};
use crate::output::{self, Human, Tone};

/// Ask whether a fencing token still holds its lock
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  hardy lock verify deploy 1057     # exit 0: it holds; 1: it ended, or a newer one exists
  hardy lock verify                 # in a command under `lock run`: its own lock

The answer is that of one moment. A resource that remembers the highest token it has seen, as `lock fence` does,
needs no moment: it refuses the older holder for good.")]
pub struct Args {
    /// The lock [default: $HARDY_LOCK_NAME]
    #[arg(value_name = "NAME", add = super::found::names(), requires = "token")]
    name: Option<Name>,
    /// The fencing token [default: $HARDY_LOCK_TOKEN]
    #[arg(value_name = "TOKEN")]
    token: Option<u64>,
    #[command(flatten)]
    store: StoreArgs,
}

/// How the token stands.
#[derive(Serialize, JsonSchema)]
pub struct Report {
    name: String,
    token: u64,
    /// `holds`, `ended`, or `newer`.
    standing: &'static str,
    /// The newer token, where the store knows it.
    newer: Option<u64>,
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.lock.verify/v1";

    fn verdict(&self) -> Verdict {
        if self.standing == "holds" { Verdict::Good } else { Verdict::Bad }
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        let (tone, text) = match (self.standing, self.newer) {
            ("holds", _) => (Tone::Good, "holds the lock".to_owned()),
            (_, Some(newer)) => (Tone::Bad, format!("is old: {newer} was given out since")),
            _ => (Tone::Bad, "does not hold the lock".to_owned()),
        };
        let text = out.tone(tone, &text);
        out.line(format!("{}: token {} {text}", self.name, self.token))
    }
}

/// Asks the store.
pub async fn run(args: Args, app: &App) -> Result<Report, Error> {
    let (name, token) = match (args.name, args.token) {
        (Some(name), Some(token)) => (name, token),
        _ => from_environment()?,
    };
    let standing = args.store.open(&app.config)?.standing(&name, token).await.map_err(explained)?;
    let (standing, newer) = match standing {
        Standing::Holds => ("holds", None),
        Standing::Ended => ("ended", None),
        Standing::Newer(newer) => ("newer", Some(newer)),
    };
    Ok(Report { name: name.to_string(), token, standing, newer })
}

fn from_environment() -> Result<(Name, u64), Error> {
    let missing = || {
        Error::usage("no lock and no token to verify")
            .hint("give NAME and TOKEN; a command under `lock run` finds them in its environment")
    };
    let (name, token) = config::lock_from_environment();
    let name = name.and_then(|name| name.parse().ok()).ok_or_else(missing)?;
    Ok((name, token.and_then(|token| token.parse().ok()).ok_or_else(missing)?))
}
