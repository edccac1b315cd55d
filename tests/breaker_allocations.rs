//! A call through the breaker allocates nothing: counted by an allocator that counts.

mod counting;

use std::time::Duration;

use counting::allocations_of;
use hardy::breaker::{Breaker, Config, Outcome};

#[test]
fn a_call_through_a_closed_breaker_allocates_nothing() {
    let breaker = Breaker::new(Config::default(), 0);
    let calls = || {
        // 100 s: the window is rolled over ten times.
        for now in 0..100_000 {
            let outcome = if now % 3 == 0 { Outcome::Failure } else { Outcome::Success };
            let permit = breaker.ask(now).unwrap();
            assert_eq!(permit.report(outcome, Duration::from_millis(5), now), None);
        }
    };
    assert_eq!(allocations_of(calls), 0);
}

#[test]
fn a_refused_call_allocates_nothing() {
    let breaker = Breaker::new(Config { request_volume: 1, max_concurrent: 1, ..Config::default() }, 0);
    let permit = breaker.ask(0).unwrap();
    assert_eq!(
        allocations_of(|| (0..1000).for_each(|now| assert!(breaker.ask(now).is_err()))),
        0,
        "rejected"
    );
    assert!(permit.report(Outcome::Failure, Duration::ZERO, 1000).is_some());
    assert_eq!(
        allocations_of(|| (1000..2000).for_each(|now| assert!(breaker.ask(now).is_err()))),
        0,
        "short-circuited"
    );
}
