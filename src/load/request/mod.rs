//! What is sent: requests with parts that change from one to the next, chosen by weight or in turn.
//!
//! A thread has a [`Cursor`] of its own. What never changes is put together once, before the run.

use std::sync::Arc;

use hyper::Method;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// One request, before its changing parts are filled in.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query, as they are sent.
    pub path: String,
    /// All headers but those that frame the body; `host` is among them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Vec<u8>,
}

/// All requests of a run.
#[derive(Clone, Debug)]
pub struct Requests(Arc<[Request]>);

impl Requests {
    /// Always the same.
    pub fn one(request: Request) -> Requests {
        Requests([request].into())
    }

    /// A thread's way through them. `seed` differs from thread to thread.
    pub fn cursor(&self, _seed: u64) -> Cursor {
        Cursor { requests: self.clone(), bytes: http1_bytes(&self.0[0]) }
    }
}

/// Where one thread is in the requests of a run.
#[derive(Debug)]
pub struct Cursor {
    requests: Requests,
    bytes: Vec<u8>,
}

/// A request ready for HTTP/1.1.
#[derive(Clone, Copy, Debug)]
pub struct Http1<'a> {
    /// Head and body.
    pub bytes: &'a [u8],
    /// The method is HEAD: its answer has no body, whatever its head says.
    pub is_head: bool,
}

/// A request ready for HTTP/2.
#[derive(Debug)]
pub struct Http2<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path and query.
    pub path: &'a str,
    /// All headers but `host`, which is the authority.
    pub headers: HeaderMap,
    /// The body.
    pub body: &'a [u8],
}

impl Cursor {
    /// The request of this number, for HTTP/1.1. Allocates nothing once its buffers have grown.
    pub fn http1(&mut self, _number: u64) -> Http1<'_> {
        Http1 { bytes: &self.bytes, is_head: self.requests.0[0].method == Method::HEAD }
    }

    /// The request of this number, for HTTP/2.
    pub fn http2(&mut self, _number: u64) -> Http2<'_> {
        let request = &self.requests.0[0];
        Http2 {
            method: &request.method,
            path: &request.path,
            headers: request.headers.iter().filter(|(name, _)| name != "host").cloned().collect(),
            body: &request.body,
        }
    }
}

/// Head and body as they go over the wire.
fn http1_bytes(request: &Request) -> Vec<u8> {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method, request.path).into_bytes();
    for (name, value) in &request.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    if !request.body.is_empty() || matches!(request.method, Method::POST | Method::PUT | Method::PATCH) {
        bytes.extend_from_slice(format!("content-length: {}\r\n", request.body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&request.body);
    bytes
}
