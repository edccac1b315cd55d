//! A chunked body, counted and dropped (RFC 9112, 7.1).
//!
//! As strict as hyper, and a little more: a line feed alone ends no line. Refuses to know what extensions and trailers
//! mean; together they have a limit.

use super::head::{LONGEST, Malformed};

/// How far a chunked body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunked {
    at: At,
    /// Bytes of this chunk still to come.
    left: u64,
    /// Bytes that extensions and trailers have had, together.
    extra: usize,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    FirstDigit,
    Digits,
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The start of a trailer, or the end of all.
    Line,
    Name,
    Value,
    ValueLf,
    LastLf,
    End,
}

impl Chunked {
    /// Before the first chunk.
    pub(super) fn new() -> Chunked {
        Chunked { at: At::FirstDigit, left: 0, extra: 0 }
    }

    /// Whether the last chunk and its trailers have come.
    pub(super) fn is_whole(&self) -> bool {
        self.at == At::End
    }

    /// Takes what belongs to the body, and says how many bytes that were.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut used = 0;
        while let Some(byte) = bytes.get(used).filter(|_| !self.is_whole()) {
            if self.at == At::Data {
                let here = (bytes.len() - used) as u64;
                let taken = self.left.min(here);
                self.left -= taken;
                used += taken as usize;
                if self.left == 0 {
                    self.at = At::DataCr;
                }
            } else {
                self.at = self.step(*byte)?;
                used += 1;
            }
        }
        Ok(used)
    }

    fn step(&mut self, byte: u8) -> Result<At, Malformed> {
        match (self.at, byte) {
            (At::FirstDigit | At::Digits, digit) if digit.is_ascii_hexdigit() => self.digit(digit),
            (At::Digits | At::Space, b' ' | b'\t') => Ok(At::Space),
            (At::Digits | At::Space, b';') => Ok(At::Extension),
            (At::Digits | At::Space | At::Extension, b'\r') => Ok(At::SizeLf),
            (At::Extension, other) if other != b'\n' => self.extra(At::Extension),
            (At::SizeLf, b'\n') if self.left == 0 => Ok(At::Line),
            (At::SizeLf, b'\n') => Ok(At::Data),
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataLf, b'\n') => Ok(At::FirstDigit),
            (At::Line, b'\r') => Ok(At::LastLf),
            (At::Line | At::Name, letter) if is_token(letter) => self.extra(At::Name),
            (At::Name, b':') => Ok(At::Value),
            (At::Value, b'\r') => Ok(At::ValueLf),
            (At::Value, b'\t' | b' '..=b'~' | 0x80..) => self.extra(At::Value),
            (At::ValueLf, b'\n') => Ok(At::Line),
            (At::LastLf, b'\n') => Ok(At::End),
            _ => Err(Malformed),
        }
    }

    fn digit(&mut self, digit: u8) -> Result<At, Malformed> {
        let value = char::from(digit).to_digit(16).ok_or(Malformed)?;
        self.left = self.left.checked_mul(16).ok_or(Malformed)? + u64::from(value);
        Ok(At::Digits)
    }

    fn extra(&mut self, at: At) -> Result<At, Malformed> {
        self.extra += 1;
        if self.extra <= LONGEST { Ok(at) } else { Err(Malformed) }
    }
}

/// What names of fields consist of (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of the bytes is the body; `None` when its end has not come.
    fn body(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let mut chunked = Chunked::new();
        let used = chunked.take(bytes)?;
        Ok(chunked.is_whole().then_some(used))
    }

    #[test]
    fn the_last_chunk_and_its_trailers_end_a_body() {
        let whole: &[&[u8]] = &[
            b"0\r\n\r\n",
            b"5\r\nhello\r\n0\r\n\r\n",
            b"a;name=\"value\"\r\n0123456789\r\n00\r\n\r\n",
            b"A \t\r\n0123456789\r\n0 ;last\r\n\r\n",
            b"1\r\nx\r\n0\r\nexpires: never\r\nx: y\r\n\r\n",
        ];
        for bytes in whole {
            assert_eq!(body(bytes), Ok(Some(bytes.len())));
            assert_eq!(body(&[bytes, &b"HTTP/1.1"[..]].concat()), Ok(Some(bytes.len())));
            for end in 0..bytes.len() {
                assert_eq!(body(&bytes[..end]), Ok(None), "{end}");
            }
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        let wrong: &[&[u8]] = &[
            b"\r\n",
            b"x\r\n",
            b"-1\r\n",
            b"5\nhello",
            b"1 1\r\n",
            b"1;\n",
            b"1\r\nxy",
            b"1\r\nx\n",
            b"1\rx",
            b"0\r\n\rx",
            b"0\r\na\r\n",
            b"0\r\n: a\r\n",
            b"0\r\na b: c\r\n",
            b"0\r\na: b\rx",
            b"0\r\na: b\n",
            b"0\r\na: \0\r\n",
            b"11111111111111111\r\n",
        ];
        for bytes in wrong {
            assert_eq!(body(bytes), Err(Malformed), "{}", bytes.escape_ascii());
        }
        assert_eq!(body(b"ffffffffffffffff\r\n"), Ok(None));
    }

    #[test]
    fn extensions_and_trailers_have_a_limit() {
        let long = vec![b'x'; LONGEST + 1];
        assert_eq!(body(&[b"1;", &long[..]].concat()), Err(Malformed));
        assert_eq!(body(&[b"0\r\n", &long[..]].concat()), Err(Malformed));
        let fits = [b"0\r\n", &long[1..], b":\r\n\r\n"].concat();
        assert_eq!(body(&fits), Ok(Some(fits.len())));
    }
}
