//! What happens to one worker: it takes a request, connects, sends, reads the answer, and takes the next.
//!
//! In the closed loop a worker takes a request whenever it is free, and opens its connection for it; where connecting
//! fails, it pauses. In the open loop connections are opened beforehand and opened again when they are lost; a request
//! that is due while a worker has none has it opened at once, so that each due request gets its own attempt.
//! No request is ever sent twice.

use rustix::fd::OwnedFd;

use super::answer::Found;
use super::connection::{Call, Stage};
use super::fault;
use super::stream::{Received, Stream};
use super::thread::Thread;
use crate::load::turns::Turn;
use crate::reason::Reason;

/// A socket is read so often before others have their turn: 1 MiB.
const READS: usize = 16;
/// In the closed loop a worker whose request the breaker kept back waits so long.
const BREAKER_PAUSE: u64 = 10_000_000;
/// One that got no descriptor tries again after this.
const BENCH_PAUSE: u64 = 1_000_000_000;

/// What a worker that is free gets.
enum Next {
    Call(Call),
    WaitUntil(u64),
    Pause,
    Over,
}

/// What is known of a connection after reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Up,
    Ended { clean: bool },
    Broken(Reason),
}

impl Thread<'_> {
    /// Takes the next request for a worker that is free.
    pub(super) fn next(&mut self, worker: usize) {
        if self.over.is_some() {
            return self.drop_connection(worker);
        }
        // Before a request is taken: one who gets no socket must not take it away from those who have theirs.
        let socket = match self.connections[worker].stage {
            Stage::Open => None,
            _ => match self.new_socket(worker) {
                Ok(socket) => Some(socket),
                Err(reason) => return self.no_socket(worker, reason),
            },
        };
        match self.turn() {
            Next::Call(call) => {
                self.connections[worker].call = Some(call);
                self.in_flight += 1;
                match socket {
                    Some(socket) => self.connect(worker, socket),
                    None => self.send(worker),
                }
            }
            Next::WaitUntil(due) => {
                self.due = Some(due);
                self.rest(worker, socket);
            }
            Next::Pause => self.connections[worker].wake_at = Some(self.now + BREAKER_PAUSE),
            Next::Over => {
                self.end();
                self.drop_connection(worker);
            }
        }
    }

    fn turn(&mut self) -> Next {
        loop {
            let (due, number) = match self.seat.turns.next(self.now) {
                Turn::Now { due, number } => (due, number),
                Turn::At(due) => return Next::WaitUntil(due),
                Turn::Over => return Next::Over,
            };
            if self.admits_all || self.seat.control.admits_one() {
                return Next::Call(Call { due, number, since: self.now });
            }
            self.seat.recorder.short_circuited(due);
            if !self.is_open_loop {
                return Next::Pause;
            }
        }
    }

    /// Waits for a request to be due, with a connection if one may be opened beforehand.
    fn rest(&mut self, worker: usize, socket: Option<OwnedFd>) {
        match socket {
            None => self.idle.push(worker),
            Some(socket) if self.http1.keep_alive && self.connections[worker].wake_at.is_none() => {
                self.connect(worker, socket);
            }
            Some(_) => self.spare.push(worker),
        }
    }

    fn new_socket(&mut self, worker: usize) -> Result<OwnedFd, Reason> {
        let connection = &mut self.connections[worker];
        connection.peer = self.begun % self.peers.len().max(1);
        connection.tried = 0;
        // Many may be opened in one pass over events, and each takes its time.
        self.now = self.seat.clock.now();
        connection.since = self.now;
        self.begun += 1;
        let peer = self.peers.get(connection.peer).ok_or(Reason::ConnectRefused)?;
        peer.socket().map_err(fault::connecting)
    }

    fn no_socket(&mut self, worker: usize, reason: Reason) {
        if reason == Reason::LocalDescriptors && self.sockets > 0 {
            let connection = &mut self.connections[worker];
            connection.wake_at = Some(self.now + BENCH_PAUSE);
            if !std::mem::replace(&mut connection.benched, true) {
                self.seat.recorder.benched();
            }
            return;
        }
        match self.turn() {
            Next::Call(call) => self.seat.recorder.failed(call.sample(self.now), reason),
            Next::WaitUntil(due) => self.due = Some(due),
            Next::Pause => {}
            Next::Over => self.end(),
        }
        self.pause(worker);
    }

    fn connect(&mut self, worker: usize, socket: OwnedFd) {
        let connection = &mut self.connections[worker];
        let peer = &self.peers[connection.peer];
        let begun = peer.connect(&socket).and_then(|()| self.poll.register(&socket, worker));
        match begun {
            Ok(()) => {
                connection.stream = Some(Stream::new(socket));
                connection.stage = Stage::Connecting;
                connection.answer.reset();
                self.sockets += 1;
            }
            Err(errno) => self.not_connected(worker, fault::connecting(errno)),
        }
    }

    /// There was an event for a socket that connects.
    pub(super) fn connecting_ended(&mut self, worker: usize) {
        let connection = &mut self.connections[worker];
        let Some(stream) = &mut connection.stream else { return };
        let connected = self.peers[connection.peer].connected(&stream.socket).map_err(fault::connecting);
        match (connected, &self.http1.endpoint.tls) {
            (Ok(()), None) => self.opened(worker),
            (Ok(()), Some(tls)) => {
                connection.stage = Stage::Handshake;
                if let Err(reason) = stream.start_tls(tls) {
                    self.not_connected(worker, reason);
                }
            }
            (Err(reason), _) => self.not_connected(worker, reason),
        }
    }

    fn opened(&mut self, worker: usize) {
        self.now = self.seat.clock.now();
        let connection = &mut self.connections[worker];
        connection.open();
        self.seat.recorder.connected(self.now.saturating_sub(connection.since));
        match connection.call {
            Some(_) => self.send(worker),
            None => self.next(worker),
        }
    }

    /// No connection came about: the next address is tried, or the request that waited for it has failed.
    pub(super) fn not_connected(&mut self, worker: usize, reason: Reason) {
        self.drop_connection(worker);
        let connection = &mut self.connections[worker];
        connection.tried += 1;
        let elsewhere =
            matches!(reason, Reason::ConnectRefused | Reason::ConnectUnreachable | Reason::LocalNetwork);
        if elsewhere && connection.tried < self.peers.len() {
            connection.peer = (connection.peer + 1) % self.peers.len();
            return match self.peers[connection.peer].socket() {
                Ok(socket) => self.connect(worker, socket),
                Err(errno) => self.not_connected(worker, fault::connecting(errno)),
            };
        }
        if let Some(call) = connection.call.take() {
            self.in_flight -= 1;
            self.now = self.seat.clock.now();
            self.seat.recorder.failed(call.sample(self.now), reason);
        }
        self.pause(worker);
    }

    /// Lets some time pass before the next connection, longer each time; in the open loop a due request ends it.
    fn pause(&mut self, worker: usize) {
        let connection = &mut self.connections[worker];
        connection.wake_at = Some(self.now + connection.longer_pause());
        if self.is_open_loop && self.over.is_none() {
            self.spare.push(worker);
            // Something may be due that found nobody.
            self.due.get_or_insert(self.now);
        }
    }

    /// Writes the request, which goes out with others at the end of this pass over events, if that saves anything.
    fn send(&mut self, worker: usize) {
        let connection = &mut self.connections[worker];
        let Some(call) = &connection.call else { return };
        let request = self.cursor.http1(call.number);
        connection.answer.expect(request.is_head);
        self.outbox.put(worker, request.bytes);
        if self.ring.is_none() || self.outbox.is_full() {
            self.flush();
        }
    }

    /// Sends the requests that were written.
    pub(super) fn flush(&mut self) {
        if self.outbox.is_empty() {
            return;
        }
        self.now = self.seat.clock.now();
        for (worker, size) in self.outbox.sizes() {
            let Some(call) = &mut self.connections[worker].call else { continue };
            call.since = self.now;
            self.seat.recorder.sent(call.due, self.now, size);
        }
        // An answer may have come before a connection broke.
        self.outbox.send(self.ring.as_mut(), &mut self.connections, |worker| self.again.push(worker));
    }

    /// Reads what came; until there is nothing more, when the end is `near`.
    pub(super) fn read(&mut self, worker: usize, near: bool) {
        if !matches!(self.connections[worker].stage, Stage::Handshake | Stage::Open) {
            return;
        }
        // Whether the socket was asked, and not only what the ring had received before.
        let (mut link, mut is_asked) = (Link::Up, false);
        for reads in 1..=READS {
            let connection = &mut self.connections[worker];
            let Some(stream) = &mut connection.stream else { return };
            let (mut size, answer) = (0, &mut connection.answer);
            let take = |bytes: &[u8]| {
                size += bytes.len();
                answer.feed(bytes);
            };
            let received = match self.inbox.read(worker) {
                Some((said, room)) => stream.received(said, room, take),
                None => {
                    is_asked = true;
                    stream.receive(&mut self.buffer, take)
                }
            };
            self.seat.recorder.received(size);
            match received {
                // Less than there is room for is all that there was.
                Ok(Received::Some { full }) if full || near => {}
                Ok(Received::Nothing) if near && !is_asked => {}
                Ok(Received::Some { .. } | Received::Nothing) => break,
                Ok(Received::End { clean }) => {
                    link = Link::Ended { clean };
                    break;
                }
                Err(reason) => {
                    link = Link::Broken(reason);
                    break;
                }
            }
            if reads == READS {
                self.again.push(worker);
            }
        }
        if is_asked {
            self.now = self.seat.clock.now();
        }
        self.judge(worker, link);
    }

    /// Decides what the bytes, and the end of them, mean for the worker.
    fn judge(&mut self, worker: usize, link: Link) {
        let connection = &mut self.connections[worker];
        let link = match (link, connection.broken) {
            (Link::Up, Some(reason)) => Link::Broken(reason),
            (link, _) => link,
        };
        if connection.stage == Stage::Handshake {
            return self.judge_handshake(worker, link);
        }
        if connection.call.is_none() {
            if link != Link::Up || connection.answer.has_surplus() {
                self.lost(worker);
            }
            return;
        }
        let found = match link {
            Link::Ended { clean } => connection.answer.end(clean),
            _ => connection.answer.found(),
        };
        match (found, link) {
            (Found::Whole { status, reusable }, link) => {
                self.answered(worker, status, reusable && link == Link::Up)
            }
            (Found::Malformed, _) => self.fail(worker, Reason::HttpProtocol),
            (Found::Part, Link::Up) => {}
            (Found::Part, Link::Ended { .. }) => self.fail(worker, Reason::Closed),
            (Found::Part, Link::Broken(reason)) => self.fail(worker, reason),
        }
    }

    fn judge_handshake(&mut self, worker: usize, link: Link) {
        let is_ready = self.connections[worker].stream.as_ref().is_some_and(Stream::is_ready);
        match link {
            Link::Up if is_ready => self.opened(worker),
            Link::Up => {}
            Link::Ended { .. } => self.not_connected(worker, Reason::TlsHandshake),
            Link::Broken(reason) => self.not_connected(worker, reason),
        }
    }

    fn answered(&mut self, worker: usize, status: u16, reusable: bool) {
        let connection = &mut self.connections[worker];
        let Some(call) = connection.call.take() else { return };
        self.in_flight -= 1;
        self.seat.recorder.answered(call.sample(self.now), status);
        connection.answered = true;
        // An answer that came before the whole request leaves a rest that nobody wants.
        let rest = connection.stream.as_ref().is_none_or(Stream::has_unsent);
        if !reusable || rest || !self.http1.keep_alive {
            self.drop_connection(worker);
        }
        self.next(worker);
    }

    /// A request that was sent has failed.
    pub(super) fn fail(&mut self, worker: usize, reason: Reason) {
        self.drop_connection(worker);
        if let Some(call) = self.connections[worker].call.take() {
            self.in_flight -= 1;
            self.seat.recorder.failed(call.sample(self.now), reason);
        }
        self.next(worker);
    }

    /// An idle connection is no more: a new one is opened quietly; slower if this one was of no use.
    fn lost(&mut self, worker: usize) {
        let of_use = self.connections[worker].answered;
        self.drop_connection(worker);
        if self.connections[worker].wake_at.is_some() {
            return;
        }
        if of_use { self.next(worker) } else { self.pause(worker) }
    }

    /// Closes the connection, if there is one.
    pub(super) fn drop_connection(&mut self, worker: usize) {
        let connection = &mut self.connections[worker];
        if let Some(mut stream) = connection.stream.take() {
            self.outbox.forget(worker);
            self.inbox.forget(worker);
            if connection.stage == Stage::Open && connection.broken.is_none() {
                stream.say_goodbye();
            }
            self.sockets -= 1;
        }
        (connection.stage, connection.broken) = (Stage::Closed, None);
    }
}
