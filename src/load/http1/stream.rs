//! Bytes to and from the peer over one socket, through TLS where it is wanted. Nothing here ever blocks.

use std::io::{self, BufRead, ErrorKind, Write};

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustls::ClientConnection;

use super::fault;
use crate::http::tls_reason;
use crate::load::endpoint::Tls;
use crate::reason::Reason;

/// A connection's two directions.
#[derive(Debug)]
pub(super) struct Stream {
    pub socket: OwnedFd,
    tls: Option<Box<ClientConnection>>,
    /// What the socket did not take yet, without TLS; that has a buffer of its own.
    unsent: Vec<u8>,
    /// How much of it has gone.
    gone: usize,
}

/// What there was to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Nothing.
    Nothing,
    /// Something; `full`: as much as the buffer holds, so that there may be more.
    Some { full: bool },
    /// The end. `clean`: nobody on the way can have cut it.
    End { clean: bool },
}

impl Stream {
    /// Over this socket, without TLS for now.
    pub(super) fn new(socket: OwnedFd) -> Stream {
        Stream { socket, tls: None, unsent: Vec::new(), gone: 0 }
    }

    /// Begins the handshake.
    pub(super) fn start_tls(&mut self, tls: &Tls) -> Result<(), Reason> {
        let connection = ClientConnection::new(tls.config.clone(), tls.name.clone());
        let mut connection = connection.map_err(|error| tls_reason(&error))?;
        // A request goes in whole, as its bytes are not kept elsewhere.
        connection.set_buffer_limit(None);
        self.tls = Some(Box::new(connection));
        self.flush()
    }

    /// Whether requests may be sent: there is no handshake going on.
    pub(super) fn is_ready(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| !tls.is_handshaking())
    }

    /// Sends what the socket takes now, and keeps the rest.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        match &mut self.tls {
            Some(tls) => {
                tls.writer().write_all(bytes).map_err(|error| fault::tls(&error))?;
                self.flush()
            }
            None => {
                let sent = send(&self.socket, bytes, SendFlags::NOSIGNAL);
                self.sent(bytes, sent)
            }
        }
    }

    /// The system said how much of these bytes the socket took: the rest is kept.
    pub(super) fn sent(&mut self, bytes: &[u8], said: Result<usize, Errno>) -> Result<(), Reason> {
        let sent = taken(said)?;
        if sent < bytes.len() {
            self.unsent.extend_from_slice(&bytes[sent..]);
        }
        Ok(())
    }

    /// Sends what was kept, as far as the socket takes it.
    pub(super) fn flush(&mut self) -> Result<(), Reason> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                match tls.write_tls(&mut Socket(&self.socket)) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(fault::tls(&error)),
                }
            }
        } else if self.has_unsent() {
            self.gone += taken(send(&self.socket, &self.unsent[self.gone..], SendFlags::NOSIGNAL))?;
            if !self.has_unsent() {
                self.unsent.clear();
                self.gone = 0;
            }
        }
        Ok(())
    }

    /// Whether something was kept.
    pub(super) fn has_unsent(&self) -> bool {
        self.tls.as_ref().map_or(self.gone < self.unsent.len(), |tls| tls.wants_write())
    }

    /// Receives once, and hands on what the peer said.
    pub(super) fn receive(&mut self, buffer: &mut [u8], take: impl FnMut(&[u8])) -> Result<Received, Reason> {
        let said = recv(&self.socket, &mut *buffer, RecvFlags::empty()).map(|(size, _)| size);
        self.received(said, buffer, take)
    }

    /// The system said how much of this room it filled: hands on what the peer said.
    pub(super) fn received(
        &mut self,
        said: Result<usize, Errno>,
        room: &[u8],
        take: impl FnMut(&[u8]),
    ) -> Result<Received, Reason> {
        let size = match said {
            Ok(0) => return Ok(Received::End { clean: self.tls.is_none() }),
            Ok(size) => size,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Received::Nothing),
            Err(errno) => return Err(fault::connected(errno)),
        };
        let bytes = &room[..size];
        let ended = match &mut self.tls {
            None => plain(bytes, take),
            Some(tls) => {
                let ended = decrypted(tls, bytes, take);
                // Answers to the handshake, or why we end it. That it cannot be sent shows in the next receive.
                let _ = self.flush();
                ended?
            }
        };
        Ok(if ended { Received::End { clean: true } } else { Received::Some { full: size == room.len() } })
    }

    /// Tells the peer that nothing more comes, where TLS has a word for it.
    pub(super) fn say_goodbye(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = self.flush();
        }
    }
}

fn plain(bytes: &[u8], mut take: impl FnMut(&[u8])) -> bool {
    take(bytes);
    false
}

/// Hands on what was meant. Whether the peer said that it was the last.
fn decrypted(
    tls: &mut ClientConnection,
    mut bytes: &[u8],
    mut take: impl FnMut(&[u8]),
) -> Result<bool, Reason> {
    let mut ended = false;
    while !bytes.is_empty() && !ended {
        tls.read_tls(&mut bytes).map_err(|error| fault::tls(&error))?;
        let state = tls.process_new_packets();
        // What came before an alert is still there.
        let mut reader = tls.reader();
        while let Ok(text) = reader.fill_buf()
            && !text.is_empty()
        {
            take(text);
            let length = text.len();
            reader.consume(length);
        }
        ended = state.map_err(|error| tls_reason(&error))?.peer_has_closed();
    }
    Ok(ended)
}

/// How much the socket took.
fn taken(said: Result<usize, Errno>) -> Result<usize, Reason> {
    match said {
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        said => said.map_err(fault::connected),
    }
}

/// A socket as TLS wants to see it.
struct Socket<'a>(&'a OwnedFd);

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
