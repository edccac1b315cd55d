//! The circuit breaker: it stops calling what keeps failing, waits, tries once, and goes back to normal.
//!
//! - `config`      the numbers that make one breaker; the article's and Hystrix's are the defaults
//! - `outcome`     how one call ended, and the tally of many
//! - `window`      a rolling window of buckets with absolute numbers, which merge by addition
//! - `transition`  the three phases, and why one was left for another
//! - `state`       the pure core: `step(config, event, now) -> decision`, serialisable
//! - `merge`       two records of one breaker made into one
//! - `call`        [`Breaker`] and [`Permit`]: the core behind a mutex, for the calls of one process
//! - `stats`       what a reader is shown
//!
//! The room sees no clock, no runtime and no I/O: each call is given `now`. Reading never changes
//! anything, and nothing is held while a call is in flight. It runs no call and bounds none:
//! whoever calls keeps to [`Config::timeout`] and reports what came of it.

mod call;
mod config;
mod merge;
mod outcome;
mod state;
mod stats;
mod transition;
mod window;

#[cfg(test)]
mod tests;

pub use call::{Breaker, Permit};
pub use config::{Config, ConfigError};
pub use outcome::{Outcome, Tally};
pub use state::{Decision, Event, Refusal, State, Ticket, Totals};
pub use stats::{Stats, WindowCounts};
pub use transition::{Phase, Transition, Why};
pub use window::Window;

/// A point in time: milliseconds of one clock that the caller chose. Unix time where the state is
/// shared or outlives the process; anything that does not run backwards is better where it is not.
pub type Millis = u64;

/// A duration in whole milliseconds; the longest ones saturate.
fn millis(duration: std::time::Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}
