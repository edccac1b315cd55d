//! What the tasks of one thread share: the turns and the books, who is idle, and when it is over.
//!
//! No borrow is held over an await.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::batch::Sample;
use super::super::control::Clock;
use super::super::endpoint::Endpoint;
use super::super::plan::{Pace, Plan};
use super::super::run::Seat;
use super::super::turns::Turn;
use super::Http2;
use super::connection::{Connection, Session};
use super::stream::Letters;
use super::wire::Traffic;
use crate::reason::Reason;

/// Between two looks at the clock and at what is asked of the thread.
const LOOK: Duration = Duration::from_millis(10);

/// What is to be done next.
pub(super) enum Next {
    Send(Due),
    /// Nothing is due before that.
    Wait(u64),
    /// The breaker kept one back; in the closed loop the next one should not follow at once.
    Pause,
    Over,
}

/// A request that is to be sent.
#[derive(Clone, Copy)]
pub(super) struct Due {
    pub(super) due: u64,
    pub(super) number: u64,
}

/// The place of one worker.
#[derive(Default)]
struct Place {
    /// When its request was due and sent.
    under_way: Cell<Option<(u64, u64)>>,
    /// What it was handed while it was idle: a request, or the word to look at its connection again.
    handed: Cell<Option<Option<Due>>>,
    waker: Cell<Option<Waker>>,
}

/// See above.
pub(super) struct Desk {
    pub(super) clock: Clock,
    pub(super) plan: Arc<Plan>,
    pub(super) endpoint: Endpoint,
    pub(super) streams: usize,
    pub(super) connections: Vec<Connection>,
    pub(super) traffic: Rc<Traffic>,
    pub(super) letters: RefCell<Letters>,
    /// When the clock was at 0.
    zero: Instant,
    seat: RefCell<Seat>,
    places: Vec<Place>,
    idle: RefCell<VecDeque<(usize, Rc<Session>)>>,
    somebody_idle: Notify,
    under_way: Cell<usize>,
    here: Cell<usize>,
    everyone_left: Notify,
    /// No request is sent from then on.
    ends: u64,
    over_since: Cell<Option<u64>>,
}

impl Desk {
    pub(super) fn new(load: &Http2, seat: Seat) -> Rc<Desk> {
        let workers = seat.workers.len();
        let plan = seat.plan.clone();
        let streams = load.streams.max(1);
        Rc::new(Desk {
            clock: seat.clock,
            endpoint: load.endpoint.clone(),
            streams,
            connections: (0..workers.div_ceil(streams)).map(|_| Connection::default()).collect(),
            traffic: Rc::default(),
            letters: RefCell::new(Letters::new(load)),
            zero: Instant::now() - Duration::from_nanos(seat.clock.now()),
            places: (0..workers).map(|_| Place::default()).collect(),
            idle: RefCell::default(),
            somebody_idle: Notify::new(),
            under_way: Cell::new(0),
            here: Cell::new(workers),
            everyone_left: Notify::new(),
            ends: seat.turns.end(),
            over_since: Cell::new(None),
            seat: RefCell::new(seat),
            plan,
        })
    }

    pub(super) fn workers(&self) -> usize {
        self.places.len()
    }

    pub(super) fn is_open_loop(&self) -> bool {
        matches!(self.plan.pace, Pace::Open(_))
    }

    /// The run's time as the runtime's.
    pub(super) fn instant(&self, time: u64) -> Instant {
        self.zero + Duration::from_nanos(time)
    }

    /// When a connection is to be opened first.
    pub(super) fn opens_at(&self, connection: usize) -> u64 {
        let seat = self.seat.borrow();
        seat.opens_at(seat.workers.start + connection * self.streams)
    }

    /// The connection's number among those of all threads, as near as it gets.
    pub(super) fn way(&self, connection: usize) -> usize {
        self.seat.borrow().workers.start / self.streams + connection
    }

    /// Asks for the next request.
    pub(super) fn ask(&self, now: u64) -> Next {
        let seat = &mut *self.seat.borrow_mut();
        loop {
            if self.is_over() || seat.control.is_stopped() {
                break;
            }
            match seat.turns.next(now) {
                Turn::Now { due, number } => {
                    if seat.control.admits_one() {
                        return Next::Send(Due { due, number });
                    }
                    seat.recorder.short_circuited(due);
                    if !self.is_open_loop() {
                        return Next::Pause;
                    }
                }
                Turn::At(due) => return Next::Wait(due),
                Turn::Over => break,
            }
        }
        self.end(now);
        Next::Over
    }

    /// Waits for a request that is due. `None`: the connection should be looked at again, or it is over.
    pub(super) async fn idle(&self, worker: usize, session: &Rc<Session>) -> Option<Due> {
        let place = &self.places[worker];
        self.idle.borrow_mut().push_back((worker, session.clone()));
        self.somebody_idle.notify_one();
        poll_fn(|context| match place.handed.take() {
            Some(handed) => Poll::Ready(handed),
            None => {
                place.waker.set(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }

    /// Waits until somebody is idle who could send at once.
    pub(super) async fn somebody_idle(&self) {
        while !self.has_idle() {
            self.somebody_idle.notified().await;
        }
    }

    fn has_idle(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        while let Some((worker, session)) = idle.front() {
            if session.is_open() {
                return true;
            }
            self.places[*worker].hand(None);
            idle.pop_front();
        }
        false
    }

    /// Gives a request to whoever is idle longest.
    pub(super) fn hand(&self, due: Due) {
        if let Some((worker, _)) = self.idle.borrow_mut().pop_front() {
            self.places[worker].hand(Some(due));
        }
    }

    /// Writes down that a request was sent; its bytes are counted on the wire.
    pub(super) fn sent(&self, worker: usize, due: u64, now: u64) {
        self.places[worker].under_way.set(Some((due, now)));
        self.under_way.set(self.under_way.get() + 1);
        self.seat.borrow_mut().recorder.sent(due, now, 0);
    }

    /// Writes down how it ended.
    pub(super) fn ended(&self, worker: usize, now: u64, result: Result<u16, Reason>) {
        let Some((due, sent)) = self.places[worker].under_way.take() else { return };
        self.under_way.set(self.under_way.get() - 1);
        let recorder = &mut self.seat.borrow_mut().recorder;
        let sample = Sample { due, sent, ended: now };
        match result {
            Ok(status) => recorder.answered(sample, status),
            Err(reason) => recorder.failed(sample, reason),
        }
    }

    /// A request that is due cannot be sent: that it failed is all that is written down.
    pub(super) fn fail_one(&self, reason: Reason) {
        let now = self.clock.now();
        if let Next::Send(Due { due, .. }) = self.ask(now) {
            let sample = Sample { due, sent: now, ended: now };
            self.seat.borrow_mut().recorder.failed(sample, reason);
        }
    }

    pub(super) fn connected(&self, took: u64) {
        self.seat.borrow_mut().recorder.connected(took);
    }

    /// Whether nothing more is sent.
    pub(super) fn is_over(&self) -> bool {
        self.over_since.get().is_some()
    }

    fn end(&self, now: u64) {
        if self.is_over() {
            return;
        }
        self.over_since.set(Some(now));
        for (worker, _) in self.idle.take() {
            self.places[worker].hand(None);
        }
        for connection in &self.connections {
            connection.changed.notify_waiters();
        }
    }

    /// A worker has nothing more to do.
    pub(super) fn leave(&self) {
        self.here.set(self.here.get() - 1);
        if self.here.get() == 0 {
            self.everyone_left.notify_one();
        }
    }

    /// Looks at the clock and at what is asked of the thread, until nobody is waited for any more.
    pub(super) async fn watch(&self) {
        while tokio::time::timeout(LOOK, self.everyone_left.notified()).await.is_err() {
            let now = self.clock.now();
            let (stopped, aborted) = {
                let control = &self.seat.borrow().control;
                (control.is_stopped(), control.is_aborted())
            };
            if stopped || now >= self.ends {
                self.end(now);
            }
            let until = self.over_since.get().map(|since| self.seat.borrow().grace_from(since));
            if aborted || until.is_some_and(|until| now >= until) {
                return;
            }
            self.count_bytes();
            let seat = &mut *self.seat.borrow_mut();
            seat.recorder.tick(now, &mut seat.turns, self.under_way.get());
        }
    }

    fn count_bytes(&self) {
        let recorder = &mut self.seat.borrow_mut().recorder;
        recorder.received(self.traffic.received.take());
        recorder.wrote(self.traffic.written.take());
    }

    /// Whatever is still under way is cut off; all books are shown.
    pub(super) fn close(&self) {
        self.count_bytes();
        let now = self.clock.now();
        let seat = &mut *self.seat.borrow_mut();
        for (due, sent) in self.places.iter().filter_map(|place| place.under_way.take()) {
            seat.recorder.cut_off(due, sent, now);
        }
        // Those that were taken for a worker that did not come to send them.
        for due in self.places.iter().filter_map(|place| place.handed.take().flatten()) {
            seat.recorder.cut_off(due.due, now, now);
        }
        seat.recorder.show(now, &mut seat.turns, 0);
    }
}

impl Place {
    fn hand(&self, what: Option<Due>) {
        self.handed.set(Some(what));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::super::endpoint::Way;
    use super::super::super::plan::{Expected, Stop};
    use super::super::super::recorder::{Recorder, Shown};
    use super::super::super::turns::{Tickets, Turns};
    use super::super::tests::http2;
    use super::*;

    #[test]
    fn what_was_handed_out_and_not_sent_is_cut_off() {
        let plan = Arc::new(Plan {
            pace: Pace::Closed,
            stop: Stop::default(),
            workers: 3,
            threads: 1,
            warm_up: Duration::ZERO,
            ramp_up: Duration::ZERO,
            timeout: Duration::from_secs(20),
            grace: Duration::from_secs(20),
            expected: Expected::default(),
        });
        let shown = Arc::<Mutex<Shown>>::default();
        let seat = Seat {
            thread: 0,
            workers: 0..3,
            clock: Clock::start(),
            turns: Turns::new(&plan, 0, Arc::new(Tickets::new(None)), 1),
            recorder: Recorder::new(&plan, shown.clone()),
            control: Arc::default(),
            plan,
        };
        let endpoint = Endpoint { way: Way::Tcp(Vec::new()), tls: None };
        let desk = Desk::new(&http2(&endpoint, 3), seat);
        desk.sent(0, 0, 0);
        desk.places[1].hand(Some(Due { due: 0, number: 1 }));
        desk.places[2].hand(None);
        desk.close();
        let shown = shown.lock().unwrap();
        assert_eq!((shown.batch.sent, shown.batch.cut_off.count()), (1, 2));
    }
}
