//! What all connections of one server share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use super::access_log;
use super::connection::Registry;
use super::counters::Counters;
use super::event::Events;
use super::fault::Plan;
use super::feed::Feed;
use super::files::Root;
use super::respond::Prepared;
use super::settings::{Limits, Source};
use super::tls::Tls;

/// What answers a request.
#[derive(Debug)]
pub(super) enum Handler {
    Respond(Prepared),
    Echo,
    Files(Root),
    Metrics(Source),
    Feed(Feed),
}

/// What all connections of one server share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) handler: Handler,
    pub(super) plan: Plan,
    pub(super) limits: Limits,
    pub(super) tls: Option<Tls>,
    pub(super) log: Option<access_log::Handle>,
    pub(super) events: Events,
    pub(super) counters: Counters,
    pub(super) registry: Registry,
    /// `/healthz` and the like are answered on the main listener too.
    pub(super) probes_on_main: bool,
    pub(super) started: Instant,
    /// Not ready any more.
    draining: AtomicBool,
    clock_ms: AtomicU64,
    sequence: AtomicU64,
    connections: AtomicU64,
}

impl Shared {
    pub(super) fn new(
        handler: Handler,
        plan: Plan,
        limits: Limits,
        tls: Option<Tls>,
        log: Option<access_log::Handle>,
        events: Events,
    ) -> Shared {
        Shared {
            probes_on_main: !matches!(handler, Handler::Files(_)),
            handler,
            plan,
            limits,
            tls,
            log,
            events,
            counters: Counters::default(),
            registry: Registry::default(),
            started: Instant::now(),
            draining: AtomicBool::new(false),
            clock_ms: AtomicU64::new(0),
            sequence: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        }
    }

    /// Milliseconds since the start, as of the last [`tick`](Shared::tick): cheap enough for every read.
    pub(super) fn now_ms(&self) -> u64 {
        self.clock_ms.load(Relaxed)
    }

    /// Moves the coarse clock on.
    pub(super) fn tick(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.clock_ms.store(now, Relaxed);
    }

    /// The number of the next request that faults may hit.
    pub(super) fn next_request(&self) -> u64 {
        self.sequence.fetch_add(1, Relaxed)
    }

    /// The number of the next connection.
    pub(super) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Relaxed)
    }

    pub(super) fn draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    pub(super) fn start_draining(&self) {
        self.draining.store(true, Relaxed);
    }
}
