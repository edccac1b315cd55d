//! Breakers that outlive a process and are shared: each is a record in the store, under a name.
//!
//! A call asks before and reports after, and each is one change of the record; nothing is held while the call runs.
//! What a crashed caller leaves behind is a lease, which lapses: its place, its trial's permit, and a call that is then
//! counted as lost. Reading changes nothing.
//!
//! - `name`     what a breaker may be called
//! - `terms`    the numbers that one caller goes by
//! - `record`   the record as a value, and its steps; no clock, no store
//! - `recent`   what readers are told of the last calls beside the breaker's own window
//! - `members`  who shares it: their windows, and how wrong their clocks are
//! - `call`     [`Circuit`]: one breaker for the calls of this process
//! - `panel`    [`Panel`]: what operators see and decide
//! - `trouble`  what is to be said of a store that does not answer
//! - `run`      a command in a process group, ended at its timeout
//!
//! It prints nothing, and runs nothing but `run`'s command.

mod call;
mod members;
mod name;
mod panel;
mod recent;
mod record;
pub mod run;
mod terms;
mod trouble;

#[cfg(test)]
mod tests;

pub use call::{Answer, Asked, Circuit, Fallback, Pass, Place, Reported, Seen};
pub use members::MemberView;
pub use name::{Name, NameError};
pub use panel::{Look, Panel, View};
pub use recent::{Counts, RecentView};
pub use record::{Bulk, FallbackCounts, Forced, Moment};
pub use terms::{FALLBACKS, Numbers, Terms};
pub use trouble::{Trouble, why};

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::breaker::Millis;

/// Unix time.
fn wall() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

fn millis(time: Duration) -> Millis {
    Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX)
}
