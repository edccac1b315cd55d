//! `[profile.NAME.tls]`: against what TLS is checked, and how hard a server is asked.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Duration;

/// Checks of TLS.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[command(next_help_heading = "Policy")]
#[serde(default, deny_unknown_fields)]
pub struct TlsKnobs {
    /// modern, intermediate, article, or a TOML file
    #[arg(long, value_name = "POLICY", env = "HARDY_TLS_POLICY", add = ArgValueCompleter::new(policies))]
    pub policy: Option<String>,
    /// Warn when less is left of a certificate
    ///
    /// 30d, or 33% of its life, or `30d or 33%`: of a time and a share the shorter one counts, so that short-lived
    /// certificates do not warn all their lives.
    #[arg(long, value_name = "LEFT", env = "HARDY_TLS_WARN")]
    pub warn: Option<String>,
    /// Fail when less is left of it
    ///
    /// As for --warn.
    #[arg(long, value_name = "LEFT", env = "HARDY_TLS_CRIT")]
    pub crit: Option<String>,
    /// What makes the verdict bad: fail, or warn too
    #[arg(long, value_name = "STATUS", env = "HARDY_TLS_FAIL_ON", hide_possible_values = true)]
    pub fail_on: Option<FailFrom>,
    /// Trust the PEM certificates of this file too
    #[arg(long, value_name = "FILE", env = "HARDY_TLS_CA", help_heading = "Certificates")]
    pub ca: Option<PathBuf>,
    /// Give up each step, such as a connection, after this time
    #[arg(long, value_name = "D", env = "HARDY_TLS_TIMEOUT", help_heading = "Connections")]
    pub timeout: Option<Duration>,
    /// Connections to one address at a time
    #[arg(long, value_name = "N", env = "HARDY_TLS_MAX_CONNS", help_heading = "Connections")]
    pub max_conns: Option<usize>,
}

/// From which status on a finding makes the verdict bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailFrom {
    /// Only failures.
    Fail,
    /// Warnings, too.
    Warn,
}

/// The policies that are built in, and files.
fn policies(typed: &std::ffi::OsStr) -> Vec<CompletionCandidate> {
    let built_in = ["modern", "intermediate", "article"].into_iter();
    let begins = |name: &&str| typed.to_str().is_some_and(|typed| name.starts_with(typed));
    let mut candidates: Vec<_> = built_in.filter(begins).map(CompletionCandidate::new).collect();
    candidates.extend(PathCompleter::file().complete(typed));
    candidates
}

super::layer!(TlsKnobs { policy, warn, crit, fail_on, ca, timeout, max_conns });
