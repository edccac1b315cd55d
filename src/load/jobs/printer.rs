//! In which order, and in which pieces, the outputs of jobs leave. Where they go is the sink's matter.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use super::capture::{Capture, Place, Spool};

/// Of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Its stdout.
    Out,
    /// Its stderr.
    Err,
}

/// Takes what jobs wrote.
pub trait Sink: Send + 'static {
    /// Writes all of it.
    ///
    /// # Errors
    /// A broken pipe says that nobody reads any more, which is none; any other ends the run.
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()>;
}

/// Outputs that wait for their turn may use so much memory.
const IN_MEMORY: u64 = 1024 * 1024;

/// Writes outputs whole, or line by line.
pub struct Printer {
    sink: Box<dyn Sink>,
    directory: PathBuf,
    /// In the order of the input: whose turn it is, and who waits.
    order: Option<Order>,
}

#[derive(Default)]
struct Order {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
    spool: Spool,
    in_memory: u64,
}

/// The output of a job that waits; none of one that was skipped.
type Waiting = Option<Parked>;

struct Parked {
    tag: Option<Vec<u8>>,
    streams: [(Stream, Kept); 2],
}

enum Kept {
    Here(Capture),
    Spooled(Place),
}

impl Printer {
    /// `in_order`: of the input, instead of as jobs end. Large outputs that wait go to a file in that directory.
    pub fn new(sink: Box<dyn Sink>, in_order: bool, directory: PathBuf) -> Printer {
        let order = in_order.then(|| Order { next: 1, ..Order::default() });
        Printer { sink, directory, order }
    }

    /// How many outputs wait for the one of an earlier job.
    pub fn waiting(&self) -> usize {
        self.order.as_ref().map_or(0, |order| order.waiting.len())
    }

    /// All that a job wrote, each line after its tag if it has one.
    ///
    /// # Errors
    /// As [`Sink::write`], or there was no room for what waits.
    pub fn whole(&mut self, number: u64, tag: Option<Vec<u8>>, out: Capture, err: Capture) -> io::Result<()> {
        let Some(order) = &mut self.order else {
            let tag = tag.as_deref();
            print(&mut *self.sink, Stream::Out, tag, |take| out.read(take))?;
            return print(&mut *self.sink, Stream::Err, tag, |take| err.read(take));
        };
        let mut keep = |capture: Capture| -> io::Result<Kept> {
            if order.next != number && order.in_memory + capture.length() > IN_MEMORY {
                return order.spool.put(&capture, &self.directory).map(Kept::Spooled);
            }
            order.in_memory += capture.length();
            Ok(Kept::Here(capture))
        };
        let streams = [(Stream::Out, keep(out)?), (Stream::Err, keep(err)?)];
        order.waiting.insert(number, Some(Parked { tag, streams }));
        self.advance()
    }

    /// A job that was not run does not keep the others waiting.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub fn skip(&mut self, number: u64) -> io::Result<()> {
        if let Some(order) = &mut self.order {
            order.waiting.insert(number, None);
        }
        self.advance()
    }

    /// Whole lines, as they come.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub fn lines(&mut self, stream: Stream, tag: Option<&[u8]>, bytes: &[u8]) -> io::Result<()> {
        print(&mut *self.sink, stream, tag, |take| take(bytes))
    }

    fn advance(&mut self) -> io::Result<()> {
        let Some(order) = &mut self.order else { return Ok(()) };
        while let Some(waiting) = order.waiting.remove(&order.next) {
            order.next += 1;
            let Some(parked) = waiting else { continue };
            for (stream, kept) in parked.streams {
                let tag = parked.tag.as_deref();
                match kept {
                    Kept::Here(capture) => {
                        print(&mut *self.sink, stream, tag, |take| capture.read(take))?;
                        order.in_memory -= capture.length();
                    }
                    Kept::Spooled(place) => {
                        print(&mut *self.sink, stream, tag, |take| order.spool.take(place, take))?;
                    }
                }
            }
        }
        Ok(())
    }
}

type Take<'a> = &'a mut dyn FnMut(&[u8]) -> io::Result<()>;

/// Writes what is read, with the tag and a tab before each line; a last line without an end then gets one.
fn print(
    sink: &mut dyn Sink,
    stream: Stream,
    tag: Option<&[u8]>,
    read: impl FnOnce(Take<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let Some(tag) = tag else {
        return read(&mut |bytes| sink.write(stream, bytes));
    };
    let mut at_start = true;
    read(&mut |bytes| {
        let mut tagged = Vec::with_capacity(bytes.len() + 64);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if at_start {
                tagged.extend_from_slice(tag);
                tagged.push(b'\t');
            }
            tagged.extend_from_slice(line);
            at_start = line.ends_with(b"\n");
        }
        sink.write(stream, &tagged)
    })?;
    if at_start { Ok(()) } else { sink.write(stream, b"\n") }
}

/// Of what comes in pieces, the whole lines.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
}

/// A line need not end before it is passed on.
const LONGEST: usize = 64 * 1024;

impl Lines {
    /// What can be written now that this came.
    pub fn add(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut ready = std::mem::take(&mut self.rest);
        ready.extend_from_slice(bytes);
        let end = ready.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if end > 0 || ready.len() < LONGEST {
            self.rest = ready.split_off(end);
        }
        ready
    }

    /// What is left when no more comes, as a line.
    pub fn end(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            rest.push(b'\n');
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<(Vec<u8>, Vec<u8>)>>);

    impl Sink for Paper {
        fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
            let mut paper = self.0.lock().unwrap();
            match stream {
                Stream::Out => paper.0.extend_from_slice(bytes),
                Stream::Err => paper.1.extend_from_slice(bytes),
            }
            Ok(())
        }
    }

    impl Paper {
        fn read(&self) -> (String, String) {
            let paper = self.0.lock().unwrap();
            (String::from_utf8(paper.0.clone()).unwrap(), String::from_utf8(paper.1.clone()).unwrap())
        }
    }

    fn printer(in_order: bool) -> (Printer, Paper) {
        let paper = Paper::default();
        (Printer::new(Box::new(paper.clone()), in_order, std::env::temp_dir()), paper)
    }

    fn capture(text: &str) -> Capture {
        let mut capture = Capture::default();
        capture.add(text.as_bytes(), &std::env::temp_dir()).unwrap();
        capture
    }

    #[test]
    fn outputs_leave_as_jobs_end() {
        let (mut printer, paper) = printer(false);
        printer.whole(2, None, capture("b"), capture("B")).unwrap();
        printer.whole(1, None, capture("a"), capture("")).unwrap();
        assert_eq!(paper.read(), ("ba".into(), "B".into()));
    }

    #[test]
    fn outputs_wait_for_their_turn() {
        let (mut printer, paper) = printer(true);
        printer.whole(3, Some(b"t".to_vec()), capture("c\nd"), capture("C\n")).unwrap();
        printer.skip(2).unwrap();
        assert_eq!((paper.read().0.as_str(), printer.waiting()), ("", 2));
        printer.whole(1, None, capture("a\n"), capture("")).unwrap();
        assert_eq!(paper.read(), ("a\nt\tc\nt\td\n".into(), "t\tC\n".into()));
        assert_eq!(printer.waiting(), 0);
    }

    #[test]
    fn what_waits_needs_little_memory() {
        let (mut printer, paper) = printer(true);
        let large = "x".repeat(600_000);
        for number in (1..=5).rev() {
            printer.whole(number, None, capture(&format!("{number}{large}")), capture("")).unwrap();
            assert!(printer.order.as_ref().unwrap().in_memory <= IN_MEMORY);
        }
        assert_eq!(paper.read().0, (1..=5).map(|number| format!("{number}{large}")).collect::<String>());
    }

    #[test]
    fn a_line_that_never_ends_is_passed_on() {
        let mut lines = Lines::default();
        assert_eq!(lines.add(&vec![b'x'; LONGEST]).len(), LONGEST);
        assert_eq!((lines.add(b"y"), lines.end(), lines.end()), (vec![], b"y\n".to_vec(), vec![]));
    }

    proptest! {
        #[test]
        fn any_order_of_ends_gives_the_order_of_the_input(order in Just((1u64..=20).collect::<Vec<_>>()).prop_shuffle()) {
            let (mut printer, paper) = printer(true);
            for number in order {
                printer.whole(number, None, capture(&format!("{number} ")), Capture::default()).unwrap();
            }
            prop_assert_eq!(paper.read().0, (1..=20).map(|number| format!("{number} ")).collect::<String>());
        }

        #[test]
        fn lines_are_whole_and_nothing_is_lost(parts in prop::collection::vec("[ab\n]{0,6}", 0..8)) {
            let mut lines = Lines::default();
            let mut all = String::new();
            for part in &parts {
                let ready = String::from_utf8(lines.add(part.as_bytes())).unwrap();
                prop_assert!(ready.is_empty() || ready.ends_with('\n'));
                all += &ready;
            }
            all += &String::from_utf8(lines.end()).unwrap();
            let text = parts.concat();
            let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            prop_assert_eq!(all, text + end);
        }
    }
}
