//! Reads what a server sends, never more than a probe needs, and says what it is when it is not the protocol.
//!
//! Refuses to know any protocol.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, Take, WriteHalf, split};

use super::way::{Stream, Way};
use crate::http::{Phase, PhaseClock, Trust};
use crate::probe::classify::stream_fault;
use crate::probe::expect::excerpt;
use crate::reason::{Fault, Reason};

/// So much a server may send in one call: handshakes are far shorter.
const MOST: u64 = 256 << 10;

/// What a server says of an error: its first line, whole unless it is very long.
pub fn words(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

/// A connection whose server speaks, or should speak, `protocol`.
pub struct Wire {
    protocol: &'static str,
    reader: BufReader<Take<ReadHalf<Box<dyn Stream>>>>,
    writer: WriteHalf<Box<dyn Stream>>,
    clock: Arc<PhaseClock>,
}

impl Wire {
    /// Takes over a connection on which nothing was said yet.
    pub fn new(stream: Box<dyn Stream>, protocol: &'static str, clock: &Arc<PhaseClock>) -> Self {
        let (reader, writer) = split(stream);
        Wire { protocol, reader: BufReader::new(reader.take(MOST)), writer, clock: clock.clone() }
    }

    /// Goes over to TLS with `host`. What the server has said beyond its turn could have been put there by anybody on
    /// the way, and is refused.
    pub async fn secure(self, way: &Way<'_>, host: &str, trust: &Trust) -> Result<Self, Fault> {
        if !self.reader.buffer().is_empty() {
            let found = excerpt(&String::from_utf8_lossy(self.reader.buffer()));
            return Err(Reason::TlsHandshake.because(format!("said in the clear before TLS: {found}")));
        }
        let stream = self.reader.into_inner().into_inner().unsplit(self.writer);
        let stream = way.secure(host, stream, &[], trust).await?;
        self.clock.enter(Phase::FirstByte);
        Ok(Wire::new(Box::new(stream), self.protocol, &self.clock))
    }

    /// Sends all of it.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let sent = self.writer.write_all(bytes).await;
        let sent = if sent.is_ok() { self.writer.flush().await } else { sent };
        sent.map_err(|error| stream_fault(&error, Phase::FirstByte))
    }

    /// Exactly so many bytes.
    pub async fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        let read = self.reader.read_exact(&mut bytes).await;
        read.map(|_| ()).map_err(|error| self.broken(&error))?;
        self.clock.enter(Phase::Body);
        Ok(bytes)
    }

    /// Exactly so many bytes; a length that no answer of the protocol has shows that it is none.
    pub async fn bytes(&mut self, length: usize) -> Result<Vec<u8>, Fault> {
        let mut bytes = vec![0; length];
        let read = self.reader.read_exact(&mut bytes).await;
        read.map(|_| bytes).map_err(|error| self.broken(&error))
    }

    /// A line, without its CR LF.
    pub async fn line(&mut self) -> Result<String, Fault> {
        const LONGEST: u64 = 8 << 10;
        let mut line = Vec::new();
        let read = (&mut self.reader).take(LONGEST).read_until(b'\n', &mut line).await;
        read.map_err(|error| self.broken(&error))?;
        if line.pop() != Some(b'\n') {
            let ended = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
            return Err(if line.is_empty() { self.broken(&ended) } else { self.stray(&line) });
        }
        self.clock.enter(Phase::Body);
        line.pop_if(|last| *last == b'\r');
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// What came is not the protocol.
    pub fn stray(&self, found: &[u8]) -> Fault {
        let found = excerpt(&String::from_utf8_lossy(found));
        Reason::Protocol.because(format!("what came is not {}: {found}", self.protocol))
    }

    /// Reading failed, or there was less than the protocol wants.
    fn broken(&self, error: &std::io::Error) -> Fault {
        if self.reader.get_ref().limit() == 0 {
            let detail = format!("what came is not {}: it has no end", self.protocol);
            return Reason::Protocol.because(detail);
        }
        stream_fault(error, Phase::FirstByte)
    }
}
