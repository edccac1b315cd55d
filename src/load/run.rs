//! Runs a plan: starts the threads, collects what they have ten times a second, and ends them.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::control::{Clock, Control};
use super::outcome::{End, Outcome, Snapshot};
use super::plan::Plan;
use super::recorder::{Recorder, SHOWN_EVERY, Shown};
use super::timeline::Timeline;
use super::turns::{Tickets, Turns};
use crate::limits;

/// What one thread of a run gets, and owns.
#[derive(Debug)]
pub struct Seat {
    /// From 0.
    pub thread: usize,
    /// The numbers of its workers among those of all threads.
    pub workers: Range<usize>,
    /// The time of the run.
    pub clock: Clock,
    /// Its share of the requests.
    pub turns: Turns,
    /// Its books.
    pub recorder: Recorder,
    /// What is asked of all threads.
    pub control: Arc<Control>,
    /// The plan of the run.
    pub plan: Arc<Plan>,
}

impl Seat {
    /// When this worker is to open its first connection, in nanoseconds from the start.
    pub fn opens_at(&self, worker: usize) -> u64 {
        let ramp_up = u64::try_from(self.plan.ramp_up.as_nanos()).unwrap_or(u64::MAX);
        (u128::from(ramp_up) * worker as u128 / self.plan.workers as u128) as u64
    }

    /// Until when answers are waited for, once nothing more is sent.
    pub fn grace_from(&self, now: u64) -> u64 {
        now.saturating_add(u64::try_from(self.plan.grace.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// A way to send requests and to get answers. One call per thread; it returns when its share is over, and every
/// request that was sent has ended in the books: answered, failed or cut off.
pub trait Transport: Send + Sync + 'static {
    /// Works until there is nothing more to send, or the control says so.
    fn work(&self, seat: Seat);
}

/// What looks at a run while it goes on, ten times a second, and may end it.
pub trait Judge: Send {
    /// Before anything is sent.
    fn begin(&mut self, _: &Control) {}

    /// With all that was recorded so far, and what was since the last call.
    fn look(&mut self, elapsed: Duration, so_far: &Batch, fresh: &Batch, control: &Control) -> Option<End>;
}

/// Perhaps nobody.
impl<J: Judge> Judge for Option<J> {
    fn begin(&mut self, control: &Control) {
        if let Some(judge) = self {
            judge.begin(control);
        }
    }

    fn look(&mut self, elapsed: Duration, so_far: &Batch, fresh: &Batch, control: &Control) -> Option<End> {
        self.as_mut()?.look(elapsed, so_far, fresh, control)
    }
}

/// Both; the first has the first word.
impl<A: Judge, B: Judge> Judge for (A, B) {
    fn begin(&mut self, control: &Control) {
        self.0.begin(control);
        self.1.begin(control);
    }

    fn look(&mut self, elapsed: Duration, so_far: &Batch, fresh: &Batch, control: &Control) -> Option<End> {
        let first = self.0.look(elapsed, so_far, fresh, control);
        let second = self.1.look(elapsed, so_far, fresh, control);
        first.or(second)
    }
}

/// Runs the plan to its end.
///
/// # Errors
/// A thread could not be started.
pub async fn run(
    plan: Plan,
    transport: impl Transport,
    mut judge: impl Judge,
    snapshots: &watch::Sender<Snapshot>,
    stop: &CancellationToken,
) -> io::Result<Outcome> {
    let plan = Arc::new(plan);
    let control = Arc::new(Control::default());
    judge.begin(&control);
    let mut crew = Crew::start(&plan, Arc::new(transport), control)?;
    let mut books = Books::new(&plan);
    let mut tick = tokio::time::interval(SHOWN_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut end = End::Done;
    while !crew.is_over() {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled(), if end == End::Done => {
                end = End::Stopped;
                crew.stop(&mut books);
                // A signal is not kept waiting for answers.
                crew.control.abort(crew.clock.now());
            }
        }
        let now = crew.clock.now();
        let mut fresh = crew.collect();
        books.add(&mut fresh);
        crew.control.shows_in_flight(fresh.in_flight);
        // When nothing more is sent, nothing more is judged.
        if end == End::Done
            && now <= books.sending_ends(now)
            && let Some(why) =
                judge.look(books.since_warm_up(now), &books.totals, &fresh.batch, &crew.control)
        {
            end = why;
            crew.stop(&mut books);
        }
        if snapshots.receiver_count() > 0 {
            snapshots.send_replace(books.snapshot(now, &fresh));
        }
    }
    crew.join();
    let mut last = crew.collect();
    let now = crew.clock.now();
    books.add(&mut last);
    Ok(books.close(now, &last, end))
}

/// The threads.
struct Crew {
    clock: Clock,
    control: Arc<Control>,
    shown: Vec<Arc<Mutex<Shown>>>,
    threads: Vec<JoinHandle<()>>,
}

/// What all threads have shown since the last look.
#[derive(Default)]
struct Fresh {
    batch: Batch,
    in_flight: u64,
    backlog: u64,
    offered: Option<u64>,
    /// When the last thread showed what it has.
    at: u64,
    /// The most that one thread used of the processor, in nanoseconds.
    busiest: u64,
}

impl Crew {
    fn start(plan: &Arc<Plan>, transport: Arc<impl Transport>, control: Arc<Control>) -> io::Result<Crew> {
        let tickets = Arc::new(Tickets::new(plan.stop.requests));
        let shown: Vec<Arc<Mutex<Shown>>> = (0..plan.threads).map(|_| Arc::default()).collect();
        let (clock, seed) = (Clock::start(), fastrand::u64(..));
        let mut crew = Crew { clock, control, shown, threads: Vec::new() };
        for thread in 0..plan.threads {
            let seat = Seat {
                thread,
                workers: share(plan.workers, plan.threads, thread),
                clock,
                turns: Turns::new(plan, thread, tickets.clone(), seed).until_stopped(crew.control.clone()),
                recorder: Recorder::new(plan, crew.shown[thread].clone()),
                control: crew.control.clone(),
                plan: plan.clone(),
            };
            let transport = transport.clone();
            let started = std::thread::Builder::new()
                .name(format!("load-{thread}"))
                .spawn(move || transport.work(seat));
            match started {
                Ok(handle) => crew.threads.push(handle),
                Err(error) => {
                    crew.control.abort(0);
                    crew.join();
                    return Err(error);
                }
            }
        }
        Ok(crew)
    }

    fn is_over(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    fn stop(&self, books: &mut Books) {
        let now = self.clock.now();
        self.control.stop(now);
        // What is answered later is not in the rate; the threads cannot know.
        books.stopped.get_or_insert((now, books.totals.requests()));
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }

    fn collect(&self) -> Fresh {
        let mut fresh = Fresh::default();
        for shown in &self.shown {
            let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            fresh.batch.merge(&shown.batch);
            fresh.busiest = fresh.busiest.max(shown.batch.cpu);
            fresh.in_flight += shown.in_flight;
            fresh.backlog += shown.backlog;
            fresh.at = fresh.at.max(shown.at);
            fresh.offered =
                shown.offered.map(|offered| offered + fresh.offered.unwrap_or(0)).or(fresh.offered);
            shown.batch.clear();
        }
        fresh
    }
}

/// The workers of one of several threads, as even as it gets.
fn share(workers: usize, threads: usize, thread: usize) -> Range<usize> {
    workers * thread / threads..workers * (thread + 1) / threads
}

/// All that was collected.
struct Books {
    totals: Batch,
    timeline: Timeline,
    warm_up: u64,
    /// When nothing more is to be sent, if that is known.
    ends: Option<u64>,
    /// When it was ended before that, and how many had ended then.
    stopped: Option<(u64, u64)>,
    /// Until when the timeline tells.
    told: u64,
    busy: u64,
}

impl Books {
    fn new(plan: &Plan) -> Books {
        let warm_up = u64::try_from(plan.warm_up.as_nanos()).unwrap_or(u64::MAX);
        Books {
            totals: Batch::default(),
            timeline: Timeline::default(),
            warm_up,
            ends: plan.ends_at(),
            stopped: None,
            told: warm_up,
            busy: 0,
        }
    }

    fn add(&mut self, fresh: &mut Fresh) {
        if fresh.at <= self.warm_up {
            // To the tenth of a second: what the warm-up took is no cost of what is recorded.
            (fresh.batch.received, fresh.batch.written, fresh.batch.cpu) = (0, 0, 0);
        }
        self.totals.merge(&fresh.batch);
        self.busy += fresh.busiest;
        if fresh.at > self.told && self.told < self.sending_ends(fresh.at) {
            self.timeline.add(self.told, fresh.at, &fresh.batch, fresh.backlog);
            self.told = fresh.at;
        }
    }

    /// When nothing more is to be sent; now, where nobody knows.
    fn sending_ends(&self, now: u64) -> u64 {
        self.stopped.map(|(at, _)| at).or(self.ends).unwrap_or(now)
    }

    fn since_warm_up(&self, now: u64) -> Duration {
        Duration::from_nanos(now.saturating_sub(self.warm_up))
    }

    fn snapshot(&self, now: u64, fresh: &Fresh) -> Snapshot {
        Snapshot {
            elapsed: Duration::from_nanos(now),
            warm_up: now < self.warm_up,
            sent: self.totals.sent,
            ok: self.totals.ok,
            failed: self.totals.failures(),
            in_flight: fresh.in_flight,
            backlog: fresh.backlog,
            so_far: Arc::new((self.totals.clone(), self.timeline.clone())),
        }
    }

    fn close(mut self, now: u64, last: &Fresh, end: End) -> Outcome {
        let sending_ended = match (self.stopped, self.ends) {
            (Some((at, in_time)), _) => {
                self.totals.after_end = self.totals.requests() - in_time;
                at
            }
            (None, Some(ends)) if ends <= now || last.offered.is_some() => ends,
            // A count ended the closed loop before.
            (None, _) => self.totals.last_end,
        };
        Outcome {
            elapsed: self.since_warm_up(sending_ended.max(self.totals.last_end)),
            sending: self.since_warm_up(sending_ended),
            offered: last.offered,
            unsent: last.backlog,
            end,
            busiest: if now > 0 { self.busy as f64 / now as f64 } else { 0.0 },
            peak_memory: limits::peak_memory(),
            totals: self.totals,
            timeline: self.timeline,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_has_one_thread() {
        for (workers, threads) in [(1, 1), (64, 1), (64, 3), (5, 5)] {
            let all: Vec<usize> = (0..threads).flat_map(|thread| share(workers, threads, thread)).collect();
            assert_eq!(all, (0..workers).collect::<Vec<_>>());
            assert!((0..threads).all(|thread| !share(workers, threads, thread).is_empty()));
        }
    }
}
