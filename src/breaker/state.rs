//! The pure core: one breaker as a value, changed by [`State::step`] alone.
//!
//! Closed: every call is counted in the window, and the report that makes it bad enough trips. Open:
//! calls are refused until the cooldown is over; the first ask after that makes it half-open. Half-open:
//! exactly as many trials as needed go through; they all succeed and it closes, or one fails and it
//! opens for longer.
//!
//! Each change of phase begins a new generation. A report of an older one touches the lifetime totals
//! and nothing else, so that no straggler decides about a present it did not see. A trial's permit is a
//! lease: a holder that crashed is replaced after [`Config::timeout`] and a second. Calls in flight are
//! this process's own: they are not serialised, because a crash takes them along.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::outcome::{Outcome, Tally, Weight};
use super::window::Window;
use super::{Config, Millis, Phase, Transition, Why, WindowCounts};

/// One breaker at one moment. Serialised, it is its persisted form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    #[serde(deserialize_with = "known_schema")]
    schema: u32,
    pub(super) generation: u64,
    pub(super) phase: Phase,
    #[serde(rename = "since_ms")]
    pub(super) since: Millis,
    /// The end of the cooldown; the same as `since` in the other phases.
    #[serde(rename = "until_ms")]
    pub(super) until: Millis,
    pub(super) reopen_count: u32,
    pub(super) window: Window,
    pub(super) totals: Totals,
    /// Of this half-open phase.
    pub(super) trial_successes: u32,
    /// Trials that run now.
    pub(super) trials: Vec<Trial>,
    /// Ever granted: the next trial's number.
    pub(super) trials_granted: u64,
    #[serde(skip)]
    pub(super) in_flight: u32,
}

/// The permit of one trial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Trial {
    number: u64,
    /// When the permit lapses.
    #[serde(rename = "until_ms")]
    until: Millis,
}

/// Everything that was ever asked, whatever became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Calls that ran and count.
    pub tally: Tally,
    /// Calls that ran and say nothing about the target, or were given up.
    pub excluded: u64,
    /// Calls refused because the breaker was not closed.
    pub short_circuited: u64,
    /// Calls refused because too many were in flight.
    pub rejected: u64,
}

/// What was admitted: handed out by an ask, handed back with its report, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ticket {
    generation: u64,
    trial: Option<u64>,
}

impl Ticket {
    /// Whether this call decides if the breaker closes again.
    pub fn is_trial(&self) -> bool {
        self.trial.is_some()
    }
}

/// What happens to a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// May a call be made?
    Ask,
    /// A call has ended.
    Report {
        /// What the ask was answered with.
        ticket: Ticket,
        /// How it ended.
        outcome: Outcome,
        /// How long it took.
        latency: Duration,
    },
}

/// The answer to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// To an ask: make the call, and report it.
    Admitted {
        /// To be handed back.
        ticket: Ticket,
        /// From open to half-open, when this is the first trial.
        transition: Option<Transition>,
    },
    /// To an ask: do not make the call.
    Refused(Refusal),
    /// To a report.
    Recorded {
        /// When the report changed the phase.
        transition: Option<Transition>,
    },
}

/// Why a call may not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The breaker is open, or half-open with all its trials under way.
    #[error("short-circuited: the breaker is not closed, ask again in {retry_after:?}")]
    ShortCircuited {
        /// When an ask is admitted if nothing else happens. A trial that ends sooner decides sooner.
        retry_after: Duration,
    },
    /// As many calls are in flight as may be.
    #[error("rejected: {in_flight} of at most {limit} calls are in flight")]
    Rejected {
        /// Calls running now.
        in_flight: u32,
        /// [`Config::max_concurrent`].
        limit: u32,
    },
}

impl State {
    /// The number of this layout; another one is not read.
    pub const SCHEMA: u32 = 1;

    /// A closed breaker that has seen nothing.
    pub fn new(config: &Config, now: Millis) -> Self {
        Self {
            schema: Self::SCHEMA,
            generation: 0,
            phase: Phase::Closed,
            since: now,
            until: now,
            reopen_count: 0,
            window: Window::new(config, now),
            totals: Totals::default(),
            trial_successes: 0,
            trials: Vec::new(),
            trials_granted: 0,
            in_flight: 0,
        }
    }

    /// The one way to change a breaker. It never panics, whatever the clock or a restored state says.
    pub fn step(&mut self, config: &Config, event: Event, now: Millis) -> Decision {
        match event {
            Event::Ask => match self.ask(config, now) {
                Ok((ticket, transition)) => Decision::Admitted { ticket, transition },
                Err(refusal) => Decision::Refused(refusal),
            },
            Event::Report { ticket, outcome, latency } => {
                Decision::Recorded { transition: self.report(config, ticket, outcome, latency, now) }
            }
        }
    }

    /// Where it stands. An open breaker whose cooldown is over stays open until the next ask.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Since when it stands there.
    pub fn since(&self) -> Millis {
        self.since
    }

    /// Grows by one with each change of phase.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Failed trials since it was last closed.
    pub fn reopen_count(&self) -> u32 {
        self.reopen_count
    }

    /// Everything ever asked.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Calls of this process that run now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Whoever shares it among processes says how many calls of all of them are running.
    pub fn set_in_flight(&mut self, calls: u32) {
        self.in_flight = calls;
    }

    /// An operator's decision: it stands there from now on, whatever was counted. Open, the first ask after `until` is
    /// a trial, as long as that is no longer than the longest cooldown of whoever asks.
    pub fn force(&mut self, to: Phase, until: Millis, why: Why, now: Millis) -> Transition {
        let transition = self.enter(to, why, now);
        self.until = if to == Phase::Open { until.max(now) } else { now };
        self.reopen_count = 0;
        self.window.clear(now);
        transition
    }

    /// Trials whose permits have not lapsed by then.
    pub fn trials_at(&self, now: Millis) -> usize {
        self.trials.iter().filter(|trial| trial.until > now).count()
    }

    /// Nothing was ever asked.
    pub fn forget_totals(&mut self) {
        self.totals = Totals::default();
    }

    /// The window and the buckets that it was recorded in, in place of those of `config`; where they can be used.
    #[must_use]
    pub fn with_geometry(&self, config: &Config) -> Config {
        let (bucket_ms, buckets) = self.window.geometry();
        let window = Duration::from_millis(bucket_ms.saturating_mul(buckets.into()));
        let recorded = Config { window, buckets, ..config.clone() };
        if recorded.validate().is_ok() { recorded } else { config.clone() }
    }

    /// While open: how long until an ask is admitted; zero, when the cooldown is over.
    pub fn next_trial_in(&self, now: Millis) -> Option<Duration> {
        // A clock that was set back does not make the cooldown longer than it was.
        let cooldown = self.until.saturating_sub(self.since);
        let left = self.until.saturating_sub(now).min(cooldown);
        (self.phase == Phase::Open).then(|| Duration::from_millis(left))
    }

    /// The rolling window that ends now; empty, when it was recorded in buckets of another size.
    pub fn window(&self, config: &Config, now: Millis) -> WindowCounts {
        if self.window.fits(config) {
            WindowCounts::new(&self.window.tally(now), self.window.span_ms(now))
        } else {
            WindowCounts::default()
        }
    }

    pub(super) fn ask(
        &mut self,
        config: &Config,
        now: Millis,
    ) -> Result<(Ticket, Option<Transition>), Refusal> {
        self.settle(config, now);
        if let Some(refusal) = self.refusal(config, now) {
            let counter = match refusal {
                Refusal::ShortCircuited { .. } => &mut self.totals.short_circuited,
                Refusal::Rejected { .. } => &mut self.totals.rejected,
            };
            *counter = counter.saturating_add(1);
            return Err(refusal);
        }
        let transition =
            (self.phase == Phase::Open).then(|| self.enter(Phase::HalfOpen, Why::CooledDown, now));
        let trial = (self.phase == Phase::HalfOpen).then(|| self.grant_trial(config, now));
        self.in_flight = self.in_flight.saturating_add(1);
        Ok((Ticket { generation: self.generation, trial }, transition))
    }

    pub(super) fn report(
        &mut self,
        config: &Config,
        ticket: Ticket,
        outcome: Outcome,
        latency: Duration,
        now: Millis,
    ) -> Option<Transition> {
        let Some(weight) = outcome.weigh(latency, config.slow) else {
            self.release(ticket);
            return None;
        };
        self.in_flight = self.in_flight.saturating_sub(1);
        self.totals.tally.count(weight);
        let trial = self.take_trial(ticket);
        match self.phase {
            Phase::Closed if ticket.generation == self.generation => {
                self.window.count(weight, now);
                self.trip_if_due(config, now)
            }
            Phase::HalfOpen if trial => self.judge_trial(config, weight, now),
            _ => None,
        }
    }

    /// Calls that ended, and what else became of calls, that were not asked for one by one: by whoever makes too many for
    /// that, or is not to be kept back. `generation`: that in which they were begun; those of another one than the present
    /// touch the totals only. A trial is never among them.
    pub fn add(
        &mut self,
        config: &Config,
        calls: &Totals,
        generation: u64,
        now: Millis,
    ) -> Option<Transition> {
        self.settle(config, now);
        self.totals.add(calls);
        let decides = self.phase == Phase::Closed && generation == self.generation;
        if !decides || calls.tally.requests() == 0 {
            return None;
        }
        self.window.add(config, &calls.tally, now);
        self.trip_if_due(config, now)
    }

    /// A call that was admitted has ended, and says nothing: it gives its permit back, no more.
    pub(super) fn release(&mut self, ticket: Ticket) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.totals.excluded = self.totals.excluded.saturating_add(1);
        self.take_trial(ticket);
    }

    /// Makes the state one that `config` and a clock that says `now` could have led to: the clock
    /// may have been set back, the state restored from a crash or from elsewhere, the config changed.
    /// Without this, each of them could keep a breaker open or half-open for good.
    fn settle(&mut self, config: &Config, now: Millis) {
        if now < self.since {
            let cooldown = self.until.saturating_sub(self.since);
            self.since = now;
            self.until = now.saturating_add(cooldown);
        }
        match self.phase {
            Phase::Closed => {}
            Phase::Open => self.until = self.until.min(now.saturating_add(config.longest_cooldown_ms())),
            Phase::HalfOpen => {
                let latest = now.saturating_add(config.lease_ms());
                self.trials.retain(|trial| trial.until > now);
                self.trials.iter_mut().for_each(|trial| trial.until = trial.until.min(latest));
            }
        }
        if !self.window.fits(config) {
            self.window = Window::new(config, now);
        }
    }

    fn refusal(&self, config: &Config, now: Millis) -> Option<Refusal> {
        let wait = match self.phase {
            Phase::Closed => 0,
            Phase::Open => self.until.saturating_sub(now),
            Phase::HalfOpen if self.trials_left(config) => 0,
            // Without any permit out (the config asked for more trials before), one more goes through.
            Phase::HalfOpen => {
                self.trials.iter().map(|trial| trial.until.saturating_sub(now)).min().unwrap_or(0)
            }
        };
        if wait > 0 {
            return Some(Refusal::ShortCircuited { retry_after: Duration::from_millis(wait) });
        }
        let (in_flight, limit) = (self.in_flight, config.max_concurrent);
        (in_flight >= limit).then_some(Refusal::Rejected { in_flight, limit })
    }

    /// A trial that succeeded is not repeated: no more run than are needed to close.
    fn trials_left(&self, config: &Config) -> bool {
        self.trials.len().saturating_add(self.trial_successes as usize) < config.trial_count() as usize
    }

    fn grant_trial(&mut self, config: &Config, now: Millis) -> u64 {
        let number = self.trials_granted;
        self.trials_granted = number.wrapping_add(1);
        self.trials.push(Trial { number, until: now.saturating_add(config.lease_ms()) });
        number
    }

    /// Whether the ticket is that of a trial that runs now; it no longer does.
    fn take_trial(&mut self, ticket: Ticket) -> bool {
        let running = self.trials.len();
        if ticket.generation == self.generation {
            self.trials.retain(|trial| Some(trial.number) != ticket.trial);
        }
        self.trials.len() < running
    }

    fn trip_if_due(&mut self, config: &Config, now: Millis) -> Option<Transition> {
        let tally = self.window.tally(now);
        let (failed, requests) = (tally.failed(), tally.requests());
        let due = tally.is_bad(config) && requests >= u64::from(config.request_volume);
        due.then(|| self.open(config, Why::Tripped { failed, requests }, now))
    }

    fn judge_trial(&mut self, config: &Config, weight: Weight, now: Millis) -> Option<Transition> {
        let why = match weight {
            Weight::Success => return self.trial_succeeded(config, now),
            Weight::Slow => Why::TrialSlow,
            Weight::Failure => Why::TrialFailed,
            Weight::Timeout => Why::TrialTimedOut,
        };
        self.reopen_count = self.reopen_count.saturating_add(1);
        Some(self.open(config, why, now))
    }

    fn trial_succeeded(&mut self, config: &Config, now: Millis) -> Option<Transition> {
        self.trial_successes = self.trial_successes.saturating_add(1);
        if self.trial_successes < config.trial_count() {
            return None;
        }
        self.reopen_count = 0;
        self.window.clear(now);
        Some(self.enter(Phase::Closed, Why::TrialsSucceeded, now))
    }

    fn open(&mut self, config: &Config, why: Why, now: Millis) -> Transition {
        let transition = self.enter(Phase::Open, why, now);
        self.until = now.saturating_add(config.cooldown_ms(self.reopen_count, self.generation));
        transition
    }

    fn enter(&mut self, to: Phase, why: Why, now: Millis) -> Transition {
        let from = std::mem::replace(&mut self.phase, to);
        self.generation = self.generation.wrapping_add(1);
        self.since = now;
        self.until = now;
        self.trials.clear();
        self.trial_successes = 0;
        Transition { at: now, from, to, why }
    }
}

fn known_schema<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    match u32::deserialize(from)? {
        State::SCHEMA => Ok(State::SCHEMA),
        other => Err(serde::de::Error::custom(format!(
            "breaker schema {other} is not known, only {}",
            State::SCHEMA
        ))),
    }
}
