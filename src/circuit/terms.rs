//! The numbers that one caller goes by. Two callers of one breaker may have different ones.
//!
//! The rule: each caller's own numbers decide its own step (may it call, does its report trip, for how long). Only the
//! window and its buckets are those of the record for as long as it holds any count, since counts of two geometries
//! cannot be added; empty, it takes the caller's. The record remembers which numbers were used, so that a reader is told.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::millis;
use crate::breaker::{Config, Millis};

/// How much longer than the call a lease lasts: for the report to arrive.
const MARGIN: Duration = Duration::from_secs(1);

/// What a caller goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The breaker; validated.
    pub config: Config,
    /// How much longer than [`Config::timeout`] a call can take to be over.
    pub grace: Duration,
    /// How many members must see it failing before it trips; at least 1.
    pub quorum: u32,
    /// How many fallbacks run at once.
    pub fallbacks: u32,
    /// The longest time that the store may delay a call, before it and after it; none: what suits the store.
    pub patience: Option<Duration>,
}

/// Hystrix lets as many fallbacks run at once.
pub const FALLBACKS: u32 = 10;

impl Terms {
    /// Those of a breaker alone.
    pub fn of(config: Config) -> Terms {
        Terms { config, grace: Duration::ZERO, quorum: 1, fallbacks: FALLBACKS, patience: None }
    }

    /// How long a call, or its fallback, may hold its place.
    pub(super) fn lease_ms(&self) -> Millis {
        millis(self.config.timeout.saturating_add(self.grace).saturating_add(MARGIN))
    }

    /// The breaker that a step is made with: its trials hold their permits as long as a call can take.
    pub(super) fn stepping(&self) -> Config {
        Config { timeout: self.config.timeout.saturating_add(self.grace), ..self.config.clone() }
    }

    /// What readers are told of it.
    pub fn numbers(&self) -> Numbers {
        let config = &self.config;
        Numbers {
            timeout_ms: millis(config.timeout),
            max_concurrent: config.max_concurrent,
            error_threshold_percent: config.error_threshold_percent,
            volume: config.request_volume,
            window_ms: millis(config.window),
            cooldown_ms: millis(config.cooldown),
            slow_ms: config.slow.map(millis),
            quorum: self.quorum,
        }
    }
}

/// The same, for readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Numbers {
    /// A call is given up after this time.
    pub timeout_ms: u64,
    /// Calls in flight at once.
    pub max_concurrent: u32,
    /// The share of failed calls at which it trips.
    pub error_threshold_percent: u8,
    /// It never trips on fewer calls in the window.
    pub volume: u32,
    /// How far back calls count.
    pub window_ms: u64,
    /// The shortest time to stay open.
    pub cooldown_ms: u64,
    /// A success that took longer counts as failed.
    pub slow_ms: Option<u64>,
    /// Members that must see it failing.
    pub quorum: u32,
}
