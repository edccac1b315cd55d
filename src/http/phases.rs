//! Where the time of one call goes: dns, connect, tls, first byte, body.
//!
//! A call is in exactly one phase at a time, so the phases add up to its latency, over all redirects. The marks
//! come from the layers below reqwest: the resolver, a layer around the connector, and rustls asking its session
//! store for a hint at the start of each handshake. Refuses to interpret what the phases say.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// The phases in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Looking a name up.
    Dns,
    /// From asking for a connection until it stands, proxy tunnels included.
    Connect,
    /// The TLS handshake.
    Tls,
    /// From sending the request to the head of the response.
    FirstByte,
    /// From the head of the response to the end of its body.
    Body,
}

impl Phase {
    /// All phases in their order.
    pub const ALL: [Phase; 5] = [Phase::Dns, Phase::Connect, Phase::Tls, Phase::FirstByte, Phase::Body];

    /// What is going on in this phase, to follow "while".
    pub fn doing(self) -> &'static str {
        match self {
            Phase::Dns => "looking up the name",
            Phase::Connect => "connecting",
            Phase::Tls => "in the TLS handshake",
            Phase::FirstByte => "waiting for the first byte",
            Phase::Body => "reading the body",
        }
    }
}

/// Time spent in each phase, in the order of [`Phase::ALL`]; `None`: the call was never in it.
pub type Phases = [Option<Duration>; 5];

/// The stop-watch of one call.
#[derive(Debug)]
pub struct PhaseClock(Mutex<Marks>);

#[derive(Debug)]
struct Marks {
    start: Instant,
    phase: Phase,
    since: Instant,
    spent: Phases,
}

impl PhaseClock {
    /// Starts in [`Phase::Connect`].
    pub fn start() -> Arc<Self> {
        Arc::new(PhaseClock(Mutex::new(Marks::start())))
    }

    /// Starts anew: what was before only prepared the call.
    pub fn restart(&self) {
        *self.lock() = Marks::start();
    }

    /// The time since the last mark goes to the phase that now ends; `next` begins.
    pub fn enter(&self, next: Phase) {
        self.lock().enter(next, Instant::now());
    }

    /// The phase the call is in, what each phase took until now, and the whole.
    pub fn stop(&self) -> (Phase, Phases, Duration) {
        let mut marks = self.lock();
        let now = Instant::now();
        let phase = marks.phase;
        marks.pay(phase, now);
        (phase, marks.spent, now - marks.start)
    }

    fn lock(&self) -> MutexGuard<'_, Marks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Marks {
    fn start() -> Self {
        let now = Instant::now();
        Marks { start: now, phase: Phase::Connect, since: now, spent: [None; 5] }
    }

    fn enter(&mut self, next: Phase, now: Instant) {
        match next {
            same if same == self.phase => return,
            // What comes before a look-up prepares it: no connection was begun yet.
            Phase::Dns => self.pay(Phase::Dns, now),
            _ => self.pay(self.phase, now),
        }
        self.phase = next;
    }

    fn pay(&mut self, phase: Phase, now: Instant) {
        *self.spent[phase as usize].get_or_insert_default() += now - self.since;
        self.since = now;
    }
}

/// A tower layer that notes when a connection is asked for and when it stands.
#[derive(Clone)]
pub(super) struct TimedConnect<S = ()> {
    inner: S,
    clock: Arc<PhaseClock>,
}

impl TimedConnect {
    pub(super) fn new(clock: Arc<PhaseClock>) -> Self {
        TimedConnect { inner: (), clock }
    }
}

impl<S> tower::Layer<S> for TimedConnect {
    type Service = TimedConnect<S>;

    fn layer(&self, inner: S) -> TimedConnect<S> {
        TimedConnect { inner, clock: self.clock.clone() }
    }
}

impl<S, R> tower::Service<R> for TimedConnect<S>
where
    S: tower::Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.clock.enter(Phase::Connect);
        let connecting = self.inner.call(request);
        let clock = self.clock.clone();
        Box::pin(async move {
            let connection = connecting.await?;
            clock.enter(Phase::FirstByte);
            Ok(connection)
        })
    }
}

/// A session store that keeps nothing, so that each handshake is a full one, and notes when one begins.
#[derive(Debug)]
pub(super) struct Forgetful {
    clock: Arc<PhaseClock>,
}

impl Forgetful {
    pub(super) fn new(clock: Arc<PhaseClock>) -> Self {
        Forgetful { clock }
    }
}

impl ClientSessionStore for Forgetful {
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.clock.enter(Phase::Tls);
        None
    }

    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {}

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_add_up_to_the_whole() {
        let clock = PhaseClock::start();
        for phase in
            [Phase::Dns, Phase::Connect, Phase::Tls, Phase::FirstByte, Phase::Connect, Phase::FirstByte]
        {
            clock.enter(phase);
        }
        clock.enter(Phase::Body);
        let (phase, spent, whole) = clock.stop();
        assert_eq!(phase, Phase::Body);
        assert!(spent.iter().all(Option::is_some));
        assert_eq!(spent.iter().flatten().sum::<Duration>(), whole);
    }

    #[test]
    fn a_look_up_that_fails_has_begun_no_connection() {
        let clock = PhaseClock::start();
        clock.enter(Phase::Dns);
        assert_eq!(clock.stop().1.map(|s| s.is_some()), [true, false, false, false, false]);
    }

    #[test]
    fn a_phase_that_was_never_entered_has_no_time() {
        let (phase, spent, _) = PhaseClock::start().stop();
        assert_eq!(phase, Phase::Connect);
        assert_eq!(spent.map(|s| s.is_some()), [false, true, false, false, false]);
    }
}
