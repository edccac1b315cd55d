//! One answer after the other on a connection, taken as the bytes come: any cut gives the same.
//!
//! Bodies are counted down and dropped. Only a head that comes in parts is kept, until it is whole.

use super::chunked::Chunked;
use super::head::{self, Body, Head, LONGEST, Malformed};

/// The answer that a connection waits for.
#[derive(Debug)]
pub(super) struct Answer {
    to_head: bool,
    at: At,
    status: u16,
    keep_alive: bool,
    /// Bytes came that no request had asked for.
    surplus: bool,
    /// The parts of a head that is not whole.
    parts: Vec<u8>,
    /// Before it has grown to this, there is no need to look at it again, unless a line is empty.
    look_at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Head,
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    /// At the end, and before the first request.
    Whole,
    Malformed,
}

/// What is known of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It has not come to its end.
    Part,
    /// All of it is there.
    Whole {
        /// 100 to 999.
        status: u16,
        /// Another request may follow on this connection.
        reusable: bool,
    },
    /// What came is not HTTP/1.
    Malformed,
}

impl Answer {
    /// Nothing was asked yet.
    pub(super) fn none() -> Answer {
        Answer {
            to_head: false,
            at: At::Whole,
            status: 0,
            keep_alive: true,
            surplus: false,
            parts: Vec::new(),
            look_at: 0,
        }
    }

    /// A connection begins anew; the memory is kept.
    pub(super) fn reset(&mut self) {
        (self.at, self.keep_alive, self.surplus) = (At::Whole, true, false);
        self.parts.clear();
    }

    /// A request was sent; `to_head`: by HEAD.
    pub(super) fn expect(&mut self, to_head: bool) {
        (self.to_head, self.at) = (to_head, At::Head);
    }

    /// Takes what came.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let used = match &mut self.at {
                At::Head => self.head(bytes),
                At::Length(left) => {
                    let taken = (*left).min(bytes.len() as u64);
                    *left -= taken;
                    if *left == 0 {
                        self.at = At::Whole;
                    }
                    Ok(taken as usize)
                }
                At::Chunked(chunked) => {
                    let taken = chunked.take(bytes);
                    if chunked.is_whole() {
                        self.at = At::Whole;
                    }
                    taken
                }
                At::UntilClose => Ok(bytes.len()),
                At::Whole => {
                    self.surplus = true;
                    return;
                }
                At::Malformed => return,
            };
            match used {
                Ok(used) => bytes = bytes.get(used..).unwrap_or_default(),
                Err(Malformed) => self.at = At::Malformed,
            }
        }
    }

    /// What is known by now.
    pub(super) fn found(&self) -> Found {
        match self.at {
            At::Whole => Found::Whole { status: self.status, reusable: self.keep_alive && !self.surplus },
            At::Malformed => Found::Malformed,
            _ => Found::Part,
        }
    }

    /// The connection has ended; `clean`: nobody on the way can have cut it.
    pub(super) fn end(&mut self, clean: bool) -> Found {
        let garbage = self.at == At::Head && head::parse(&self.parts, self.to_head).is_err();
        match self.at {
            At::UntilClose if clean => self.at = At::Whole,
            At::Head if garbage => self.at = At::Malformed,
            _ => {}
        }
        self.found()
    }

    /// Whether bytes came that no request had asked for.
    pub(super) fn has_surplus(&self) -> bool {
        self.surplus
    }

    /// Takes bytes of a head, and says how many.
    fn head(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let before = self.parts.len();
        if before == 0 {
            if let Some(head) = head::parse(bytes, self.to_head)? {
                self.begin(head);
                return Ok(head.length);
            }
            self.parts.extend_from_slice(bytes);
            self.look_at = (2 * self.parts.len()).min(LONGEST + 1);
            return Ok(bytes.len());
        }
        let room = LONGEST + 1 - before.min(LONGEST);
        let taken = bytes.len().min(room);
        self.parts.extend_from_slice(&bytes[..taken]);
        // Looked at again each time it has doubled, so that a head byte by byte costs no more than its length.
        if !has_empty_line(&self.parts[before.saturating_sub(2)..]) && self.parts.len() < self.look_at {
            return Ok(taken);
        }
        self.look_at = (2 * self.parts.len()).min(LONGEST + 1);
        let Some(head) = head::parse(&self.parts, self.to_head)? else { return Ok(taken) };
        self.begin(head);
        self.parts.clear();
        Ok(head.length.saturating_sub(before))
    }

    fn begin(&mut self, head: Head) {
        if head.status < 200 && head.status != 101 {
            // Only an interim answer: the true one follows.
            return;
        }
        (self.status, self.keep_alive) = (head.status, head.keep_alive);
        self.at = match head.body {
            Body::Length(0) => At::Whole,
            Body::Length(length) => At::Length(length),
            Body::Chunked => At::Chunked(Chunked::new()),
            Body::UntilClose => At::UntilClose,
        };
    }
}

fn has_empty_line(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}
