//! A call over TCP: good when a connection stands.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::http::timed_out;
use super::{Call, Means};
use crate::http::{Phase, PhaseClock, lookup};
use crate::probe::classify::{io_fault, lookup_fault};
use crate::probe::target::Target;
use crate::reason::Fault;

/// Connects, and closes again, within the target's timeout.
pub(super) async fn call(target: &Target, host: &str, port: u16, means: &Means) -> Call {
    let clock = PhaseClock::start();
    let limit = target.timeout();
    let deadline = Instant::now() + limit;
    let result = match timeout_at(deadline, connect(host, port, means, deadline, &clock)).await {
        Ok(result) => result,
        Err(_) => Err(timed_out(clock.stop().0, limit)),
    };
    let (_, phases, latency) = clock.stop();
    let result = result.and_then(|()| target.expect.check_latency(latency));
    Call { result, latency, phases, status: None }
}

async fn connect(
    host: &str,
    port: u16,
    means: &Means,
    deadline: Instant,
    clock: &Arc<PhaseClock>,
) -> Result<(), Fault> {
    let overrides = means.overrides.seen_from(host, port);
    if host.parse::<std::net::IpAddr>().is_err() {
        clock.enter(Phase::Dns);
    }
    let addresses = lookup::lookup(host, port, &overrides).await.map_err(|error| lookup_fault(&error))?;
    clock.enter(Phase::Connect);
    let mut last = None;
    for (tried, address) in addresses.iter().enumerate() {
        match connect_one(*address, deadline, addresses.len() - tried).await {
            Ok(_) => return Ok(()),
            // The share of this address is used up; the next one has its own.
            Err(None) => {}
            Err(Some(error)) => last = Some(error),
        }
    }
    match last {
        Some(error) => Err(io_fault(&error, Phase::Connect)),
        // None answered, and the last share ended with the deadline: the caller says so.
        None => std::future::pending().await,
    }
}

/// Each of the `left` addresses gets an equal share of the time left, so that a silent one cannot hide another.
async fn connect_one(
    address: SocketAddr,
    deadline: Instant,
    left: usize,
) -> Result<TcpStream, Option<std::io::Error>> {
    let share = deadline.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(u32::MAX);
    timeout(share, TcpStream::connect(address)).await.map_err(|_| None)?.map_err(Some)
}
