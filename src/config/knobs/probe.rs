//! `[profile.NAME.probe]`: how often targets are called, when they count as up or down, and who is told.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Duration;

/// Rounds, retries and judgement.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[command(next_help_heading = "Rounds")]
#[serde(default, deny_unknown_fields)]
pub struct ProbeKnobs {
    /// Rounds of calls
    ///
    /// With --until and --watch it counts only where it is given as a flag or a variable.
    #[arg(long, short = 'n', value_name = "N", env = "HARDY_PROBE_COUNT")]
    pub count: Option<u64>,
    /// From the start of a round to the start of the next
    #[arg(long, short, value_name = "D", env = "HARDY_PROBE_INTERVAL")]
    pub interval: Option<Duration>,
    /// Give --until up after this time
    #[arg(long, value_name = "D", env = "HARDY_PROBE_WAIT")]
    pub wait: Option<Duration>,
    /// Repeat a failed call this often within its round
    #[arg(long, value_name = "N", env = "HARDY_PROBE_RETRIES")]
    pub retries: Option<u32>,
    /// Pause before the first retry, doubled for each further one, with jitter
    #[arg(long, value_name = "D", env = "HARDY_PROBE_RETRY_BACKOFF", hide_short_help = true)]
    pub retry_backoff: Option<Duration>,
    /// Good rounds in a row until a target is up
    #[arg(long, value_name = "N", env = "HARDY_PROBE_UP_AFTER", hide_short_help = true)]
    pub up_after: Option<u64>,
    /// Bad rounds in a row until a target is down
    #[arg(long, value_name = "N", env = "HARDY_PROBE_DOWN_AFTER", hide_short_help = true)]
    pub down_after: Option<u64>,
    /// What makes the verdict bad: down, or degraded too
    #[arg(long, value_name = "STATE", env = "HARDY_PROBE_FAIL_ON", hide_possible_values = true)]
    pub fail_on: Option<FailOn>,
    /// Run this by `sh -c` after a round that was not good
    ///
    /// It finds HARDY_TARGET, HARDY_URL and HARDY_REASON in its environment, has the timeout of a call, and its
    /// output is not shown.
    #[arg(long, value_name = "CMD", env = "HARDY_PROBE_FALLBACK")]
    pub fallback: Option<String>,
    /// With --watch: run this by `sh -c` when a target changes
    ///
    /// It finds HARDY_TARGET, HARDY_URL, HARDY_KIND, HARDY_STATE, HARDY_OLD_STATE, HARDY_REASON, HARDY_DETAIL, HARDY_AT and
    /// HARDY_CHANGES in its environment, and the same as a JSON document on stdin. One runs at a time, in the order of the
    /// changes, in a process group of its own; what fails is repeated. A target that is up when first seen is no change.
    #[arg(long, value_name = "CMD", env = "HARDY_PROBE_EXEC", help_heading = "Watch")]
    pub exec: Option<String>,
    /// With --watch: post a JSON document here when a target changes
    ///
    /// Any answer but 2xx is a failure; what fails is repeated. A URL with a secret is better kept in the config file or the
    /// variable: the arguments of a process can be read by others.
    #[arg(
        long,
        value_name = "URL",
        env = "HARDY_PROBE_WEBHOOK",
        help_heading = "Watch",
        hide_env_values = true
    )]
    pub webhook: Option<String>,
    /// Time for one run of --exec or one call of --webhook
    #[arg(
        long,
        value_name = "D",
        env = "HARDY_PROBE_NOTIFY_TIMEOUT",
        help_heading = "Watch",
        hide_short_help = true
    )]
    pub notify_timeout: Option<Duration>,
    /// Repeat them this often, after 1 s, 2 s, 4 s and so on with jitter
    #[arg(
        long,
        value_name = "N",
        env = "HARDY_PROBE_NOTIFY_RETRIES",
        help_heading = "Watch",
        hide_short_help = true
    )]
    pub notify_retries: Option<u32>,
    /// So many changes within --flap-window are flapping; 0: never
    ///
    /// Instead of each change, the beginning and the end of the flapping are told. It ends when the window holds fewer than
    /// half as many changes.
    #[arg(
        long,
        value_name = "N",
        env = "HARDY_PROBE_FLAP_CHANGES",
        help_heading = "Watch",
        hide_short_help = true
    )]
    pub flap_changes: Option<u32>,
    /// How far back changes count
    #[arg(
        long,
        value_name = "D",
        env = "HARDY_PROBE_FLAP_WINDOW",
        help_heading = "Watch",
        hide_short_help = true
    )]
    pub flap_window: Option<Duration>,
    /// With --watch: serve /metrics, /healthz and /readyz on this address
    ///
    /// HOST:PORT with a numeric host or `localhost`, :PORT for every address, or unix:PATH. Port 0 takes a free one.
    #[arg(
        long,
        value_name = "ADDR",
        env = "HARDY_PROBE_LISTEN",
        help_heading = "Watch",
        hide_short_help = true
    )]
    pub listen: Option<String>,
    /// Follow this many redirects; with 0 the redirect itself is the answer
    #[arg(
        long,
        value_name = "N",
        env = "HARDY_PROBE_REDIRECTS",
        help_heading = "Request",
        hide_short_help = true
    )]
    pub redirects: Option<u32>,
    /// Trust the PEM certificates of this file too
    // The other way to believe a server, `--insecure`, stands beside it.
    #[arg(long, value_name = "FILE", env = "HARDY_PROBE_CA", help_heading = "Request", display_order = 900)]
    pub ca: Option<PathBuf>,
    /// Show this certificate (PEM) to servers that ask for one, with --key
    #[arg(
        long,
        value_name = "FILE",
        env = "HARDY_PROBE_CERT",
        help_heading = "Request",
        display_order = 902,
        hide_short_help = true
    )]
    pub cert: Option<PathBuf>,
    /// Key of the certificate (PEM)
    #[arg(
        long,
        value_name = "FILE",
        env = "HARDY_PROBE_KEY",
        help_heading = "Request",
        display_order = 903,
        hide_short_help = true
    )]
    pub key: Option<PathBuf>,
    /// File with the password for redis, postgres and mysql targets, on its first line
    #[arg(
        long,
        value_name = "FILE",
        env = "HARDY_PROBE_PASSWORD_FILE",
        help_heading = "Request",
        display_order = 904,
        hide_short_help = true
    )]
    pub password_file: Option<PathBuf>,
}

/// From which state on a target makes the verdict bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailOn {
    /// Only when it is down.
    Down,
    /// When it is degraded, too.
    Degraded,
}

super::layer!(ProbeKnobs {
    count,
    interval,
    wait,
    retries,
    retry_backoff,
    up_after,
    down_after,
    fail_on,
    fallback,
    exec,
    webhook,
    notify_timeout,
    notify_retries,
    flap_changes,
    flap_window,
    listen,
    redirects,
    ca,
    cert,
    key,
    password_file,
});
