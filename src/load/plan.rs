//! What a run is to do, as plain values.

use std::sync::Arc;
use std::time::Duration;

use super::schedule::Schedule;

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// When requests are sent.
    pub pace: Pace,
    /// When the run ends; with a schedule that ends, never later than that.
    pub stop: Stop,
    /// Requests under way at once, at most: connections, or streams over them. At least 1.
    pub workers: usize,
    /// Threads that share the workers. At least 1, and never more than workers.
    pub threads: usize,
    /// Requests that are due in this time from the start are sent, but not recorded.
    pub warm_up: Duration,
    /// The first connections are opened evenly over this time.
    pub ramp_up: Duration,
    /// From the moment a request is sent to the end of its answer; connecting has the same time of its own.
    pub timeout: Duration,
    /// So long the answers of what was sent are waited for after the end; then they count as cut off.
    pub grace: Duration,
    /// Which statuses are good.
    pub expected: Expected,
}

impl Plan {
    /// When nothing more is to be sent, where that is known beforehand. A count ends the open loop when the next
    /// request would have been due.
    pub fn ends_at(&self) -> Option<u64> {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let open = match &self.pace {
            Pace::Closed => [None, None],
            Pace::Open(schedule) => {
                let requests = self.stop.requests.and_then(|requests| schedule.due(requests as f64));
                [schedule.length().map(nanos), requests]
            }
        };
        open.into_iter().chain([self.stop.duration.map(nanos)]).flatten().min()
    }
}

/// When requests are sent.
#[derive(Clone, Debug)]
pub enum Pace {
    /// Closed loop: each worker sends when its last answer is there.
    Closed,
    /// Open loop: each request is due at a time of its own, whatever became of the ones before.
    Open(Arc<Schedule>),
}

/// What ends a run; whichever is first. With none of both it goes on until it is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    /// So many requests are sent, those of the warm-up included.
    pub requests: Option<u64>,
    /// No request is sent after this time from the start.
    pub duration: Option<Duration>,
}

/// A set of HTTP statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected(Vec<bool>);

impl Expected {
    /// Those that `is` says of, of 100 to 999.
    pub fn new(is: impl Fn(u16) -> bool) -> Expected {
        Expected((0..1000).map(is).collect())
    }

    /// Whether the status is one of them.
    pub fn has(&self, status: u16) -> bool {
        self.0.get(usize::from(status)).copied().unwrap_or(false)
    }
}

impl Default for Expected {
    /// 200 to 399.
    fn default() -> Expected {
        Expected::new(|status| (200..400).contains(&status))
    }
}
