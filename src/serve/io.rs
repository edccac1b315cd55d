//! The bytes of one connection: TCP or Unix socket, with or without TLS, behind one type that notes in
//! the connection's record what moves. It knows nothing of HTTP.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use super::connection::{Connection, Order, Phase};

/// A socket as it was accepted.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket that notes in the connection's record whether the client takes what is written. TLS has buffers
/// of its own, so that only below it can be seen what leaves.
#[derive(Debug)]
pub(super) struct Watched {
    socket: Socket,
    connection: Arc<Connection>,
}

/// A socket with what was negotiated on it.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(Watched),
    Tls(Box<TlsStream<Watched>>),
}

/// Passes one call on to whatever is inside.
macro_rules! inside {
    ($self:expr, $enum:ident { $($variant:ident),+ }, $io:ident => $call:expr) => {
        match $self.get_mut() { $($enum::$variant($io) => { let $io = Pin::new($io); $call })+ }
    };
}

/// Both read and write by passing on.
macro_rules! passes_on {
    ($type:ident { $($variant:ident),+ }) => {
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                inside!(self, $type { $($variant),+ }, io => io.poll_read(cx, buf))
            }
        }

        impl AsyncWrite for $type {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                inside!(self, $type { $($variant),+ }, io => io.poll_write(cx, buf))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                inside!(self, $type { $($variant),+ }, io => io.poll_write_vectored(cx, bufs))
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                inside!(self, $type { $($variant),+ }, io => io.poll_flush(cx))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                inside!(self, $type { $($variant),+ }, io => io.poll_shutdown(cx))
            }
        }
    };
}

passes_on!(Socket { Tcp, Unix });
passes_on!(Stream { Plain, Tls });

impl Socket {
    async fn readable(&self) -> io::Result<()> {
        loop {
            let peeked = match self {
                Socket::Tcp(stream) => {
                    stream.readable().await?;
                    stream.try_io(Interest::READABLE, || peek(SockRef::from(stream)))
                }
                Socket::Unix(stream) => {
                    stream.readable().await?;
                    stream.try_io(Interest::READABLE, || peek(SockRef::from(stream)))
                }
            };
            // The runtime takes every new socket for readable; only a look tells.
            if !peeked.is_err_and(|cause| cause.kind() == io::ErrorKind::WouldBlock) {
                return Ok(());
            }
        }
    }

    /// The next close is a reset: unsent and unread bytes are thrown away. Unix sockets have none.
    fn reset_on_close(&self) {
        if let Socket::Tcp(stream) = self {
            // A socket that cannot be told is closed the ordinary way.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

fn peek(socket: SockRef<'_>) -> io::Result<usize> {
    socket.peek(&mut [MaybeUninit::uninit(); 1])
}

impl Watched {
    pub(super) fn new(socket: Socket, connection: Arc<Connection>) -> Watched {
        Watched { socket, connection }
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.socket).poll_write(cx, buf);
        this.connection.told(polled.is_ready());
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.socket).poll_write_vectored(cx, bufs);
        this.connection.told(polled.is_ready());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

impl Stream {
    fn socket(&self) -> &Socket {
        match self {
            Stream::Plain(watched) => &watched.socket,
            Stream::Tls(stream) => &stream.get_ref().0.socket,
        }
    }

    /// Waits until there is something to read, without reading it.
    async fn readable(&mut self) -> io::Result<()> {
        if let Stream::Tls(stream) = self {
            let state = stream.get_mut().1.process_new_packets().map_err(io::Error::other)?;
            if state.plaintext_bytes_to_read() > 0 {
                return Ok(());
            }
        }
        self.socket().readable().await
    }
}

/// The bytes of one connection, as HTTP sees them.
#[derive(Debug)]
pub(super) struct Io {
    stream: Stream,
    connection: Arc<Connection>,
    /// Read already, but not yet by the HTTP parser at work now.
    prefix: Bytes,
    shut: bool,
}

impl Io {
    pub(super) fn new(stream: Stream, connection: Arc<Connection>) -> Io {
        Io { stream, connection, prefix: Bytes::new(), shut: false }
    }

    /// Puts bytes back that a parser took and did not use.
    pub(super) fn rewind(&mut self, prefix: Bytes) {
        self.prefix = prefix;
    }

    /// Waits until there is something to read.
    pub(super) async fn readable(&mut self) -> io::Result<()> {
        if self.prefix.is_empty() { self.stream.readable().await } else { Ok(()) }
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.prefix.is_empty() {
            let count = this.prefix.len().min(buf.remaining());
            buf.put_slice(&this.prefix[..count]);
            this.prefix.advance(count);
            this.connection.heard();
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            this.connection.heard();
        }
        polled
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    /// Closes our half. If the client may still be sending, its half is read to the end first: closing a
    /// socket with unread bytes resets it, and the client would lose the answer that tells it why.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let connection = &this.connection;
        if !this.shut {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.shut = true;
            if !connection.unread.load(Relaxed) && connection.phase() != Phase::Header {
                return Poll::Ready(Ok(()));
            }
            connection.enter(Phase::Lingering);
        } else if connection.phase() != Phase::Lingering {
            return Poll::Ready(Ok(()));
        }
        let mut scratch = [0; 4096];
        // The sweep ends it when the client does not.
        while connection.order() != Order::Leave {
            let mut buf = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if self.connection.reset.load(Relaxed) {
            self.stream.socket().reset_on_close();
        }
    }
}
