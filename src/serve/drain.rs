//! The life of a server as a whole: serving, and the way out.
//!
//! 1. The end is asked for: `/readyz` turns 503, everybody is still served, HTTP/1 answers say
//!    `Connection: close`, so that busy clients leave by themselves.
//! 2. After the delay the sockets are closed, with nobody left in their queues.
//! 3. What is in flight is answered; HTTP/2 clients get GOAWAY. Idle connections close once they have been
//!    quiet for a moment: closing one at once would race with the request that its client is just sending.
//! 4. When the time is up, the rest is cut off and counted.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::accept::{self, Room};
use super::connection::{Connection, Order, Phase, Role};
use super::event::Event;
use super::listen::Listener;
use super::shared::{Handler, Shared};
use super::summary::{Snapshot, Summary};
use super::tls::Tls;
use super::{Drain, Server, sweep};

/// An idle connection that was quiet for so long may be closed.
const QUIET_MS: u64 = 500;
/// A header that is not complete by then was not meant seriously.
const PARTIAL_HEADER_MS: u64 = 1_000;
/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Serves, drains, sums up.
pub(super) async fn run(
    server: Server,
    stop: CancellationToken,
    reload: UnboundedReceiver<()>,
    live: Option<watch::Sender<Snapshot>>,
) -> Summary {
    let Server { listeners, shared, drain } = server;
    let mut background = JoinSet::new();
    background.spawn(sweep::run(Arc::clone(&shared), live.clone()));
    background.spawn(reload_on_request(Arc::clone(&shared), reload));
    background.spawn(reload_on_change(Arc::clone(&shared)));
    let room = Room::new(shared.limits.connections);
    let (main, admin) = listeners.into_iter().partition(|listener| listener.role == Role::Main);
    let main = Accepting::start(main, &shared, &room);
    let admin = Accepting::start(admin, &shared, &room);

    stop.cancelled().await;
    let asked = (shared.counters.in_flight(), Snapshot::of(&shared).requests());
    shared.start_draining();
    shared
        .events
        .send(Event::Draining { in_flight: asked.0, connections: shared.registry.count(Role::Main) as u64 });
    sleep(drain.delay).await;
    main.close().await;
    let aborted = finish(&shared, Role::Main, &drain).await;
    admin.close().await;
    cut_off(&shared, Role::Admin).await;
    background.shutdown().await;
    if let Some(log) = &shared.log {
        let log = log.clone();
        // Waits for the disk, but not for ever.
        let _ = tokio::task::spawn_blocking(move || log.close(Duration::from_secs(2))).await;
    }
    let total = Snapshot::of(&shared);
    if let Some(live) = live {
        live.send_replace(total);
    }
    let drained = total.requests().saturating_sub(asked.1).saturating_sub(aborted);
    Summary { total, drained, aborted }
}

/// The accept loops of one role.
struct Accepting {
    closing: CancellationToken,
    loops: JoinSet<()>,
}

impl Accepting {
    fn start(listeners: Vec<Listener>, shared: &Arc<Shared>, room: &Room) -> Accepting {
        let closing = CancellationToken::new();
        let mut loops = JoinSet::new();
        for listener in listeners {
            loops.spawn(accept::run(listener, Arc::clone(shared), room.clone(), closing.clone()));
        }
        Accepting { closing, loops }
    }

    async fn close(mut self) {
        self.closing.cancel();
        while self.loops.join_next().await.is_some() {}
    }
}

/// Waits until all connections of a role are answered and closed, or the time is up. Returns the number of
/// requests that were cut off.
async fn finish(shared: &Shared, role: Role, drain: &Drain) -> u64 {
    let give_orders = async {
        let mut pace = interval(Duration::from_millis(20));
        while shared.registry.count(role) > 0 {
            pace.tick().await;
            shared.tick();
            for entry in shared.registry.select(|c| c.role == role && next_order(c).is_some()) {
                entry.connection.give(next_order(&entry.connection).unwrap_or(Order::Finish));
            }
            for entry in shared.registry.select(|c| c.role == role && is_overdue(c)) {
                entry.task.abort();
            }
        }
    };
    if timeout_at(Instant::now() + drain.timeout, give_orders).await.is_ok() {
        return 0;
    }
    cut_off(shared, role).await
}

/// What to tell a connection that has not been told yet; an idle one is told once it is quiet.
fn next_order(connection: &Connection) -> Option<Order> {
    let order = match connection.phase() {
        Phase::InFlight => Order::Finish,
        Phase::Idle if connection.http2.load(Relaxed) || connection.age_ms() >= QUIET_MS => Order::Finish,
        Phase::Lingering if connection.age_ms() >= QUIET_MS => Order::Leave,
        _ => return None,
    };
    Some(order).filter(|order| connection.order() < *order)
}

/// Owes nothing, and keeps us waiting.
fn is_overdue(connection: &Connection) -> bool {
    match connection.phase() {
        Phase::Handshake | Phase::Header => connection.age_ms() >= PARTIAL_HEADER_MS,
        Phase::Idle => {
            connection.order() >= Order::Finish && connection.age_ms() >= PARTIAL_HEADER_MS + QUIET_MS
        }
        Phase::InFlight | Phase::Lingering => false,
    }
}

/// Ends all connections of a role now. Returns the number of requests that were in flight on them.
async fn cut_off(shared: &Shared, role: Role) -> u64 {
    let entries = shared.registry.select(|connection| connection.role == role);
    let in_flight = entries.iter().map(|entry| u64::from(entry.connection.in_flight())).sum();
    for entry in &entries {
        entry.task.abort();
    }
    // They are gone as soon as their tasks run once more.
    let gone = async {
        while shared.registry.count(role) > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let _ = timeout_at(Instant::now() + Duration::from_secs(1), gone).await;
    in_flight
}

async fn reload_on_request(shared: Arc<Shared>, mut requests: UnboundedReceiver<()>) {
    while requests.recv().await.is_some() {
        let shared = Arc::clone(&shared);
        let _ = tokio::task::spawn_blocking(move || {
            if let Some(log) = &shared.log {
                log.reopen();
            }
            if let Handler::Files(root) = &shared.handler {
                root.reopen();
            }
            if let Some(tls) = &shared.tls {
                tls.reload(&shared.events);
            }
        })
        .await;
    }
}

async fn reload_on_change(shared: Arc<Shared>) {
    let Some(mut watch) = shared.tls.as_ref().and_then(Tls::watch) else { return };
    let mut pace = interval(LOOK_EVERY);
    loop {
        pace.tick().await;
        let shared = Arc::clone(&shared);
        let looked = tokio::task::spawn_blocking(move || {
            if watch.look()
                && let Some(tls) = &shared.tls
            {
                tls.reload(&shared.events);
            }
            watch
        });
        match looked.await {
            Ok(looked) => watch = looked,
            Err(_) => return,
        }
    }
}
