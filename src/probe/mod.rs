//! The probe: calls targets in rounds, each through a circuit breaker of its own or one that is shared, and says what
//! is up.
//!
//! - `target`     what is probed: request and expectations of an address
//! - `expect`     what a good answer looks like
//! - `call`       one call over HTTP, TCP, TLS or by a command
//! - `certificate` when the certificate that was served ends
//! - `classify`   finds which of the known reasons a failure had
//! - `front`      the breakers before the calls of a target
//! - `round`      a call, its retries and its fallback; `pace` says when rounds are due
//! - `tally`      what was counted for one target, and its state; `flap` says when that changes too often
//! - `books`      the books of all targets; `board` publishes them, and ends the run
//! - `report`     what was found, as plain data
//! - `notify`     tells commands and webhooks of changes
//! - `shell`      runs commands in process groups of their own
//!
//! Refuses to read flags, files or the environment, and to print.

mod board;
mod books;
mod call;
mod certificate;
mod classify;
mod clock;
#[cfg(test)]
#[path = "../../tests/counting.rs"]
mod counting;
pub mod expect;
mod flap;
mod front;
pub mod notify;
mod pace;
pub mod report;
mod round;
mod shell;
mod tally;
pub mod target;

pub use board::{End, Found, Goal, Observers, Plan, Until, run};
pub use call::Means;
pub use clock::rfc3339;
pub use flap::FlapRule;
pub use front::Shared;
pub use pace::Pace;
pub use report::{Snapshot, Standing, State, StateChange, TargetReport};
pub use round::Retry;
pub use tally::Streaks;
pub use target::{Part, Password, Request, Target};

pub use crate::http::lookup::Override;
