//! Bodies: the one type that every answer has, its faults, and reading a request's body to its end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

use super::access_log::Line;
use super::connection::Connection;
use super::feed::Listening;
use super::stream::{self, Progress};

/// The answer ends here, on purpose or because its source failed; the connection goes with it.
#[derive(Debug, thiserror::Error)]
#[error("answer broken off")]
pub(super) struct Broken;

/// What an answer consists of.
pub(super) enum Kind {
    Done,
    Once(Bytes),
    File(Pin<Box<http_serve::Body>>),
    Faulty(Box<Faulty>),
    /// It ends when its client is let go.
    Feed(Listening),
}

impl Kind {
    pub(super) fn text(text: impl Into<Bytes>) -> Kind {
        Kind::from(text.into())
    }

    pub(super) fn file(body: http_serve::Body) -> Kind {
        if body.is_end_stream() { Kind::Done } else { Kind::File(Box::pin(body)) }
    }

    /// None where nobody knows.
    fn len(&self) -> Option<u64> {
        Some(match self {
            Kind::Done => 0,
            Kind::Once(bytes) => bytes.len() as u64,
            Kind::File(file) => file.size_hint().exact().unwrap_or(0),
            Kind::Faulty(faulty) => faulty.left,
            Kind::Feed(_) => return None,
        })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if let Kind::Feed(Listening(parts)) = self {
            return parts.poll_recv(cx).map(|part| part.map(Ok));
        }
        let Kind::File(file) = self else {
            return match std::mem::replace(self, Kind::Done) {
                Kind::Once(bytes) => Poll::Ready(Some(Ok(bytes))),
                Kind::Faulty(mut faulty) => {
                    let polled = faulty.poll(cx);
                    *self = Kind::Faulty(faulty);
                    polled
                }
                _ => Poll::Ready(None),
            };
        };
        Poll::Ready(match ready!(file.as_mut().poll_frame(cx)) {
            Some(Ok(frame)) => Some(frame.into_data().map_err(|_| Broken)),
            Some(Err(_)) => Some(Err(Broken)),
            None => None,
        })
    }
}

impl From<Bytes> for Kind {
    fn from(bytes: Bytes) -> Kind {
        if bytes.is_empty() { Kind::Done } else { Kind::Once(bytes) }
    }
}

/// A body that is slow, or ends in the middle.
pub(super) struct Faulty {
    inner: Kind,
    /// Promised and not yet sent.
    left: u64,
    /// At which `left` it breaks off.
    cut_at: Option<u64>,
    /// Bytes at a time, and the pause after them.
    pace: Option<(usize, Duration)>,
    chunk: Bytes,
    sleep: Option<Pin<Box<Sleep>>>,
    flushed: bool,
}

impl Faulty {
    /// `truncate`: half of the body; `drip`: bytes per second.
    pub(super) fn new(inner: Kind, truncate: bool, drip: Option<u64>) -> Faulty {
        // An empty body has no half: one byte is promised, none is sent.
        let len = inner.len().unwrap_or(0);
        let len = if truncate { len.max(1) } else { len };
        let pace = drip.map(|speed| {
            let step = (speed / 10).max(1);
            (step as usize, Duration::from_secs_f64(step as f64 / speed as f64))
        });
        Faulty {
            inner,
            left: len,
            cut_at: truncate.then(|| len - len / 2),
            pace,
            chunk: Bytes::new(),
            sleep: None,
            flushed: false,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
        if self.cut_at == Some(self.left) {
            if !self.flushed {
                // What was sent so far must leave the process before the connection breaks.
                self.flushed = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            return Poll::Ready(Some(Err(Broken)));
        }
        if self.chunk.is_empty() {
            match ready!(self.inner.poll(cx)) {
                Some(Ok(chunk)) => self.chunk = chunk,
                other => return Poll::Ready(other),
            }
        }
        let mut size = self.chunk.len();
        if let Some(cut_at) = self.cut_at {
            size = size.min(usize::try_from(self.left - cut_at).unwrap_or(usize::MAX));
        }
        if let Some((step, pause)) = self.pace {
            size = size.min(step);
            self.sleep = Some(Box::pin(tokio::time::sleep(pause)));
        }
        self.left = self.left.saturating_sub(size as u64);
        Poll::Ready(Some(Ok(self.chunk.split_to(size))))
    }
}

/// One request from its header to the last byte of its answer; counts and logs itself when dropped.
pub(super) struct Exchange {
    connection: Arc<Connection>,
    started: Instant,
    /// 0: no answer.
    pub(super) status: u16,
    bytes: u64,
    /// Probes of the server itself are neither counted nor logged.
    counted: bool,
    /// What the access log wants to know, if there is one.
    pub(super) line: Option<Box<Line>>,
    /// The right to have a file open, until the answer is out.
    pub(super) turn: Option<OwnedSemaphorePermit>,
}

impl Exchange {
    /// The header of a request is complete.
    pub(super) fn begin(connection: &Arc<Connection>, counted: bool, line: Option<Box<Line>>) -> Exchange {
        connection.begin();
        if counted {
            connection.shared.counters.started.fetch_add(1, Relaxed);
        }
        Exchange {
            connection: Arc::clone(connection),
            started: Instant::now(),
            status: 0,
            bytes: 0,
            counted,
            line,
            turn: None,
        }
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.connection.end();
        if !self.counted {
            return;
        }
        let shared = &self.connection.shared;
        let took = self.started.elapsed();
        shared.counters.finish(self.status, self.bytes, took);
        if let (Some(log), Some(mut line)) = (&shared.log, self.line.take()) {
            line.status = self.status;
            line.bytes = self.bytes;
            line.duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            log.write(line);
        }
    }
}

/// A part of a body, which on HTTP/2 notes when it is written.
pub(super) struct Chunk {
    bytes: Bytes,
    progress: Option<Progress>,
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(progress) = &self.progress {
            progress.note();
        }
    }
}

/// The body of an answer, with the record of its request.
pub(super) struct Body {
    kind: Kind,
    exchange: Exchange,
}

impl Body {
    pub(super) fn new(kind: Kind, exchange: Exchange) -> Body {
        Body { kind, exchange }
    }
}

impl hyper::body::Body for Body {
    type Data = Chunk;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Chunk>, Broken>>> {
        let this = self.get_mut();
        let polled = this.kind.poll(cx);
        let connection = &this.exchange.connection;
        let http2 = connection.http2.load(Relaxed);
        if http2 && polled.is_pending() {
            stream::waits_for_us();
        }
        match ready!(polled) {
            Some(Ok(bytes)) => {
                this.exchange.bytes += bytes.len() as u64;
                let progress = if http2 { stream::waits_for_client(connection) } else { None };
                Poll::Ready(Some(Ok(Frame::data(Chunk { bytes, progress }))))
            }
            Some(Err(broken)) => Poll::Ready(Some(Err(broken))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.kind.len() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.kind.len().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Why a request's body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// More bytes than allowed.
    TooLarge,
    /// It did not come in time.
    TimedOut,
    /// Not what its header promised, or the client is gone.
    Malformed,
}

/// Reads a request's body to its end and throws it away. Returns its size.
pub(super) async fn drain(mut body: Incoming, limit: u64, within: Duration) -> Result<u64, Unread> {
    if body.is_end_stream() {
        return Ok(0);
    }
    if body.size_hint().lower() > limit {
        return Err(Unread::TooLarge);
    }
    let read = async {
        let mut size = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Unread::Malformed)?;
            size += frame.data_ref().map_or(0, Bytes::len) as u64;
            if size > limit {
                return Err(Unread::TooLarge);
            }
        }
        Ok(size)
    };
    tokio::time::timeout(within, read).await.unwrap_or(Err(Unread::TimedOut))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn collect(mut kind: Kind) -> (Vec<usize>, bool) {
        let mut sizes = Vec::new();
        loop {
            match std::future::poll_fn(|cx| kind.poll(cx)).await {
                Some(Ok(chunk)) => sizes.push(chunk.len()),
                Some(Err(Broken)) => return (sizes, true),
                None => return (sizes, false),
            }
        }
    }

    fn faulty(len: usize, truncate: bool, drip: Option<u64>) -> Kind {
        Kind::Faulty(Box::new(Faulty::new(Kind::text(vec![b'x'; len]), truncate, drip)))
    }

    #[tokio::test]
    async fn truncation_promises_all_and_sends_half() {
        let kind = faulty(10, true, None);
        assert_eq!(kind.len(), Some(10));
        assert_eq!(collect(kind).await, (vec![5], true));
        let empty = faulty(0, true, None);
        assert_eq!(empty.len(), Some(1));
        assert_eq!(collect(empty).await, (vec![], true));
    }

    #[tokio::test]
    async fn a_drip_comes_in_tenths_of_a_second() {
        assert_eq!(collect(faulty(25, false, Some(100))).await, (vec![10, 10, 5], false));
        assert_eq!(collect(faulty(2, false, Some(9))).await, (vec![1, 1], false));
    }
}
