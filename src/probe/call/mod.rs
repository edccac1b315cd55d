//! One call of one target: over HTTP, TCP, or by running a command; bounded by its timeout.
//!
//! Refuses to decide whether a call may be made, to repeat it, or to count it.

mod blame;
mod exec;
mod http;
mod tcp;

use std::time::Duration;

use super::target::Target;
use crate::address::Address;
use crate::http::{Overrides, Phases, Proxies, Trust};
use crate::reason::Fault;

pub use blame::with_scheme;

/// How targets are reached; the same for all of them.
#[derive(Clone, Debug)]
pub struct Means {
    /// Which servers to believe.
    pub trust: Trust,
    /// Addresses given by hand.
    pub overrides: Overrides,
    /// The proxies on the way.
    pub proxies: Proxies,
}

impl Means {
    /// Does what the first call would otherwise be timed with: reads the roots of the system, where blocking is
    /// allowed, when any of the targets may need them.
    pub async fn prepare(&self, targets: &[Target]) {
        if targets.iter().any(Target::may_use_tls) {
            let trust = self.trust.clone();
            // Fails only by a panic, which the first call would meet again.
            let _ = tokio::task::spawn_blocking(move || trust.prepare()).await;
        }
    }
}

/// What came of one call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Good, or why not.
    pub result: Result<(), Fault>,
    /// From the first step to the end of the answer, or to the failure.
    pub latency: Duration,
    /// Where the time went.
    pub phases: Phases,
    /// The status of an HTTP answer.
    pub status: Option<u16>,
}

/// Calls `target` once, on a connection of its own.
pub async fn call(target: &Target, means: &Means) -> Call {
    match &target.address {
        Address::Http { url, socket } => http::call(target, url, socket.as_deref(), means).await,
        Address::Tcp { host, port } => tcp::call(target, host, *port, means).await,
        Address::Tls { host, port, .. } => tcp::call(target, host, *port, means).await,
        Address::Exec { command } => exec::call(target, command).await,
    }
}
