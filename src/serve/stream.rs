//! The streams of an HTTP/2 connection. A client may take nothing of one answer while it takes others, and the
//! connection looks busy all the time: so each answer notes whom it waits for, and one that waits for its
//! client for too long is ended by itself. How the bytes are taken is hyper's matter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hyper::rt::Executor;

use super::connection::Connection;

tokio::task_local! {
    /// The coarse time since which this stream's answer waits for its client, plus one; 0: it waits for us.
    static WAITING: Arc<AtomicU64>;
}

/// Notes, from within the stream, that the answer waits for us: for a disk, or because it is slow on purpose.
pub(super) fn waits_for_us() {
    let _ = WAITING.try_with(|waiting| waiting.store(0, Relaxed));
}

/// Notes, from within the stream, that the answer waits for its client from now on, and returns where to note
/// how it gets on. Outside of a stream there is nothing to note: the connection is watched as a whole.
pub(super) fn waits_for_client(connection: &Arc<Connection>) -> Option<Progress> {
    let waiting = WAITING.try_with(Arc::clone).ok()?;
    waiting.store(connection.shared.now_ms() + 1, Relaxed);
    Some(Progress { waiting, connection: Arc::clone(connection) })
}

/// How a part of an answer gets on.
#[derive(Debug)]
pub(super) struct Progress {
    waiting: Arc<AtomicU64>,
    connection: Arc<Connection>,
}

impl Progress {
    /// The client has made room for some of it.
    pub(super) fn note(&self) {
        let now = self.connection.shared.now_ms() + 1;
        // If the rest waits for us, it still does.
        let _ = self.waiting.fetch_update(Relaxed, Relaxed, |since| (since != 0).then_some(now));
    }
}

/// Runs the streams of one connection.
#[derive(Clone, Debug)]
pub(super) struct Streams(Arc<Connection>);

impl Streams {
    pub(super) fn of(connection: &Arc<Connection>) -> Streams {
        Streams(Arc::clone(connection))
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let connection = Arc::clone(&self.0);
        tokio::spawn(async move {
            let waiting = Arc::new(AtomicU64::new(0));
            tokio::select! {
                biased;
                () = WAITING.scope(Arc::clone(&waiting), stream) => {}
                // Dropping the stream resets it.
                () = stalled(&waiting, &connection) => {
                    connection.shared.counters.timed_out.fetch_add(1, Relaxed);
                }
            }
        });
    }
}

/// Waits until the answer has waited too long for its client.
async fn stalled(waiting: &AtomicU64, connection: &Connection) {
    let limit = connection.shared.limits.write_timeout;
    loop {
        let waited = match waiting.load(Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis((connection.shared.now_ms() + 1).saturating_sub(since)),
        };
        if waited >= limit {
            return;
        }
        // The coarse clock may be a little behind.
        tokio::time::sleep((limit - waited).max(Duration::from_millis(10))).await;
    }
}
