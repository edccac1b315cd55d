//! Black-box tests: the binary as a stranger runs it, against real servers on free ports.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a panic is the report")]

mod config;
mod layers;
mod pages;
mod support;
mod usage;
