//! A dialogue in the clear: sends, and reads no more than it must understand.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::reason::{Fault, Reason};
use crate::text::printable;

/// What a server may say in all before TLS.
const LIMIT: usize = 16 * 1024;
/// Characters of it that are shown.
const SHOWN: usize = 160;

/// A dialogue with one server.
#[derive(Debug)]
pub(super) struct Talk<'a> {
    pub stream: &'a mut TcpStream,
    /// What has come and was not looked at.
    unread: Vec<u8>,
    total: usize,
    /// What the server has to say next, for people.
    pub awaited: &'static str,
}

impl<'a> Talk<'a> {
    pub(super) fn new(stream: &'a mut TcpStream) -> Talk<'a> {
        Talk { stream, unread: Vec::new(), total: 0, awaited: "the server's greeting" }
    }

    /// Sends this, to which `awaited` is the answer.
    pub(super) async fn say(&mut self, bytes: &[u8], awaited: &'static str) -> Result<(), Fault> {
        self.nothing_more()?;
        self.awaited = awaited;
        self.stream.write_all(bytes).await.map_err(|error| self.broken(&error))
    }

    /// Reads until `length` knows how long it is.
    pub(super) async fn until(
        &mut self,
        length: impl Fn(&[u8]) -> Result<Option<usize>, Fault>,
    ) -> Result<Vec<u8>, Fault> {
        loop {
            if let Some(length) = length(&self.unread)?.filter(|length| *length <= self.unread.len()) {
                return Ok(self.unread.drain(..length).collect());
            }
            if self.total >= LIMIT {
                let what = format!("{} exceeds {LIMIT} bytes", self.awaited);
                return Err(refused(what));
            }
            let mut buffer = [0; 4096];
            let read = self.stream.read(&mut buffer).await.map_err(|error| self.broken(&error))?;
            if read == 0 {
                let said = if self.unread.is_empty() {
                    String::new()
                } else {
                    format!(", after {}", said(&self.unread))
                };
                let what = format!("the server closed the connection instead of {}{said}", self.awaited);
                return Err(Reason::Closed.because(what));
            }
            self.unread.extend_from_slice(&buffer[..read]);
            self.total += read;
        }
    }

    /// So many bytes.
    pub(super) async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Fault> {
        self.until(|_| Ok(Some(length))).await
    }

    /// A line, without its end.
    pub(super) async fn line(&mut self) -> Result<String, Fault> {
        let line =
            self.until(|bytes| Ok(bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1))).await?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// It is not the server's turn: what it said in advance could have been put there by anybody on the way.
    pub(super) fn nothing_more(&self) -> Result<(), Fault> {
        if self.unread.is_empty() {
            return Ok(());
        }
        Err(refused(format!("the server said more than it was asked, in the clear: {}", said(&self.unread))))
    }

    /// The server answered, and this was not the answer that was hoped for.
    pub(super) fn refusal(&self, answer: &[u8]) -> Fault {
        refused(format!("{} is {}", self.awaited, said(answer)))
    }

    fn broken(&self, error: &std::io::Error) -> Fault {
        let reason = Reason::local(error).unwrap_or(match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Reason::ConnectReset,
            _ => Reason::Closed,
        });
        reason.because(format!("the connection broke instead of {}: {error}", self.awaited))
    }
}

/// TLS does not come about.
pub(super) fn refused(detail: impl Into<String>) -> Fault {
    Reason::TlsHandshake.because(detail)
}

/// What a server said, for people: on one line, and not all of it when it is long.
pub(super) fn said(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim();
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if shown.len() < text.len() { " ..." } else { "" };
    format!("\"{}{more}\"", printable(&shown))
}
