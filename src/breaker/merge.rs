//! Two records of one breaker made into one, in any order and any grouping with the same result.
//!
//! The later generation says where the breaker stands; of one generation, the more cautious record.
//! Counts add up: totals always, windows and trials within one generation only, since those of an
//! older one must not decide about the present. Merging a record with its own copy counts twice.

use super::State;

impl State {
    /// Takes in what `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        self.totals.add(&other.totals);
        self.in_flight = self.in_flight.saturating_add(other.in_flight);
        self.trials_granted = self.trials_granted.max(other.trials_granted);
        match self.generation.cmp(&other.generation) {
            std::cmp::Ordering::Greater => {}
            std::cmp::Ordering::Less => {
                self.window = other.window.clone();
                self.trials.clone_from(&other.trials);
                self.trial_successes = other.trial_successes;
            }
            std::cmp::Ordering::Equal => {
                self.window.merge(&other.window);
                self.trials.extend_from_slice(&other.trials);
                self.trials.sort_unstable();
                self.trials.dedup();
                self.trial_successes = self.trial_successes.max(other.trial_successes);
            }
        }
        if self.standing() < other.standing() {
            self.phase = other.phase;
            self.since = other.since;
            self.until = other.until;
            self.reopen_count = other.reopen_count;
            self.generation = other.generation;
        }
    }

    fn standing(&self) -> impl Ord + use<> {
        (self.generation, self.phase, self.until, self.since, self.reopen_count)
    }
}

impl super::Totals {
    /// These, and the others.
    pub fn add(&mut self, other: &Self) {
        self.tally.add(&other.tally);
        self.excluded = self.excluded.saturating_add(other.excluded);
        self.short_circuited = self.short_circuited.saturating_add(other.short_circuited);
        self.rejected = self.rejected.saturating_add(other.rejected);
    }

    /// All of them, those that were not let through included.
    #[must_use]
    pub fn all(&self) -> u64 {
        let others = [self.excluded, self.short_circuited, self.rejected];
        others.into_iter().fold(self.tally.requests(), u64::saturating_add)
    }

    /// What is left without the others.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self {
            tally: self.tally.without(&other.tally),
            excluded: self.excluded.saturating_sub(other.excluded),
            short_circuited: self.short_circuited.saturating_sub(other.short_circuited),
            rejected: self.rejected.saturating_sub(other.rejected),
        }
    }
}
