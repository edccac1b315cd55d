//! A connection as HTTP/2 sees it: counts the bytes, and remembers why it was lost, which the protocol does not pass on.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::blame;
use crate::reason::Reason;

/// Something that carries bytes both ways.
pub(super) trait Carrier: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Carrier for T {}

/// Bytes of all connections of a thread since somebody last took them.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) received: Cell<usize>,
    pub(super) written: Cell<usize>,
}

/// What became of one connection.
#[derive(Debug, Default)]
pub(super) struct Fate {
    /// Why it was lost, if it was.
    pub(super) lost: Cell<Option<Reason>>,
    /// Bytes that came over it.
    pub(super) heard: Cell<u64>,
}

/// One connection, above TLS where there is any.
pub(super) struct Wire {
    pub(super) carrier: Box<dyn Carrier>,
    pub(super) traffic: Rc<Traffic>,
    pub(super) fate: Rc<Fate>,
}

impl Wire {
    fn note<T>(&self, result: &Poll<io::Result<T>>) {
        if let Poll::Ready(Err(error)) = result {
            self.fate.lost.set(self.fate.lost.get().or(Some(blame::lost(error))));
        }
    }

    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = result {
            self.traffic.written.set(self.traffic.written.get() + bytes);
        }
        self.note(&result);
        result
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let result = Pin::new(&mut self.carrier).poll_read(context, into);
        let bytes = into.filled().len() - before;
        self.traffic.received.set(self.traffic.received.get() + bytes);
        self.fate.heard.set(self.fate.heard.get() + bytes as u64);
        self.note(&result);
        result
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.carrier).poll_write(context, bytes);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.carrier).poll_write_vectored(context, parts);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.carrier.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.carrier).poll_flush(context);
        self.note(&result);
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.carrier).poll_shutdown(context)
    }
}
