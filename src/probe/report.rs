//! What a probe found out, as it stands in every report: plain data with units in the names.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

pub use super::certificate::CertificateReport;
use super::clock::rfc3339;
use crate::breaker::{self, Phase, Stats, WindowCounts};
use crate::histogram::Summary;
use crate::http::Phases;
use crate::reason::Reason;

/// All targets at one moment.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Snapshot {
    /// In the order in which they were given.
    pub targets: Vec<TargetReport>,
    /// Rounds that all targets have finished.
    pub rounds: u64,
    /// Since the start.
    pub elapsed_ms: u64,
    /// The latest changes, oldest first; at most ten.
    pub changes: Vec<StateChange>,
}

/// What is known of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It answers as expected.
    Up,
    /// It is up, but calls of the breaker's rolling window failed or were slow, or the breaker is not closed.
    Degraded,
    /// It does not answer as expected.
    Down,
    /// It was not tested, or not often enough, or the last test failed for a reason of this host.
    Unknown,
}

impl State {
    /// `up`, `degraded`, `down` or `unknown`.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            State::Up => "up",
            State::Degraded => "degraded",
            State::Down => "down",
            State::Unknown => "unknown",
        }
    }
}

/// How a target stands: its state, unless that changes too often to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are those of the states")]
pub enum Standing {
    Up,
    Degraded,
    Down,
    Unknown,
    /// Its state has changed too often lately.
    Flapping,
}

impl Standing {
    /// `up`, `degraded`, `down`, `unknown` or `flapping`.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Standing::Up => State::Up.id(),
            Standing::Degraded => State::Degraded.id(),
            Standing::Down => State::Down.id(),
            Standing::Unknown => State::Unknown.id(),
            Standing::Flapping => "flapping",
        }
    }
}

impl From<State> for Standing {
    fn from(state: State) -> Self {
        match state {
            State::Up => Standing::Up,
            State::Degraded => Standing::Degraded,
            State::Down => Standing::Down,
            State::Unknown => Standing::Unknown,
        }
    }
}

/// A target stands otherwise than before. While it flaps, the changes of its state are only counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StateChange {
    /// RFC 3339.
    pub at: String,
    /// The target's name.
    pub name: String,
    /// Its address, without a password.
    pub url: String,
    /// The kind of its address.
    pub kind: &'static str,
    /// How it stood.
    pub from: Standing,
    /// How it stands now.
    pub to: Standing,
    /// Its state now, even where it flaps.
    pub state: State,
    /// Why its last call failed, if it did.
    pub reason: Option<Reason>,
    /// The same in words.
    pub detail: Option<String>,
    /// Changes of its state since the start, with this one.
    pub changes: u64,
}

/// A target changes too often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Flapping {
    /// RFC 3339.
    pub since: String,
    /// Changes within the window; counted up to as many as begin a flapping.
    pub changes: u64,
}

/// How a call or a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// As expected.
    Success,
    /// Otherwise, or not at all.
    Failure,
    /// Not within the timeout.
    Timeout,
    /// For a reason of this host: nothing is known about the target.
    Excluded,
    /// Not made: the breaker was open.
    ShortCircuited,
    /// Not made: too many calls of this target were in flight.
    Rejected,
    /// Not made: the store of its shared breaker did not answer.
    Unavailable,
}

impl From<breaker::Outcome> for Ending {
    fn from(outcome: breaker::Outcome) -> Self {
        match outcome {
            breaker::Outcome::Success => Ending::Success,
            breaker::Outcome::Failure => Ending::Failure,
            breaker::Outcome::Timeout => Ending::Timeout,
            breaker::Outcome::Excluded => Ending::Excluded,
        }
    }
}

/// One target.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TargetReport {
    /// Its name in the config, or its address.
    pub name: String,
    /// Its address, without a password.
    pub url: String,
    /// The scheme of its address, such as `http` or `redis`.
    pub kind: &'static str,
    /// What is known of it.
    pub state: State,
    /// Changes of its state since the start.
    pub changes: u64,
    /// Its state has changed too often lately.
    pub flapping: Option<Flapping>,
    /// Rounds in a row.
    pub streak: Streak,
    /// Rounds finished: of each round the last call counts.
    pub rounds: u64,
    /// Calls made, retries included.
    pub calls: u64,
    /// Those of them that were as expected.
    pub ok: u64,
    /// The others, by reason.
    pub reasons: BTreeMap<Reason, u64>,
    /// The last call made.
    pub last: Option<LastCall>,
    /// The last call that was not as expected.
    pub last_failure: Option<LastCall>,
    /// The certificate that was served last, believed or not; null where none was.
    pub certificate: Option<CertificateReport>,
    /// Latencies of the calls that were as expected.
    pub success_us: Option<Summary>,
    /// Latencies of the others.
    pub failure_us: Option<Summary>,
    /// Time spent in each phase, over all calls that came to it.
    pub phases_us: PhaseSummaries,
    /// Its breaker.
    pub breaker: BreakerReport,
    /// The fallback's own counts, when there is one.
    pub fallback: Option<FallbackCounts>,
    /// The latest rounds, oldest first.
    pub history: Vec<Mark>,
}

/// Rounds in a row that were good or bad, up to the last; short-circuited and excluded ones do not break a streak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Streak {
    /// Good rounds in a row.
    pub up: u64,
    /// Bad rounds in a row.
    pub down: u64,
}

/// One call.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LastCall {
    /// When it began, RFC 3339.
    pub at: String,
    /// How it ended.
    pub outcome: Ending,
    /// Why it failed.
    pub reason: Option<Reason>,
    /// Why it failed, in words.
    pub detail: Option<String>,
    /// The status of an HTTP answer.
    pub status: Option<u16>,
    /// What a server of another kind said of itself: records, a role, a version.
    pub answer: Option<String>,
    /// How long it took.
    pub latency_us: u64,
    /// Where the time went.
    pub phases_us: PhasesUs,
}

/// Time spent in each phase; null where the call was never in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PhasesUs {
    /// Looking the name up.
    pub dns: Option<u64>,
    /// Connecting.
    pub connect: Option<u64>,
    /// The TLS handshake.
    pub tls: Option<u64>,
    /// From the request to the head of the response.
    pub first_byte: Option<u64>,
    /// From there to the end of the body.
    pub body: Option<u64>,
}

impl From<Phases> for PhasesUs {
    fn from(phases: Phases) -> Self {
        let [dns, connect, tls, first_byte, body] = phases.map(|phase| phase.map(micros));
        PhasesUs { dns, connect, tls, first_byte, body }
    }
}

/// The quantiles of each phase; null where no call came to it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PhaseSummaries {
    /// Looking the name up.
    pub dns: Option<Summary>,
    /// Connecting.
    pub connect: Option<Summary>,
    /// The TLS handshake.
    pub tls: Option<Summary>,
    /// From the request to the head of the response.
    pub first_byte: Option<Summary>,
    /// From there to the end of the body.
    pub body: Option<Summary>,
}

/// How often a fallback ran, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FallbackCounts {
    /// Once for each round that was not good, but for those rejected.
    pub runs: u64,
    /// It ended with status 0.
    pub successes: u64,
    /// It ended otherwise, or not within the timeout.
    pub failures: u64,
    /// Rounds without it, because 10 of the target's fallbacks were still running.
    pub rejected: u64,
    /// What was wrong with the last one that failed.
    pub last_failure: Option<String>,
}

/// One round in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Mark {
    /// How it ended.
    pub outcome: Ending,
    /// How long its last call took; null when none was made.
    pub latency_us: Option<u64>,
}

/// A breaker's statistics. Of one that is shared `state`, `since`, `reopen_count`, `next_trial_ms`, `transitions` and `window`
/// are what it is for all who share it, as this run saw it last; the other counts are those of this run.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BreakerReport {
    /// Its name in the store, where it is shared.
    pub name: Option<String>,
    /// When false, it counts and never trips: with `--no-breaker` and with `--until`.
    pub enabled: bool,
    /// Where it stands; null where it is shared and its store has not answered.
    pub state: Option<Phase>,
    /// Since when, RFC 3339.
    pub since: Option<String>,
    /// Calls that ran and count: successes, failures and timeouts.
    pub requests: u64,
    /// Slow ones included.
    pub successes: u64,
    /// Timeouts not included.
    pub failures: u64,
    /// Failures and timeouts by reason.
    pub failure_reasons: BTreeMap<Reason, u64>,
    /// Calls that ran into the timeout.
    pub timeouts: u64,
    /// Those of the successes that took too long.
    pub slow: u64,
    /// Calls that say nothing about the target.
    pub excluded: u64,
    /// Calls not made because it was open.
    pub short_circuited: u64,
    /// Calls not made because too many were in flight.
    pub rejected: u64,
    /// Calls that a shared breaker was not asked about or told of, because its store did not answer.
    pub uncounted: u64,
    /// Calls running now.
    pub in_flight: u32,
    /// Failed trials since it was last closed.
    pub reopen_count: u32,
    /// Time until the next trial, while open.
    pub next_trial_ms: Option<u64>,
    /// The latest changes of state, oldest first.
    pub transitions: Vec<TransitionReport>,
    /// Earlier ones that are no longer listed.
    pub transitions_dropped: u64,
    /// The rolling window.
    pub window: WindowCounts,
    /// Its numbers.
    pub config: BreakerNumbers,
}

/// One change of a breaker's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TransitionReport {
    /// RFC 3339.
    pub at: String,
    /// The state left.
    pub from: Phase,
    /// The state entered.
    pub to: Phase,
    /// Why, in words.
    pub why: String,
}

/// What a breaker was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "the names are those of the settings")]
pub struct BreakerNumbers {
    pub timeout_ms: u64,
    pub max_concurrent: u32,
    pub error_threshold_percent: u8,
    pub volume: u32,
    pub window_ms: u64,
    pub cooldown_ms: u64,
    pub cooldown_max_ms: u64,
    pub trials: u32,
    pub slow_ms: Option<u64>,
}

impl From<&breaker::Config> for BreakerNumbers {
    fn from(config: &breaker::Config) -> Self {
        BreakerNumbers {
            timeout_ms: millis(config.timeout),
            max_concurrent: config.max_concurrent,
            error_threshold_percent: config.error_threshold_percent,
            volume: config.request_volume,
            window_ms: millis(config.window),
            cooldown_ms: millis(config.cooldown),
            cooldown_max_ms: millis(config.cooldown_max),
            trials: config.trials,
            slow_ms: config.slow.map(millis),
        }
    }
}

impl BreakerReport {
    /// `reasons` may hold local ones, which a breaker never counts.
    pub fn new(
        enabled: bool,
        stats: Stats,
        reasons: &BTreeMap<Reason, u64>,
        config: &breaker::Config,
    ) -> Self {
        let counted = reasons.iter().filter(|(reason, _)| !reason.is_local());
        BreakerReport {
            name: None,
            enabled,
            state: Some(stats.phase),
            since: Some(rfc3339(stats.since)),
            requests: stats.requests,
            successes: stats.successes,
            failures: stats.failures,
            failure_reasons: counted.map(|(reason, count)| (*reason, *count)).collect(),
            timeouts: stats.timeouts,
            slow: stats.slow,
            excluded: stats.excluded,
            short_circuited: stats.short_circuited,
            rejected: stats.rejected,
            uncounted: 0,
            in_flight: stats.in_flight,
            reopen_count: stats.reopen_count,
            next_trial_ms: stats.next_trial_in.map(millis),
            transitions: stats.transitions.iter().map(TransitionReport::from).collect(),
            transitions_dropped: stats.transitions_dropped,
            window: stats.window,
            config: BreakerNumbers::from(config),
        }
    }
}

impl From<&breaker::Transition> for TransitionReport {
    fn from(transition: &breaker::Transition) -> Self {
        TransitionReport {
            at: rfc3339(transition.at),
            from: transition.from,
            to: transition.to,
            why: transition.why.to_string(),
        }
    }
}

/// Whole microseconds; the longest durations saturate.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
