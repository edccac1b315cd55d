//! Who shares a breaker: each host with the window of its own calls, by which a quorum is counted, and with what is
//! known of its clock.
//!
//! No clock is right. But a record that was written at a time to come was written by a clock ahead of ours, and whoever
//! sees that notes by how much; from then on that member goes by the slower clock. So hosts whose clocks are an hour
//! apart agree on the time after one call of each, and no window or cooldown is an hour long.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::breaker::{Config, Millis, Window};

/// A member that was not seen for so long is forgotten.
const FORGOTTEN: Millis = 3_600_000;

/// At most so many are remembered; those seen last.
const MOST: usize = 100;

/// One host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Member {
    seen_ms: Millis,
    /// How much later its clock is than the slowest one that was seen.
    #[serde(default)]
    ahead_ms: Millis,
    window: Window,
}

/// All of them, by the name of the host.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Members(BTreeMap<String, Member>);

/// One host, for readers.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct MemberView {
    /// Its host name.
    pub host: String,
    /// How long ago it called last.
    pub seen_ms_ago: u64,
    /// How much its clock is ahead of the slowest one.
    pub clock_ahead_ms: u64,
    /// Its calls in the window.
    pub requests: u64,
    /// Failures, timeouts and slow successes per hundred of them.
    pub error_percent: f64,
    /// Whether it sees the target failing.
    pub failing: bool,
}

impl Members {
    /// What that member's clock means for all of them.
    pub fn time(&self, host: &str, wall: Millis) -> Millis {
        wall.saturating_sub(self.0.get(host).map_or(0, |member| member.ahead_ms))
    }

    /// A change by `last` is dated `ahead` after now.
    pub fn is_ahead(&mut self, last: &str, ahead: Millis) {
        if let Some(member) = self.0.get_mut(last) {
            member.ahead_ms = member.ahead_ms.saturating_add(ahead);
        }
    }

    /// The member, which is here now. Others that were not for long are forgotten.
    pub fn seen(&mut self, host: &str, config: &Config, now: Millis) -> &mut Window {
        self.0.retain(|name, member| name == host || now.saturating_sub(member.seen_ms) < FORGOTTEN);
        if self.0.len() >= MOST && !self.0.contains_key(host) {
            let oldest = self.0.iter().min_by_key(|(_, member)| member.seen_ms).map(|(name, _)| name.clone());
            oldest.map(|name| self.0.remove(&name));
        }
        let new = || Member { seen_ms: now, ahead_ms: 0, window: Window::new(config, now) };
        let member = self.0.entry(host.to_owned()).or_insert_with(new);
        member.seen_ms = now;
        &mut member.window
    }

    /// How many see the target failing now.
    pub fn failing(&self, config: &Config, now: Millis) -> usize {
        self.0.values().filter(|member| member.window.is_failing(config, now)).count()
    }

    /// What was counted before decides nothing more.
    pub fn clear_windows(&mut self, now: Millis) {
        self.0.values_mut().for_each(|member| member.window.clear(now));
    }

    /// For readers.
    pub fn views(&self, config: &Config, now: Millis) -> Vec<MemberView> {
        let view = |(host, member): (&String, &Member)| {
            let counts = member.window.counts(now);
            MemberView {
                host: host.clone(),
                seen_ms_ago: now.saturating_sub(member.seen_ms),
                clock_ahead_ms: member.ahead_ms,
                requests: counts.requests,
                error_percent: counts.error_percent,
                failing: member.window.is_failing(config, now),
            }
        };
        self.0.iter().map(view).collect()
    }
}
