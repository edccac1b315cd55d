//! Whose turn it is: one thread's share of a run's requests, each when it is due.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::control::Control;
use super::plan::{Pace, Plan};
use super::schedule::{Arrivals, Schedule};

/// In the open loop what was due before the end is sent for so long after it: a request that is due in the last moment
/// must not be lost because its thread woke up a little late.
const LAST_CALL: u64 = 10_000_000;

/// What a thread is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Send a request. Another call hands out another one.
    Now {
        /// When it was due; in the closed loop now.
        due: u64,
        /// No other request of the run has this number. In the open loop requests are numbered as they are due.
        number: u64,
    },
    /// Wait until then.
    At(u64),
    /// There is nothing more to send.
    Over,
}

/// The numbers of the requests that threads may send together, in the closed loop.
#[derive(Debug)]
pub struct Tickets {
    next: AtomicU64,
    end: u64,
}

impl Tickets {
    /// So many; `None` for no limit.
    pub fn new(requests: Option<u64>) -> Tickets {
        Tickets { next: AtomicU64::new(0), end: requests.unwrap_or(u64::MAX) }
    }

    /// Takes a batch, smaller the fewer are left, so that threads end together and meet seldom.
    fn take(&self, threads: u64) -> Range<u64> {
        let mut taken = 0..0;
        let _ = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
            let left = self.end - next;
            taken = next..next + (left / (8 * threads)).clamp(1, 256).min(left);
            (left > 0).then_some(taken.end)
        });
        taken
    }
}

/// One thread's share.
#[derive(Debug)]
pub struct Turns {
    pace: Share,
    /// Nothing is handed out from this time on.
    end: u64,
    /// Who may stop the run before.
    control: Option<Arc<Control>>,
}

#[derive(Debug)]
enum Share {
    Closed {
        tickets: Arc<Tickets>,
        in_hand: Range<u64>,
        threads: u64,
    },
    /// What was handed out, and what was due meanwhile.
    Open {
        next: Due,
        seen: Due,
    },
}

impl Turns {
    /// The share of thread `index`; all threads of a run have the same tickets.
    pub fn new(plan: &Plan, index: usize, tickets: Arc<Tickets>, seed: u64) -> Turns {
        let (index, threads) = (index as u64, plan.threads as u64);
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let end = plan.stop.duration.map_or(u64::MAX, nanos);
        match &plan.pace {
            Pace::Closed => {
                Turns { pace: Share::Closed { tickets, in_hand: 0..0, threads }, end, control: None }
            }
            Pace::Open(schedule) => {
                let end = end.min(schedule.length().map_or(u64::MAX, nanos));
                let due = Due {
                    schedule: schedule.clone(),
                    position: index as f64,
                    number: index,
                    threads,
                    last: plan.stop.requests,
                    warm_up: nanos(plan.warm_up),
                    end,
                    random: fastrand::Rng::with_seed(seed.wrapping_add(index)),
                    passed: 0,
                    time: None,
                };
                let due = due.begin();
                let pace = Share::Open { next: due.clone(), seen: due };
                Turns { pace, end: end.saturating_add(LAST_CALL), control: None }
            }
        }
    }

    /// Counts nothing as due after the time at which the run is stopped.
    #[must_use]
    pub fn until_stopped(self, control: Arc<Control>) -> Turns {
        Turns { control: Some(control), ..self }
    }

    /// From when on nothing is handed out, whatever is left.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// What is to be done now.
    pub fn next(&mut self, now: u64) -> Turn {
        if now >= self.end {
            return Turn::Over;
        }
        match &mut self.pace {
            Share::Closed { tickets, in_hand, threads } => {
                if in_hand.is_empty() {
                    *in_hand = tickets.take(*threads);
                }
                in_hand.next().map_or(Turn::Over, |number| Turn::Now { due: now, number })
            }
            Share::Open { next, .. } => match next.time {
                None => Turn::Over,
                Some(due) if due > now => Turn::At(due),
                Some(due) => {
                    let number = next.number;
                    next.advance();
                    Turn::Now { due, number }
                }
            },
        }
    }

    /// How many requests were due from the end of the warm-up until now and were not handed out. Always 0 in the closed
    /// loop.
    pub fn backlog(&mut self, now: u64) -> u64 {
        let now = now.min(self.control.as_ref().map_or(u64::MAX, |control| control.stopped_at()));
        match &mut self.pace {
            Share::Closed { .. } => 0,
            Share::Open { next, seen } => {
                while seen.time.is_some_and(|due| due <= now) {
                    seen.advance();
                }
                seen.passed.saturating_sub(next.passed)
            }
        }
    }

    /// How many were due from the end of the warm-up until now, handed out or not.
    pub fn offered(&mut self, now: u64) -> Option<u64> {
        self.backlog(now);
        match &self.pace {
            Share::Closed { .. } => None,
            Share::Open { seen, .. } => Some(seen.passed),
        }
    }
}

/// The due times of one thread, one after the other: every `threads`th of the run's. With Poisson arrivals each thread
/// has a process of its own with its part of the rate; together they are the one of the whole rate.
#[derive(Clone, Debug)]
struct Due {
    schedule: Arc<Schedule>,
    /// Position in the schedule, in requests.
    position: f64,
    number: u64,
    threads: u64,
    last: Option<u64>,
    warm_up: u64,
    end: u64,
    random: fastrand::Rng,
    /// How many lie behind that were due after the warm-up.
    passed: u64,
    /// When the next one is due.
    time: Option<u64>,
}

impl Due {
    fn begin(mut self) -> Due {
        if self.schedule.arrivals() == Arrivals::Poisson {
            self.position = self.distance();
        }
        self.time = self.find();
        self
    }

    fn advance(&mut self) {
        self.passed += u64::from(self.time.is_some_and(|due| due >= self.warm_up));
        self.number += self.threads;
        self.position += match self.schedule.arrivals() {
            Arrivals::Constant => self.threads as f64,
            Arrivals::Poisson => self.distance(),
        };
        self.time = self.find();
    }

    fn distance(&mut self) -> f64 {
        // 1 - [0, 1) is never 0, whose logarithm is none.
        -(1.0 - self.random.f64()).ln() * self.threads as f64
    }

    fn find(&self) -> Option<u64> {
        if self.last.is_some_and(|last| self.number >= last) {
            return None;
        }
        self.schedule.due(self.position).filter(|due| *due < self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Expected, Stop};
    use super::super::schedule::Stage;
    use super::*;

    fn plan(pace: Pace, threads: usize, stop: Stop) -> Plan {
        Plan {
            pace,
            stop,
            workers: threads,
            threads,
            warm_up: Duration::ZERO,
            ramp_up: Duration::ZERO,
            timeout: Duration::from_secs(1),
            grace: Duration::from_secs(1),
            expected: Expected::default(),
        }
    }

    fn all_turns(plan: &Plan) -> Vec<Turns> {
        let tickets = Arc::new(Tickets::new(plan.stop.requests));
        (0..plan.threads).map(|index| Turns::new(plan, index, tickets.clone(), 7)).collect()
    }

    fn open(rate: f64, arrivals: Arrivals) -> Pace {
        Pace::Open(Arc::new(Schedule::Stages(vec![Stage::for_ever(rate)], arrivals)))
    }

    /// Every due time and number until there is no more.
    fn played(turns: &mut Turns) -> Vec<(u64, u64)> {
        let mut all = Vec::new();
        let mut now = 0;
        loop {
            match turns.next(now) {
                Turn::Now { due, number } => all.push((due, number)),
                Turn::At(due) => now = due,
                Turn::Over => return all,
            }
        }
    }

    #[test]
    fn threads_share_a_count_to_the_last_request() {
        for (requests, threads) in [(0, 1), (1, 3), (10, 3), (100_000, 4)] {
            let stop = Stop { requests: Some(requests), duration: None };
            for pace in [Pace::Closed, open(1000.0, Arrivals::Constant), open(1000.0, Arrivals::Poisson)] {
                let plan = plan(pace, threads, stop);
                let mut all: Vec<_> = all_turns(&plan).iter_mut().flat_map(played).map(|t| t.1).collect();
                assert_eq!(all.len() as u64, requests, "{plan:?}");
                all.sort_unstable();
                all.dedup();
                assert_eq!(all.len() as u64, requests, "every number once");
            }
        }
    }

    #[test]
    fn constant_arrivals_of_all_threads_are_those_of_the_rate() {
        let stop = Stop { requests: None, duration: Some(Duration::from_millis(10)) };
        let plan = plan(open(1000.0, Arrivals::Constant), 3, stop);
        let mut all: Vec<_> = all_turns(&plan).iter_mut().flat_map(played).collect();
        all.sort_unstable();
        let expected: Vec<_> = (0..10).map(|n| (n * 1_000_000, n)).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread() {
        let stop = Stop { requests: None, duration: Some(Duration::from_secs(100)) };
        let plan = plan(open(1000.0, Arrivals::Poisson), 2, stop);
        let mut all: Vec<_> = all_turns(&plan).iter_mut().flat_map(played).map(|t| t.0).collect();
        all.sort_unstable();
        // 100,000 expected; the standard deviation is 316.
        assert!(all.len().abs_diff(100_000) < 1600, "{}", all.len());
        // The share of distances above the mean is 1/e.
        let far =
            all.windows(2).filter(|pair| pair[1] - pair[0] > 1_000_000).count() as f64 / all.len() as f64;
        assert!((far - 0.368).abs() < 0.01, "{far}");
    }

    #[test]
    fn what_was_due_and_not_taken_is_the_backlog() {
        let stop = Stop { requests: None, duration: Some(Duration::from_millis(5)) };
        let plan = plan(open(1000.0, Arrivals::Constant), 1, stop);
        let turns = &mut all_turns(&plan)[0];
        assert_eq!(turns.backlog(2_000_000), 3);
        assert_eq!(turns.next(2_000_000), Turn::Now { due: 0, number: 0 });
        assert_eq!((turns.backlog(2_000_000), turns.offered(2_000_000)), (2, Some(3)));
        // Nothing is due after the end.
        assert_eq!((turns.backlog(u64::MAX), turns.offered(u64::MAX)), (4, Some(5)));
    }

    #[test]
    fn the_open_loop_leaves_at_its_end_what_it_could_not_send() {
        let stop = Stop { requests: None, duration: Some(Duration::from_millis(5)) };
        let turns = &mut all_turns(&plan(open(1000.0, Arrivals::Constant), 1, stop))[0];
        assert_eq!(turns.next(5_000_000 + LAST_CALL - 1), Turn::Now { due: 0, number: 0 });
        assert_eq!(turns.end(), 5_000_000 + LAST_CALL);
        assert_eq!((turns.next(turns.end()), turns.backlog(turns.end())), (Turn::Over, 4));
    }

    #[test]
    fn a_replay_is_sent_to_its_end_however_late() {
        let pace = Pace::Open(Arc::new(Schedule::Times(vec![0, 5, 5])));
        let turns = &mut all_turns(&plan(pace, 1, Stop::default()))[0];
        let late = 60_000_000_000;
        let all: Vec<_> = (0..4).map(|_| turns.next(late)).collect();
        let now = |due, number| Turn::Now { due, number };
        assert_eq!(all, [now(0, 0), now(5, 1), now(5, 2), Turn::Over]);
    }

    #[test]
    fn what_is_due_in_the_warm_up_or_after_a_stop_is_no_backlog() {
        let stop = Stop { requests: None, duration: Some(Duration::from_millis(50)) };
        let mut plan = plan(open(1000.0, Arrivals::Constant), 1, stop);
        plan.warm_up = Duration::from_micros(4500);
        let control = Arc::new(Control::default());
        let turns = all_turns(&plan).remove(0);
        let turns = &mut turns.until_stopped(control.clone());
        assert_eq!((turns.backlog(4_400_000), turns.offered(4_400_000)), (0, Some(0)));
        assert_eq!((turns.backlog(9_000_000), turns.offered(9_000_000)), (5, Some(5)));
        control.stop(10_000_000);
        assert_eq!((turns.backlog(u64::MAX), turns.offered(u64::MAX)), (6, Some(6)));
    }

    #[test]
    fn numbers_of_the_closed_loop_have_no_gap() {
        let stop = Stop { requests: Some(1000), duration: None };
        let mut threads = all_turns(&plan(Pace::Closed, 3, stop));
        // One of them is fast.
        let mut numbers: Vec<_> = (0..5).flat_map(|_| threads[1].next(0).number()).collect();
        numbers.extend(threads.iter_mut().flat_map(played).map(|turn| turn.1));
        numbers.sort_unstable();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    }

    impl Turn {
        fn number(self) -> Option<u64> {
            if let Turn::Now { number, .. } = self { Some(number) } else { None }
        }
    }

    #[test]
    fn the_closed_loop_ends_in_time() {
        let stop = Stop { requests: None, duration: Some(Duration::from_millis(5)) };
        let turns = &mut all_turns(&plan(Pace::Closed, 1, stop))[0];
        assert_eq!(turns.next(4_999_999), Turn::Now { due: 4_999_999, number: 0 });
        assert_eq!((turns.next(5_000_000), turns.backlog(5_000_000)), (Turn::Over, 0));
    }
}
