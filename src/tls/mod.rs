//! Certificates and TLS policy of endpoints and of files: what is there, and every reason why it is not as it should be.
//!
//! Two engines look at a server: [`prober`], for what it would speak, and [`session`], for what is spoken. They only
//! observe. [`chain`] and [`policy`] judge; they are pure. Refuses to print, to read the config, and to call anything
//! a pass that was not tested.

pub mod authority;
pub mod chain;
pub mod dial;
pub mod fact;
mod fetch;
pub mod files;
pub mod finding;
pub mod hello;
pub mod life;
pub mod policy;
pub mod prober;
pub mod registry;
pub mod session;
pub(crate) mod starttls;
pub mod target;
pub mod threshold;

mod check;

pub use check::{Checked, Observed, Plan, Snapshot, check};
