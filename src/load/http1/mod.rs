//! HTTP/1.1 over TCP, unix sockets and TLS, by our own hand: what a request costs here is mostly the kernel's.
//!
//! - `thread`      the loop of one thread: events, turns, time; `poll` is its epoll, `queue` its order of waiting
//! - `worker`      what happens to one worker; `connection` what it consists of
//! - `outbox`      requests that go out together, and `inbox` answers that come in together, through `ring` if there is one
//! - `stream`      bytes through a socket and TLS; `peer` opens sockets; `fault` says why it did not work
//! - `answer`      reads answers as they come; `head` and `chunked` are its parts
//!
//! Each socket is registered once, edge-triggered; the next request is written from where the last answer was read;
//! a read that does not fill the buffer is the last one until the next event. That is one read and one write per request
//! and a share of a wait; where io_uring is permitted, one system call receives for several connections, and one sends.
//! Without TLS nothing is allocated, locked or shared per request.
//!
//! Over epoll itself and not through mio: there is one kind of source and one thread to each, and mio waits in whole
//! milliseconds only, which is too coarse for requests that are due at a time. Refuses to pipeline, to follow redirects,
//! to repeat a request, and to look into bodies.

mod answer;
mod chunked;
mod connection;
mod fault;
mod head;
mod inbox;
mod outbox;
mod peer;
mod poll;
mod queue;
mod ring;
mod stream;
mod thread;
mod worker;

#[cfg(test)]
mod tests;

use self::answer::{Answer, Found};
use self::poll::Poll;
use self::thread::Thread;
use super::endpoint::Endpoint;
use super::request::Requests;
use super::run::{Seat, Transport};
use super::unable::fail_all;

/// HTTP/1 to one endpoint.
#[derive(Clone, Debug)]
pub struct Http1 {
    /// Where to.
    pub endpoint: Endpoint,
    /// What is sent.
    pub requests: Requests,
    /// Whether a connection carries more than one request.
    pub keep_alive: bool,
}

/// Reads one answer that comes in these parts, to a HEAD or not, before the connection ends: its status, if it is whole.
/// The reader by itself, for those who feed it garbage.
///
/// # Errors
/// What came is not HTTP/1.
#[allow(clippy::result_unit_err, reason = "there is nothing to say of garbage")]
pub fn read<'a>(parts: impl IntoIterator<Item = &'a [u8]>, to_head: bool) -> Result<Option<u16>, ()> {
    let mut answer = Answer::none();
    answer.expect(to_head);
    parts.into_iter().for_each(|part| answer.feed(part));
    match answer.end(true) {
        Found::Part => Ok(None),
        Found::Whole { status, .. } => Ok(Some(status)),
        Found::Malformed => Err(()),
    }
}

impl Transport for Http1 {
    fn work(&self, seat: Seat) {
        match Poll::new() {
            Ok(poll) => Thread::new(self, seat, poll).work(),
            Err(errno) => fail_all(seat, fault::connecting(errno)),
        }
    }
}
