//! One call of one target: in the protocol of its kind, or by running a command; bounded by its timeout.
//!
//! - `way`        look-up, connection and TLS of those kinds that are not HTTP; `wire` reads what comes then
//! - `http`       http, https, unix+http and h2c; `blame` says whose fault a failure is
//! - `tcp`        tcp and udp
//! - `dns`, `etcd`, `exec`, `grpc`, `icmp`, `mysql` (with `scramble`), `postgres` (with `scram`), `redis`, `tls`, `ws`: what
//!   they are called
//!
//! Refuses to decide whether a call may be made, to repeat it, or to count it.

mod blame;
mod dns;
mod etcd;
mod exec;
mod grpc;
#[cfg(test)]
mod hostile;
mod http;
mod icmp;
mod mysql;
mod postgres;
mod redis;
mod scram;
mod scramble;
mod tcp;
mod tls;
mod way;
mod wire;
mod ws;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use way::Way;

use super::certificate::{self, CertificateReport};
use super::target::Target;
use crate::address::Address;
use crate::http::{Asked, Family, Overrides, PhaseClock, Phases, Proxies, Recipe, Served, Trust};
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
    /// The only kind of addresses to connect to.
    pub family: Option<Family>,
}

impl Means {
    /// A client for one call whose phases go to `clock`, as far as it is the same for all targets.
    fn recipe(&self, clock: Arc<PhaseClock>) -> Recipe<'_> {
        Recipe {
            trust: &self.trust,
            overrides: self.overrides.clone(),
            family: self.family,
            redirects: 0,
            unix_socket: None,
            http2_only: false,
            keep: false,
            clock,
            asked: Asked::default(),
            served: Served::default(),
        }
    }

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
    /// What a server of another kind said of itself.
    pub answer: Option<String>,
    /// The certificate that was served, believed or not.
    pub certificate: Option<CertificateReport>,
}

/// Calls `target` once, on a connection of its own.
pub async fn call(target: &Target, means: &Means) -> Call {
    let way = Way::new(target, means);
    match &target.address {
        Address::Http { url, socket } => http::call(target, url, socket.as_deref(), means).await,
        Address::H2c { url } => http::call(target, url, None, means).await,
        Address::Tcp { host, port } => tcp::call(&way, host, *port).await,
        Address::Tls { host, port, starttls } => tls::call(&way, host, *port, *starttls).await,
        Address::Exec { command } => exec::call(target, command).await,
        Address::Udp { host, port } => way.within(tcp::datagram(&way, host, *port)).await,
        Address::Dns(question) => way.within(dns::exchange(&way, question)).await,
        Address::Icmp { host } => way.within(icmp::exchange(&way, host)).await,
        Address::WebSocket { url } => way.within(ws::exchange(&way, url)).await,
        Address::Grpc { at, service, watch } => way.within(grpc::exchange(&way, at, service, *watch)).await,
        Address::Etcd { at } => way.within(etcd::exchange(&way, at)).await,
        Address::Redis { at, user } => way.within(redis::exchange(&way, at, user.as_deref())).await,
        Address::Mysql { at, user, encryption } => {
            way.within(mysql::exchange(&way, at, user.as_deref(), *encryption)).await
        }
        Address::Postgres { at, user, database, encryption } => {
            let (user, database) = (user.as_deref(), database.as_deref());
            way.within(postgres::exchange(&way, at, user, database, *encryption)).await
        }
    }
}

/// The certificate that was served, and why it does not last as long as it should.
fn certificate_of(target: &Target, served: &Served) -> (Option<CertificateReport>, Option<Fault>) {
    let (leaf, now) = (served.leaf(), Timestamp::now());
    let leaf = leaf.as_deref();
    let too_short = target.expect.cert_life.and_then(|least| certificate::check(least, leaf, now).err());
    (leaf.and_then(|leaf| CertificateReport::of(leaf, now)), too_short)
}
