//! Whatever goes wrong, no request disappears from the books.

use std::net::TcpListener as Listener;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::super::batch::Batch;
use super::super::super::control::Control;
use super::super::super::endpoint::{Endpoint, Way};
use super::super::super::outcome::{End, Outcome};
use super::super::super::plan::{Plan, Stop};
use super::super::super::run::Judge;
use super::super::super::schedule::Arrivals;
use super::server::{Answer, Manners, Server, bind};
use super::{all_well, http2, judged, open, outcome, plan};
use crate::reason::Reason;

fn reasons(outcome: &Outcome) -> Vec<(Reason, u64)> {
    outcome.totals.reasons().collect()
}

/// There is no connection to send anything on, and everything fails for this reason.
fn none_is_sent(outcome: &Outcome, requests: u64, reason: Reason) {
    assert_eq!((outcome.totals.sent, outcome.totals.ok), (0, 0));
    assert_eq!(reasons(outcome), [(reason, requests)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens() {
    let free = Listener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for way in [Way::Tcp(vec![free]), Way::Unix("/nonexistent/socket".into())] {
        let endpoint = Endpoint { way, tls: None };
        let outcome = outcome(plan(4, 10), http2(&endpoint, 2)).await;
        none_is_sent(&outcome, 10, Reason::ConnectRefused);
        assert_eq!(outcome.totals.connect.count(), 0);
        let plan = Plan { pace: open(1000.0, Arrivals::Constant), ..plan(4, 10) };
        let outcome = judged(plan, http2(&endpoint, 2), None::<Strict>, &CancellationToken::new()).await;
        none_is_sent(&outcome, 10, Reason::ConnectRefused);
        // Nor was it sent late.
        assert_eq!((outcome.totals.late.count(), outcome.unsent), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_never_says_how_many_streams_is_a_connection_that_timed_out() {
    let (listener, way) = bind().await;
    let plan = Plan { timeout: Duration::from_millis(50), ..plan(4, 8) };
    let outcome = outcome(plan, http2(&Endpoint { way, tls: None }, 4)).await;
    none_is_sent(&outcome, 8, Reason::ConnectTimeout);
    drop(listener);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_speaks_http1_is_told_apart() {
    let (listener, way) = bind().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            // A socket that is closed with something unread is reset.
            while matches!(stream.read(&mut [0; 99]).await, Ok(1..)) {}
        }
    });
    let outcome = outcome(plan(2, 6), http2(&Endpoint { way, tls: None }, 2)).await;
    none_is_sent(&outcome, 6, Reason::HttpProtocol);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_without_http2_or_trust_is_told_apart() {
    let manners = Manners::default();
    for (server, reason) in [
        (Server::tls(manners, &["http/1.1"], true).await, Reason::HttpProtocol),
        (Server::tls(manners, &[], true).await, Reason::HttpProtocol),
        (Server::tls(manners, &["h2"], false).await, Reason::TlsCertificateUntrusted),
    ] {
        none_is_sent(&outcome(plan(2, 4), http2(&server.endpoint, 2)).await, 4, reason);
        assert_eq!(server.truth.requests(), 0);
    }
    let mut server = Server::plain(manners).await;
    server.endpoint.tls = Server::tls(manners, &["h2"], true).await.endpoint.tls;
    none_is_sent(&outcome(plan(2, 4), http2(&server.endpoint, 2)).await, 4, Reason::TlsHandshake);
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_and_resets_are_counted_one_by_one() {
    let answer = |number| match number % 4 {
        0 => Answer::Reset,
        1 => Answer::Bytes(503, 0),
        _ => Answer::Bytes(200, 6),
    };
    let server = Server::plain(Manners { answer, ..Manners::default() }).await;
    let outcome = outcome(plan(10, 400), http2(&server.endpoint, 5)).await;
    assert_eq!((outcome.totals.ok, server.truth.requests()), (200, 400));
    assert_eq!(server.truth.resets.load(Relaxed), 100);
    assert_eq!(reasons(&outcome), [(Reason::HttpStatus, 100), (Reason::Closed, 100)]);
    assert_eq!(outcome.totals.statuses().collect::<Vec<_>>(), [(200, 200), (503, 100)]);
    assert_eq!(server.truth.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_hung_requests_every_one_times_out() {
    let server = Server::plain(Manners { answer: |_| Answer::Never, ..Manners::default() }).await;
    let plan = Plan { timeout: Duration::from_millis(60), ..plan(10, 50) };
    let outcome = outcome(plan, http2(&server.endpoint, 5)).await;
    assert_eq!((outcome.totals.ok, reasons(&outcome)), (0, vec![(Reason::Timeout, 50)]));
    assert_eq!((outcome.totals.sent, server.truth.requests()), (50, 50));
    let least = outcome.totals.service.failed.summary().min_us;
    assert!(least.is_some_and(|least| least >= 59_000), "{least:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_over_which_nothing_comes_is_given_up() {
    // While the first five are out, the greeting may still be acknowledged.
    let answer = |number| if number < 10 { Answer::Never } else { Answer::Bytes(200, 6) };
    let server = Server::plain(Manners { answer, ..Manners::default() }).await;
    let plan = Plan { timeout: Duration::from_millis(300), ..plan(5, 30) };
    let outcome = outcome(plan, http2(&server.endpoint, 5)).await;
    assert_eq!((outcome.totals.ok, reasons(&outcome)), (20, vec![(Reason::Timeout, 10)]));
    assert!(server.truth.connections() >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farewell_in_good_order_loses_nothing() {
    let server = Server::plain(Manners { farewell_after: 20, ..Manners::default() }).await;
    all_well(&outcome(plan(10, 500), http2(&server.endpoint, 10)).await, &server, 500);
    assert!(server.truth.connections() >= 5, "{}", server.truth.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_idle_when_its_connection_leaves_moves_on() {
    let server = Server::plain(Manners { farewell_after: 10, ..Manners::default() }).await;
    let grace = Duration::from_secs(600);
    let plan = Plan { pace: open(500.0, Arrivals::Constant), grace, ..plan(4, 100) };
    let run = outcome(plan, http2(&server.endpoint, 2));
    // One that is forgotten would be waited for in vain.
    all_well(&tokio::time::timeout(Duration::from_secs(30), run).await.unwrap(), &server, 100);
    assert!(server.truth.connections() >= 5, "{}", server.truth.connections());
}

/// Answers three requests per connection; all others on it are above the last stream of its farewell.
async fn abrupt(listener: tokio::net::TcpListener, answered: watch::Sender<u64>) {
    while let Ok((stream, _)) = listener.accept().await {
        let answered = answered.clone();
        tokio::spawn(async move {
            let mut connection = h2::server::handshake(stream).await?;
            for _ in 0..3 {
                let Some(next) = connection.accept().await else { return Ok(()) };
                let (_, mut respond) = next?;
                respond.send_response(hyper::Response::new(()), false)?.send_data(Bytes::from("x"), true)?;
                answered.send_modify(|answered| *answered += 1);
            }
            connection.graceful_shutdown();
            while let Some(next) = connection.accept().await {
                next?.1.send_reset(h2::Reason::REFUSED_STREAM);
            }
            Ok::<_, h2::Error>(())
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_a_leaving_peer_refuses_are_closed_and_the_rest_goes_elsewhere() {
    let (listener, way) = bind().await;
    let (answered, truth) = watch::channel(0);
    tokio::spawn(abrupt(listener, answered));
    let outcome = outcome(plan(10, 100), http2(&Endpoint { way, tls: None }, 10)).await;
    let closed = outcome.totals.failures();
    assert_eq!((outcome.totals.sent, outcome.totals.ok + closed), (100, 100));
    assert_eq!(outcome.totals.ok, *truth.borrow());
    assert!(
        outcome.totals.ok >= 10 && reasons(&outcome) == [(Reason::Closed, closed)],
        "{:?}",
        reasons(&outcome)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_fails_what_was_on_it() {
    let (listener, way) = bind().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await?;
                for _ in 0..5 {
                    connection.accept().await.transpose()?;
                }
                Ok::<_, h2::Error>(())
            });
        }
    });
    let outcome = outcome(plan(5, 20), http2(&Endpoint { way, tls: None }, 5)).await;
    assert_eq!((outcome.totals.sent, outcome.totals.failures()), (20, 20));
    let known = [Reason::Closed, Reason::ConnectReset];
    assert!(reasons(&outcome).iter().all(|(reason, _)| known.contains(reason)), "{:?}", reasons(&outcome));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_at_the_end_is_cut_off_after_the_grace() {
    let server = Server::plain(Manners { answer: |_| Answer::Never, ..Manners::default() }).await;
    let stop = Stop { requests: None, duration: Some(Duration::from_millis(200)) };
    let plan = Plan { stop, grace: Duration::from_millis(100), ..plan(6, 0) };
    let closed = outcome(plan.clone(), http2(&server.endpoint, 3)).await;
    assert_eq!((closed.totals.sent, closed.totals.cut_off.count(), closed.totals.requests()), (6, 6, 0));
    let plan = Plan { pace: open(100.0, Arrivals::Constant), ..plan };
    let open = outcome(plan, http2(&server.endpoint, 3)).await;
    assert_eq!((open.totals.sent, open.totals.cut_off.count(), open.totals.requests()), (6, 6, 0));
    assert_eq!((open.offered, open.unsent), (Some(20), 14));
    assert_eq!(server.truth.requests(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_waits_for_no_answer() {
    let server = Server::plain(Manners { answer: |_| Answer::Never, ..Manners::default() }).await;
    let stop = CancellationToken::new();
    let run = judged(plan(4, 100), http2(&server.endpoint, 2), None::<Strict>, &stop);
    let signal = async {
        let asked = async {
            while server.truth.requests() < 4 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asked).await.expect("four requests");
        stop.cancel();
    };
    let (outcome, ()) = tokio::join!(run, signal);
    assert_eq!((outcome.end, outcome.totals.cut_off.count()), (End::Stopped, 4));
}

/// Lets exactly so many pass, from the first look on.
pub(super) struct Strict(bool);

impl Judge for Strict {
    fn look(&mut self, _: Duration, so_far: &Batch, _: &Batch, control: &Control) -> Option<End> {
        if !std::mem::replace(&mut self.0, true) {
            control.admit(Some(0));
        }
        (so_far.short_circuited >= 4).then_some(End::BreakerOpened)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_breaker_keeps_requests_back() {
    for pace in [super::Pace::Closed, open(100.0, Arrivals::Constant)] {
        let server = Server::plain(Manners::default()).await;
        let plan = Plan { pace, stop: Stop::default(), ..plan(4, 0) };
        let stop = CancellationToken::new();
        let outcome = judged(plan, http2(&server.endpoint, 2), Strict(false), &stop).await;
        assert_eq!(outcome.end, End::BreakerOpened);
        assert!(outcome.totals.short_circuited >= 4);
        assert_eq!(
            (outcome.totals.sent, outcome.totals.ok),
            (server.truth.requests(), server.truth.requests())
        );
    }
}
