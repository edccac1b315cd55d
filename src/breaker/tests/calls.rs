//! The breaker as the calls of one process use it.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

#[test]
fn a_dropped_permit_counts_as_excluded_and_frees_its_place() {
    let breaker = Breaker::new(Config { max_concurrent: 1, ..steady() }, 0);
    drop(breaker.ask(0).unwrap());
    let stats = breaker.stats(0);
    assert_eq!((stats.excluded, stats.in_flight, stats.requests), (1, 0, 0));
    assert!(breaker.ask(0).is_ok());
}

#[test]
fn a_dropped_trial_lets_the_next_one_through() {
    let hand = Hand::tripped(steady());
    let breaker = Breaker::restore(hand.config, hand.state);
    let now = hand.now + 5_000;
    let trial = breaker.ask(now).unwrap();
    assert!(trial.is_trial() && breaker.ask(now).is_err());
    drop(trial);
    let transition = breaker.ask(now).unwrap().report(Outcome::Success, Duration::ZERO, now);
    assert_eq!(transition.map(|transition| transition.to), Some(Phase::Closed));
    assert_eq!(breaker.phase(), Phase::Closed);
}

#[test]
fn the_transitions_are_listed_and_the_oldest_give_way() {
    let breaker = Breaker::new(Config { request_volume: 1, ..steady() }, 0);
    let mut now = 0;
    for _ in 0..40 {
        breaker.ask(now).unwrap().report(Outcome::Failure, Duration::ZERO, now);
        now += 5_000;
        breaker.ask(now).unwrap().report(Outcome::Success, Duration::ZERO, now);
    }
    let stats = breaker.stats(now);
    assert_eq!((stats.transitions.len(), stats.transitions_dropped, stats.generation), (100, 20, 120));
    let last: Vec<_> =
        stats.transitions[97..].iter().map(|transition| (transition.to, transition.why)).collect();
    let expected = [
        (Phase::Open, Why::Tripped { failed: 1, requests: 1 }),
        (Phase::HalfOpen, Why::CooledDown),
        (Phase::Closed, Why::TrialsSucceeded),
    ];
    assert_eq!(last, expected);
}

#[test]
fn every_call_is_in_exactly_one_count() {
    let breaker = Breaker::new(Config { max_concurrent: 3, request_volume: 4, ..steady() }, 0);
    let mut held: Vec<Permit<'_>> = (0..3).map(|_| breaker.ask(0).unwrap()).collect();
    assert!(breaker.ask(0).is_err(), "rejected");
    held.truncate(2);
    for _ in 0..4 {
        breaker.ask(0).unwrap().report(Outcome::Failure, Duration::ZERO, 0);
    }
    assert!(breaker.ask(0).is_err() && breaker.ask(0).is_err(), "short-circuited");
    let stats = breaker.stats(0);
    let refused = (stats.short_circuited, stats.rejected);
    assert_eq!((stats.requests, stats.excluded, refused, stats.in_flight), (4, 1, (2, 1), 2));
}

#[test]
fn many_threads_never_exceed_the_limit_and_lose_no_count() {
    let breaker = Breaker::new(Config { max_concurrent: 3, request_volume: u32::MAX, ..steady() }, 0);
    let (running, refused) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    let Ok(permit) = breaker.ask(0) else {
                        refused.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    assert!(running.fetch_add(1, Ordering::SeqCst) < 3, "more calls than allowed");
                    std::thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                    permit.report(Outcome::Success, Duration::ZERO, 0);
                }
            });
        }
    });
    let stats = breaker.stats(0);
    assert_eq!(stats.rejected, u64::from(refused.load(Ordering::Relaxed)));
    assert_eq!((stats.requests + stats.rejected, stats.in_flight), (16_000, 0));
}

#[test]
fn statistics_are_json_with_units_in_their_names() {
    let hand = Hand::tripped(steady());
    let breaker = Breaker::restore(hand.config, hand.state);
    let json = serde_json::to_value(breaker.stats(hand.now + 1_500)).unwrap();
    assert_eq!(json["phase"], "open");
    assert_eq!(json["next_trial_in_ms"], 3_500);
    assert_eq!(json["window"]["error_percent"], 100.0);
    assert_eq!(json["window"]["span_ms"], 1_500);
    let schema = serde_json::to_value(schemars::schema_for!(Stats)).unwrap();
    for key in json.as_object().unwrap().keys() {
        assert!(schema["properties"].get(key).is_some(), "{key} is not in the schema");
    }
}

#[test]
fn a_refusal_says_what_and_when() {
    let said = [
        Refusal::ShortCircuited { retry_after: Duration::from_millis(3_200) }.to_string(),
        Refusal::Rejected { in_flight: 100, limit: 100 }.to_string(),
    ];
    let expected = [
        "short-circuited: the breaker is not closed, ask again in 3.2s",
        "rejected: 100 of at most 100 calls are in flight",
    ];
    assert_eq!(said, expected);
}
