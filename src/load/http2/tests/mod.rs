//! Against servers that know the truth: what the books say is exactly what happened.

mod faults;
mod server;

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use hyper::header::{HOST, HeaderValue};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::endpoint::Endpoint;
use super::super::outcome::Outcome;
use super::super::plan::{Expected, Pace, Plan, Stop};
use super::super::request::{Request, Requests};
use super::super::run::{Judge, run};
use super::super::schedule::{Arrivals, Schedule, Stage};
use super::Http2;
use server::{Answer, Manners, Server};

/// So many requests of a closed loop.
fn plan(workers: usize, requests: u64) -> Plan {
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

fn open(rate: f64, arrivals: Arrivals) -> Pace {
    Pace::Open(Arc::new(Schedule::Stages(vec![Stage::for_ever(rate)], arrivals)))
}

fn request(body: Vec<u8>) -> Requests {
    Requests::one(Request {
        method: if body.is_empty() { Method::GET } else { Method::POST },
        path: "/some?path".to_owned(),
        headers: vec![(HOST, HeaderValue::from_static("load.test"))],
        body,
    })
}

pub(super) fn http2(endpoint: &Endpoint, streams: usize) -> Http2 {
    Http2 { endpoint: endpoint.clone(), requests: request(Vec::new()), streams }
}

async fn outcome(plan: Plan, http2: Http2) -> Outcome {
    judged(plan, http2, None::<faults::Strict>, &CancellationToken::new()).await
}

async fn judged(plan: Plan, http2: Http2, judge: impl Judge, stop: &CancellationToken) -> Outcome {
    let (snapshots, _) = watch::channel(Default::default());
    run(plan, http2, judge, &snapshots, stop).await.unwrap()
}

/// Every request was answered, as the server knows.
fn all_well(outcome: &Outcome, server: &Server, requests: u64) {
    let totals = &outcome.totals;
    assert_eq!((totals.sent, totals.ok, totals.requests()), (requests, requests, requests));
    assert_eq!((totals.cut_off.count(), server.truth.requests()), (0, requests));
    assert_eq!(totals.statuses().collect::<Vec<_>>(), [(200, requests)]);
    assert_eq!(totals.connect.count(), server.truth.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_agree_with_the_server_over_every_way() {
    let directory = tempfile::tempdir().unwrap();
    let manners = Manners::default();
    for server in [
        Server::plain(manners).await,
        Server::unix(manners, &directory.path().join("socket")).await,
        Server::tls(manners, &["h2"], true).await,
    ] {
        let plan = Plan { threads: 2, ..plan(25, 2000) };
        let outcome = outcome(plan, http2(&server.endpoint, 10)).await;
        all_well(&outcome, &server, 2000);
        // 12 and 13 workers, at most 10 of them on one connection.
        assert_eq!(server.truth.connections(), 4);
        // Six bytes, a status of one byte and two headings of nine, at least; and something was asked for.
        assert!(outcome.totals.received >= 2000 * 25 && outcome.totals.written >= 2000 * 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_below_the_number_of_streams_is_kept() {
    let server = Server::plain(Manners::default()).await;
    all_well(&outcome(plan(10, 3), http2(&server.endpoint, 10)).await, &server, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_go_both_ways() {
    let large = 9_000_000;
    let manners = Manners { answer: |_| Answer::Bytes(200, 9_000_000), ..Manners::default() };
    let server = Server::plain(manners).await;
    let http2 = Http2 { requests: request(vec![1; large]), ..http2(&server.endpoint, 3) };
    let outcome = outcome(plan(3, 10), http2).await;
    all_well(&outcome, &server, 10);
    let bytes = 10 * large as u64;
    assert_eq!(server.truth.body_bytes.load(std::sync::atomic::Ordering::Relaxed), bytes);
    // Nine bytes of frame for 16 KiB, and a little more.
    assert!((bytes..bytes + bytes / 100).contains(&outcome.totals.received), "{}", outcome.totals.received);
    assert!((bytes..bytes + bytes / 100).contains(&outcome.totals.written), "{}", outcome.totals.written);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_streams_are_opened_than_the_peer_allows() {
    let server = Server::plain(Manners { max_streams: 1, ..Manners::default() }).await;
    all_well(&outcome(plan(10, 200), http2(&server.endpoint, 10)).await, &server, 200);
    assert_eq!(server.truth.connections(), 1);
    assert_eq!(server.truth.most_under_way.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_open_loop_sends_each_request_once_and_knows_how_late() {
    for (arrivals, max_streams) in
        [(Arrivals::Constant, 100), (Arrivals::Poisson, 100), (Arrivals::Constant, 1)]
    {
        let server = Server::plain(Manners { max_streams, ..Manners::default() }).await;
        let plan = Plan { pace: open(2000.0, arrivals), threads: 2, ..plan(8, 400) };
        let outcome = outcome(plan, http2(&server.endpoint, 2)).await;
        all_well(&outcome, &server, 400);
        assert_eq!((outcome.offered, outcome.unsent), (Some(400), 0));
        assert_eq!(outcome.totals.late.count(), 400);
        assert_eq!(outcome.totals.response.ok.count(), 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_open_loop_ends_with_its_duration() {
    let server = Server::plain(Manners::default()).await;
    let stop = Stop { requests: None, duration: Some(Duration::from_millis(300)) };
    let plan = Plan { pace: open(1000.0, Arrivals::Constant), stop, ..plan(20, 0) };
    let outcome = outcome(plan, http2(&server.endpoint, 10)).await;
    assert_eq!(outcome.offered, Some(300));
    assert_eq!(outcome.totals.ok + outcome.unsent, 300);
    assert_eq!(outcome.totals.ok, server.truth.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_opened_one_after_the_other_in_a_ramp() {
    let server = Server::plain(Manners::default()).await;
    let stop = Stop { requests: None, duration: Some(Duration::from_millis(250)) };
    let plan = Plan { ramp_up: Duration::from_millis(400), stop, ..plan(4, 0) };
    let outcome = outcome(plan, http2(&server.endpoint, 1)).await;
    // At 0, 100, 200 and 300 ms; the last one would be too late.
    assert!((1..=3).contains(&server.truth.connections()), "{}", server.truth.connections());
    assert_eq!((outcome.totals.ok, outcome.totals.failures()), (server.truth.requests(), 0));
}
