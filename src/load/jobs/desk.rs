//! Where workers get their next job: one at a time, when it may be started.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::alarm::{Alarm, Level};
use super::gate::LOOK_EVERY;
use super::input::{Input, Next};
use super::joblog::{Past, Resume};
use super::{Error, Event, Plan};
use crate::load::control::Clock;
use crate::load::turns::{Turn, Turns};

/// A job for a worker.
#[derive(Debug)]
pub struct Job {
    /// From 1; those that are skipped have theirs, too.
    pub number: u64,
    /// What to do it with; only its begin where it is too long.
    pub line: Vec<u8>,
    /// No command could get it as an argument.
    pub too_long: bool,
}

/// What a desk has for whoever asks.
#[derive(Debug)]
pub enum Handed {
    /// Run this.
    Job(Job),
    /// An earlier run has done the job of this number. Ask again.
    Done(u64),
    /// There is no more.
    Over,
}

/// What else decides whether a job may be started.
pub trait Surroundings {
    /// Why not now.
    fn held(&self) -> Option<String>;
    /// Tells whoever wants to hear it.
    fn tell(&self, event: Event);
}

/// The jobs of a run, and when they may be started.
#[derive(Debug)]
pub struct Desk {
    input: Input,
    past: Option<(Past, Resume)>,
    turns: Turns,
    clock: Clock,
    /// Jobs that may still be handed out.
    left: u64,
    number: u64,
    delay: Duration,
    last_start: Option<Instant>,
    end: Option<Instant>,
}

impl Desk {
    /// The run begins now.
    pub fn new(plan: &Plan, input: Input, past: Option<(Past, Resume)>, turns: Turns) -> Desk {
        let end = plan.stop.duration.and_then(|duration| Instant::now().checked_add(duration));
        Desk {
            input,
            past,
            turns,
            clock: Clock::start(),
            left: plan.stop.requests.unwrap_or(u64::MAX),
            number: 0,
            delay: plan.delay,
            last_start: None,
            end,
        }
    }

    /// The next job, once it may be started. Only one worker waits here; the others wait for it.
    ///
    /// # Errors
    /// The input could not be read.
    pub fn next(desk: &Mutex<Desk>, alarm: &Alarm, around: &impl Surroundings) -> Result<Handed, Error> {
        let mut desk = desk.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if desk.left == 0 || alarm.is_raised(Level::Soon) {
            return Ok(Handed::Over);
        }
        let end = desk.end;
        let (line, too_long) = match desk.input.next(alarm, end).map_err(Error::Input)? {
            Next::Line(line) => (line, false),
            Next::TooLong(line) => (line, true),
            Next::Over => {
                // A terminal would have to be told twice.
                desk.left = 0;
                return Ok(Handed::Over);
            }
        };
        desk.number += 1;
        let number = desk.number;
        if desk.past.as_ref().is_some_and(|(past, resume)| past.has(number, *resume)) {
            return Ok(Handed::Done(number));
        }
        if !(desk.is_due(alarm) && desk.is_spaced(alarm) && desk.is_let(alarm, around)) {
            return Ok(Handed::Over);
        }
        desk.left -= 1;
        desk.last_start = Some(Instant::now());
        Ok(Handed::Job(Job { number, line, too_long }))
    }

    /// Waits until a job is due; false when none will be.
    fn is_due(&mut self, alarm: &Alarm) -> bool {
        loop {
            let now = self.clock.now();
            match self.turns.next(now) {
                Turn::Now { .. } => return true,
                Turn::Over => return false,
                Turn::At(due) => {
                    if alarm.wait(Level::Soon, Duration::from_nanos(due.saturating_sub(now))) {
                        return false;
                    }
                }
            }
        }
    }

    /// Waits until the last start is long enough ago; false when the run is over before.
    fn is_spaced(&self, alarm: &Alarm) -> bool {
        let since = self.last_start.map_or(Duration::MAX, |last| last.elapsed());
        let wait = self.delay.saturating_sub(since);
        (wait.is_zero() || !alarm.wait(Level::Soon, wait)) && !self.is_out_of_time()
    }

    /// Waits until nothing holds it; false when the run is over before.
    fn is_let(&self, alarm: &Alarm, around: &impl Surroundings) -> bool {
        let mut told = false;
        while let Some(why) = around.held() {
            if !std::mem::replace(&mut told, true) {
                around.tell(Event::Held(why));
            }
            if alarm.wait(Level::Soon, LOOK_EVERY) || self.is_out_of_time() {
                return false;
            }
        }
        true
    }

    fn is_out_of_time(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }
}
