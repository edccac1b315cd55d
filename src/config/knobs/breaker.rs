//! `[profile.NAME.breaker]`: when calls are given up, and when they are no longer tried.

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Duration, Percent};

/// The circuit breaker in front of every call.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[command(next_help_heading = "Circuit breaker")]
#[serde(default, deny_unknown_fields)]
pub struct BreakerKnobs {
    /// Give a call up after this time
    #[arg(long, value_name = "D", env = "HARDY_BREAKER_TIMEOUT")]
    pub timeout: Option<Duration>,
    /// Reject calls beyond this many in flight
    #[arg(long, value_name = "N", env = "HARDY_BREAKER_MAX_CONCURRENT", hide_short_help = true)]
    pub max_concurrent: Option<u32>,
    /// Trip at this share of failed calls
    #[arg(long, value_name = "P%", env = "HARDY_BREAKER_ERROR_THRESHOLD")]
    pub error_threshold: Option<Percent>,
    /// Never trip on fewer calls than this in the window
    #[arg(long, value_name = "N", env = "HARDY_BREAKER_VOLUME")]
    pub volume: Option<u32>,
    /// Judge by the calls of this rolling window
    #[arg(long, value_name = "D", env = "HARDY_BREAKER_WINDOW", hide_short_help = true)]
    pub window: Option<Duration>,
    /// Stay open this long before the next trial
    #[arg(long, value_name = "D", env = "HARDY_BREAKER_COOLDOWN")]
    pub cooldown: Option<Duration>,
    /// Count slower successes as slow, and towards a trip
    #[arg(long, value_name = "D", env = "HARDY_BREAKER_SLOW")]
    pub slow: Option<Duration>,
}

super::layer!(BreakerKnobs { timeout, max_concurrent, error_threshold, volume, window, cooldown, slow });
