//! One thread of a run: waits for events, hands out turns, and looks after time.

use rustix::event::epoll::{Event, EventFlags};
use rustix::fd::AsFd;
use rustix::thread::set_current_timer_slack;

use super::Http1;
use super::connection::{Connection, Stage};
use super::inbox::Inbox;
use super::outbox::Outbox;
use super::peer::Peer;
use super::poll::{HUNG_UP, Poll, SPEAKS};
use super::queue::Queue;
use super::ring::{Ring, TOGETHER};
use crate::load::plan::Pace;
use crate::load::request::Cursor;
use crate::load::run::Seat;
use crate::reason::Reason;

/// What one receive takes at most.
const BUFFER: usize = 64 * 1024;
/// So often at most the whole crew is looked at, for timeouts and those asleep.
const SWEEP: u64 = 10_000_000;
/// So many requests are sent before the next look at events.
const BURST: usize = 256;

/// A thread's own.
pub(super) struct Thread<'a> {
    pub http1: &'a Http1,
    pub seat: Seat,
    pub poll: Poll,
    pub peers: Vec<Peer>,
    /// How many connections were begun, to spread them over the peers.
    pub begun: usize,
    pub cursor: Cursor,
    pub connections: Vec<Connection>,
    pub inbox: Inbox,
    pub outbox: Outbox,
    /// Where it is permitted, and what is sent is ours to send: TLS has a buffer of its own.
    pub ring: Option<Ring>,
    pub buffer: Vec<u8>,
    /// In the open loop: workers with a connection that wait for a request, and workers without one.
    pub idle: Queue,
    pub spare: Queue,
    /// Sockets that may hold more than was read, for the next pass.
    pub again: Vec<usize>,
    /// The last look at the clock.
    pub now: u64,
    /// In the open loop, when the next request is due.
    pub due: Option<u64>,
    pub is_open_loop: bool,
    pub admits_all: bool,
    /// Requests that workers have taken.
    pub in_flight: usize,
    /// Sockets in use.
    pub sockets: usize,
    timeout: u64,
    sweep_every: u64,
    next_sweep: u64,
    /// Nothing more is taken; what is under way is waited for until then.
    pub over: Option<u64>,
    /// And nothing that was taken is sent any more.
    halted: bool,
}

impl<'a> Thread<'a> {
    pub(super) fn new(http1: &'a Http1, seat: Seat, poll: Poll) -> Thread<'a> {
        let count = seat.workers.len();
        let timeout = u64::try_from(seat.plan.timeout.as_nanos()).unwrap_or(u64::MAX);
        Thread {
            http1,
            poll,
            peers: Peer::all(&http1.endpoint.way),
            begun: seat.workers.start,
            cursor: http1.requests.cursor(fastrand::u64(..)),
            connections: seat.workers.clone().map(|worker| Connection::new(seat.opens_at(worker))).collect(),
            inbox: Inbox::new(),
            outbox: Outbox::new(),
            ring: if http1.endpoint.tls.is_none() { Ring::new().ok() } else { None },
            buffer: vec![0; BUFFER],
            idle: Queue::new(count),
            spare: Queue::new(count),
            again: Vec::with_capacity(count),
            now: 0,
            due: None,
            is_open_loop: matches!(seat.plan.pace, Pace::Open(_)),
            admits_all: true,
            in_flight: 0,
            sockets: 0,
            timeout,
            sweep_every: (timeout / 8).clamp(SWEEP / 10, SWEEP),
            next_sweep: 0,
            over: None,
            halted: false,
            seat,
        }
    }

    /// Until everything has ended in the books.
    pub(super) fn work(mut self) {
        if self.is_open_loop {
            // Woken when it is due, and not 50 us later; where that is refused, then it is later.
            let _ = set_current_timer_slack(std::num::NonZeroU64::new(1));
        }
        // With room for all, one wait tells everything that there is: no timeout hides an answer that has come.
        let mut events = Vec::with_capacity(self.connections.len());
        while !self.is_done() {
            self.now = self.seat.clock.now();
            self.heed();
            if self.now >= self.next_sweep {
                self.sweep();
            }
            self.hand_out();
            self.flush();
            self.seat.recorder.tick(self.now, &mut self.seat.turns, self.in_flight);
            self.poll.wait(&mut events, self.idle_time(), self.due.is_some());
            let again = self.again.len();
            for events in events.chunks(TOGETHER) {
                self.receive(events);
                events.iter().for_each(|event| self.heard(event));
            }
            self.flush();
            // Not before: what is replaced there would be taken for the one that these events are of.
            self.read_again(again);
        }
        self.close();
    }

    fn is_done(&self) -> bool {
        self.over.is_some_and(|deadline| self.in_flight == 0 || self.now >= deadline)
    }

    /// What is asked of all threads, and what the time says.
    fn heed(&mut self) {
        let control = &self.seat.control;
        self.admits_all = control.admits_all();
        let aborted = control.is_aborted();
        if (control.is_stopped() || self.now >= self.seat.turns.end()) && !self.halted {
            self.halted = true;
            self.end();
            self.cut_off(|connection| connection.stage != Stage::Open);
        }
        if aborted {
            self.over = Some(self.now);
        }
    }

    /// Nothing more is taken.
    pub(super) fn end(&mut self) {
        self.over.get_or_insert(self.seat.grace_from(self.now));
        self.due = None;
    }

    /// Time until there is something to do without any event.
    fn idle_time(&self) -> u64 {
        if !self.again.is_empty() {
            return 0;
        }
        let next = self.next_sweep.min(self.seat.recorder.next_tick());
        [self.due, self.over].into_iter().flatten().fold(next, u64::min).saturating_sub(self.seat.clock.now())
    }

    /// Receives once for each connection that speaks, by one system call.
    fn receive(&mut self, events: &[Event]) {
        let Some(ring) = self.ring.as_mut().filter(|_| events.len() > 1) else { return };
        let sockets = events.iter().filter_map(|event| {
            let (flags, worker) = (event.flags, event.data.u64() as usize);
            let connection = self.connections.get(worker)?;
            let speaks = connection.stage == Stage::Open && flags.intersects(SPEAKS);
            Some((worker, connection.stream.as_ref().filter(|_| speaks)?.socket.as_fd()))
        });
        self.inbox.receive(ring, sockets);
        self.now = self.seat.clock.now();
    }

    fn heard(&mut self, event: &Event) {
        let (flags, worker) = (event.flags, event.data.u64() as usize);
        let Some(connection) = self.connections.get_mut(worker) else { return };
        let Some(stream) = &mut connection.stream else { return };
        let speaks = flags.intersects(SPEAKS);
        if connection.stage == Stage::Connecting {
            if speaks {
                // It will not be told again.
                self.again.push(worker);
            }
            return self.connecting_ended(worker);
        }
        if flags.contains(EventFlags::OUT) && stream.has_unsent() && connection.broken.is_none() {
            connection.broken = stream.flush().err();
        }
        let broken = connection.broken.is_some();
        if broken || speaks {
            self.read(worker, broken || flags.intersects(HUNG_UP));
        }
    }

    /// Reads the first so many of those that may hold more.
    fn read_again(&mut self, count: usize) {
        for place in 0..count {
            self.read(self.again[place], true);
            // It may be there twice: what it asks now must have gone before its socket is read once more.
            self.flush();
        }
        self.again.drain(..count);
    }

    /// In the open loop: what is due goes to those who wait, first to those with a connection.
    fn hand_out(&mut self) {
        for _ in 0..BURST {
            if self.due.is_none_or(|due| due > self.now) {
                return;
            }
            let Some(worker) = self.waiting() else {
                // All are busy: whoever is done first looks for itself.
                self.due = None;
                return;
            };
            self.next(worker);
        }
    }

    fn waiting(&mut self) -> Option<usize> {
        let is = |thread: &Thread<'_>, worker: usize, stage| {
            let connection = &thread.connections[worker];
            connection.is_free() && connection.stage == stage
        };
        while let Some(worker) = self.idle.pop() {
            if is(self, worker, Stage::Open) {
                return Some(worker);
            }
        }
        while let Some(worker) = self.spare.pop() {
            if is(self, worker, Stage::Closed) {
                return Some(worker);
            }
        }
        None
    }

    /// Wakes whose time has come, and ends what takes too long.
    fn sweep(&mut self) {
        self.next_sweep = self.now + self.sweep_every;
        for worker in 0..self.connections.len() {
            let (now, timeout) = (self.now, self.timeout);
            let connection = &mut self.connections[worker];
            if connection.wake_at.is_some_and(|wake_at| wake_at <= now) {
                connection.wake_at = None;
                if connection.is_free() {
                    self.next(worker);
                }
                continue;
            }
            let late = |since: u64| now.saturating_sub(since) >= timeout;
            match (connection.stage, connection.call) {
                (Stage::Connecting | Stage::Handshake, _) if late(connection.since) => {
                    self.not_connected(worker, Reason::ConnectTimeout);
                }
                (Stage::Open, Some(call)) if late(call.since) => self.fail(worker, Reason::Timeout),
                _ => {}
            }
        }
    }

    /// The run is over for these, with a request or without.
    fn cut_off(&mut self, which: impl Fn(&Connection) -> bool) {
        for worker in 0..self.connections.len() {
            if !which(&self.connections[worker]) {
                continue;
            }
            if let Some(call) = self.connections[worker].call.take() {
                self.in_flight -= 1;
                self.seat.recorder.cut_off(call.due, call.since, self.now);
            }
            self.drop_connection(worker);
        }
    }

    fn close(mut self) {
        self.now = self.seat.clock.now();
        self.cut_off(|_| true);
        self.seat.recorder.show(self.now, &mut self.seat.turns, 0);
    }
}
