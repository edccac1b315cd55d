//! One thin room per subcommand: its arguments, what they mean, one call of an engine, its report.
//! A command prints nothing, spawns nothing and never calls another command.

#![allow(rustdoc::broken_intra_doc_links, reason = "the comments on arguments are their help")]

mod beside;
pub mod breaker;
mod breaker_config;
mod breakers;
pub mod completions;
pub mod config;
pub mod load;
pub mod lock;
pub mod man;
mod names;
pub mod probe;
pub mod serve;
mod store;
pub mod tls;
