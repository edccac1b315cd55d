//! The transport against servers whose truth is known: their own counts, and hyper's reading of the same bytes.

mod differential;
mod runs;
mod server;
mod streams;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use hyper::header::{HOST, HeaderValue};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Http1;
use crate::load::endpoint::{Endpoint, Way};
use crate::load::outcome::{Outcome, Snapshot};
use crate::load::plan::{Expected, Pace, Plan, Stop};
use crate::load::request::{Request, Requests};
use crate::load::run::{Judge, run};
use crate::load::schedule::{Arrivals, Schedule, Stage};

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

fn closed(requests: u64, workers: usize) -> Plan {
    Plan {
        pace: Pace::Closed,
        stop: Stop { requests: Some(requests), duration: None },
        workers,
        threads: 1,
        warm_up: Duration::ZERO,
        ramp_up: Duration::ZERO,
        timeout: Duration::from_secs(20),
        grace: Duration::from_secs(20),
        expected: Expected::default(),
    }
}

fn open(rate: f64, requests: u64, workers: usize) -> Plan {
    let schedule = Schedule::Stages(vec![Stage::for_ever(rate)], Arrivals::Constant);
    Plan { pace: Pace::Open(Arc::new(schedule)), ..closed(requests, workers) }
}

fn get() -> Request {
    let host = (HOST, HeaderValue::from_static("test"));
    Request { method: Method::GET, path: "/".into(), headers: vec![host], body: Vec::new() }
}

fn http1(way: Way) -> Http1 {
    Http1 { endpoint: Endpoint { way, tls: None }, requests: Requests::one(get()), keep_alive: true }
}

fn to(address: SocketAddr) -> Http1 {
    http1(Way::Tcp(vec![address]))
}

fn go(plan: Plan, http1: Http1) -> Outcome {
    judged(plan, http1, None::<crate::load::guard::Guard>, &CancellationToken::new())
}

fn judged(plan: Plan, http1: Http1, judge: impl Judge, stop: &CancellationToken) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let snapshots = watch::Sender::new(Snapshot::default());
    runtime.block_on(run(plan, http1, judge, &snapshots, stop)).unwrap()
}
