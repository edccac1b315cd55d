//! `[profile.NAME.load]`: how hard a target is worked, and for how long.

use std::path::PathBuf;

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Duration;

/// Loads.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[command(next_help_heading = "Load")]
#[serde(default, deny_unknown_fields)]
pub struct LoadKnobs {
    /// Requests under way at once: connections, or streams over them
    #[arg(long, short, value_name = "N", env = "HARDY_LOAD_CONNECTIONS")]
    pub connections: Option<usize>,
    /// Send for this long, unless --requests or --stages end the run
    #[arg(long, short, value_name = "D", env = "HARDY_LOAD_DURATION")]
    pub duration: Option<Duration>,
    /// Give a request up after this time, and a connection likewise
    #[arg(long, value_name = "D", env = "HARDY_LOAD_TIMEOUT")]
    pub timeout: Option<Duration>,
    /// Send, but do not record, for this long
    #[arg(long, value_name = "D", env = "HARDY_LOAD_WARM_UP", alias = "warmup")]
    pub warm_up: Option<Duration>,
    /// Open the connections evenly over this time
    #[arg(long, value_name = "D", env = "HARDY_LOAD_RAMP_UP", hide_short_help = true)]
    pub ramp_up: Option<Duration>,
    /// Wait so long for answers after the end; then they count as cut off
    #[arg(long, value_name = "D", env = "HARDY_LOAD_GRACE", hide_short_help = true)]
    pub grace: Option<Duration>,
    /// Threads; 0: half of the processors, and at least one, so that a server beside it has the others
    #[arg(long, short, value_name = "N", env = "HARDY_LOAD_THREADS", hide_short_help = true)]
    pub threads: Option<usize>,
    /// Trust the PEM certificates of this file too
    #[arg(
        long,
        value_name = "FILE",
        env = "HARDY_LOAD_CA",
        help_heading = "Connection",
        hide_short_help = true
    )]
    pub ca: Option<PathBuf>,
}

super::layer!(LoadKnobs { connections, duration, timeout, warm_up, ramp_up, grace, threads, ca });
