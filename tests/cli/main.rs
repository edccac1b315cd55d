//! Black-box tests: the binary as a stranger runs it, against real servers on free ports.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a panic is the report")]

mod breaker;
mod config;
mod etcd;
mod fixtures;
mod layers;
mod load;
mod lock;
mod pages;
mod probe;
mod probe_exec;
mod probe_kinds;
mod probe_runs;
mod probe_text;
mod probe_tls;
mod probe_watch;
mod readme;
mod serve;
mod support;
mod tls;
mod usage;
