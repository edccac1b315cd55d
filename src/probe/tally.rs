//! The books of one target: counts, streaks, latencies, history, and the state that follows from them.
//!
//! Pure: refuses to see a clock or the breaker's insides; what it needs of them comes in as arguments.

use std::collections::{BTreeMap, VecDeque};

use super::call::Call;
use super::certificate::CertificateReport;
use super::clock::rfc3339;
use super::flap::Flaps;
use super::report::{
    BreakerReport, Ending, FallbackCounts, Flapping, LastCall, Mark, PhaseSummaries, PhasesUs, State, Streak,
    TargetReport, micros,
};
use super::target::Target;
use crate::breaker::{Outcome, Phase, Stats};
use crate::histogram::{Compact, Summary};
use crate::reason::Reason;

/// So many of the latest rounds are kept.
const HISTORY: usize = 60;

/// How many rounds in a row make a target up, and down; at least 1 each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streaks {
    /// Good rounds in a row until it counts as up.
    pub up_after: u64,
    /// Bad rounds in a row until it counts as down.
    pub down_after: u64,
}

/// All that was counted for one target.
#[derive(Debug, Default)]
pub struct Tally {
    rounds: u64,
    calls: u64,
    ok: u64,
    reasons: BTreeMap<Reason, u64>,
    last: Option<LastCall>,
    last_failure: Option<LastCall>,
    certificate: Option<CertificateReport>,
    success: Compact,
    failure: Compact,
    phases: [Compact; 5],
    streak: Streak,
    /// Up or down, once a streak was long enough.
    settled: Option<bool>,
    /// The last call made failed for a reason of this host.
    untested: bool,
    fallback: FallbackCounts,
    history: VecDeque<Mark>,
    /// The changes of its state.
    pub flaps: Flaps,
}

impl Tally {
    /// Counts a call that was made.
    pub fn call(&mut self, at_ms: u64, call: Call) {
        self.calls += 1;
        for (latencies, phase) in self.phases.iter_mut().zip(call.phases) {
            phase.into_iter().for_each(|spent| latencies.record(spent));
        }
        self.certificate = call.certificate.or(self.certificate.take());
        let fault = call.result.err();
        match &fault {
            None => {
                self.ok += 1;
                self.success.record(call.latency);
            }
            Some(fault) => {
                *self.reasons.entry(fault.reason).or_default() += 1;
                self.failure.record(call.latency);
            }
        }
        let outcome = fault.as_ref().map_or(Outcome::Success, |fault| fault.reason.outcome());
        let last = LastCall {
            at: rfc3339(at_ms),
            outcome: outcome.into(),
            reason: fault.as_ref().map(|fault| fault.reason),
            detail: fault.map(|fault| fault.detail),
            status: call.status,
            answer: call.answer,
            latency_us: micros(call.latency),
            phases_us: PhasesUs::from(call.phases),
        };
        if last.reason.is_some() {
            self.last_failure = Some(last.clone());
        }
        self.last = Some(last);
    }

    /// Counts a round whose last call ended as `mark` says.
    pub fn round(&mut self, mark: Mark, streaks: Streaks) {
        self.rounds += 1;
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(mark);
        match mark.outcome {
            Ending::Success => self.streak = Streak { up: self.streak.up + 1, down: 0 },
            Ending::Failure | Ending::Timeout => self.streak = Streak { up: 0, down: self.streak.down + 1 },
            Ending::Excluded => self.untested = true,
            Ending::ShortCircuited | Ending::Rejected | Ending::Unavailable => return,
        }
        self.untested = mark.outcome == Ending::Excluded;
        if self.streak.up >= streaks.up_after {
            self.settled = Some(true);
        } else if self.streak.down >= streaks.down_after {
            self.settled = Some(false);
        }
    }

    /// Counts a run of the fallback; the text says what was wrong.
    pub fn fallback(&mut self, result: Result<(), String>) {
        self.fallback.runs += 1;
        match result {
            Ok(()) => self.fallback.successes += 1,
            Err(why) => {
                self.fallback.failures += 1;
                self.fallback.last_failure = Some(why);
            }
        }
    }

    /// Counts a round whose fallback did not run, because too many did.
    pub fn fallback_rejected(&mut self) {
        self.fallback.rejected += 1;
    }

    /// What is known of the target, its breaker being where `stats` says.
    #[must_use]
    pub fn state(&self, stats: &Stats) -> State {
        let window = &stats.window;
        let blemished = window.failures + window.timeouts + window.slow > 0 || stats.phase != Phase::Closed;
        match self.settled {
            _ if self.untested => State::Unknown,
            None => State::Unknown,
            Some(false) => State::Down,
            Some(true) if blemished => State::Degraded,
            Some(true) => State::Up,
        }
    }

    /// Why the last call failed, if it did, and in words.
    #[must_use]
    pub fn last_fault(&self) -> Option<(Reason, &str)> {
        let last = self.last.as_ref()?;
        Some((last.reason?, last.detail.as_deref()?))
    }

    /// Everything, for a report.
    #[must_use]
    pub fn report(&self, target: &Target, stats: Stats, breaking: bool, has_fallback: bool) -> TargetReport {
        let [dns, connect, tls, first_byte, body] = self.phases.each_ref().map(summary);
        TargetReport {
            name: target.name.clone(),
            url: target.address.shown(),
            kind: target.address.kind(),
            state: self.state(&stats),
            changes: self.flaps.total(),
            flapping: self
                .flaps
                .flapping()
                .map(|(since, changes)| Flapping { since: rfc3339(since), changes }),
            streak: self.streak,
            rounds: self.rounds,
            calls: self.calls,
            ok: self.ok,
            reasons: self.reasons.clone(),
            last: self.last.clone(),
            last_failure: self.last_failure.clone(),
            certificate: self.certificate.clone(),
            success_us: summary(&self.success),
            failure_us: summary(&self.failure),
            phases_us: PhaseSummaries { dns, connect, tls, first_byte, body },
            breaker: BreakerReport::new(breaking, stats, &self.reasons, &target.breaker),
            fallback: has_fallback.then(|| self.fallback.clone()),
            history: self.history.iter().copied().collect(),
        }
    }
}

fn summary(histogram: &Compact) -> Option<Summary> {
    (histogram.count() > 0).then(|| histogram.summary())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::breaker::{Breaker, Config};

    const ONE: Streaks = Streaks { up_after: 1, down_after: 1 };

    fn stats() -> Stats {
        Breaker::new(Config::default(), 0).stats(0)
    }

    fn rounds(tally: &mut Tally, endings: &[Ending], streaks: Streaks) {
        for outcome in endings {
            tally.round(Mark { outcome: *outcome, latency_us: None }, streaks);
        }
    }

    #[test]
    fn a_state_needs_its_streak() {
        use Ending::{Failure, Success, Timeout};
        let streaks = Streaks { up_after: 2, down_after: 3 };
        let mut tally = Tally::default();
        let cases = [
            (Success, State::Unknown),
            (Success, State::Up),
            (Failure, State::Up),
            (Timeout, State::Up),
            (Success, State::Up),
            (Failure, State::Up),
            (Failure, State::Up),
            (Timeout, State::Down),
            (Success, State::Down),
            (Success, State::Up),
        ];
        for (step, (ending, state)) in cases.into_iter().enumerate() {
            rounds(&mut tally, &[ending], streaks);
            assert_eq!(tally.state(&stats()), state, "step {step}");
        }
    }

    #[test]
    fn what_was_not_tested_is_unknown_and_breaks_no_streak() {
        let mut tally = Tally::default();
        assert_eq!(tally.state(&stats()), State::Unknown);
        rounds(&mut tally, &[Ending::Success, Ending::Success, Ending::Excluded], ONE);
        assert_eq!(tally.state(&stats()), State::Unknown);
        rounds(&mut tally, &[Ending::ShortCircuited, Ending::Rejected], ONE);
        assert_eq!(tally.state(&stats()), State::Unknown);
        rounds(&mut tally, &[Ending::Success], ONE);
        assert_eq!((tally.state(&stats()), tally.streak), (State::Up, Streak { up: 3, down: 0 }));
    }

    #[test]
    fn an_open_breaker_keeps_what_was_known() {
        let mut tally = Tally::default();
        rounds(&mut tally, &[Ending::Failure, Ending::ShortCircuited], ONE);
        assert_eq!(tally.state(&stats()), State::Down);
    }

    #[test]
    fn up_with_a_blemish_is_degraded() {
        let mut tally = Tally::default();
        rounds(&mut tally, &[Ending::Success], ONE);
        let mut blemished = stats();
        blemished.window.slow = 1;
        assert_eq!(tally.state(&blemished), State::Degraded);
        let mut trying = stats();
        trying.phase = Phase::HalfOpen;
        assert_eq!(tally.state(&trying), State::Degraded);
        rounds(&mut tally, &[Ending::Failure], ONE);
        assert_eq!(tally.state(&blemished), State::Down);
    }

    #[test]
    fn calls_are_counted_by_how_they_ended() {
        let mut tally = Tally::default();
        let call = |result| Call {
            result,
            latency: Duration::from_micros(7),
            phases: [None; 5],
            status: None,
            answer: None,
            certificate: None,
        };
        tally.call(0, call(Ok(())));
        tally.call(0, call(Err(Reason::HttpStatus.because("expected 200, got 503"))));
        tally.call(0, call(Err(Reason::HttpStatus.because("expected 200, got 502"))));
        assert_eq!((tally.calls, tally.ok, tally.reasons[&Reason::HttpStatus]), (3, 1, 2));
        assert_eq!(tally.last_fault(), Some((Reason::HttpStatus, "expected 200, got 502")));
        assert_eq!(tally.failure.count(), 2);
    }

    #[test]
    fn the_history_keeps_the_latest() {
        let mut tally = Tally::default();
        rounds(&mut tally, &[Ending::Failure], ONE);
        rounds(&mut tally, &[Ending::Success; HISTORY], ONE);
        assert_eq!(tally.history.len(), HISTORY);
        assert!(tally.history.iter().all(|mark| mark.outcome == Ending::Success));
    }
}
