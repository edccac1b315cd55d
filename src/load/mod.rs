//! Load: drives requests or jobs through a pool of workers and keeps honest books of what came back.
//!
//! `Stop x Pace x Transport`: any end, with any pacing, over any transport.
//!
//! - `plan`       what is to be done; `schedule` when requests are due in the open loop
//! - `turns`      whose turn it is: hands one thread its next request, when that is due
//! - `batch`      what happened since the last look; `recorder` is a thread's way to write it
//! - `run`        starts the threads, collects their batches, publishes snapshots, ends the run
//! - `outcome`    what was found, as plain data; `timeline` how it went over time
//! - `request`    what is sent: templates, targets, replay
//! - `http1`, `http2`  the transports; `endpoint` where they connect to; `unable` when they cannot even begin
//! - `jobs`       the pool of commands
//! - `guard`      a circuit breaker in front of the whole run; `shared` one of a store, which others use as well
//! - `condition`  `p99>200ms`: what a run must not do; `steady`, `compare`, `find`: what runs say together
//!
//! A thread owns everything that it touches per request; threads meet ten times a second. Times are nanoseconds since
//! the start of the run, from one clock. Refuses to see flags, files of configuration, the environment or stdout, and
//! to invent a sample: what was not measured is not there.

pub mod batch;
pub mod compare;
pub mod condition;
pub mod control;
pub mod endpoint;
pub mod find;
pub mod guard;
pub mod http1;
pub mod http2;
pub mod jobs;
pub mod outcome;
pub mod plan;
pub mod recorder;
pub mod request;
pub mod run;
pub mod saved;
pub mod schedule;
pub mod shared;
pub mod steady;
pub mod timeline;
pub mod turns;
mod unable;
pub mod watch;
