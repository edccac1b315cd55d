//! Each known defect of hystrix-go, and the behaviour here that rules it out. Those of its latency
//! figures are in `histogram`.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;

/// Issue 115: the requests and the errors were read at different moments, and the share exceeded 100 %.
#[test]
fn the_decision_is_made_on_one_snapshot() {
    let config = Config { error_threshold_percent: 100, request_volume: 1, max_concurrent: 8, ..steady() };
    let breaker = Breaker::new(config, 0);
    let call = |outcome| breaker.ask(0).unwrap().report(outcome, Duration::ZERO, 0);
    assert_eq!(call(Outcome::Success), None);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..500).for_each(|_| assert_eq!(call(Outcome::Failure), None)));
        }
    });
    let window = breaker.stats(0).window;
    assert_eq!((window.requests, window.failures, window.error_percent), (2001, 2000, 99.9));
}

/// Issue 95: each command left a goroutine behind. What can be copied, compared, written and read
/// back is a value, and owns no task.
#[test]
fn a_breaker_owns_no_task() {
    fn value<T: Clone + PartialEq + Serialize + DeserializeOwned + 'static>() {}
    value::<State>();
}

/// Issues 81 and 98, and (f): a call that timed out gave its place back while it still ran, so that
/// the limit on calls at once limited nothing.
#[test]
fn a_place_is_free_only_when_its_call_has_ended() {
    let breaker = Breaker::new(Config { max_concurrent: 2, ..steady() }, 0);
    let (first, second) = (breaker.ask(0).unwrap(), breaker.ask(0).unwrap());
    let hours_later = 36_000_000;
    assert_eq!(breaker.ask(hours_later).unwrap_err(), Refusal::Rejected { in_flight: 2, limit: 2 });
    first.report(Outcome::Timeout, Duration::from_secs(1), hours_later);
    let third = breaker.ask(hours_later).unwrap();
    assert!(breaker.ask(hours_later).is_err());
    drop((second, third));
    assert_eq!(breaker.stats(hours_later).in_flight, 0);
}

/// Pull requests 77 and 123: the window could not be configured.
#[test]
fn the_window_is_configurable() {
    let mut hand = Hand::new(Config { window: Duration::from_secs(60), buckets: 6, ..steady() });
    hand.call(Outcome::Failure);
    assert_eq!(hand.wait(49_000).window().requests, 1);
    assert_eq!(hand.wait(11_000).window().requests, 0);
}

/// Issue 56: it could not merely observe.
#[test]
fn a_volume_that_is_never_reached_observes_only() {
    let mut hand = Hand::new(Config { request_volume: u32::MAX, ..steady() });
    (0..1000).for_each(|_| assert_eq!(hand.call(Outcome::Failure), None));
    assert_eq!(hand.window().error_percent, 100.0);
}

/// (a): any success closed an open circuit, also one of a call made before it tripped.
#[test]
fn a_late_success_closes_nothing() {
    let mut hand = Hand::new(steady());
    let late: Vec<Ticket> = (0..3).map(|_| hand.ask().unwrap()).collect();
    while hand.state.phase() == Phase::Closed {
        hand.call(Outcome::Failure);
    }
    assert_eq!(hand.report(late[0], Outcome::Success), None);
    let trial = hand.wait(5_000).ask().unwrap();
    assert_eq!(hand.report(late[1], Outcome::Success), None);
    assert_eq!(hand.state.phase(), Phase::HalfOpen);
    hand.report(trial, Outcome::Success);
    assert_eq!(hand.report(late[2], Outcome::Failure), None);
    assert_eq!(hand.window().requests, 0, "a failure of before is no failure of the new closed phase");
    assert_eq!(hand.state.totals().tally, Tally { successes: 3, failures: 21, ..Tally::default() });
}

/// (b): a sum over 10 s spanned 11 buckets, or 10, and an average divided by 10.
#[test]
fn a_sum_spans_as_many_buckets_as_configured() {
    for offset in [0, 1, 500, 999] {
        let mut hand = Hand::new(Config { request_volume: 1000, ..steady() });
        hand.wait(offset);
        for _ in 0..30 {
            hand.call(Outcome::Success);
            hand.wait(1000);
        }
        let window = hand.window();
        assert_eq!((window.requests, window.span), (9, Duration::from_millis(9_000 + offset)));
    }
}

/// (c): asking whether it was open could open it.
#[test]
fn reading_changes_nothing() {
    let mut hand = Hand::new(Config { buckets: 1, ..steady() });
    (0..11).for_each(|_| assert_eq!(hand.call(Outcome::Success), None));
    (0..10).for_each(|_| assert_eq!(hand.call(Outcome::Failure), None));
    let breaker = Breaker::restore(hand.config.clone(), hand.state.clone());
    for now in [0, hand.now, hand.now + 5_000, hand.now + 3_600_000, u64::MAX] {
        breaker.stats(now);
        breaker.phase();
        assert_eq!(breaker.state(), hand.state);
    }
}

/// (g): counts were queued, lost when 2000 were waiting, and tripped some time later.
#[test]
fn every_report_counts_at_once() {
    let mut hand = Hand::new(Config { request_volume: 10_000, max_concurrent: 10_000, ..steady() });
    let tickets: Vec<Ticket> = (0..10_000).map(|_| hand.ask().unwrap()).collect();
    let (last, others) = tickets.split_last().unwrap();
    others.iter().for_each(|ticket| assert_eq!(hand.report(*ticket, Outcome::Failure), None));
    let why = Why::Tripped { failed: 10_000, requests: 10_000 };
    assert_eq!(hand.report(*last, Outcome::Failure).map(|transition| transition.why), Some(why));
}

/// (h): the number of calls at once was frozen at the first use of a name.
#[test]
fn a_new_limit_holds_from_the_next_ask() {
    let mut hand = Hand::new(Config { max_concurrent: 1, ..steady() });
    hand.ask().unwrap();
    assert_eq!(hand.ask(), Err(Refusal::Rejected { in_flight: 1, limit: 1 }));
    hand.config.max_concurrent = 2;
    assert!(hand.ask().is_ok());
}

/// (i): calls given up by the caller's own deadline diluted the error percentage.
#[test]
fn what_the_caller_gave_up_is_in_no_percentage() {
    let mut hand = Hand::new(steady());
    (0..1000).for_each(|_| assert_eq!(hand.call(Outcome::Excluded), None));
    (0..19).for_each(|_| assert_eq!(hand.call(Outcome::Failure), None));
    assert!(hand.call(Outcome::Failure).is_some());
    assert_eq!((hand.window().requests, hand.state.totals().excluded), (20, 1000));
}

/// Refused calls counted as errors, so that a full or open circuit kept itself open.
#[test]
fn refused_calls_are_no_errors() {
    let mut hand = Hand::new(Config { max_concurrent: 1, request_volume: 1, ..steady() });
    let held = hand.ask().unwrap();
    (0..100).for_each(|_| assert!(hand.ask().is_err()));
    assert_eq!(hand.report(held, Outcome::Success), None);
    assert_eq!((hand.window().error_percent, hand.state.totals().rejected), (0.0, 100));
}
