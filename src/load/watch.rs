//! Looks at the conditions of a run while it goes on, and ends one that is lost.
//!
//! A condition that must not hold is lost for good when what it counts can only grow. Any other may yet be made up for:
//! it is given up when it holds for the whole run and held in each of five seconds by themselves. A second in which it
//! does not hold starts the count anew, so that no stall ends a run that is well again; one that has too few samples
//! counts neither way.

use std::time::Duration;

use super::batch::Batch;
use super::condition::Condition;
use super::control::Control;
use super::outcome::End;
use super::run::Judge;

/// So many bad seconds in a row end a run.
const PATIENCE: u32 = 5;
const SECOND: Duration = Duration::from_secs(1);

/// Ends a run as soon as one of its conditions is lost.
#[derive(Debug, Default)]
pub struct Watch {
    /// With how many bad seconds each has had in a row.
    conditions: Vec<(Condition, u32)>,
    /// When the current second began.
    since: Duration,
    /// What happened in it.
    second: Batch,
}

impl Watch {
    /// None of the conditions must come to hold. Without any, it lets every run go on.
    pub fn new(conditions: Vec<Condition>) -> Watch {
        let conditions = conditions.into_iter().map(|condition| (condition, 0)).collect();
        Watch { conditions, ..Watch::default() }
    }

    fn end_second(&mut self, elapsed: Duration) {
        let length = elapsed - self.since;
        for (condition, bad) in &mut self.conditions {
            match condition.holds(&self.second, length) {
                Some(true) => *bad += 1,
                Some(false) => *bad = 0,
                None => {}
            }
        }
        self.since = elapsed;
        self.second.clear();
    }
}

impl Judge for Watch {
    fn look(&mut self, elapsed: Duration, so_far: &Batch, fresh: &Batch, _: &Control) -> Option<End> {
        if self.conditions.is_empty() {
            return None;
        }
        self.second.merge(fresh);
        if elapsed.saturating_sub(self.since) >= SECOND {
            self.end_second(elapsed);
        }
        let lost = self.conditions.iter().find(|(condition, bad)| {
            (condition.is_final() || *bad >= PATIENCE) && condition.holds(so_far, elapsed) == Some(true)
        });
        lost.map(|(condition, _)| End::Hopeless(condition.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::Sample;
    use super::*;
    use crate::reason::Reason;

    /// A hundred requests of a tenth of a second, each with that many milliseconds.
    fn tenth(ms: u64, result: Result<(), Reason>) -> Batch {
        let mut batch = Batch::default();
        (0..100).for_each(|_| batch.ended(Sample { due: 0, sent: 0, ended: ms * 1_000_000 }, false, result));
        batch
    }

    /// At which tenth of a second the watch ends a run whose tenths are these.
    fn ended(condition: &str, tenths: impl Iterator<Item = Batch>) -> Option<usize> {
        let mut watch = Watch::new(vec!["mean>1h".parse().unwrap(), condition.parse().unwrap()]);
        let (mut so_far, control) = (Batch::default(), Control::default());
        for (number, fresh) in (1..).zip(tenths) {
            so_far.merge(&fresh);
            let elapsed = Duration::from_millis(100) * number as u32;
            if let Some(end) = watch.look(elapsed, &so_far, &fresh, &control) {
                assert_eq!(end, End::Hopeless(condition.to_owned()));
                return Some(number);
            }
        }
        None
    }

    fn tenths(ms: u64, number: usize) -> impl Iterator<Item = Batch> {
        std::iter::repeat_with(move || tenth(ms, Ok(()))).take(number)
    }

    #[test]
    fn what_is_counted_ends_a_run_at_once() {
        let failure = std::iter::once(tenth(1, Err(Reason::Closed)));
        assert_eq!(ended("failed>50", tenths(1, 7).chain(failure)), Some(8));
        assert_eq!(ended("failed>50", tenths(1, 100)), None);
    }

    #[test]
    fn a_slow_run_is_given_five_seconds() {
        assert_eq!(ended("p99>200ms", tenths(300, 100)), Some(50));
        assert_eq!(ended("rate>900/s", tenths(1, 49)), None);
        assert_eq!(ended("rate>900/s", tenths(1, 50)), Some(50));
    }

    #[test]
    fn a_stall_that_is_over_ends_no_run() {
        // The p95 of all is over the limit to the end.
        let stalled = tenths(1, 10).chain(tenths(300, 40)).chain(tenths(1, 150));
        assert_eq!(ended("p95>200ms", stalled), None);
        let again = tenths(300, 40).chain(tenths(1, 10)).chain(tenths(300, 100));
        assert_eq!(ended("p95>200ms", again), Some(100));
    }

    #[test]
    fn seconds_without_samples_say_nothing() {
        let silent = std::iter::repeat_with(Batch::default).take(100);
        assert_eq!(ended("p99>200ms", tenths(300, 30).chain(silent).chain(tenths(300, 20))), Some(150));
    }
}
