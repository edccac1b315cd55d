//! `hardy serve` as its clients see it.

mod answers;
pub mod client;
mod drain;
mod faults;
mod files;
mod http2;
mod limits;
mod log;
mod refused;
mod settings;
mod tls;
