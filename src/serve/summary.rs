//! What a server did, at its end and while it runs.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::shared::Shared;

/// The state of a running server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Requests answered, by class: none, 1xx, 2xx, 3xx, 4xx, 5xx.
    pub by_class: [u64; 6],
    /// Requests not yet answered.
    pub in_flight: u64,
    /// Open connections.
    pub open: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Body bytes sent.
    pub bytes: u64,
    /// Faults injected.
    pub faults: u64,
    /// Requests that were no HTTP, or whose header was too large.
    pub malformed: u64,
    /// Connections and HTTP/2 streams ended because the client was too slow.
    pub timed_out: u64,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
    /// Access log lines that could not be written.
    pub log_lines_lost: u64,
    /// The end was asked for.
    pub draining: bool,
    /// Since the start.
    pub elapsed: Duration,
}

impl Snapshot {
    pub(super) fn of(shared: &Shared) -> Snapshot {
        let counters = &shared.counters;
        let count = |n: &AtomicU64| n.load(Relaxed);
        let mut by_class = [0; 6];
        for (count, n) in by_class.iter_mut().zip(&counters.finished) {
            *count = n.load(Relaxed);
        }
        Snapshot {
            by_class,
            in_flight: counters.in_flight(),
            open: shared.registry.len() as u64,
            connections: count(&counters.accepted),
            bytes: count(&counters.bytes),
            faults: counters.faults.iter().map(count).sum(),
            malformed: count(&counters.malformed),
            timed_out: count(&counters.timed_out),
            handshakes_failed: count(&counters.handshakes_failed),
            log_lines_lost: shared.log.as_ref().map_or(0, |log| log.lost()),
            draining: shared.draining(),
            elapsed: shared.started.elapsed(),
        }
    }

    /// Requests answered, or given up.
    pub fn requests(&self) -> u64 {
        self.by_class.iter().sum()
    }
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The state at the end.
    pub total: Snapshot,
    /// Requests that were in flight when the end was asked for, or came later, and were answered.
    pub drained: u64,
    /// Requests that were cut off when the time was up.
    pub aborted: u64,
}
