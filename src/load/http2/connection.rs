//! Keeps one connection up: opens it when its time has come, and again when it is lost or told to go away.
//!
//! Each attempt that fails fails one request of every worker that waits for it, and the next one comes after a while
//! that doubles from 10 ms to 1 s. So does one whose predecessor was lost before it brought any answer. A connection over
//! which nothing at all came from when a request was sent until it timed out is given up: its peer may be gone without
//! a word.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use tokio::sync::Notify;

use super::blame;
use super::desk::Desk;
use super::dial::dial;
use super::wire::{Fate, Wire};
use crate::reason::Reason;

type Machine = client::Connection<Wire, Bytes>;

const STREAM_WINDOW: u32 = 1 << 22;
const CONNECTION_WINDOW: u32 = 1 << 26;
const FIRST_BACKOFF: Duration = Duration::from_millis(10);
const LAST_BACKOFF: Duration = Duration::from_secs(1);

/// The place of one connection: whichever stands at the time.
#[derive(Default)]
pub(super) struct Connection {
    session: RefCell<Option<Rc<Session>>>,
    /// Attempts that failed so far, and why the last one did.
    failures: Cell<u64>,
    reason: Cell<Option<Reason>>,
    pub(super) changed: Notify,
}

/// A connection that stood at least once.
pub(super) struct Session {
    sender: RefCell<SendRequest<Bytes>>,
    /// Streams that the peer allows at once.
    limit: Cell<usize>,
    /// Workers that use it.
    joined: Cell<usize>,
    /// Whether it takes new requests.
    open: Cell<bool>,
    /// Whether any answer came over it.
    pub(super) answered: Cell<bool>,
    fate: Rc<Fate>,
    /// Whoever drives it.
    driver: Cell<Option<Waker>>,
}

/// One worker's leave to use a stream of a session.
pub(super) struct Leave(Rc<Session>);

impl Leave {
    pub(super) fn session(&self) -> &Rc<Session> {
        &self.0
    }

    /// Whether another request may be sent.
    pub(super) fn holds(&self) -> bool {
        self.0.open.get() && self.0.joined.get() <= self.0.limit.get()
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.joined.set(self.0.joined.get() - 1);
    }
}

impl Session {
    pub(super) fn is_open(&self) -> bool {
        self.open.get()
    }

    pub(super) fn sender(&self) -> std::cell::RefMut<'_, SendRequest<Bytes>> {
        self.sender.borrow_mut()
    }

    /// Bytes that came so far.
    pub(super) fn heard(&self) -> u64 {
        self.fate.heard.get()
    }

    /// Takes no more requests.
    pub(super) fn give_up(&self) {
        self.open.set(false);
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    pub(super) fn blame(&self, error: &h2::Error) -> Reason {
        blame::http(error, self.fate.lost.get())
    }
}

impl Connection {
    /// Waits until there is a stream for one more worker, or an attempt has failed. `None`: it is all over.
    pub(super) async fn join(&self, desk: &Desk) -> Option<Result<Leave, Reason>> {
        let seen = self.failures.get();
        while !desk.is_over() {
            if let Some(session) = &*self.session.borrow()
                && session.is_open()
                && session.joined.get() < session.limit.get()
            {
                session.joined.set(session.joined.get() + 1);
                return Some(Ok(Leave(session.clone())));
            }
            if self.failures.get() > seen {
                return self.reason.get().map(Err);
            }
            self.changed.notified().await;
        }
        None
    }

    fn failed(&self, reason: Reason) {
        self.failures.set(self.failures.get() + 1);
        self.reason.set(Some(reason));
        self.changed.notify_waiters();
    }

    /// Lets the peer's newest word on streams count.
    fn allow(&self, session: &Session) {
        let limit = session.sender().current_max_send_streams();
        if session.limit.replace(limit) < limit {
            self.changed.notify_waiters();
        }
    }

    fn close(&self, session: &Session) {
        session.open.set(false);
        self.session.take();
    }
}

/// Keeps connection `index` of a thread up, until it is over.
pub(super) async fn keep(desk: Rc<Desk>, index: usize) {
    let connection = &desk.connections[index];
    tokio::time::sleep_until(desk.instant(desk.opens_at(index))).await;
    let mut backoff = FIRST_BACKOFF;
    for attempt in 0.. {
        if desk.is_over() {
            return;
        }
        let opened = tokio::time::timeout(desk.plan.timeout, open(&desk, desk.way(index) + attempt)).await;
        let calm = match opened.unwrap_or(Err(Reason::ConnectTimeout)) {
            Ok((machine, session)) => use_up(connection, machine, session).await,
            Err(reason) => {
                connection.failed(reason);
                false
            }
        };
        if calm {
            backoff = FIRST_BACKOFF;
        } else {
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(LAST_BACKOFF);
        }
    }
}

/// Opens a connection, up to the word of the peer on how many streams it allows.
async fn open(desk: &Desk, turn: usize) -> Result<(Machine, Rc<Session>), Reason> {
    let began = desk.clock.now();
    let fate = Rc::<Fate>::default();
    let wire = dial(&desk.endpoint, turn, desk.traffic.clone(), fate.clone()).await?;
    let handshake = client::Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // None before the peer has said how many.
        .initial_max_send_streams(0)
        // Against peers that flood their clients. Here answers of a few bytes are welcome, and so are timeouts.
        .data_frame_budget(usize::MAX / 2)
        .max_concurrent_reset_streams(desk.streams.saturating_mul(4))
        .max_local_error_reset_streams(None)
        .handshake(wire)
        .await;
    let (sender, mut machine) = handshake.map_err(|error| blame::http(&error, fate.lost.get()))?;
    let limit = poll_fn(|context| {
        if let Poll::Ready(ended) = Pin::new(&mut machine).poll(context) {
            let reason = match ended {
                // Whatever it said, it was not how HTTP/2 begins.
                _ if fate.heard.get() > 0 => Reason::HttpProtocol,
                Ok(()) => Reason::Closed,
                Err(error) => blame::http(&error, fate.lost.get()),
            };
            return Poll::Ready(Err(reason));
        }
        match sender.current_max_send_streams() {
            0 => Poll::Pending,
            limit => Poll::Ready(Ok(limit)),
        }
    })
    .await?;
    desk.connected(desk.clock.now() - began);
    let session = Session {
        sender: RefCell::new(sender),
        limit: Cell::new(limit),
        joined: Cell::new(0),
        open: Cell::new(true),
        answered: Cell::new(false),
        fate,
        driver: Cell::new(None),
    };
    Ok((machine, Rc::new(session)))
}

/// Drives a connection until it takes no more requests. What is under way on it then goes on without us.
/// Whether another one may follow at once: it brought an answer, or it took its time.
async fn use_up(connection: &Connection, mut machine: Machine, session: Rc<Session>) -> bool {
    connection.session.replace(Some(session.clone()));
    connection.changed.notify_waiters();
    let ended = poll_fn(|context| {
        let ended = Pin::new(&mut machine).poll(context).is_ready();
        // We have given it up, the peer said farewell, or all numbers of streams are used up.
        if ended || !session.is_open() || matches!(session.sender().poll_ready(context), Poll::Ready(Err(_)))
        {
            return Poll::Ready(ended);
        }
        connection.allow(&session);
        session.driver.set(Some(context.waker().clone()));
        Poll::Pending
    })
    .await;
    let given_up = !session.is_open();
    connection.close(&session);
    if !ended {
        tokio::task::spawn_local(machine);
    }
    session.answered.get() || given_up
}
