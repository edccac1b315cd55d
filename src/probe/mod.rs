//! The probe: calls targets in rounds, each through a circuit breaker of its own, and says what is up.
//!
//! - `target`     what is probed: request and expectations of an address
//! - `expect`     what a good answer looks like
//! - `call`       one call over HTTP, TCP or by a command
//! - `classify`   finds which of the known reasons a failure had
//! - `round`      a call, its retries and its fallback; `pace` says when rounds are due
//! - `tally`      the books of one target, and its state
//! - `board`      keeps all books, publishes them, and ends the run
//! - `report`     what was found, as plain data
//! - `shell`      runs commands in process groups of their own
//!
//! Refuses to read flags, files or the environment, and to print.

mod board;
mod call;
mod classify;
mod clock;
pub mod expect;
mod pace;
pub mod report;
mod round;
mod shell;
mod tally;
pub mod target;

pub use board::{End, Found, Goal, Observers, Plan, StateChange, Until, run};
pub use call::Means;
pub use clock::rfc3339;
pub use pace::Pace;
pub use report::{Snapshot, State, TargetReport};
pub use round::Retry;
pub use tally::Streaks;
pub use target::{Part, Request, Target};

pub use crate::http::lookup::Override;
