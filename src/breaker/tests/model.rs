//! The naive model: it keeps every sample and every running call in plain lists, and looks
//! everything up by going through them.

use super::*;

pub(super) struct Model {
    pub config: Config,
    pub phase: Phase,
    pub generation: u64,
    pub since: Millis,
    pub reopened: u32,
    /// Of the current open phase.
    cooldown: Millis,
    samples: Vec<Sample>,
    calls: Vec<Call>,
    trial_successes: u32,
    pub asked: u64,
    pub refused: u64,
    pub excluded: u64,
    pub counted: u64,
}

struct Sample {
    bucket: u64,
    outcome: Outcome,
    slow: bool,
}

struct Call {
    id: usize,
    generation: u64,
    /// For a trial: when its permit lapses.
    lease: Option<Millis>,
    /// Gone with a crash: nobody will report it, and it takes no place.
    orphan: bool,
}

/// What the model expects of an ask.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Call,
    Trial,
    Wait(Millis),
    Full,
}

impl Model {
    pub fn new(config: Config, now: Millis) -> Self {
        Self {
            config,
            phase: Phase::Closed,
            generation: 0,
            since: now,
            reopened: 0,
            cooldown: 0,
            samples: Vec::new(),
            calls: Vec::new(),
            trial_successes: 0,
            asked: 0,
            refused: 0,
            excluded: 0,
            counted: 0,
        }
    }

    pub fn ask(&mut self, id: usize, now: Millis) -> Answer {
        self.asked += 1;
        self.since = self.since.min(now);
        let lease = now + self.config.timeout.as_millis() as u64 + 1000;
        for call in &mut self.calls {
            call.lease = call.lease.map(|until| until.min(lease)).filter(|until| *until > now);
        }
        let wait = match self.phase {
            Phase::Closed => 0,
            Phase::Open => (self.since + self.cooldown).saturating_sub(now),
            Phase::HalfOpen if self.permits() + self.trial_successes < self.config.trials => 0,
            Phase::HalfOpen => self.trials().min().unwrap() - now,
        };
        if wait > 0 || self.in_flight() >= self.config.max_concurrent {
            self.refused += 1;
            return if wait > 0 { Answer::Wait(wait) } else { Answer::Full };
        }
        if self.phase == Phase::Open {
            self.enter(Phase::HalfOpen, now);
        }
        let trial = self.phase == Phase::HalfOpen;
        self.calls.push(Call {
            id,
            generation: self.generation,
            lease: trial.then_some(lease),
            orphan: false,
        });
        if trial { Answer::Trial } else { Answer::Call }
    }

    /// The phase entered, if any.
    pub fn report(&mut self, id: usize, outcome: Outcome, latency: Duration, now: Millis) -> Option<Phase> {
        let place = self.calls.iter().position(|call| call.id == id).unwrap();
        let call = self.calls.remove(place);
        if outcome == Outcome::Excluded {
            self.excluded += 1;
            return None;
        }
        self.counted += 1;
        let slow = outcome == Outcome::Success && self.config.slow.is_some_and(|limit| latency > limit);
        if call.generation != self.generation {
            return None;
        }
        if self.phase == Phase::Closed {
            let head = self.head(now);
            let n = u64::from(self.config.buckets);
            self.samples.retain(|sample| sample.bucket <= head && sample.bucket + n > head);
            self.samples.push(Sample { bucket: head, outcome, slow });
            let requests = self.in_window(now, |_| true);
            let failed = self.in_window(now, |sample| sample.slow || sample.outcome != Outcome::Success);
            let share = failed as f64 * 100.0 / requests as f64;
            let trip = requests >= self.config.request_volume.into()
                && share >= self.config.error_threshold_percent.into();
            return trip.then(|| self.open(now));
        }
        call.lease?;
        if outcome != Outcome::Success || slow {
            self.reopened += 1;
            return Some(self.open(now));
        }
        self.trial_successes += 1;
        if self.trial_successes < self.config.trials {
            return None;
        }
        self.reopened = 0;
        self.samples.clear();
        Some(self.enter(Phase::Closed, now))
    }

    pub fn crash(&mut self) {
        self.calls.iter_mut().for_each(|call| call.orphan = true);
    }

    pub fn in_flight(&self) -> u32 {
        self.calls.iter().filter(|call| !call.orphan).count() as u32
    }

    /// Trials that hold a permit.
    pub fn permits(&self) -> u32 {
        self.trials().count() as u32
    }

    pub fn next_trial_in(&self, now: Millis) -> Option<u64> {
        (self.phase == Phase::Open)
            .then(|| (self.since + self.cooldown).saturating_sub(now).min(self.cooldown))
    }

    /// Requests, successes, failures, timeouts, slow.
    pub fn window(&self, now: Millis) -> [u64; 5] {
        let of = |outcome| self.in_window(now, |sample| sample.outcome == outcome);
        let slow = self.in_window(now, |sample| sample.slow);
        [
            self.in_window(now, |_| true),
            of(Outcome::Success),
            of(Outcome::Failure),
            of(Outcome::Timeout),
            slow,
        ]
    }

    fn trials(&self) -> impl Iterator<Item = Millis> {
        self.calls.iter().filter(|call| call.generation == self.generation).filter_map(|call| call.lease)
    }

    fn in_window(&self, now: Millis, which: impl Fn(&Sample) -> bool) -> u64 {
        let head = self.head(now);
        let n = u64::from(self.config.buckets);
        let inside = |sample: &&Sample| sample.bucket <= head && sample.bucket + n > head && which(sample);
        self.samples.iter().filter(inside).count() as u64
    }

    /// The bucket of now, or one up to two ahead that was begun before the clock was set back.
    fn head(&self, now: Millis) -> u64 {
        let bucket_ms = self.config.window.as_millis() as u64 / u64::from(self.config.buckets);
        let current = now / bucket_ms;
        let ahead = self.samples.iter().map(|sample| sample.bucket).filter(|bucket| *bucket <= current + 2);
        ahead.max().unwrap_or(0).max(current)
    }

    fn open(&mut self, now: Millis) -> Phase {
        self.enter(Phase::Open, now);
        self.cooldown = self.config.cooldown_ms(self.reopened, self.generation);
        Phase::Open
    }

    fn enter(&mut self, phase: Phase, now: Millis) -> Phase {
        self.phase = phase;
        self.generation += 1;
        self.since = now;
        self.trial_successes = 0;
        phase
    }
}
