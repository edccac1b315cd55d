//! HTTP/1.

use super::endpoint::Endpoint;
use super::request::Requests;
use super::run::{Seat, Transport};

/// HTTP/1 to one endpoint.
#[derive(Clone, Debug)]
pub struct Http1 {
    /// Where to.
    pub endpoint: Endpoint,
    /// What is sent.
    pub requests: Requests,
    /// Whether a connection carries more than one request.
    pub keep_alive: bool,
}

impl Transport for Http1 {
    fn work(&self, _seat: Seat) {}
}
