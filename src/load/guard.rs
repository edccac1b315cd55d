//! A circuit breaker in front of a whole run: it ends the run when it opens, or keeps requests back until it closes.
//!
//! It hears of requests ten times a second, in bulk; between two looks everything passes that the last one allowed.

use std::time::Duration;

use super::batch::Batch;
use super::control::Control;
use super::outcome::End;
use super::run::Judge;
use crate::breaker::{Config, Decision, Event, Millis, Outcome, Phase, State};

/// What an open breaker means for the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenOpen {
    /// Its end.
    Abort,
    /// Requests are kept back, but for trials.
    Shed,
}

/// The breaker.
pub struct Guard {
    config: Config,
    state: State,
    when_open: WhenOpen,
    /// When trials were let through last.
    granted: Option<Millis>,
}

impl Guard {
    /// A closed one. How many calls may be under way is the run's own matter.
    pub fn new(config: Config, when_open: WhenOpen) -> Guard {
        let config = Config { max_concurrent: u32::MAX, ..config };
        Guard { state: State::new(&config, 0), config, when_open, granted: None }
    }

    /// Counts so many requests that ended in this way; while it is open they were sent before.
    fn count(&mut self, requests: u64, outcome: Outcome, now: Millis) {
        for _ in 0..requests {
            let asked = self.state.step(&self.config, Event::Ask, now);
            let Decision::Admitted { ticket, .. } = asked else { return };
            let report = Event::Report { ticket, outcome, latency: Duration::ZERO };
            self.state.step(&self.config, report, now);
        }
    }

    /// Says how many pass from now on: after the cooldown exactly so many trials, and as many again when nothing was heard
    /// of them for as long as a call may take.
    fn admit(&mut self, now: Millis, control: &Control) {
        let cools_down = self.state.next_trial_in(now).is_some_and(|wait| !wait.is_zero());
        let timeout = Millis::try_from(self.config.timeout.as_millis()).unwrap_or(Millis::MAX);
        match self.state.phase() {
            Phase::Closed => {
                self.granted = None;
                control.admit(None);
            }
            Phase::Open if cools_down => {
                self.granted = None;
                control.admit(Some(0));
            }
            Phase::Open | Phase::HalfOpen => {
                if self.granted.is_none_or(|granted| now.saturating_sub(granted) > timeout) {
                    self.granted = Some(now);
                    control.admit(Some(self.config.trials));
                }
            }
        }
    }
}

impl Judge for Guard {
    fn look(&mut self, elapsed: Duration, _: &Batch, fresh: &Batch, control: &Control) -> Option<End> {
        let now = Millis::try_from(elapsed.as_millis()).unwrap_or(Millis::MAX);
        // In which order they ended is not known: it must be the share that trips, and any failed trial that reopens.
        let failures = fresh.reasons().map(|(reason, requests)| (requests, reason.outcome()));
        let mut ended: Vec<_> = failures.chain([(fresh.ok, Outcome::Success)]).collect();
        if self.state.phase() == Phase::Closed {
            ended.reverse();
        }
        ended.into_iter().for_each(|(requests, outcome)| self.count(requests, outcome, now));
        if self.when_open == WhenOpen::Abort {
            return (self.state.phase() != Phase::Closed).then_some(End::BreakerOpened);
        }
        self.admit(now, control);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::Sample;
    use super::*;
    use crate::reason::Reason;

    fn fresh(ok: u64, failed: u64) -> Batch {
        let mut batch = Batch::default();
        let sample = Sample { due: 0, sent: 0, ended: 1 };
        (0..ok).for_each(|_| batch.ended(sample, false, Ok(())));
        (0..failed).for_each(|_| batch.ended(sample, false, Err(Reason::HttpStatus)));
        batch
    }

    #[test]
    fn it_ends_a_run_that_fails() {
        let mut guard = Guard::new(Config::default(), WhenOpen::Abort);
        let control = Control::default();
        let mut look = |at, batch: &Batch| guard.look(Duration::from_millis(at), batch, batch, &control);
        assert_eq!(look(100, &fresh(1000, 100)), None);
        assert_eq!(look(200, &fresh(0, 2000)), Some(End::BreakerOpened));
    }

    #[test]
    fn it_keeps_back_all_but_trials_and_then_nothing() {
        let config = Config { jitter_percent: 0, ..Config::default() };
        let mut guard = Guard::new(config.clone(), WhenOpen::Shed);
        let control = Control::default();
        let cooldown = u64::try_from(config.cooldown.as_millis()).unwrap();
        let mut look = |at, batch: &Batch| guard.look(Duration::from_millis(at), batch, batch, &control);
        assert_eq!(look(100, &fresh(0, 100)), None);
        assert!(!control.admits_one());
        // What was sent before it opened is answered late, and decides nothing.
        look(200, &fresh(100, 0));
        assert!(!control.admits_one());
        look(100 + cooldown, &fresh(0, 0));
        assert_eq!((0..3).filter(|_| control.admits_one()).count() as u32, config.trials);
        look(200 + cooldown, &fresh(0, 0));
        assert!(!control.admits_one(), "nothing was heard of the trials yet");
        look(300 + cooldown, &fresh(u64::from(config.trials), 0));
        assert!(control.admits_all());
    }
}
