//! Requests and their times from an access log: Common or Combined Log Format, or the JSON lines of `hardy serve`.
//!
//! Each distinct request is kept once. Requests are due as far apart as they were logged; where a log knows whole seconds
//! only, those of one second are spread evenly over it. Lines that are no request are counted, not guessed at. Refuses
//! to send anything again that may change what it is sent to, unless that is asked for: only GET and HEAD are safe.

use std::collections::HashMap;
use std::io::{self, BufRead, Read as _};

use hyper::Method;
use jiff::Timestamp;
use serde::Deserialize;

use super::template::encoded_path;
use crate::text::printable;

/// Bytes of a line that are looked at; the rest of it is skipped.
const LONGEST: u64 = 64 << 10;
/// Bytes of memory that a replay may take.
const MOST: usize = 4 << 30;
/// What one request takes: while it is sorted, and as time and index.
const REQUEST: usize = 32;
/// What one distinct request takes, but for its path.
const DISTINCT: usize = 256;
/// Characters of a line that an error shows.
const SHOWN: usize = 80;
const SECOND: i64 = 1_000_000_000;

/// What is taken from a log, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Taken {
    /// How many times faster than it was; above 0.
    pub speed: f64,
    /// Methods other than GET and HEAD too.
    pub all_methods: bool,
}

/// The requests of a log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replay {
    /// Each that is different: method, and path with query.
    pub requests: Vec<(Method, String)>,
    /// Which of them, in the order in which they are due.
    pub order: Vec<u32>,
    /// When, in nanoseconds from the first, in order; as many.
    pub times: Vec<u64>,
    /// Lines left out.
    pub left_out: LeftOut,
}

/// Lines of a log that are not sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Lines that could not be read.
    pub unreadable: u64,
    /// The first of them: its number from 1, and its beginning.
    pub first: Option<(u64, String)>,
    /// Requests with methods other than GET and HEAD.
    pub not_safe: u64,
}

/// Nothing can be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// No line is a request that may be sent.
    #[error("no line of it is a request that can be replayed")]
    Nothing(LeftOut),
    /// It would take too much memory.
    #[error("it has more requests than fit into 4 GiB of memory")]
    TooLarge,
}

/// Reads a log to its end. Lines may be out of order, as those of requests that took long are.
///
/// # Errors
/// There is nothing to send, or too much.
pub fn read(mut log: impl BufRead, taken: Taken) -> Result<Replay, ReplayError> {
    let (mut book, mut line) = (Book::default(), Vec::new());
    let mut number = 0;
    while next_line(&mut log, &mut line)? {
        number += 1;
        let text = line.trim_ascii();
        match entry(text) {
            _ if text.is_empty() => {}
            Some(entry) if taken.all_methods || matches!(entry.method, Method::GET | Method::HEAD) => {
                book.add(entry)?;
            }
            Some(_) => book.left_out.not_safe += 1,
            None => {
                book.left_out.unreadable += 1;
                book.left_out.first.get_or_insert_with(|| (number, beginning(text)));
            }
        }
    }
    book.close(taken.speed)
}

/// The beginning of the next line, in `line`. False at the end.
fn next_line(log: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let read = log.by_ref().take(LONGEST).read_until(b'\n', line)?;
    if read as u64 == LONGEST && !line.ends_with(b"\n") {
        log.skip_until(b'\n')?;
    }
    Ok(read > 0)
}

fn beginning(line: &[u8]) -> String {
    printable(
        &String::from_utf8_lossy(&line[..line.len().min(4 * SHOWN)]).chars().take(SHOWN).collect::<String>(),
    )
}

/// One request of a log.
#[derive(Debug, PartialEq)]
struct Entry {
    /// Nanoseconds since 1970.
    at: i64,
    method: Method,
    path: String,
}

/// What was read so far.
#[derive(Default)]
struct Book {
    distinct: HashMap<(Method, String), u32>,
    entries: Vec<(i64, u32)>,
    size: usize,
    left_out: LeftOut,
}

impl Book {
    fn add(&mut self, entry: Entry) -> Result<(), ReplayError> {
        let Entry { at, method, path } = entry;
        let (count, length) = (self.distinct.len(), path.len());
        let new = u32::try_from(count).map_err(|_| ReplayError::TooLarge)?;
        let index = *self.distinct.entry((method, path)).or_insert(new);
        self.entries.push((at, index));
        self.size += REQUEST + if self.distinct.len() > count { DISTINCT + length } else { 0 };
        if self.size > MOST { Err(ReplayError::TooLarge) } else { Ok(()) }
    }

    fn close(mut self, speed: f64) -> Result<Replay, ReplayError> {
        self.entries.sort_by_key(|(at, _)| *at);
        let Some((first, _)) = self.entries.first().copied() else {
            return Err(ReplayError::Nothing(self.left_out));
        };
        let mut times: Vec<u64> = self.entries.iter().map(|(at, _)| at.abs_diff(first)).collect();
        if self.entries.iter().all(|(at, _)| at % SECOND == 0) {
            spread(&mut times);
        }
        times.iter_mut().for_each(|time| *time = (*time as f64 / speed) as u64);
        let mut requests: Vec<_> = self.distinct.into_iter().collect();
        requests.sort_unstable_by_key(|(_, index)| *index);
        Ok(Replay {
            requests: requests.into_iter().map(|(request, _)| request).collect(),
            order: self.entries.into_iter().map(|(_, index)| index).collect(),
            times,
            left_out: self.left_out,
        })
    }
}

/// Spreads those of one second evenly over it.
fn spread(times: &mut [u64]) {
    for second in times.chunk_by_mut(|a, b| a == b) {
        let count = second.len() as u128;
        for (at, time) in (0..).zip(second) {
            *time += (SECOND as u128 * at / count) as u64;
        }
    }
}

fn entry(line: &[u8]) -> Option<Entry> {
    if line.starts_with(b"{") { json(line) } else { common(line) }
}

/// A line of `hardy serve --access-log`, as far as it matters; queries are not logged there.
#[derive(Deserialize)]
struct Json {
    time: Timestamp,
    method: String,
    path: String,
}

fn json(line: &[u8]) -> Option<Entry> {
    let Json { time, method, path } = serde_json::from_slice(line).ok()?;
    Some(Entry {
        at: nanos(time)?,
        method: Method::from_bytes(method.as_bytes()).ok()?,
        path: sent(path.as_bytes())?,
    })
}

/// `HOST IDENT USER [10/Oct/2000:13:55:36 -0700] "GET /path HTTP/1.0" ...`
fn common(line: &[u8]) -> Option<Entry> {
    // A user's name may have brackets too.
    let brackets = line.iter().enumerate().filter(|(_, byte)| **byte == b'[').map(|(at, _)| &line[at + 1..]);
    let (at, rest) = brackets.filter_map(time).next()?;
    let request = unquoted(rest)?;
    let mut words = request.splitn(2, |byte| *byte == b' ');
    let method = Method::from_bytes(words.next()?).ok()?;
    let target = words.next()?;
    let version = target.windows(6).rposition(|end| end == b" HTTP/").unwrap_or(target.len());
    Some(Entry { at, method, path: sent(target[..version].trim_ascii())? })
}

/// The time at the beginning of the text, and what follows its bracket.
fn time(text: &[u8]) -> Option<(i64, &[u8])> {
    let (time, rest) = text.split_at_checked(26)?;
    let time = Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", std::str::from_utf8(time).ok()?).ok()?;
    Some((nanos(time)?, rest.strip_prefix(b"]")?))
}

fn nanos(time: Timestamp) -> Option<i64> {
    time.as_nanosecond().try_into().ok()
}

/// What stands between the first quotes, without the escapes of Apache (`\"`) and nginx (`\x22`).
fn unquoted(text: &[u8]) -> Option<Vec<u8>> {
    let mut rest = text.trim_ascii_start().strip_prefix(b"\"")?;
    let mut out = Vec::new();
    loop {
        let (first, after) = rest.split_first()?;
        rest = match (first, after) {
            (b'"', _) => return Some(out),
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digits = [*high, *low];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                after
            }
            (b'\\', [escaped @ (b'"' | b'\\'), after @ ..]) => {
                out.push(*escaped);
                after
            }
            _ => {
                out.push(*first);
                after
            }
        };
    }
}

/// The path and query of a request target (RFC 9112, 3.2), ready to be sent again.
fn sent(target: &[u8]) -> Option<String> {
    let path = match target.windows(3).position(|part| part == b"://") {
        _ if target.starts_with(b"/") => target,
        // The absolute form, as proxies log it.
        Some(scheme) => {
            let rest = &target[scheme + 3..];
            let path =
                rest.iter().position(|byte| matches!(byte, b'/' | b'?')).map_or(&b""[..], |at| &rest[at..]);
            let slash = if path.starts_with(b"/") { "" } else { "/" };
            return Some(format!("{slash}{}", encoded_path(path)));
        }
        None => return None,
    };
    Some(encoded_path(path))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOG: &str = r#"127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a?x=1 HTTP/1.1" 200 2326
::1 - fr[ank [10/Oct/2000:20:55:36 +0000] "HEAD /b HTTP/2.0" 200 5 "http://r/" "curl/8 \"x\""

10.0.0.1 - - [10/Oct/2000:13:55:38 -0700] "GET /a?x=1 HTTP/1.1" 200 2326
garbage
10.0.0.1 - - [10/Oct/2000:13:55:37 -0700] "POST /c HTTP/1.1" 200 1
10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET http://h:80/q\x22\"\\ \xc3\xbc HTTP/1.1" 200 1
10.0.0.1 - - [10/Oct/2000:13:55:37 -0700] "\x16\x03\x01" 400 0
"#;
    const AS_IT_WAS: Taken = Taken { speed: 1.0, all_methods: false };

    fn replay(log: &str, taken: Taken) -> Replay {
        read(log.as_bytes(), taken).unwrap()
    }

    fn request(method: Method, path: &str) -> (Method, String) {
        (method, path.to_owned())
    }

    #[test]
    fn a_common_log_is_read() {
        let found = replay(LOG, AS_IT_WAS);
        let get = |path| request(Method::GET, path);
        let expected = [get("/a?x=1"), request(Method::HEAD, "/b"), get("/q%22%22\\%20%C3%BC")];
        assert_eq!(found.requests, expected);
        assert_eq!(found.order, [0, 1, 2, 0]);
        // Three in the first second, spread over it; out of order and zones notwithstanding.
        assert_eq!(found.times, [0, 333_333_333, 666_666_666, 2_000_000_000]);
        let first = Some((5, "garbage".to_owned()));
        assert_eq!(found.left_out, LeftOut { unreadable: 2, first, not_safe: 1 });
    }

    #[test]
    fn it_goes_faster_and_with_every_method_when_asked() {
        let found = replay(LOG, Taken { speed: 4.0, all_methods: true });
        assert_eq!(found.times, [0, 83_333_333, 166_666_666, 250_000_000, 500_000_000]);
        assert_eq!(found.requests[found.order[3] as usize], request(Method::POST, "/c"));
        assert_eq!(found.left_out.not_safe, 0);
    }

    #[test]
    fn the_log_of_hardy_is_read_to_the_millisecond() {
        let log = r#"{"time":"2026-01-02T03:04:05.250Z","peer":"127.0.0.1:1","method":"GET","path":"/","version":"HTTP/1.1","status":200,"bytes":12,"duration_us":31}
{"time":"2026-01-02T03:04:05.250Z","peer":"127.0.0.1:1","method":"GET","path":"/x y","version":"HTTP/1.1","status":200,"bytes":12,"duration_us":31}
{"time":"2026-01-02T03:04:06.000Z","peer":"127.0.0.1:1","method":"","path":"","version":"HTTP/1.1","status":400,"bytes":0,"duration_us":0}
{"time":"2026-01-02T03:04:06.000Z","peer":"127.0.0.1:1","method":"GET","path":"/","version":"HTTP/1.1","status":200,"bytes":12,"duration_us":31}"#;
        let found = replay(log, AS_IT_WAS);
        assert_eq!(found.requests, [request(Method::GET, "/"), request(Method::GET, "/x%20y")]);
        assert_eq!((found.order, found.times), (vec![0, 1, 0], vec![0, 0, 750_000_000]));
        assert_eq!(found.left_out.unreadable, 1);
    }

    #[test]
    fn nothing_to_send_is_an_error_that_says_what_was_there() {
        let Err(ReplayError::Nothing(left_out)) = read(&b"x\n\xff\n"[..], AS_IT_WAS) else { panic!() };
        assert_eq!((left_out.unreadable, left_out.first), (2, Some((1, "x".into()))));
        assert!(matches!(read(&b""[..], AS_IT_WAS), Err(ReplayError::Nothing(_))));
    }

    #[test]
    fn a_line_that_never_ends_is_one_line() {
        let mut log = LOG.as_bytes().to_vec();
        log.splice(0..0, vec![b'x'; 3 * LONGEST as usize].into_iter().chain(*b"\n"));
        let found = read(&log[..], AS_IT_WAS).unwrap();
        assert_eq!((found.order.len(), found.left_out.unreadable), (4, 3));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(log in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&log[..], AS_IT_WAS);
        }

        #[test]
        fn mutated_logs_give_what_can_be_sent(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
            speed in 0.001f64..1000.0,
        ) {
            let mut log = LOG.as_bytes().to_vec();
            for (at, byte) in changes {
                let at = at.index(log.len());
                log[at] = byte;
            }
            if let Ok(found) = read(&log[..], Taken { speed, all_methods: true }) {
                prop_assert_eq!(found.order.len(), found.times.len());
                prop_assert!(found.times.is_sorted());
                prop_assert!(found.order.iter().all(|index| (*index as usize) < found.requests.len()));
                for (_, path) in &found.requests {
                    prop_assert!(hyper::http::uri::PathAndQuery::try_from(&path[..]).is_ok(), "{}", path);
                    prop_assert!(path.starts_with('/'));
                }
            }
        }
    }
}
