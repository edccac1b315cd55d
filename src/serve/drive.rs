//! One connection from its first byte to its last: TLS if asked for, then HTTP by hyper.
//!
//! While an HTTP/1 connection is idle hyper is put away and its buffers are freed, so that ten thousand idle
//! connections cost little more than their sockets.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;

use super::access_log::Line;
use super::connection::{Connection, Order, Phase, Role};
use super::io::{Io, Socket, Stream, Watched};
use super::service::Service;
use super::shared::{Handler, Shared};
use super::stream::Streams;
use super::tls::{Facts, Tls};

/// Bodies up to this size are copied behind their header and written at once.
const COPIED_BODY: usize = 16 << 10;

/// Drives the connection to its end.
pub(super) async fn run(socket: Socket, connection: Arc<Connection>, tls: bool) {
    let shared = &connection.shared;
    let socket = Watched::new(socket, Arc::clone(&connection));
    let stream = match (&shared.tls, tls) {
        (Some(tls), true) => match handshake(tls, socket, &connection).await {
            Some(stream) => stream,
            None => return,
        },
        _ => Stream::Plain(socket),
    };
    let io = Io::new(stream, Arc::clone(&connection));
    if connection.http2.load(Relaxed) {
        // Boxed, so that HTTP/1 connections do not pay for its size.
        Box::pin(http2(io, &connection)).await;
    } else {
        http1(io, &connection).await;
    }
}

async fn handshake(tls: &Tls, socket: Watched, connection: &Connection) -> Option<Stream> {
    let Ok(stream) = Box::pin(tls.accept(socket)).await else {
        connection.shared.counters.handshakes_failed.fetch_add(1, Relaxed);
        return None;
    };
    let facts = Facts::of(&stream);
    connection.http2.store(facts.http2(), Relaxed);
    // The cell was empty: a connection has one handshake.
    let _ = connection.tls.set(facts);
    connection.enter(Phase::Idle);
    Some(Stream::Tls(Box::new(stream)))
}

/// How a spell of activity ended.
enum Pause {
    /// With the connection.
    Over(hyper::Result<()>),
    /// With an order to give the buffers back.
    Hibernate,
}

async fn http1(mut io: Io, connection: &Arc<Connection>) {
    let shared = &connection.shared;
    let builder = http1_builder(shared);
    loop {
        if !wait_for_request(&mut io, connection).await {
            let _ = io.shutdown().await;
            return;
        }
        connection.awake.store(true, Relaxed);
        let service = Service(Arc::clone(connection));
        let mut http = Box::new(builder.serve_connection(TokioIo::new(io), service));
        let pause = poll_fn(|cx| {
            connection.driven_by(cx.waker());
            loop {
                if let Poll::Ready(end) = Pin::new(&mut *http).poll(cx) {
                    return Poll::Ready(Pause::Over(end));
                }
                match connection.order() {
                    Order::Finish | Order::Leave if !connection.finishing() => {
                        // Polled once more, so that an idle connection closes now.
                        Pin::new(&mut *http).graceful_shutdown();
                    }
                    Order::Hibernate | Order::None if connection.should_hibernate() => {
                        return Poll::Ready(Pause::Hibernate);
                    }
                    _ => {
                        connection.settle();
                        return Poll::Pending;
                    }
                }
            }
        })
        .await;
        connection.awake.store(false, Relaxed);
        match pause {
            Pause::Over(end) => return note_end(end, connection),
            Pause::Hibernate => {
                connection.settle();
                let parts = (*http).into_parts();
                io = parts.io.into_inner();
                io.rewind(parts.read_buf);
            }
        }
    }
}

fn http1_builder(shared: &Shared) -> http1::Builder {
    let limits = &shared.limits;
    let mut builder = http1::Builder::new();
    // Its own timer would cost every request a reset; the sweep watches over headers instead.
    builder.header_read_timeout(None);
    builder.max_header_size(limits.header_size);
    builder.max_buf_size(limits.header_size.max(64 << 10));
    if let Handler::Respond(prepared) = &shared.handler {
        builder.writev(prepared.body.len() > COPIED_BODY);
    }
    builder
}

/// Waits for the first byte of a request; `false`: there will be none.
async fn wait_for_request(io: &mut Io, connection: &Connection) -> bool {
    let mut readable = std::pin::pin!(io.readable());
    poll_fn(|cx| {
        connection.driven_by(cx.waker());
        match readable.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(result.is_ok()),
            Poll::Pending if connection.order() >= Order::Finish => Poll::Ready(false),
            Poll::Pending => {
                connection.settle();
                Poll::Pending
            }
        }
    })
    .await
}

/// What hyper refused by itself never became a request; it is counted here.
fn note_end(end: hyper::Result<()>, connection: &Connection) {
    let Err(cause) = end else { return };
    if !cause.is_parse() || connection.role == Role::Admin {
        return;
    }
    let shared = &connection.shared;
    shared.counters.malformed.fetch_add(1, Relaxed);
    if let Some(log) = &shared.log {
        let status = if cause.is_parse_too_large() { 431 } else { 400 };
        log.write(Box::new(Line::malformed(connection.peer, status)));
    }
}

async fn http2(io: Io, connection: &Arc<Connection>) {
    let service = Service(Arc::clone(connection));
    let builder = http2_builder(connection);
    let mut http = Box::pin(builder.serve_connection(TokioIo::new(io), service));
    let end = poll_fn(|cx| {
        connection.driven_by(cx.waker());
        loop {
            if let Poll::Ready(end) = http.as_mut().poll(cx) {
                return Poll::Ready(end);
            }
            if connection.order() < Order::Finish || connection.finishing() {
                return Poll::Pending;
            }
            http.as_mut().graceful_shutdown();
        }
    })
    .await;
    note_end(end, connection);
}

fn http2_builder(connection: &Arc<Connection>) -> http2::Builder<Streams> {
    let header_size = connection.shared.limits.header_size.min(16 << 10);
    let mut builder = http2::Builder::new(Streams::of(connection));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(100)
        .max_header_list_size(u32::try_from(header_size).unwrap_or(16 << 10))
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(Some(1024))
        .max_send_buf_size(64 << 10)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}
