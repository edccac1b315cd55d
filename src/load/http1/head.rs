//! The head of an answer: its status, how its body ends, and whether the connection goes on (RFC 9112, 6.3 and 9.3).
//!
//! As hyper reads it, so that both transports agree; `httparse` does the lines.

use std::mem::MaybeUninit;

use httparse::{ParserConfig, Response, Status};

/// Longer heads, and longer trailers, are refused.
pub(super) const LONGEST: usize = 64 * 1024;
/// So are more header lines.
const MOST_HEADERS: usize = 128;

/// What came is not HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// What matters of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// 100 to 999.
    pub status: u16,
    /// How the body ends.
    pub body: Body,
    /// Whether another request may follow on the connection.
    pub keep_alive: bool,
    /// Bytes of the head, the empty line included.
    pub length: usize,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// After so many bytes.
    Length(u64),
    /// With its last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// Reads the head at the start of the bytes; `None` when it is not whole yet. `to_head`: it answers a HEAD request.
pub(super) fn parse(bytes: &[u8], to_head: bool) -> Result<Option<Head>, Malformed> {
    let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut response = Response::new(&mut []);
    let parsed =
        ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut headers);
    let length = match parsed {
        Ok(Status::Complete(length)) if length <= LONGEST => length,
        Ok(Status::Partial) if bytes.len() <= LONGEST => return Ok(None),
        _ => return Err(Malformed),
    };
    let status = response.code.filter(|code| *code >= 100).ok_or(Malformed)?;
    let minor = response.version.unwrap_or(1);
    let mut fields = Fields { keep_alive: minor == 1, ..Fields::default() };
    for header in response.headers.iter() {
        fields.note(header.name, header.value);
    }
    let body = match status {
        100..=199 | 204 | 304 => Body::Length(0),
        _ if to_head => Body::Length(0),
        _ => fields.body(minor)?,
    };
    // After 101 the connection speaks something else.
    let keep_alive = fields.keep_alive && status != 101 && body != Body::UntilClose;
    Ok(Some(Head { status, body, keep_alive, length }))
}

/// The header lines that say how a body ends and how the connection goes on.
#[derive(Default)]
struct Fields {
    keep_alive: bool,
    close: bool,
    /// Of the last line of transfer codings: whether `chunked` is the last one.
    chunked: Option<bool>,
    length: Option<Result<u64, Malformed>>,
}

impl Fields {
    fn note(&mut self, name: &str, value: &[u8]) {
        // Most names are told apart by their length.
        match name.len() {
            10 if name.eq_ignore_ascii_case("connection") => self.connection(value),
            14 if name.eq_ignore_ascii_case("content-length") => {
                for part in value.split(|b| *b == b',') {
                    self.one_length(digits(part.trim_ascii()));
                }
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                let last = value.rsplit(|b| *b == b',').next().unwrap_or_default();
                self.chunked = Some(last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
            }
            _ => {}
        }
    }

    fn connection(&mut self, value: &[u8]) {
        let has = |word: &[u8]| {
            value.split(|b| *b == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(word))
        };
        self.close |= has(b"close");
        self.keep_alive = !self.close && (self.keep_alive || has(b"keep-alive"));
    }

    /// The same length may be said twice; two lengths are none.
    fn one_length(&mut self, length: Option<u64>) {
        self.length = Some(match (self.length, length) {
            (None, Some(length)) => Ok(length),
            (Some(Ok(before)), Some(length)) if before == length => Ok(length),
            _ => Err(Malformed),
        });
    }

    fn body(&self, minor: u8) -> Result<Body, Malformed> {
        match (self.chunked, self.length) {
            // HTTP/1.0 knows no transfer codings.
            (Some(_), _) if minor == 0 => Err(Malformed),
            (Some(true), _) => Ok(Body::Chunked),
            (None, Some(length)) => length.map(Body::Length),
            (Some(false), _) | (None, None) => Ok(Body::UntilClose),
        }
    }
}

/// A number of digits alone: no sign, no space.
fn digits(text: &[u8]) -> Option<u64> {
    let add = |sum: u64, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    };
    if text.is_empty() { None } else { text.iter().try_fold(0, add) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> Result<(u16, Body, bool), Malformed> {
        let head = parse(head.as_bytes(), false)?.expect("a whole head");
        Ok((head.status, head.body, head.keep_alive))
    }

    #[test]
    fn a_head_says_how_its_body_ends() {
        let cases = [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Body::Length(5), true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nCONTENT-LENGTH: 5\r\n\r\n", Body::Length(5), true),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\n\r\n", Body::Chunked, true),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
                Body::Chunked,
                true,
            ),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n", Body::UntilClose, false),
            ("HTTP/1.1 200 OK\r\n\r\n", Body::UntilClose, false),
            ("HTTP/1.1 200\r\ncontent-length:0\r\nconnection: x, Close\r\n\r\n", Body::Length(0), false),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\nconnection: keep-alive\r\n\r\n",
                Body::Length(0),
                false,
            ),
            ("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n", Body::Length(1), false),
            ("HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: Keep-Alive\r\n\r\n", Body::Length(1), true),
        ];
        for (head, body, keep_alive) in cases {
            assert_eq!(read(head), Ok((200, body, keep_alive)), "{head}");
        }
    }

    #[test]
    fn some_answers_have_no_body_whatever_they_say() {
        for status in [204, 304] {
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: nonsense\r\n\r\n");
            assert_eq!(read(&head), Ok((status, Body::Length(0), true)));
        }
        let to_head = parse(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n", true).unwrap().unwrap();
        assert_eq!(to_head.body, Body::Length(0));
        assert_eq!(read("HTTP/1.1 101 X\r\n\r\n"), Ok((101, Body::Length(0), false)));
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        let wrong = [
            "content-length: 5\r\ncontent-length: 6",
            "content-length: 5, 6",
            "content-length: -1",
            "content-length: +1",
            "content-length: 0x10",
            "content-length:",
            "content-length: 5,",
            "content-length: 99999999999999999999",
        ];
        for lines in wrong {
            assert_eq!(read(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n")), Err(Malformed), "{lines}");
        }
        assert_eq!(read("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"), Err(Malformed));
        assert_eq!(read("HTTP/1.1 099 X\r\n\r\n"), Err(Malformed));
        assert_eq!(parse(b"SSH-2.0-OpenSSH", false), Err(Malformed));
        assert_eq!(parse(b"HTTP/2 200\r\n\r\n", false), Err(Malformed));
    }

    #[test]
    fn heads_have_a_limit() {
        let lines = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(count));
        assert!(read(&lines(MOST_HEADERS)).is_ok());
        assert_eq!(read(&lines(MOST_HEADERS + 1)), Err(Malformed));
        let long = |length| format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(length));
        let frame = long(0).len();
        assert!(read(&long(LONGEST - frame)).is_ok());
        assert_eq!(read(&long(LONGEST - frame + 1)), Err(Malformed));
        // One that never ends is refused before it does.
        assert_eq!(parse(&long(LONGEST).as_bytes()[..LONGEST], false), Ok(None));
        assert_eq!(parse(&long(LONGEST).as_bytes()[..LONGEST + 1], false), Err(Malformed));
    }
}
