//! The flags of commands that make several runs: those of `load run`, without what these commands set themselves.

use super::request::RequestArgs;
use super::run::{self, ArrivalsArg, ConnectionArgs};
use crate::cmd::names::Names;
use crate::config::LoadKnobs;
use crate::probe::expect::StatusRange;

/// How each run is made.
#[derive(clap::Args, Debug, Default)]
pub struct EachArgs {
    #[command(flatten)]
    pub names: Names,
    /// How requests of a rate follow each other: constant, or poisson as those of many users do
    #[arg(
        long,
        value_name = "KIND",
        help_heading = "Load",
        hide_possible_values = true,
        hide_short_help = true
    )]
    arrivals: Option<ArrivalsArg>,
    #[command(flatten)]
    knobs: LoadKnobs,
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Statuses that are good: 200, 2xx or 200-204 [default: 200-399]
    #[arg(long, value_name = "STATUS", value_delimiter = ',', help_heading = "Verdict")]
    expect_status: Vec<StatusRange>,
}

impl EachArgs {
    /// As if they were typed after `load run`.
    pub fn run(self) -> run::Args {
        let EachArgs { names, arrivals, knobs, request, connection, expect_status } = self;
        run::Args { names, arrivals, knobs, request, connection, expect_status, ..run::Args::default() }
    }
}
