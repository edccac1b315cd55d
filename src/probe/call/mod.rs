//! One call of one target: over HTTP, TCP, or by running a command; bounded by its timeout.
//!
//! Refuses to decide whether a call may be made, to repeat it, or to count it.

mod exec;
mod http;
mod tcp;

use std::time::Duration;

use super::reason::Fault;
use super::target::{Address, Target};
use crate::http::{Overrides, Phases, Trust};

/// How targets are reached; the same for all of them.
#[derive(Clone, Debug)]
pub struct Means {
    /// Which servers to believe.
    pub trust: Trust,
    /// Addresses given by hand.
    pub overrides: Overrides,
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
}

/// Calls `target` once, on a connection of its own.
pub async fn call(target: &Target, means: &Means) -> Call {
    let mut call = match &target.address {
        Address::Http { url, socket } => http::call(target, url, socket.as_deref(), means).await,
        Address::Tcp { host, port } => tcp::call(target, host, *port, means).await,
        Address::Exec { command } => exec::call(target, command).await,
    };
    if call.result.is_ok() {
        call.result = target.expect.check_latency(call.latency);
    }
    call
}
