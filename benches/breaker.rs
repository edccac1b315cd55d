//! What one call through the breaker costs beside the call itself.
//!
//! `peers/breaker.go` measures a call of hystrix-go's shape; `with_clock` is the row to compare with
//! it, since that one reads the clock too. Run both on the same machine:
//! `cargo bench --bench breaker` and `go run benches/peers/breaker.go`.

#![allow(missing_docs, reason = "criterion's macros write undocumented functions")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use hardy::breaker::{Breaker, Config, Millis, Outcome};

const CALLED: Duration = Duration::from_millis(5);

fn call(breaker: &Breaker, now: Millis) {
    if let Ok(permit) = breaker.ask(now) {
        permit.report(black_box(Outcome::Success), CALLED, now);
    }
}

fn one_call(c: &mut Criterion) {
    let mut group = c.benchmark_group("breaker/call");
    group.bench_function("uncontended", |bench| {
        let breaker = Breaker::new(Config::default(), 0);
        let mut calls = 0;
        // A call every 10 us, so that the window rolls as it does in use.
        bench.iter(|| {
            calls += 1;
            call(&breaker, calls / 100);
        });
    });
    group.bench_function("with_clock", |bench| {
        let (breaker, start) = (Breaker::new(Config::default(), 0), Instant::now());
        bench.iter(|| {
            let now = start.elapsed();
            if let Ok(permit) = breaker.ask(now.as_millis() as Millis) {
                let then = start.elapsed();
                permit.report(black_box(Outcome::Success), then - now, then.as_millis() as Millis);
            }
        });
    });
    group.bench_function("short_circuited", |bench| {
        let breaker = Breaker::new(Config { request_volume: 1, ..Config::default() }, 0);
        if let Ok(permit) = breaker.ask(0) {
            permit.report(Outcome::Failure, CALLED, 0);
        }
        bench.iter(|| black_box(breaker.ask(black_box(1)).is_err()));
    });
    group.finish();
}

/// Two threads calling without a pause: the worst case for one mutex. Per call and thread.
fn contended(c: &mut Criterion) {
    c.bench_function("breaker/call/two_threads", |bench| {
        bench.iter_custom(|calls| {
            let breaker = Breaker::new(Config::default(), 0);
            let start = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| (0..calls).for_each(|n| call(&breaker, n / 100)));
                }
            });
            start.elapsed()
        });
    });
}

criterion_group!(benches, one_call, contended);
criterion_main!(benches);
