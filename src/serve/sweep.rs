//! The one task that watches over all connections: a timer for each request would cost more than the request.
//!
//! It looks a few times a second, so limits are met to a quarter of a second, or better for short ones.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::watch;

use super::connection::{Connection, Entry, Order, Phase};
use super::settings::Limits;
use super::shared::Shared;
use super::summary::Snapshot;

/// Idle for so long, a connection gives its HTTP buffers back.
const HIBERNATE_AFTER_MS: u64 = 1_000;
/// So long an answered client may go on sending what nobody reads.
const LINGER_MS: u64 = 2_000;

/// Sweeps until dropped.
pub(super) async fn run(shared: Arc<Shared>, live: Option<watch::Sender<Snapshot>>) {
    let mut pace = tokio::time::interval(interval(&shared.limits));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        shared.tick();
        sweep(&shared);
        if let Some(live) = &live {
            live.send_replace(Snapshot::of(&shared));
        }
    }
}

/// A quarter of the shortest limit, within reason.
fn interval(limits: &Limits) -> Duration {
    let shortest = [limits.header_timeout, limits.keep_alive, limits.handshake_timeout, limits.write_timeout]
        .into_iter()
        .min()
        .unwrap_or_default();
    (shortest / 4).clamp(Duration::from_millis(10), Duration::from_millis(250))
}

/// What a connection deserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// Carry on without buffers.
    Hibernate,
    /// Idle for too long: closed in good order.
    Finish,
    /// Answered, and still sending: left alone with it.
    Leave,
    /// Too slow: cut off.
    Cut,
}

fn sweep(shared: &Shared) {
    let mut verdicts = Vec::new();
    let entries = shared.registry.select(|connection| {
        let verdict = judge(connection, &shared.limits);
        if verdict != Verdict::Fine {
            verdicts.push(verdict);
        }
        verdict != Verdict::Fine
    });
    for (Entry { connection, task }, verdict) in entries.into_iter().zip(verdicts) {
        match verdict {
            Verdict::Fine => {}
            Verdict::Hibernate => connection.give(Order::Hibernate),
            Verdict::Finish => connection.give(Order::Finish),
            Verdict::Leave => connection.give(Order::Leave),
            Verdict::Cut => {
                shared.counters.timed_out.fetch_add(1, Relaxed);
                task.abort();
            }
        }
    }
}

fn judge(connection: &Connection, limits: &Limits) -> Verdict {
    let age = connection.age_ms();
    let over = |limit: Duration| u128::from(age) >= limit.as_millis();
    let stalled =
        connection.stalled_for_ms().is_some_and(|ms| u128::from(ms) >= limits.write_timeout.as_millis());
    match connection.phase() {
        _ if stalled => Verdict::Cut,
        Phase::Handshake if over(limits.handshake_timeout) => Verdict::Cut,
        Phase::Header if over(limits.header_timeout) => Verdict::Cut,
        Phase::Lingering if age >= LINGER_MS => Verdict::Leave,
        // Told to finish and still here: it does not want to.
        Phase::Idle if over(limits.keep_alive + Duration::from_secs(5)) => Verdict::Cut,
        Phase::Idle if over(limits.keep_alive) => Verdict::Finish,
        Phase::Idle if age >= HIBERNATE_AFTER_MS && connection.awake.load(Relaxed) => Verdict::Hibernate,
        _ => Verdict::Fine,
    }
}
