//! A thread's way to write down what happened: into memory of its own, which others see ten times a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::batch::{Batch, Sample};
use super::plan::{Expected, Pace, Plan};
use super::turns::Turns;
use crate::reason::Reason;

/// Between two times at which a thread shows what it has.
pub const SHOWN_EVERY: Duration = Duration::from_millis(100);

/// What a thread shows to those who collect it.
#[derive(Debug, Default)]
pub struct Shown {
    /// Since it was last collected.
    pub batch: Batch,
    /// Requests under way now.
    pub in_flight: u64,
    /// Requests that are due and not sent, those of the warm-up left out.
    pub backlog: u64,
    /// Requests that were due so far, likewise; `None` in the closed loop.
    pub offered: Option<u64>,
    /// When this was shown.
    pub at: u64,
}

/// The books of one thread.
#[derive(Debug)]
pub struct Recorder {
    fresh: Batch,
    shown: Arc<Mutex<Shown>>,
    next: u64,
    warm_up: u64,
    ends_at: u64,
    open_loop: bool,
    expected: Expected,
    /// Processor time of this thread until the last look.
    cpu: u64,
}

impl Recorder {
    /// Empty books; `shown` is what the collector looks at.
    pub fn new(plan: &Plan, shown: Arc<Mutex<Shown>>) -> Recorder {
        Recorder {
            fresh: Batch::default(),
            shown,
            next: 0,
            warm_up: u64::try_from(plan.warm_up.as_nanos()).unwrap_or(u64::MAX),
            ends_at: plan.ends_at().unwrap_or(u64::MAX),
            open_loop: matches!(plan.pace, Pace::Open(_)),
            expected: plan.expected.clone(),
            cpu: 0,
        }
    }

    /// A request of so many bytes was sent.
    pub fn sent(&mut self, due: u64, now: u64, bytes: usize) {
        self.fresh.sent += 1;
        self.fresh.written += bytes as u64;
        if self.open_loop && due >= self.warm_up {
            self.fresh.late.record(Duration::from_nanos(now.saturating_sub(due)));
        }
    }

    /// Bytes went out, besides those that were said with their request.
    pub fn wrote(&mut self, bytes: usize) {
        self.fresh.written += bytes as u64;
    }

    /// Bytes came in.
    pub fn received(&mut self, bytes: usize) {
        self.fresh.received += bytes as u64;
    }

    /// A whole answer came.
    pub fn answered(&mut self, sample: Sample, status: u16) {
        if self.is_warm_up(sample.due) {
            return;
        }
        self.fresh.status(status);
        let result = if self.expected.has(status) { Ok(()) } else { Err(Reason::HttpStatus) };
        self.ended(sample, result);
    }

    /// No answer came, or none that was whole. For one that could not even be sent, service time is that of the
    /// connection which it waited for in vain.
    pub fn failed(&mut self, sample: Sample, reason: Reason) {
        if !self.is_warm_up(sample.due) {
            self.ended(sample, Err(reason));
        }
    }

    fn ended(&mut self, sample: Sample, result: Result<(), Reason>) {
        self.fresh.after_end += u64::from(sample.ended > self.ends_at);
        self.fresh.ended(sample, self.open_loop, result);
    }

    /// The run ended before the answer of this one.
    pub fn cut_off(&mut self, due: u64, sent: u64, now: u64) {
        if !self.is_warm_up(due) {
            self.fresh.cut_off.record(Duration::from_nanos(now.saturating_sub(sent)));
        }
    }

    /// A breaker kept one back.
    pub fn short_circuited(&mut self, due: u64) {
        if !self.is_warm_up(due) {
            self.fresh.short_circuited += 1;
        }
    }

    /// There is no descriptor for a worker's connection: the others go on without it.
    pub fn benched(&mut self) {
        self.fresh.benched += 1;
    }

    /// A connection came about.
    pub fn connected(&mut self, took: u64) {
        self.fresh.connect.record(Duration::from_nanos(took));
    }

    /// To be called in each pass over events; shows what there is when it is time.
    pub fn tick(&mut self, now: u64, turns: &mut Turns, in_flight: usize) {
        if now >= self.next {
            self.show(now, turns, in_flight);
        }
    }

    /// When the next `tick` has something to do: no wait should be longer.
    pub fn next_tick(&self) -> u64 {
        self.next
    }

    /// Shows everything: at the end.
    pub fn show(&mut self, now: u64, turns: &mut Turns, in_flight: usize) {
        self.next = now + SHOWN_EVERY.as_nanos() as u64;
        let cpu = thread_cpu();
        self.fresh.cpu = cpu - self.cpu;
        self.cpu = cpu;
        let (backlog, offered) = (turns.backlog(now), turns.offered(now));
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.batch.merge(&self.fresh);
        (shown.in_flight, shown.backlog, shown.offered, shown.at) = (in_flight as u64, backlog, offered, now);
        drop(shown);
        self.fresh.clear();
    }

    fn is_warm_up(&mut self, due: u64) -> bool {
        let warm_up = due < self.warm_up;
        self.fresh.warm_up += u64::from(warm_up);
        warm_up
    }
}

/// Processor time of the calling thread, in nanoseconds.
fn thread_cpu() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
