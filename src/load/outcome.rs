//! What was found, as plain data, and what it looks like while the run goes on.

use std::sync::Arc;
use std::time::Duration;

use super::batch::Batch;
use super::timeline::Timeline;

/// A thread that used more of one processor than this may have been what held the run up.
pub const BUSY: f64 = 0.9;

/// A whole run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// All that was recorded, of all threads, after the warm-up.
    pub totals: Batch,
    /// How it went over time, the warm-up left out.
    pub timeline: Timeline,
    /// From the end of the warm-up to the last answer, or to the time when nothing more was to be sent.
    pub elapsed: Duration,
    /// From the end of the warm-up to the time when nothing more was to be sent.
    pub sending: Duration,
    /// Requests that were due in that time; `None` in the closed loop.
    pub offered: Option<u64>,
    /// Requests that were due and never sent.
    pub unsent: u64,
    /// What ended it.
    pub end: End,
    /// Of one processor, how much the busiest thread used: 1 is all of it.
    pub busiest: f64,
    /// The most memory, in bytes, that this process had so far; `None` where the kernel does not tell.
    pub peak_memory: Option<u64>,
}

/// What ended a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Its count, its duration or its schedule.
    Done,
    /// A signal.
    Stopped,
    /// A breaker opened.
    BreakerOpened,
    /// A condition that could no longer be met, in its own words.
    Hopeless(String),
}

impl Outcome {
    /// Requests that ended per second, in the time of sending: whoever is waited for afterwards makes no run slower.
    pub fn achieved(&self) -> f64 {
        per_second(self.in_time(), self.sending)
    }

    /// Requests that ended before nothing more was to be sent.
    pub fn in_time(&self) -> u64 {
        self.totals.requests().saturating_sub(self.totals.after_end)
    }

    /// Requests that were due per second; `None` in the closed loop.
    pub fn offered_rate(&self) -> Option<f64> {
        self.offered.map(|offered| per_second(offered, self.sending))
    }
}

/// How a run stands.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Since the start, the warm-up included.
    pub elapsed: Duration,
    /// Whether it is still warming up.
    pub warm_up: bool,
    /// Requests that were sent, the warm-up included.
    pub sent: u64,
    /// Requests that ended after the warm-up: as expected.
    pub ok: u64,
    /// And otherwise.
    pub failed: u64,
    /// Requests under way.
    pub in_flight: u64,
    /// Requests due and not sent.
    pub backlog: u64,
    /// Everything so far. Shared, since it is large.
    pub so_far: Arc<(Batch, Timeline)>,
}

/// A rate; 0 where no time has passed.
pub(super) fn per_second(count: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}
