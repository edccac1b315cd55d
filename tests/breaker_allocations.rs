//! A call through the breaker allocates nothing: counted by an allocator that counts.

#![allow(unsafe_code, reason = "a global allocator can be written in no other way")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use hardy::breaker::{Breaker, Config, Outcome};

/// Counts what this thread asks for, so that the test harness's own threads do not matter.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every request is passed on unchanged to the system's allocator; counting touches a
// thread-local without a destructor, which needs no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: `place` came from `System.alloc` with this layout.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

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

#[test]
fn the_counter_counts() {
    assert_eq!(allocations_of(|| drop(Box::new(1))), 1);
}
