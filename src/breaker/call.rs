//! The breaker of one process: the pure core behind a mutex that is held for an ask and for a report,
//! never during a call.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Config, Millis, Outcome, Phase, Refusal, State, Stats, Ticket, Transition};

/// Transitions kept for [`Stats::transitions`]; a target that flaps for days must not fill the memory.
const TRANSITIONS_KEPT: usize = 100;

/// A breaker that many calls of this process share by reference.
#[derive(Debug)]
pub struct Breaker {
    config: Config,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    transitions: VecDeque<Transition>,
    transitions_dropped: u64,
}

impl Breaker {
    /// A closed breaker; `config` was [validated](Config::validate).
    pub fn new(config: Config, now: Millis) -> Self {
        let state = State::new(&config, now);
        Self::restore(config, state)
    }

    /// A breaker that goes on where a former process stopped. The calls that were in flight then
    /// are not any more; a trial among them is replaced when its permit lapses.
    pub fn restore(config: Config, state: State) -> Self {
        Self {
            config,
            inner: Mutex::new(Inner { state, transitions: VecDeque::new(), transitions_dropped: 0 }),
        }
    }

    /// May a call be made? If so, hold the permit for as long as the call runs, and report it.
    pub fn ask(&self, now: Millis) -> Result<Permit<'_>, Refusal> {
        let mut inner = self.lock();
        let (ticket, transition) = inner.state.ask(&self.config, now)?;
        inner.remember(transition);
        Ok(Permit { breaker: self, ticket: Some(ticket) })
    }

    /// Everything a reader wants to know.
    pub fn stats(&self, now: Millis) -> Stats {
        let inner = self.lock();
        let (state, totals) = (&inner.state, inner.state.totals());
        Stats {
            phase: state.phase(),
            since: state.since(),
            generation: state.generation(),
            reopen_count: state.reopen_count(),
            next_trial_in: state.next_trial_in(now),
            requests: totals.tally.requests(),
            successes: totals.tally.successes,
            failures: totals.tally.failures,
            timeouts: totals.tally.timeouts,
            slow: totals.tally.slow,
            excluded: totals.excluded,
            short_circuited: totals.short_circuited,
            rejected: totals.rejected,
            in_flight: state.in_flight(),
            window: state.window(&self.config, now),
            transitions: inner.transitions.iter().copied().collect(),
            transitions_dropped: inner.transitions_dropped,
        }
    }

    /// Where it stands. An open breaker whose cooldown is over stays open until the next ask.
    pub fn phase(&self) -> Phase {
        self.lock().state.phase()
    }

    /// A copy of the state, to be persisted.
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// What it was made from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The core leaves no half-done change behind, so a panicking holder has spoilt nothing.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remember(&mut self, transition: Option<Transition>) {
        let Some(transition) = transition else { return };
        if self.transitions.len() == TRANSITIONS_KEPT {
            self.transitions.pop_front();
            self.transitions_dropped = self.transitions_dropped.saturating_add(1);
        }
        self.transitions.push_back(transition);
    }
}

/// The right to make one call. It takes one of the places of [`Config::max_concurrent`] until it is
/// reported or dropped; dropped, it counts as excluded, so that a cancelled call blocks nothing.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once bounds nothing"]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    /// `None` once reported.
    ticket: Option<Ticket>,
}

impl Permit<'_> {
    /// How the call ended and how long it took. `Some` when that changed the phase.
    pub fn report(mut self, outcome: Outcome, latency: Duration, now: Millis) -> Option<Transition> {
        let ticket = self.ticket.take()?;
        let mut inner = self.breaker.lock();
        let transition = inner.state.report(&self.breaker.config, ticket, outcome, latency, now);
        inner.remember(transition);
        transition
    }

    /// Whether this call decides if the breaker closes again.
    pub fn is_trial(&self) -> bool {
        self.ticket.is_some_and(|ticket| ticket.is_trial())
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker.lock().state.release(ticket);
        }
    }
}
