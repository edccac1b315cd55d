//! The breaker as a whole: its behaviour step by step, the defects of others it must not have, random
//! schedules against a naive model, and what a crash, another clock or another record may do to it.

mod behaviour;
mod calls;
mod defects;
mod merging;
mod model;
mod schedule;

use std::time::Duration;

use super::*;

/// The default without jitter: cooldowns of exactly 5, 10, 20, 40, 60 s.
fn steady() -> Config {
    Config { jitter_percent: 0, ..Config::default() }
}

/// A state driven by hand, at a time of its own.
#[derive(Debug)]
struct Hand {
    config: Config,
    state: State,
    now: Millis,
}

impl Hand {
    fn new(config: Config) -> Self {
        let now = 1_000_000;
        assert_eq!(config.validate(), Ok(()));
        Self { state: State::new(&config, now), config, now }
    }

    /// One that has tripped just now.
    fn tripped(config: Config) -> Self {
        let mut hand = Self::new(config);
        while hand.state.phase() == Phase::Closed {
            hand.call(Outcome::Failure);
        }
        hand
    }

    fn wait(&mut self, ms: Millis) -> &mut Self {
        self.now += ms;
        self
    }

    fn ask(&mut self) -> Result<Ticket, Refusal> {
        match self.state.step(&self.config, Event::Ask, self.now) {
            Decision::Admitted { ticket, .. } => Ok(ticket),
            Decision::Refused(refusal) => Err(refusal),
            Decision::Recorded { .. } => panic!("an ask was answered like a report"),
        }
    }

    fn report(&mut self, ticket: Ticket, outcome: Outcome) -> Option<Transition> {
        self.report_after(ticket, outcome, Duration::from_millis(1))
    }

    fn report_after(&mut self, ticket: Ticket, outcome: Outcome, latency: Duration) -> Option<Transition> {
        match self.state.step(&self.config, Event::Report { ticket, outcome, latency }, self.now) {
            Decision::Recorded { transition } => transition,
            other => panic!("a report was answered with {other:?}"),
        }
    }

    /// One call that is let through and ends at once.
    fn call(&mut self, outcome: Outcome) -> Option<Transition> {
        let ticket = self.ask().unwrap();
        self.report(ticket, outcome)
    }

    fn window(&self) -> WindowCounts {
        self.state.window(&self.config, self.now)
    }
}

fn short_circuited(ms: u64) -> Result<Ticket, Refusal> {
    Err(Refusal::ShortCircuited { retry_after: Duration::from_millis(ms) })
}
