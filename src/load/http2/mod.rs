//! HTTP/2: each thread has a runtime of its own, its connections, and on each of them so many streams.
//!
//! - `desk`        what all tasks of a thread share: turns, books, who is idle, when it is over
//! - `dial`        a connection up to the point where HTTP/2 begins; `wire` counts its bytes
//! - `connection`  keeps one connection up, and replaces it when it is lost or told to go away
//! - `stream`      one worker: a request, its whole answer, and the next
//! - `pacer`       hands requests of the open loop to idle workers when they are due
//! - `blame`       why something failed
//!
//! A request is sent on a stream that is free, or not yet: none waits within the protocol's machine. Bytes are counted
//! below the framing and above TLS. Refuses to retry, to follow redirects and to accept pushed answers; that no HTTP/2
//! came about (ALPN chose something else, or the peer does not speak it) is `http.protocol`.

mod blame;
mod connection;
mod desk;
mod dial;
mod pacer;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

use std::rc::Rc;

use tokio::runtime::{Builder, LocalOptions};

use super::endpoint::Endpoint;
use super::request::Requests;
use super::run::{Seat, Transport};
use super::unable::fail_all;
use desk::Desk;

/// Requests over HTTP/2: with TLS where the endpoint has it, and else by prior knowledge.
#[derive(Clone, Debug)]
pub struct Http2 {
    /// Where to. The ALPN of its TLS offers `h2`, and should offer nothing else.
    pub endpoint: Endpoint,
    /// What is sent.
    pub requests: Requests,
    /// Workers that share a connection. At least 1.
    pub streams: usize,
}

impl Transport for Http2 {
    fn work(&self, seat: Seat) {
        // Built here, since it must stay on this thread.
        match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => {
                let desk = Desk::new(self, seat);
                runtime.block_on(work(&desk));
                desk.close();
            }
            Err(error) => fail_all(seat, blame::local(&error)),
        }
    }
}

/// Until everyone has left, or is not waited for any more.
async fn work(desk: &Rc<Desk>) {
    for connection in 0..desk.connections.len() {
        tokio::task::spawn_local(connection::keep(desk.clone(), connection));
    }
    for worker in 0..desk.workers() {
        tokio::task::spawn_local(stream::work(desk.clone(), worker));
    }
    if desk.is_open_loop() {
        tokio::task::spawn_local(pacer::pace(desk.clone()));
    }
    desk.watch().await;
}
