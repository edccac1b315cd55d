//! `--joblog`: a line for each job that has ended, as GNU parallel writes it, and what such a file tells a later run.
//!
//! `Seq Host Starttime JobRuntime Send Receive Exitval Signal Command`, separated by tabs. Newlines of the command are
//! NUL bytes. A job that was stopped for taking too long has -1 as its exit value.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

const HEADER: &[u8] = b"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

/// The file that is written.
#[derive(Debug)]
pub struct Joblog(File);

/// A job that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// From 1.
    pub number: u64,
    /// When it was started.
    pub started: SystemTime,
    /// How long it ran.
    pub took: Duration,
    /// Bytes of its stdout.
    pub received: u64,
    /// Its exit code; -1 for a timeout.
    pub exit: i32,
    /// The signal that ended it, or 0.
    pub signal: i32,
    /// As one would type it.
    pub command: Vec<u8>,
}

/// Which jobs of the log a run does not repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// All that ended.
    Ended,
    /// Those that went well.
    Succeeded,
}

/// What a log tells: of each job, whether it went well the last time.
#[derive(Debug, Default)]
pub struct Past(HashMap<u64, bool>);

impl Past {
    /// Whether this job need not be run again.
    pub fn has(&self, number: u64, resume: Resume) -> bool {
        self.0.get(&number).is_some_and(|ok| *ok || resume == Resume::Ended)
    }
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something else is in it.
    #[error("line {0} is not of a joblog")]
    Foreign(u64),
}

impl Joblog {
    /// A new log in place of what was there; with `resume` the one that is there goes on.
    ///
    /// # Errors
    /// It cannot be written, or is no joblog.
    pub fn open(path: &Path, resume: bool) -> Result<(Joblog, Past), Error> {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).read(resume).open(path)?;
        let about = file.metadata()?;
        if !resume && about.is_file() {
            file.set_len(0)?;
        }
        let (past, whole) = if resume { read(&file)? } else { Default::default() };
        let mut log = Joblog(file);
        if resume && about.is_file() && whole < about.len() {
            // The end of a line that was not written to its end.
            log.0.set_len(whole)?;
        }
        if whole == 0 {
            log.0.write_all(HEADER)?;
        }
        Ok((log, past))
    }

    /// Adds a line, in one piece.
    ///
    /// # Errors
    /// It could not be written.
    pub fn add(&mut self, entry: &Entry) -> io::Result<()> {
        self.0.write_all(&line(entry))
    }
}

fn line(entry: &Entry) -> Vec<u8> {
    let Entry { number, received, exit, signal, .. } = entry;
    let started = entry.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (started, took) = (started.as_secs_f64(), entry.took.as_secs_f64());
    let text = format!("{number}\t:\t{started:.3}\t{took:10.3}\t0\t{received}\t{exit}\t{signal}\t");
    let mut line = text.into_bytes();
    line.extend(entry.command.iter().map(|byte| if *byte == b'\n' { 0 } else { *byte }));
    line.push(b'\n');
    line
}

/// What it tells, and how long it is up to the end of its last whole line.
fn read(file: &File) -> Result<(Past, u64), Error> {
    let (mut past, mut reader) = (Past::default(), BufReader::new(file));
    let (mut whole, mut line) = (0, Vec::new());
    for number in 1.. {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            break;
        }
        if number == 1 && line == HEADER {
            // Not a job.
        } else {
            let (job, ok) = told(&line).ok_or(Error::Foreign(number))?;
            past.0.insert(job, ok);
        }
        whole += length as u64;
    }
    Ok((past, whole))
}

/// Which job this line is about, and whether it went well.
fn told(line: &[u8]) -> Option<(u64, bool)> {
    let fields: Vec<&[u8]> = line.splitn(9, |byte| *byte == b'\t').collect();
    let number = |index: usize| -> Option<i64> {
        let text = str::from_utf8(fields.get(index)?).ok()?;
        text.trim().parse().ok()
    };
    fields.get(8)?;
    Some((u64::try_from(number(0)?).ok()?, number(6)? == 0 && number(7)? == 0))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn entry(number: u64, exit: i32, signal: i32, command: &[u8]) -> Entry {
        let started = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let command = command.to_vec();
        Entry { number, started, took: Duration::from_millis(42), received: 6, exit, signal, command }
    }

    #[test]
    fn a_line_is_as_gnu_parallel_writes_it() {
        let line = line(&entry(3, 1, 0, b"echo 'a\nb'"));
        assert_eq!(line, b"3\t:\t1700000000.123\t     0.042\t0\t6\t1\t0\techo 'a\0b'\n");
    }

    #[test]
    fn a_run_goes_on_after_the_last_whole_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, "old").unwrap();
        let (mut log, _) = Joblog::open(&path, false).unwrap();
        log.add(&entry(1, 0, 0, b"true")).unwrap();
        log.add(&entry(2, 1, 0, b"false\t2")).unwrap();
        log.add(&entry(3, 0, 9, b"kill")).unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], b"4\t:\t17000"].concat()).unwrap();
        let (mut log, past) = Joblog::open(&path, true).unwrap();
        let skipped = |resume| (1..=4).filter(|number| past.has(*number, resume)).collect::<Vec<_>>();
        assert_eq!((skipped(Resume::Ended), skipped(Resume::Succeeded)), (vec![1, 2, 3], vec![1]));
        log.add(&entry(2, 0, 0, b"true")).unwrap();
        let text = fs::read(&path).unwrap();
        assert!(text.starts_with(&whole) && text[whole.len()..].starts_with(b"2\t:"), "no half line stays");
        // What a job came to the last time is what counts.
        assert!(Joblog::open(&path, true).unwrap().1.has(2, Resume::Succeeded));
    }

    #[test]
    fn a_log_of_gnu_parallel_is_understood_and_something_else_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let theirs = "1\t:\t1795382221.547\t     0.000\t0\t2\t1\t0\techo 1; exit 1\n\
                      2\t:\t1795382221.668\t     1.453\t0\t0\t-1\t15\tsleep 9\n3\t:\t0\t 0.1\t0\t0\t0\t0\tx\n";
        fs::write(&path, [HEADER, theirs.as_bytes()].concat()).unwrap();
        let (_, past) = Joblog::open(&path, true).unwrap();
        assert_eq!([1, 2, 3].map(|number| past.has(number, Resume::Succeeded)), [false, false, true]);
        fs::write(&path, "1,:,0\nthing\n").unwrap();
        assert!(matches!(Joblog::open(&path, true), Err(Error::Foreign(1))));
        fs::write(&path, "").unwrap();
        Joblog::open(&path, true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), HEADER);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            number in 1..=u64::MAX / 2, exit in -1..=255, signal in 0..=64, command: Vec<u8>,
        ) {
            let line = line(&entry(number, exit, signal, &command));
            prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            prop_assert_eq!(told(&line), Some((number, exit == 0 && signal == 0)));
        }

        #[test]
        fn no_line_panics(line: Vec<u8>) {
            let _ = told(&line);
        }
    }
}
