//! Reads a server's first flight as it comes: records, messages that are spread over several or share one, alerts.

use super::cursor::Cursor;
use super::server::{self, Exchange, ServerHello};
use super::ssl2::{self, Ssl2Hello};
use super::{alert, plain};
use crate::tls::registry::{Suite, Version};

/// As many bytes of an answer are read at most.
pub const MAX_ANSWER: usize = 256 << 10;
/// What a record may carry: that of TLS 1.2, encrypted.
const MAX_RECORD: usize = (16 << 10) + 2048;
/// What a greeting is recognised by.
const GREETING: usize = 16;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// What a server said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flight {
    /// What it chose.
    pub hello: Option<ServerHello>,
    /// Its certificates, of TLS 1.2 and older.
    pub chain: Vec<Vec<u8>>,
    /// The parameters of the key exchange, of TLS 1.2 and older.
    pub exchange: Option<Exchange>,
    /// The fatal alert that ended it.
    pub alert: Option<u8>,
    /// It speaks SSL 2.0; the inner `None` is an error in that protocol.
    pub ssl2: Option<Option<Ssl2Hello>>,
}

/// Why bytes are not an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Garbled {
    /// They are something else.
    #[error("{0} was spoken")]
    NotTls(&'static str),
    /// They begin like TLS and cannot be.
    #[error("{0} came")]
    Malformed(&'static str),
    /// A message longer than [`MAX_ANSWER`].
    #[error("a message of {0} bytes was announced")]
    TooLong(usize),
}

/// Takes the bytes of one answer.
#[derive(Debug, Default)]
pub struct Reader {
    /// Of a record that is not complete.
    raw: Vec<u8>,
    /// Of a message that is not complete.
    messages: Vec<u8>,
    /// All that came.
    total: usize,
    is_tls: bool,
    is_done: bool,
    flight: Flight,
}

impl Reader {
    /// Takes the next bytes; true when nothing more is needed.
    ///
    /// # Errors
    /// When they cannot be an answer. Then the reader is of no further use.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<bool, Garbled> {
        // In pieces, so that what is wrong with the first is said whatever comes behind it.
        let (bytes, excess) = bytes.split_at(bytes.len().min(MAX_ANSWER - self.total));
        for piece in bytes.chunks(1024) {
            if self.is_done {
                break;
            }
            self.total += piece.len();
            self.raw.extend_from_slice(piece);
            self.records()?;
        }
        if excess.is_empty() || self.is_done {
            Ok(self.is_done)
        } else {
            Err(Garbled::Malformed("an endless answer"))
        }
    }

    /// What was said, when the peer says no more: `None` where that is nothing complete.
    ///
    /// # Errors
    /// When what came is no TLS, but too short to be sure while more could come.
    pub fn finish(self) -> Result<Option<Flight>, Garbled> {
        if self.is_done {
            return Ok(Some(self.flight));
        }
        let is_foreign = ssl2::is_ssl2(&self.raw) == Some(false) && !self.is_tls && !is_start(&self.raw);
        if is_foreign { Err(Garbled::NotTls(plain::spoken(&self.raw))) } else { Ok(None) }
    }

    fn records(&mut self) -> Result<(), Garbled> {
        let mut raw = std::mem::take(&mut self.raw);
        let mut used = 0;
        while !self.is_done {
            if !self.is_tls && !self.begins_as_tls(&raw)? {
                break;
            }
            let mut rest = Cursor(&raw[used..]);
            let (Some(kind), Some(version), Some(length)) = (rest.u8(), rest.u16(), rest.number(2)) else {
                break;
            };
            if version >> 8 != 3 || !(20..=24).contains(&kind) {
                return Err(Garbled::Malformed("something other than a record"));
            }
            if length > MAX_RECORD {
                return Err(Garbled::Malformed("an oversized record"));
            }
            let Some(body) = rest.take(length) else { break };
            used += 5 + length;
            self.record(kind, body)?;
        }
        raw.drain(..used);
        self.raw = raw;
        Ok(())
    }

    /// Looks at the first bytes of all; false while they are too few.
    fn begins_as_tls(&mut self, raw: &[u8]) -> Result<bool, Garbled> {
        match ssl2::is_ssl2(raw) {
            None => return Ok(false),
            Some(true) => {
                let Some(read) = ssl2::read(raw) else { return Ok(false) };
                self.flight.ssl2 = Some(read.map_err(Garbled::Malformed)?);
                self.is_done = true;
                return Ok(false);
            }
            Some(false) => {}
        }
        if !is_start(raw) {
            return greeting(raw).map_or(Ok(false), |greeting| Err(Garbled::NotTls(plain::spoken(greeting))));
        }
        self.is_tls = raw.len() >= 2;
        Ok(self.is_tls)
    }

    fn record(&mut self, kind: u8, body: &[u8]) -> Result<(), Garbled> {
        match (kind, body) {
            (ALERT, [1, number, ..]) if *number != alert::CLOSE_NOTIFY => Ok(()),
            (ALERT, [1 | 2, number, ..]) => {
                self.flight.alert = Some(*number);
                self.is_done = true;
                Ok(())
            }
            (ALERT, _) => Err(Garbled::Malformed("a malformed alert")),
            (HANDSHAKE, _) => {
                self.messages.extend_from_slice(body);
                self.messages()
            }
            _ => Err(Garbled::Malformed("a record out of turn")),
        }
    }

    fn messages(&mut self) -> Result<(), Garbled> {
        let mut messages = std::mem::take(&mut self.messages);
        let mut used = 0;
        while !self.is_done {
            let mut rest = Cursor(&messages[used..]);
            let (Some(kind), Some(length)) = (rest.u8(), rest.number(3)) else { break };
            if length > MAX_ANSWER {
                return Err(Garbled::TooLong(length));
            }
            let Some(body) = rest.take(length) else { break };
            used += 4 + length;
            self.message(kind, body)?;
        }
        messages.drain(..used);
        self.messages = messages;
        Ok(())
    }

    fn message(&mut self, kind: u8, body: &[u8]) -> Result<(), Garbled> {
        let suite = self.flight.hello.as_ref().map(|hello| hello.suite);
        match (kind, suite) {
            // A request for a hello, which a client may pass over at any time.
            (0, None) => {}
            (2, None) => {
                let hello =
                    server::server_hello(body).ok_or(Garbled::Malformed("a malformed server hello"))?;
                // What follows is encrypted, or waits for another hello.
                self.is_done = hello.version == Version::Tls13 || hello.is_retry;
                self.flight.hello = Some(hello);
            }
            (11, Some(_)) if self.flight.chain.is_empty() && self.flight.exchange.is_none() => {
                self.flight.chain = server::certificates(body)
                    .ok_or(Garbled::Malformed("a malformed certificate message"))?;
            }
            (12, Some(suite)) => {
                let exchange = server::exchange(suite, body);
                self.flight.exchange = Some(exchange.ok_or(Garbled::Malformed("a malformed key exchange"))?);
                self.is_done = true;
            }
            // A staple, and a status of whatever else.
            (22, Some(_)) => {}
            // A request for a certificate, and the end.
            (13 | 14, Some(_)) => self.is_done = true,
            _ => return Err(Garbled::Malformed("a message out of turn")),
        }
        Ok(())
    }
}

impl Flight {
    /// The suite that was chosen, unless an alert took it back.
    #[must_use]
    pub fn chosen(&self) -> Option<Suite> {
        self.hello.as_ref().filter(|_| self.alert.is_none()).map(|hello| hello.suite)
    }
}

/// The first line, or as much as is enough to recognise it: `None` while that has not come.
fn greeting(bytes: &[u8]) -> Option<&[u8]> {
    let start = &bytes[..bytes.len().min(GREETING)];
    match start.iter().position(|byte| *byte == b'\n') {
        Some(end) => Some(&start[..=end]),
        None => Some(start).filter(|start| start.len() == GREETING),
    }
}

/// Whether bytes can begin a server's first record: an alert or a handshake message of version 3.
fn is_start(bytes: &[u8]) -> bool {
    matches!(bytes, [ALERT | HANDSHAKE] | [ALERT | HANDSHAKE, 3, ..])
}
