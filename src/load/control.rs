//! The few words between those who run a load and its threads, and their common clock.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

/// Nanoseconds since the start of the run.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// The run starts now.
    pub fn start() -> Clock {
        Clock(Instant::now())
    }

    /// Nanoseconds since then; never goes back.
    pub fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Read by the threads once per pass over their events, never per request.
#[derive(Debug)]
pub struct Control {
    /// When; the largest number: not yet.
    stopped: AtomicU64,
    aborted: AtomicBool,
    /// How many requests may pass the breaker; negative: all.
    permits: AtomicI64,
    /// Requests under way, as the threads have shown.
    in_flight: AtomicU64,
}

impl Default for Control {
    fn default() -> Control {
        Control {
            stopped: AtomicU64::new(u64::MAX),
            aborted: AtomicBool::new(false),
            permits: AtomicI64::new(-1),
            in_flight: AtomicU64::new(0),
        }
    }
}

impl Control {
    /// From this time on nothing more is sent; what is under way is waited for.
    pub fn stop(&self, now: u64) {
        self.stopped.fetch_min(now, Ordering::Relaxed);
    }

    /// Not even that.
    pub fn abort(&self, now: u64) {
        self.stop(now);
        self.aborted.store(true, Ordering::Relaxed);
    }

    /// Whether nothing more is to be sent.
    pub fn is_stopped(&self) -> bool {
        self.stopped_at() != u64::MAX
    }

    /// Since when; the largest number: it is not stopped.
    pub fn stopped_at(&self) -> u64 {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Whether what is under way counts as cut off now.
    pub fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::Relaxed)
    }

    /// From now on so many requests pass the breaker; `None`: all.
    pub fn admit(&self, permits: Option<u32>) {
        self.permits.store(permits.map_or(-1, i64::from), Ordering::Relaxed);
    }

    /// So many requests were shown to be under way.
    pub fn shows_in_flight(&self, requests: u64) {
        self.in_flight.store(requests, Ordering::Relaxed);
    }

    /// How many requests were under way when the threads were looked at last.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether a breaker lets every request pass: then nobody needs to ask for each.
    pub fn admits_all(&self) -> bool {
        self.permits.load(Ordering::Relaxed) < 0
    }

    /// Takes one permit, if there is one.
    pub fn admits_one(&self) -> bool {
        let take = |left: i64| match left {
            0 => None,
            left if left < 0 => Some(left),
            left => Some(left - 1),
        };
        self.permits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_so_many_pass() {
        let control = Control::default();
        assert!(control.admits_all() && control.admits_one() && control.admits_one());
        control.admit(Some(2));
        assert!(!control.admits_all());
        assert_eq!([(); 4].map(|()| control.admits_one()), [true, true, false, false]);
        control.admit(None);
        assert!(control.admits_all() && control.admits_one());
    }

    #[test]
    fn to_abort_is_to_stop() {
        let control = Control::default();
        assert!(!control.is_stopped());
        control.abort(5);
        control.stop(9);
        assert!(control.is_stopped() && control.is_aborted());
        assert_eq!(control.stopped_at(), 5);
    }
}
