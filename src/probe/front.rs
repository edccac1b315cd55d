//! What stands before the calls of a target: the breaker of this run and, where one has a name, the breaker that is
//! shared. Then that one decides and is told of each call, and the run's own only counts.
//!
//! A call that is given up gives its permit back: whatever must still be told to the store then is told by a task.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::breaker::{Breaker, Millis, Outcome, Permit, Phase, Refusal, Stats, Tally, Totals};
use crate::circuit::{self, Answer, Asked, Bulk, Circuit, Pass, Trouble, View};
use crate::store;

use super::target::Target;

/// The shared breaker of a target.
#[derive(Clone, Debug)]
pub struct Shared {
    /// It.
    pub circuit: Arc<Circuit>,
    /// Whether calls are made without an answer of its store.
    pub without_store: bool,
}

/// Why a call is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A breaker said so.
    By(Refusal),
    /// Nobody knows whether it may.
    Unavailable,
}

/// The breakers of one target.
pub struct Front {
    own: Breaker,
    named: Option<Arc<Named>>,
    tasks: TaskTracker,
}

/// A shared one, and what this run has seen of it.
struct Named {
    shared: Shared,
    /// When false, every call passes.
    breaking: bool,
    started: Millis,
    troubles: Option<UnboundedSender<Trouble>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// The breaker, and when that was.
    view: Option<(Box<View>, Millis)>,
    short_circuited: u64,
    rejected: u64,
    uncounted: u64,
    /// The store did not answer the last time.
    silent: bool,
}

/// The right to make one call. Dropped, it counts as excluded.
#[must_use = "a call that is not reported is excluded"]
pub struct Leave<'a> {
    front: &'a Front,
    /// None once reported.
    permit: Option<Permit<'a>>,
    pass: Option<Pass>,
    asked: Millis,
}

impl Front {
    /// Closed, as far as it is the run's own. `breaking`: whether anything is kept back.
    pub fn new(
        target: &Target,
        breaking: bool,
        troubles: Option<UnboundedSender<Trouble>>,
        now: Millis,
    ) -> Front {
        let mut config = target.breaker.clone();
        if !breaking || target.shared.is_some() {
            config.request_volume = u32::MAX;
        }
        let named = target.shared.clone().map(|shared| {
            // Its places are those of the shared one.
            config.max_concurrent = u32::MAX;
            Arc::new(Named { shared, breaking, started: now, troubles, seen: Mutex::default() })
        });
        Front { own: Breaker::new(config, now), named, tasks: TaskTracker::new() }
    }

    /// The run's own.
    #[cfg(test)]
    pub fn own(&self) -> &Breaker {
        &self.own
    }

    /// May a call be made?
    pub async fn ask(&self, now: Millis) -> Result<Leave<'_>, Refused> {
        let pass = match &self.named {
            Some(named) if named.breaking => named.ask(now).await?,
            _ => None,
        };
        let mut leave = Leave { front: self, permit: None, pass, asked: now };
        leave.permit = Some(self.own.ask(now).map_err(Refused::By)?);
        Ok(leave)
    }

    /// What a reader is shown: of a shared breaker how it stands for all, and the counts of this run.
    pub fn stats(&self, now: Millis) -> Stats {
        let stats = self.own.stats(now);
        match &self.named {
            None => stats,
            Some(named) => named.stats(stats, now),
        }
    }

    /// The name of the shared one, how many calls it may not have counted, and whether its state was ever seen.
    pub fn shared(&self) -> Option<(String, u64, bool)> {
        let named = self.named.as_ref()?;
        let seen = named.seen();
        Some((named.shared.circuit.name().to_string(), seen.uncounted, seen.view.is_some()))
    }

    /// Until all that is to be told has been told, or given up.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn tell(
        &self,
        pass: Option<Pass>,
        outcome: Outcome,
        latency: Duration,
        now: Millis,
    ) -> Option<JoinHandle<()>> {
        let named = self.named.clone()?;
        let told = match pass {
            Some(pass) => Told::Asked(pass),
            None if !named.breaking => Told::Unasked,
            // There was no answer to the ask.
            None => return None,
        };
        let telling = async move { named.tell(told, outcome, latency, now).await };
        // Without a runtime there is nobody to tell it, and nothing that runs.
        Some(self.tasks.spawn_on(telling, &Handle::try_current().ok()?))
    }
}

impl Leave<'_> {
    /// How the call ended and how long it took. What is returned ends when a shared breaker knows it, too.
    pub fn report(mut self, outcome: Outcome, latency: Duration, now: Millis) -> Option<JoinHandle<()>> {
        if let Some(permit) = self.permit.take() {
            permit.report(outcome, latency, now);
        }
        self.front.tell(self.pass.take(), outcome, latency, now)
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.front.tell(Some(pass), Outcome::Excluded, Duration::ZERO, self.asked);
        }
    }
}

enum Told {
    Asked(Pass),
    Unasked,
}

impl Named {
    /// None: the store did not answer, and that is no reason.
    async fn ask(&self, now: Millis) -> Result<Option<Pass>, Refused> {
        let Answer { asked, damaged, view } = match self.shared.circuit.ask(false).await {
            Ok(answer) => answer,
            Err(error) => {
                self.silent(&error, self.shared.without_store);
                return if self.shared.without_store { Ok(None) } else { Err(Refused::Unavailable) };
            }
        };
        if damaged {
            self.say_damaged();
        }
        self.answered(view, now);
        let refusal = match asked {
            Asked::Admitted(pass) => return Ok(Some(pass)),
            Asked::Refused(refusal, _) => refusal,
        };
        let mut seen = self.seen();
        match refusal {
            Refusal::ShortCircuited { .. } => seen.short_circuited += 1,
            Refusal::Rejected { .. } => seen.rejected += 1,
        }
        Err(Refused::By(refusal))
    }

    async fn tell(&self, told: Told, outcome: Outcome, latency: Duration, now: Millis) {
        let circuit = &self.shared.circuit;
        let view = match told {
            Told::Asked(pass) => {
                circuit.report(pass, outcome, latency, false).await.map(|reported| reported.view)
            }
            Told::Unasked => {
                let tally = Tally::of(outcome, latency, circuit.terms().config.slow);
                let excluded = u64::from(outcome == Outcome::Excluded);
                let calls = Totals { tally, excluded, ..Totals::default() };
                circuit.add(&Bulk { calls, ..Bulk::default() }).await.map(|seen| self.undamaged(seen))
            }
        };
        match view {
            Ok(view) => self.answered(Some(view), now),
            Err(error) => self.silent(&error, true),
        }
    }

    fn undamaged(&self, seen: circuit::Seen) -> Box<View> {
        if seen.damaged {
            self.say_damaged();
        }
        seen.view
    }

    fn say_damaged(&self) {
        self.say(Trouble::Damaged(self.shared.circuit.name().clone()));
    }

    fn answered(&self, view: Option<Box<View>>, now: Millis) {
        let mut seen = self.seen();
        seen.silent = false;
        // Answers may overtake each other: an older one tells nothing new.
        let age = |view: &View| (view.generation, view.totals.all());
        if let Some(view) = view
            && seen.view.as_ref().is_none_or(|(known, _)| age(known) <= age(&view))
        {
            seen.view = Some((view, now));
        }
    }

    /// `made`: whether a call is made that is not counted.
    fn silent(&self, error: &store::Error, made: bool) {
        let mut seen = self.seen();
        seen.uncounted += u64::from(made);
        if !std::mem::replace(&mut seen.silent, true) {
            let Shared { circuit, without_store } = &self.shared;
            self.say(Trouble::unavailable(circuit.name(), error, *without_store));
        }
    }

    fn say(&self, trouble: Trouble) {
        if let Some(troubles) = &self.troubles {
            // Fails only when nobody listens any more.
            let _ = troubles.send(trouble);
        }
    }

    fn stats(&self, own: Stats, now: Millis) -> Stats {
        let seen = self.seen();
        let stats = Stats { short_circuited: seen.short_circuited, rejected: seen.rejected, ..own };
        let Some((view, then)) = &seen.view else { return stats };
        let passed = Duration::from_millis(now.saturating_sub(*then));
        // Of what was before this run, only how it came to be as it is.
        let all = view.moments.iter().map(|moment| moment.transition);
        let last = view.moments.last().filter(|_| view.phase != Phase::Closed).map(|last| last.transition.at);
        let transitions = all.filter(|one| one.at >= self.started || Some(one.at) == last).collect();
        Stats {
            phase: view.phase,
            since: view.since_ms,
            generation: view.generation,
            reopen_count: view.reopen_count,
            next_trial_in: view.next_trial_in.map(|wait| wait.saturating_sub(passed)),
            window: view.window,
            transitions,
            transitions_dropped: 0,
            ..stats
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
