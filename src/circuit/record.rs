//! The record of one breaker, and its steps: pure, as [`State`] is, and with all that callers in many processes need
//! besides it: places and permits that are leased, who shares it, what operators decided, what happened.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::members::Members;
use super::recent::Recent;
use super::terms::{Numbers, Terms};
use crate::breaker::{
    Config, Decision, Event, Millis, Outcome, Phase, Refusal, State, Ticket, Totals, Transition, Why,
};

/// So many changes of phase are remembered.
const MOMENTS: usize = 20;

/// So many different settings are remembered, each for an hour.
const SETTINGS: usize = 4;
const SETTINGS_KEPT: Millis = 3_600_000;

/// One breaker at one moment, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// Different in each version of it.
    stamp: u64,
    /// When it was changed, by the clock of all members, and by whom.
    pub at_ms: Millis,
    pub by: String,
    pub state: State,
    /// Calls that run now.
    pub flights: Vec<Lease>,
    /// Calls that were never reported: their callers have crashed, or could not reach the store in time.
    pub lost: u64,
    pub fallback: FallbackCounts,
    pub falling: Vec<Lease>,
    pub forced: Option<Forced>,
    pub moments: Vec<Moment>,
    pub members: Members,
    pub settings: Vec<Used>,
    /// Absent from the records of earlier versions.
    #[serde(default)]
    pub recent: Recent,
}

/// A place that is given back by its holder, or by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    id: u64,
    until_ms: Millis,
    span_ms: Millis,
}

/// Numbers that were used lately.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Used {
    pub numbers: Numbers,
    seen_ms: Millis,
}

/// What became of the fallbacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FallbackCounts {
    /// They ended with 0.
    pub successes: u64,
    /// They ended otherwise, or in no time.
    pub failures: u64,
    /// They were not run: too many were running.
    pub rejected: u64,
}

/// What an operator decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Forced {
    /// Open or closed.
    pub phase: Phase,
    /// Until when, in milliseconds of Unix time; null: until somebody decides otherwise.
    pub until_ms: Option<Millis>,
    /// On which host.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

/// One change of phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// The generation that it began: grows by one with each.
    pub generation: u64,
    /// What happened.
    #[serde(flatten)]
    pub transition: Transition,
    /// On which host.
    pub by: String,
}

/// Calls that were not asked for one by one: of a load, which makes too many, or of whoever may not be kept back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bulk {
    /// What became of them.
    pub calls: Totals,
    /// Calls whose report was tried, and perhaps never arrived.
    pub lost: u64,
    /// In which generation they were begun: they decide nothing in another one. None: in whichever it is.
    pub generation: Option<u64>,
    /// Whether they may open it; if not, they count for those who come later.
    pub may_trip: bool,
}

/// Who makes a step, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller<'a> {
    pub host: &'a str,
    pub terms: &'a Terms,
    /// The time of its own clock.
    pub wall: Millis,
}

/// A call that was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Admission {
    pub ticket: Ticket,
    pub flight: u64,
}

impl Record {
    /// A closed breaker that has seen nothing.
    pub fn new(caller: Caller<'_>) -> Record {
        Record {
            stamp: 0,
            at_ms: caller.wall,
            by: caller.host.to_owned(),
            state: State::new(&caller.terms.config, caller.wall),
            flights: Vec::new(),
            lost: 0,
            fallback: FallbackCounts::default(),
            falling: Vec::new(),
            forced: None,
            moments: Vec::new(),
            members: Members::default(),
            settings: Vec::new(),
            recent: Recent::default(),
        }
    }

    /// As it is kept.
    pub fn bytes(&mut self) -> Vec<u8> {
        self.stamp = fastrand::u64(..);
        // Nothing in it can fail to be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// As it was kept; none if it is damaged, or of another version.
    pub fn parse(bytes: &[u8]) -> Option<Record> {
        serde_json::from_slice(bytes).ok()
    }

    /// May a call be made?
    pub fn ask(&mut self, caller: Caller<'_>) -> Result<Admission, Refusal> {
        let now = self.begin(caller);
        self.use_numbers(caller.terms.numbers(), now);
        let config = self.config_for(caller, now);
        self.state.set_in_flight(u32::try_from(self.flights.len()).unwrap_or(u32::MAX));
        match self.state.step(&config, Event::Ask, now) {
            Decision::Admitted { ticket, transition } => {
                self.moved(transition, caller.host);
                let flight = grant(&mut self.flights, caller.terms, now);
                Ok(Admission { ticket, flight })
            }
            Decision::Refused(refusal) => {
                self.recent.refused(&config, refusal, now);
                Err(refusal)
            }
            // A report alone is answered so.
            Decision::Recorded { .. } => Err(Refusal::ShortCircuited { retry_after: Duration::ZERO }),
        }
    }

    /// A call has ended.
    pub fn report(
        &mut self,
        caller: Caller<'_>,
        admission: Admission,
        outcome: Outcome,
        latency: Duration,
    ) -> Option<Transition> {
        let now = self.begin(caller);
        if !give_back(&mut self.flights, admission.flight) {
            // It had lapsed and was counted as lost; late is not lost.
            self.lost = self.lost.saturating_sub(1);
        }
        let mut config = self.config_for(caller, now);
        self.recent.ended(&config, outcome, latency, now);
        if self.state.phase() == Phase::Closed {
            self.members.seen(caller.host, &config, now).record(&config, outcome, latency, now);
            config = self.by_quorum(config, caller.terms, now);
        }
        let event = Event::Report { ticket: admission.ticket, outcome, latency };
        let Decision::Recorded { transition } = self.state.step(&config, event, now) else { return None };
        self.moved(transition, caller.host);
        transition
    }

    /// Calls have ended that were not asked for.
    pub fn add(&mut self, caller: Caller<'_>, bulk: &Bulk) {
        let now = self.begin(caller);
        self.use_numbers(caller.terms.numbers(), now);
        self.lost = self.lost.saturating_add(bulk.lost);
        let mut config = self.config_for(caller, now);
        self.recent.add(&config, &bulk.calls, now);
        let generation = bulk.generation.unwrap_or(self.state.generation());
        if self.state.phase() == Phase::Closed && generation == self.state.generation() {
            self.members.seen(caller.host, &config, now).add(&config, &bulk.calls.tally, now);
            config = self.by_quorum(config, caller.terms, now);
        }
        let config = if bulk.may_trip { config } else { never_tripping(config) };
        let transition = self.state.add(&config, &bulk.calls, generation, now);
        self.moved(transition, caller.host);
    }

    /// May a fallback be run? Its place, if so.
    pub fn fall_back(&mut self, caller: Caller<'_>) -> Option<u64> {
        let now = self.begin(caller);
        if self.falling.len() >= caller.terms.fallbacks as usize {
            self.count_fallback(caller, now, |counts| &mut counts.rejected);
            return None;
        }
        Some(grant(&mut self.falling, caller.terms, now))
    }

    /// A fallback has ended.
    pub fn fell_back(&mut self, caller: Caller<'_>, place: u64, good: bool) {
        let now = self.begin(caller);
        give_back(&mut self.falling, place);
        self.count_fallback(caller, now, |counts| match good {
            true => &mut counts.successes,
            false => &mut counts.failures,
        });
    }

    /// An operator decides. `until`: none for ever.
    pub fn force(&mut self, caller: Caller<'_>, phase: Phase, span: Option<Millis>, reason: Option<String>) {
        let now = self.begin(caller);
        let until_ms = span.map(|span| now.saturating_add(span));
        let until = until_ms.unwrap_or(Millis::MAX);
        let moved = self.state.force(phase, until, Why::Forced, now);
        self.forced = Some(Forced { phase, until_ms, by: caller.host.to_owned(), reason });
        self.moved(Some(moved), caller.host);
    }

    /// An operator has everything forgotten but the calls that run, and what happened when.
    pub fn reset(&mut self, caller: Caller<'_>) {
        let now = self.begin(caller);
        let moved = self.state.force(Phase::Closed, now, Why::Reset, now);
        self.moved(Some(moved), caller.host);
        self.state.forget_totals();
        self.forced = None;
        self.fallback = FallbackCounts::default();
        self.recent = Recent::default();
        self.lost = 0;
        self.settings.clear();
    }

    /// Calls that run then.
    pub fn running(&self, now: Millis) -> usize {
        self.flights.iter().filter(|lease| now < lease.until_ms).count()
    }

    /// Calls that count as lost by then.
    pub fn lost_by(&self, now: Millis) -> u64 {
        self.lost.saturating_add((self.flights.len() - self.running(now)) as u64)
    }

    /// The time by the clock of all members. What has lapsed is cleared away.
    fn begin(&mut self, caller: Caller<'_>) -> Millis {
        let Caller { host, terms, wall } = caller;
        let now = self.members.time(host, wall);
        let ahead = self.at_ms.saturating_sub(now);
        if ahead > 0 && self.by != host {
            let last = std::mem::take(&mut self.by);
            self.members.is_ahead(&last, ahead);
            if let Some(Forced { until_ms: Some(until), .. }) = &mut self.forced {
                *until = until.saturating_sub(ahead);
            }
        }
        self.at_ms = now;
        host.clone_into(&mut self.by);
        self.members.seen(host, &terms.config, now);
        self.lost = self.lost.saturating_add(lapse(&mut self.flights, now));
        lapse(&mut self.falling, now);
        if self.forced.as_ref().is_some_and(|forced| forced.until_ms.is_some_and(|until| until <= now)) {
            self.forced = None;
        }
        now
    }

    fn count_fallback(
        &mut self,
        caller: Caller<'_>,
        now: Millis,
        which: impl Fn(&mut FallbackCounts) -> &mut u64,
    ) {
        let counter = which(&mut self.fallback);
        *counter = counter.saturating_add(1);
        let config = self.config_for(caller, now);
        self.recent.fell_back(&config, now, which);
    }

    /// Nothing trips for as long as too few members see it failing.
    fn by_quorum(&self, config: Config, terms: &Terms, now: Millis) -> Config {
        let failing = u32::try_from(self.members.failing(&config, now)).unwrap_or(u32::MAX);
        if failing < terms.quorum { never_tripping(config) } else { config }
    }

    fn use_numbers(&mut self, numbers: Numbers, now: Millis) {
        self.settings
            .retain(|used| used.numbers != numbers && now.saturating_sub(used.seen_ms) < SETTINGS_KEPT);
        self.settings.insert(0, Used { numbers, seen_ms: now });
        self.settings.truncate(SETTINGS);
    }

    /// The caller's own numbers, but for the window of a record that holds counts, and for what an operator decided.
    fn config_for(&self, caller: Caller<'_>, now: Millis) -> Config {
        let own = caller.terms.stepping();
        let recorded = self.state.with_geometry(&own);
        let empty = self.state.window(&recorded, now).requests == 0;
        let config = if empty { own } else { recorded };
        match &self.forced {
            None => config,
            Some(forced) if forced.phase == Phase::Open => {
                let left = forced.until_ms.map_or(Millis::MAX, |until| until.saturating_sub(now));
                let cooldown_max = config.cooldown_max.max(Duration::from_millis(left));
                Config { cooldown_max, jitter_percent: 0, ..config }
            }
            Some(_) => never_tripping(config),
        }
    }

    fn moved(&mut self, transition: Option<Transition>, host: &str) {
        let Some(transition) = transition else { return };
        // Until it closes again they tell who has seen it failing.
        if transition.to == Phase::Closed {
            self.members.clear_windows(transition.at);
        }
        let generation = self.state.generation();
        self.moments.push(Moment { generation, transition, by: host.to_owned() });
        let more = self.moments.len().saturating_sub(MOMENTS);
        self.moments.drain(..more);
    }
}

/// It counts, and no number of calls is enough.
fn never_tripping(config: Config) -> Config {
    Config { request_volume: u32::MAX, ..config }
}

fn grant(leases: &mut Vec<Lease>, terms: &Terms, now: Millis) -> u64 {
    let (id, span_ms) = (fastrand::u64(..), terms.lease_ms());
    leases.push(Lease { id, until_ms: now.saturating_add(span_ms), span_ms });
    id
}

fn give_back(leases: &mut Vec<Lease>, id: u64) -> bool {
    let before = leases.len();
    leases.retain(|lease| lease.id != id);
    leases.len() < before
}

/// Drops what has lapsed; how many. A clock that was wrong makes no lease longer than it was.
fn lapse(leases: &mut Vec<Lease>, now: Millis) -> u64 {
    let before = leases.len();
    leases.retain(|lease| now < lease.until_ms);
    for lease in leases.iter_mut() {
        lease.until_ms = lease.until_ms.min(now.saturating_add(lease.span_ms));
    }
    (before - leases.len()) as u64
}
