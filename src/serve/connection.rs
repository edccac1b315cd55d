//! What the server knows about one connection, and the list of all of them.
//!
//! A record is a handful of atomics: the task that drives the connection notes what it does, and the
//! [`sweep`](super::sweep) judges it from outside. It does no I/O.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::shared::Shared;
use super::tls::Facts;

/// Which listener a connection came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Clients.
    Main,
    /// Probes and dashboards.
    Admin,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Peer {
    Tcp(SocketAddr),
    Unix,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => address.fmt(f),
            Peer::Unix => f.write_str("unix"),
        }
    }
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// TLS is being negotiated.
    Handshake,
    /// Nothing is asked, nothing is owed.
    Idle,
    /// Part of a request's header has come.
    Header,
    /// A request is being answered.
    InFlight,
    /// The answer is out; what the client still sends is thrown away, so that it can read the answer.
    Lingering,
}

/// What the sweep asks of the task that drives a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Order {
    /// Carry on.
    None,
    /// Give the HTTP buffers back until the next request.
    Hibernate,
    /// Answer what is in flight, then close.
    Finish,
    /// Do not wait any longer for the client to close its half.
    Leave,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) id: u64,
    pub(super) role: Role,
    pub(super) peer: Peer,
    /// Set once the handshake is over.
    pub(super) tls: OnceLock<Facts>,
    /// Set if ALPN chose HTTP/2.
    pub(super) http2: AtomicBool,
    /// Close with a TCP reset.
    pub(super) reset: AtomicBool,
    /// The client may still be sending what nobody will read.
    pub(super) unread: AtomicBool,
    /// The task holds HTTP buffers; nothing to gain from hibernation otherwise.
    pub(super) awake: AtomicBool,
    phase: AtomicU8,
    /// The coarse time at which the phase began.
    since_ms: AtomicU64,
    in_flight: AtomicU32,
    /// The coarse time since which the client takes nothing, plus one; 0: it does.
    stalled_ms: AtomicU64,
    order: AtomicU8,
    /// The order to finish was passed on to HTTP.
    finishing: AtomicBool,
    waker: OnceLock<Waker>,
    /// HTTP/2: the right to have files open.
    turns: OnceLock<Arc<Semaphore>>,
}

/// Files that one HTTP/2 connection may have open: it may have many more streams, and leave all of them waiting.
const OPEN_FILES: usize = 16;

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, id: u64, role: Role, peer: Peer, phase: Phase) -> Connection {
        let now = shared.now_ms();
        Connection {
            shared,
            id,
            role,
            peer,
            tls: OnceLock::new(),
            http2: AtomicBool::new(false),
            reset: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            awake: AtomicBool::new(false),
            phase: AtomicU8::new(phase as u8),
            since_ms: AtomicU64::new(now),
            in_flight: AtomicU32::new(0),
            stalled_ms: AtomicU64::new(0),
            order: AtomicU8::new(Order::None as u8),
            finishing: AtomicBool::new(false),
            waker: OnceLock::new(),
            turns: OnceLock::new(),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Handshake,
            1 => Phase::Idle,
            2 => Phase::Header,
            3 => Phase::InFlight,
            _ => Phase::Lingering,
        }
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.since_ms.store(self.shared.now_ms(), Relaxed);
        self.phase.store(phase as u8, Relaxed);
    }

    /// Milliseconds in this phase, as exact as the coarse clock.
    pub(super) fn age_ms(&self) -> u64 {
        self.shared.now_ms().saturating_sub(self.since_ms.load(Relaxed))
    }

    /// A request's header is complete.
    pub(super) fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
        self.enter(Phase::InFlight);
    }

    /// A request's answer is out or given up.
    pub(super) fn end(&self) {
        if self.in_flight.fetch_sub(1, Relaxed) == 1 {
            self.enter(Phase::Idle);
        }
    }

    /// Requests not yet answered: at most one, except on HTTP/2.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Waits until one more file may be open. HTTP/1 has one answer at a time, and so need not wait.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        if !self.http2.load(Relaxed) {
            return None;
        }
        let turns = self.turns.get_or_init(|| Arc::new(Semaphore::new(OPEN_FILES)));
        Arc::clone(turns).acquire_owned().await.ok()
    }

    /// Bytes came in.
    pub(super) fn heard(&self) {
        if self.phase.load(Relaxed) == Phase::Idle as u8 && !self.http2.load(Relaxed) {
            self.enter(Phase::Header);
        }
    }

    /// The client takes bytes, or takes none.
    pub(super) fn told(&self, progress: bool) {
        if progress {
            if self.stalled_ms.load(Relaxed) != 0 {
                self.stalled_ms.store(0, Relaxed);
            }
        } else if self.stalled_ms.load(Relaxed) == 0 {
            self.stalled_ms.store(self.shared.now_ms() + 1, Relaxed);
        }
    }

    /// For how long the client has taken nothing that is ready for it.
    pub(super) fn stalled_for_ms(&self) -> Option<u64> {
        match self.stalled_ms.load(Relaxed) {
            0 => None,
            since => Some((self.shared.now_ms() + 1).saturating_sub(since)),
        }
    }

    /// Where to wake the task that drives the connection: a tokio task keeps its waker for life.
    pub(super) fn driven_by(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }

    /// An order stands until a stronger one comes.
    pub(super) fn give(&self, order: Order) {
        self.order.fetch_max(order as u8, Relaxed);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn order(&self) -> Order {
        match self.order.load(Relaxed) {
            0 => Order::None,
            1 => Order::Hibernate,
            2 => Order::Finish,
            _ => Order::Leave,
        }
    }

    /// Whether the order to finish was passed on before; from now on it was.
    pub(super) fn finishing(&self) -> bool {
        self.finishing.swap(true, Relaxed)
    }

    /// Nothing is asked, owed or still to be written; and it was so for a while, or memory is short.
    pub(super) fn should_hibernate(&self) -> bool {
        self.phase() == Phase::Idle
            && (self.order() == Order::Hibernate || self.shared.registry.is_crowded())
            && self.in_flight() == 0
            && self.stalled_for_ms().is_none()
    }

    /// An order to hibernate was carried out, or is out of date.
    pub(super) fn settle(&self) {
        let _ = self.order.compare_exchange(Order::Hibernate as u8, Order::None as u8, Relaxed, Relaxed);
    }
}

/// All open connections.
#[derive(Debug, Default)]
pub(super) struct Registry {
    open: Mutex<HashMap<u64, Entry>>,
    crowded: AtomicBool,
}

/// So many connections make every buffer count.
const CROWD: usize = 4096;

/// A connection and the way to end it at once.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) connection: Arc<Connection>,
    pub(super) task: AbortHandle,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        // Nothing that can panic runs under the lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the connection's task and lists it; the task must hold a [`Listed`] and so end after this.
    pub(super) fn start(&self, connection: Arc<Connection>, start: impl FnOnce(Listed) -> AbortHandle) {
        let mut open = self.lock();
        let task = start(Listed(Arc::clone(&connection)));
        open.insert(connection.id, Entry { connection, task });
        self.crowded.store(open.len() >= CROWD, Relaxed);
    }

    fn remove(&self, id: u64) {
        let mut open = self.lock();
        open.remove(&id);
        self.crowded.store(open.len() >= CROWD, Relaxed);
    }

    /// So many connections are open that idle ones should keep no buffers.
    pub(super) fn is_crowded(&self) -> bool {
        self.crowded.load(Relaxed)
    }

    /// Open connections.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Open connections of one role.
    pub(super) fn count(&self, role: Role) -> usize {
        self.lock().values().filter(|entry| entry.connection.role == role).count()
    }

    /// The connections for which `choose` says so. `choose` must not open or close any.
    pub(super) fn select(&self, mut choose: impl FnMut(&Connection) -> bool) -> Vec<Entry> {
        self.lock().values().filter(|entry| choose(&entry.connection)).cloned().collect()
    }
}

/// Takes the connection off the list when its task ends, however it ends.
pub(super) struct Listed(Arc<Connection>);

impl Drop for Listed {
    fn drop(&mut self) {
        self.0.shared.registry.remove(self.0.id);
    }
}
