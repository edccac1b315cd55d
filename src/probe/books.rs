//! The books of all targets: what was counted, which state each is in, and what is to be told of it.
//!
//! Pure but for the breakers that the rounds share with it: time comes in as an argument. Refuses to send anything.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use super::board::Plan;
use super::clock::rfc3339;
use super::flap::FlapRule;
use super::front::Front;
use super::report::{Snapshot, Standing, State, StateChange};
use super::round::Message;
use super::tally::{Streaks, Tally};
use super::target::Target;
use crate::circuit::Trouble;

/// So many of the latest changes are kept.
const CHANGES: usize = 10;

/// The books of all targets.
pub struct Books {
    books: Vec<Book>,
    streaks: Streaks,
    flapping: FlapRule,
    breaking: bool,
    has_fallback: bool,
    started_ms: u64,
    /// How many targets have finished a round that not all have.
    finished: BTreeMap<u64, usize>,
    /// Rounds that all targets have finished.
    rounds: u64,
    /// The latest that were told, oldest first.
    changes: VecDeque<StateChange>,
}

struct Book {
    target: Target,
    front: Arc<Front>,
    tally: Tally,
    state: State,
    standing: Standing,
}

/// What followed from a message.
#[derive(Debug, Default)]
pub struct Counted {
    /// A target stands otherwise now.
    pub change: Option<StateChange>,
    /// A round is over for all targets.
    pub round_is_over: bool,
}

impl Books {
    /// Empty ones.
    pub fn new(plan: &Plan, troubles: Option<&UnboundedSender<Trouble>>, now_ms: u64) -> Self {
        let book = |target: &Target| Book {
            target: target.clone(),
            front: Arc::new(Front::new(target, plan.breaking, troubles.cloned(), now_ms)),
            tally: Tally::default(),
            state: State::Unknown,
            standing: Standing::Unknown,
        };
        Books {
            books: plan.targets.iter().map(book).collect(),
            streaks: plan.streaks,
            flapping: plan.flapping,
            breaking: plan.breaking,
            has_fallback: plan.fallback.is_some(),
            started_ms: now_ms,
            finished: BTreeMap::new(),
            rounds: 0,
            changes: VecDeque::new(),
        }
    }

    /// The breakers of the target at this place.
    pub fn front(&self, target: usize) -> Arc<Front> {
        self.books[target].front.clone()
    }

    /// What is known of each target.
    pub fn states(&self) -> impl Iterator<Item = State> {
        self.books.iter().map(|book| book.state)
    }

    /// Counts what happened.
    pub fn count(&mut self, message: Message, now_ms: u64) -> Counted {
        match message {
            Message::Call { target, at_ms, call } => self.books[target].tally.call(at_ms, call),
            Message::Fallback { target, result } => self.books[target].tally.fallback(result),
            Message::FallbackRejected { target } => self.books[target].tally.fallback_rejected(),
            Message::Round { target, number, mark } => {
                self.books[target].tally.round(mark, self.streaks);
                let change = self.books[target].settle(now_ms, self.flapping);
                if let Some(change) = &change {
                    if self.changes.len() == CHANGES {
                        self.changes.pop_front();
                    }
                    self.changes.push_back(change.clone());
                }
                return Counted { change, round_is_over: self.finish(number) };
            }
        }
        Counted::default()
    }

    /// Was this round the last that was missing of one, or more?
    fn finish(&mut self, number: u64) -> bool {
        *self.finished.entry(number).or_default() += 1;
        let before = self.rounds;
        while self.finished.get(&self.rounds) == Some(&self.books.len()) {
            self.finished.remove(&self.rounds);
            self.rounds += 1;
        }
        self.rounds > before
    }

    /// All of it at one moment.
    pub fn snapshot(&self, now_ms: u64) -> Snapshot {
        let report = |book: &Book| {
            let stats = book.front.stats(now_ms);
            let mut report = book.tally.report(&book.target, stats, self.breaking, self.has_fallback);
            if let Some((name, uncounted, is_known)) = book.front.shared() {
                let breaker = &mut report.breaker;
                (breaker.name, breaker.uncounted) = (Some(name), uncounted);
                if !is_known {
                    (breaker.state, breaker.since) = (None, None);
                }
            }
            report
        };
        Snapshot {
            targets: self.books.iter().map(report).collect(),
            rounds: self.rounds,
            elapsed_ms: now_ms.saturating_sub(self.started_ms),
            changes: self.changes.iter().cloned().collect(),
        }
    }
}

impl Book {
    /// Notes the target's state, and says when it stands otherwise than before.
    fn settle(&mut self, now_ms: u64, rule: FlapRule) -> Option<StateChange> {
        let state = self.tally.state(&self.front.stats(now_ms));
        if std::mem::replace(&mut self.state, state) != state {
            self.tally.flaps.note(now_ms, rule);
        }
        let flaps = self.tally.flaps.judge(now_ms, rule);
        let to = if flaps { Standing::Flapping } else { state.into() };
        let from = std::mem::replace(&mut self.standing, to);
        if from == to {
            return None;
        }
        let (reason, detail) = self.tally.last_fault().unzip();
        Some(StateChange {
            at: rfc3339(now_ms),
            name: self.target.name.clone(),
            url: self.target.address.shown(),
            kind: self.target.address.kind(),
            from,
            to,
            state,
            reason,
            detail: detail.map(str::to_owned),
            changes: self.tally.flaps.total(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::breaker::Outcome;
    use crate::probe::board::tests::plan;
    use crate::probe::call::Call;
    use crate::probe::counting::bytes_held;
    use crate::probe::report::{Ending, Mark, micros};
    use crate::reason::Reason;

    const SECOND: u64 = 1000;

    /// A round of one call of one target, through its breaker as a runner would.
    fn round(books: &mut Books, target: usize, number: u64, good: bool, latency: Duration) -> Counted {
        let now_ms = number * SECOND;
        let outcome = if good { Outcome::Success } else { Outcome::Failure };
        let (mut result, mut latency_us) = (Ok(()), None);
        let ending = match books.front(target).own().ask(now_ms) {
            Err(_) => Ending::ShortCircuited,
            Ok(permit) => {
                permit.report(outcome, latency, now_ms);
                if !good {
                    result = Err(Reason::HttpStatus.because("expected 200-399, got 503"));
                }
                let call = Call {
                    result,
                    latency,
                    phases: [Some(latency); 5],
                    status: Some(200),
                    answer: None,
                    certificate: None,
                };
                books.count(Message::Call { target, at_ms: now_ms, call }, now_ms);
                latency_us = Some(micros(latency));
                outcome.into()
            }
        };
        let mark = Mark { outcome: ending, latency_us };
        books.count(Message::Round { target, number, mark }, now_ms)
    }

    fn books(targets: usize) -> Books {
        Books::new(&plan(&vec!["tcp://127.0.0.1:1"; targets], None), None, 0)
    }

    /// The changes told of a target that is up in the rounds for which `good` says so.
    fn told(rounds: u64, good: impl Fn(u64) -> bool) -> (Books, Vec<(u64, Standing, Standing)>) {
        let (mut books, mut told) = (books(1), Vec::new());
        for number in 0..rounds {
            let counted = round(&mut books, 0, number, good(number), Duration::from_millis(1));
            assert!(counted.round_is_over);
            told.extend(counted.change.map(|change| (number, change.from, change.to)));
        }
        (books, told)
    }

    #[test]
    fn an_outage_is_told_change_by_change() {
        use Standing::{Degraded, Down, Unknown, Up};
        let (books, told) = told(120, |round| !(30..33).contains(&round));
        assert_eq!(told, [(0, Unknown, Up), (30, Up, Down), (33, Down, Degraded), (42, Degraded, Up)]);
        let target = &books.snapshot(0).targets[0];
        assert_eq!((target.changes, &target.flapping), (4, &None));
    }

    #[test]
    fn a_storm_of_changes_is_told_twice() {
        // Up and down by turns for a minute and a half, with a streak of success in between so that the breaker copes.
        let restless = |round: u64| !(60..150).contains(&round) || !round.is_multiple_of(3);
        let (books, told) = told(1000, restless);
        let from = |standing| told.iter().filter(|change| change.1 == standing).count();
        let to = |standing| told.iter().filter(|change| change.2 == standing).count();
        assert_eq!((to(Standing::Flapping), from(Standing::Flapping)), (1, 1), "{told:?}");
        // The eighth change begins it; what is told before are the seven.
        assert_eq!(told[7].2, Standing::Flapping, "{told:?}");
        let (end, _, after) = told[8];
        assert_eq!((told.len(), after), (9, Standing::Up));
        let snapshot = books.snapshot(1000 * SECOND);
        assert!(snapshot.targets[0].changes > 40 && snapshot.targets[0].flapping.is_none());
        assert!((400..460).contains(&end), "five minutes after the unrest, not {end}");
        assert_eq!(snapshot.changes.len(), 9);
    }

    #[test]
    fn a_flapping_target_has_its_state_all_the_same() {
        let (books, told) = told(40, |round| !round.is_multiple_of(3));
        let target = &books.snapshot(40 * SECOND).targets[0];
        assert_eq!((told.last().unwrap().2, target.state), (Standing::Flapping, State::Down));
        let flapping = target.flapping.as_ref().unwrap();
        assert_eq!((flapping.changes, flapping.since.len()), (8, 24));
    }

    #[test]
    fn an_hour_of_rounds_takes_no_more_memory_than_a_quarter_of_one() {
        const TARGETS: usize = 40;
        let before = bytes_held();
        let mut books = books(TARGETS);
        let mut held = Vec::new();
        for number in 0..3600 {
            for target in 0..TARGETS {
                // From 0.2 ms to 1 s, in the same order over and over; every target has its bad minutes.
                let step = (number * 7 + target as u64) % 97;
                let latency = Duration::from_micros(200 + step * step * 106);
                let good = !(number / 60 + target as u64).is_multiple_of(5);
                round(&mut books, target, number, good, latency);
            }
            if number % 900 == 899 {
                drop(books.snapshot(number * SECOND));
                held.push(bytes_held() - before);
            }
        }
        let (first, last) = (held[0], held[held.len() - 1]);
        assert!(last <= first + first / 50, "it grows: {held:?}");
        let each = last / TARGETS as i64;
        assert!(each < 100 << 10, "{each} bytes for a target");
    }
}
