//! Jobs as a stream: one per line, read no further ahead than one small buffer.

use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::alarm::{Alarm, Level, readable, wait_for};

/// The kernel takes no longer argument.
pub const LONGEST: usize = 128 * 1024 - 1;

const BUFFER: usize = 8 * 1024;

/// Where jobs come from.
#[derive(Debug)]
pub struct Input {
    file: File,
    separator: u8,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

/// What came next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A line, without what separates it from the next.
    Line(Vec<u8>),
    /// One that no command could get as an argument, with its begin.
    TooLong(Vec<u8>),
    /// No more.
    Over,
}

impl Input {
    /// Lines of this file, or what is between NUL bytes.
    pub fn new(file: File, null: bool) -> Input {
        let separator = if null { 0 } else { b'\n' };
        Input { file, separator, buffer: vec![0; BUFFER].into(), start: 0, end: 0 }
    }

    /// The next line. It is over, too, when the alarm says so, or that time has come.
    ///
    /// # Errors
    /// The file could not be read.
    pub fn next(&mut self, alarm: &Alarm, until: Option<Instant>) -> io::Result<Next> {
        let (mut line, mut any, mut too_long) = (Vec::new(), false, false);
        loop {
            if self.start == self.end && !self.fill(alarm, until)? {
                break;
            }
            any = true;
            let ahead = &self.buffer[self.start..self.end];
            let found = ahead.iter().position(|byte| *byte == self.separator);
            let part = &ahead[..found.unwrap_or(ahead.len())];
            let room = LONGEST - line.len();
            line.extend_from_slice(&part[..part.len().min(room)]);
            too_long |= part.len() > room;
            self.start += part.len() + usize::from(found.is_some());
            if found.is_some() {
                break;
            }
        }
        if !any || alarm.is_raised(Level::Soon) {
            return Ok(Next::Over);
        }
        Ok(if too_long { Next::TooLong(line) } else { Next::Line(line) })
    }

    /// Reads what is there, and waits for it; false when there is no more.
    fn fill(&mut self, alarm: &Alarm, until: Option<Instant>) -> io::Result<bool> {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if alarm.is_raised(Level::Soon) || left == Some(Duration::ZERO) {
                return Ok(false);
            }
            let bell = alarm.bell(Level::Soon);
            let mut descriptors = [readable(&self.file), readable(&bell)];
            wait_for(&mut descriptors, left)?;
            if descriptors[0].revents().is_empty() {
                continue;
            }
            match self.file.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody else has set a terminal or a pipe so, and has read what was there.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
                Ok(count) => {
                    (self.start, self.end) = (0, count);
                    return Ok(count > 0);
                }
            }
        }
    }
}

/// How many jobs a file has.
///
/// # Errors
/// It could not be read.
pub fn count(mut file: File, null: bool) -> io::Result<u64> {
    let separator = if null { 0 } else { b'\n' };
    let mut buffer = vec![0; 64 * 1024];
    let (mut jobs, mut last) = (0, separator);
    loop {
        let read = file.read(&mut buffer)?;
        let Some(end) = buffer[..read].last() else {
            return Ok(jobs + u64::from(last != separator));
        };
        last = *end;
        jobs += buffer[..read].iter().filter(|byte| **byte == separator).count() as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use proptest::prelude::*;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    fn lines(bytes: &[u8], null: bool) -> Vec<Next> {
        let (mut input, alarm) = (Input::new(file(bytes), null), Alarm::new().unwrap());
        let lines = std::iter::from_fn(|| Some(input.next(&alarm, None).unwrap()));
        lines.take_while(|next| *next != Next::Over).collect()
    }

    fn line(text: &[u8]) -> Next {
        Next::Line(text.to_vec())
    }

    #[test]
    fn the_last_line_needs_no_end_and_an_empty_one_is_a_job() {
        assert_eq!(lines(b"", false), []);
        assert_eq!(lines(b"a\n\nb", false), [line(b"a"), line(b""), line(b"b")]);
        assert_eq!(lines(b"a\nb\0c\0", true), [line(b"a\nb"), line(b"c")]);
    }

    #[test]
    fn a_line_that_is_too_long_is_told_and_the_next_one_is_whole() {
        let mut text = vec![b'x'; LONGEST];
        text.extend(b"\n");
        text.extend(vec![b'y'; LONGEST + 1]);
        text.extend(b"\nz\n");
        let found = lines(&text, false);
        assert_eq!(found.len(), 3);
        assert_eq!((&found[0], &found[2]), (&line(&text[..LONGEST]), &line(b"z")));
        assert!(matches!(&found[1], Next::TooLong(begin) if begin.len() == LONGEST));
    }

    #[test]
    fn nobody_waits_for_a_line_longer_than_wanted() {
        let (reader, _writer) = io::pipe().unwrap();
        let mut input = Input::new(File::from(std::os::fd::OwnedFd::from(reader)), false);
        let alarm = Alarm::new().unwrap();
        let soon = Instant::now() + Duration::from_millis(1);
        assert_eq!(input.next(&alarm, Some(soon)).unwrap(), Next::Over);
        alarm.raise(Level::Soon);
        assert_eq!(input.next(&alarm, None).unwrap(), Next::Over);
    }

    #[test]
    fn no_more_is_read_than_a_small_buffer() {
        use std::io::Seek;
        let mut whole = file(&b"line\n".repeat(100_000));
        let mut input = Input::new(whole.try_clone().unwrap(), false);
        assert_eq!(input.next(&Alarm::new().unwrap(), None).unwrap(), line(b"line"));
        assert_eq!(whole.stream_position().unwrap(), BUFFER as u64);
    }

    proptest! {
        #[test]
        fn lines_are_those_of_a_split(text in "[ab\n]{0,40}") {
            let expected: Vec<Next> = text.lines().map(|text| line(text.as_bytes())).collect();
            prop_assert_eq!(count(file(text.as_bytes()), false).unwrap(), expected.len() as u64);
            prop_assert_eq!(lines(text.as_bytes(), false), expected);
        }
    }
}
