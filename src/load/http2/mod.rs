//! HTTP/2.

use super::endpoint::Endpoint;
use super::request::Requests;
use super::run::{Seat, Transport};

/// HTTP/2 to one endpoint.
#[derive(Clone, Debug)]
pub struct Http2 {
    /// Where to.
    pub endpoint: Endpoint,
    /// What is sent.
    pub requests: Requests,
    /// Streams over each connection.
    pub streams: usize,
}

impl Transport for Http2 {
    fn work(&self, _seat: Seat) {}
}
