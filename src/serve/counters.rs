//! What a server has counted since its start. It knows nothing of connections or requests.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::fault::{Decision, End};

/// Upper bounds of the request duration histogram, in microseconds.
pub(super) const BOUNDS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// The faults by name, in the order of [`Counters::faults`].
pub(super) const FAULTS: [&str; 6] = ["status", "latency", "reset", "close", "truncate", "drip"];

/// Status classes by name, in the order of [`Counters::finished`].
pub(super) const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// All counters of one server.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Requests whose header was read.
    pub(super) started: AtomicU64,
    /// Requests that ended, by the first digit of their status; 0: without an answer.
    pub(super) finished: [AtomicU64; 6],
    /// How long they took; one more than [`BOUNDS_US`] for the rest.
    pub(super) durations: [AtomicU64; 17],
    /// All durations together, in microseconds.
    pub(super) duration_us: AtomicU64,
    /// Body bytes sent.
    pub(super) bytes: AtomicU64,
    /// Faults injected, by kind.
    pub(super) faults: [AtomicU64; 6],
    /// Connections accepted.
    pub(super) accepted: AtomicU64,
    /// Times that accepting had to wait, for the limit or for file descriptors.
    pub(super) held_back: AtomicU64,
    /// TLS handshakes that failed or took too long.
    pub(super) handshakes_failed: AtomicU64,
    /// Requests that were no HTTP, or whose header was too large.
    pub(super) malformed: AtomicU64,
    /// Connections and HTTP/2 streams ended because the client was too slow.
    pub(super) timed_out: AtomicU64,
}

impl Counters {
    /// Records the end of one request.
    pub(super) fn finish(&self, status: u16, bytes: u64, took: Duration) {
        let class = usize::from(status / 100).min(5);
        self.finished[class].fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        let micros = took.as_micros() as u64;
        self.duration_us.fetch_add(micros, Relaxed);
        let bucket = BOUNDS_US.iter().position(|&bound| micros <= bound).unwrap_or(BOUNDS_US.len());
        self.durations[bucket].fetch_add(1, Relaxed);
    }

    /// Requests begun and not yet ended.
    pub(super) fn in_flight(&self) -> u64 {
        let finished: u64 = self.finished.iter().map(|n| n.load(Relaxed)).sum();
        self.started.load(Relaxed).saturating_sub(finished)
    }

    /// Records what a decision injects.
    pub(super) fn inject(&self, decision: &Decision) {
        for (count, hit) in self.faults.iter().zip(kinds(decision)) {
            count.fetch_add(u64::from(hit), Relaxed);
        }
    }
}

/// The faults of one decision as they are logged, such as `latency+reset`.
pub(super) fn describe(decision: &Decision) -> Option<String> {
    let names: Vec<&str> =
        FAULTS.iter().zip(kinds(decision)).filter(|(_, hit)| *hit).map(|(name, _)| *name).collect();
    (!names.is_empty()).then(|| names.join("+"))
}

/// Which of [`FAULTS`] a decision injects.
fn kinds(decision: &Decision) -> [bool; 6] {
    [
        matches!(decision.end, Some(End::Status(_))),
        decision.pause.is_some(),
        decision.end == Some(End::Reset),
        decision.end == Some(End::Close),
        decision.end == Some(End::Truncate),
        decision.drip.is_some(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_once_everywhere() {
        let counters = Counters::default();
        counters.started.fetch_add(3, Relaxed);
        counters.finish(200, 13, Duration::from_micros(100));
        counters.finish(0, 0, Duration::from_secs(60));
        let of = |counts: &[AtomicU64]| counts.iter().map(|n| n.load(Relaxed)).collect::<Vec<_>>();
        assert_eq!(of(&counters.finished), [1, 0, 1, 0, 0, 0]);
        assert_eq!(of(&counters.durations)[0], 1);
        assert_eq!(of(&counters.durations)[16], 1);
        assert_eq!(counters.in_flight(), 1);
        assert_eq!(counters.bytes.load(Relaxed), 13);
    }

    #[test]
    fn faults_are_named() {
        let decision = Decision { pause: Some(Duration::ZERO), end: Some(End::Reset), drip: None };
        assert_eq!(describe(&decision).as_deref(), Some("latency+reset"));
        assert_eq!(describe(&Decision::default()), None);
    }
}
