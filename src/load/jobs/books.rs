//! What became of all jobs: counts, run times, and the first ones by name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use super::halt::Halt;
use super::joblog::{Entry, Joblog};
use super::{End, Error, Outcome, Snapshot};
use crate::histogram::Histogram;
use crate::process::Status;

/// Of all that ended, so many are kept by name, and as many of those that failed.
const NAMED: usize = 10_000;
/// Of a line, so much is kept.
const SHOWN: usize = 200;

/// Counts and run times.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Jobs that ended well.
    pub ok: u64,
    /// And otherwise, after all retries.
    pub failed: u64,
    /// Of these, by exit code.
    pub exits: BTreeMap<u8, u64>,
    /// Of these, by the number of the signal that ended them.
    pub signals: BTreeMap<i32, u64>,
    /// Of these, stopped for taking too long.
    pub timed_out: u64,
    /// Of these, never started.
    pub not_started: u64,
    /// Tries after the first one.
    pub retried: u64,
    /// Jobs that an earlier run had done.
    pub skipped: u64,
    /// Jobs that were under way at the end, and were ended.
    pub cut_off: u64,
    /// How long those took that ended well; of several tries the last.
    pub ok_times: Histogram,
    /// And those that failed.
    pub failed_times: Histogram,
    /// The first ones that ended well.
    pub passes: Vec<Finished>,
    /// The first ones that failed.
    pub failures: Vec<Finished>,
}

/// A job that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// From 1.
    pub number: u64,
    /// Its line, or the begin of it.
    pub line: String,
    /// How long it ran.
    pub took: Duration,
    /// Why it failed; `None`: it did not.
    pub failure: Option<Failure>,
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It ended with this code.
    #[error("exit code {0}")]
    Exit(u8),
    /// It was ended by the signal with this number.
    #[error("ended by signal {0}")]
    Signal(i32),
    /// It took too long, and was stopped: by this signal, if not by itself.
    #[error("took longer than the timeout")]
    Timeout(Option<i32>),
    /// It could not be started; with the code that a shell would have given.
    #[error("not started: {1}")]
    NotStarted(u8, String),
}

impl Failure {
    /// Exit value and signal, as a joblog has them.
    pub fn logged(&self) -> (i32, i32) {
        match self {
            Failure::Exit(code) | Failure::NotStarted(code, _) => (i32::from(*code), 0),
            Failure::Signal(signal) => (0, *signal),
            Failure::Timeout(signal) => (-1, signal.unwrap_or(0)),
        }
    }
}

/// How a job came to its end, before it is written down.
#[derive(Debug)]
pub struct Ending {
    /// The job.
    pub number: u64,
    /// Its line.
    pub line: Vec<u8>,
    /// As one would type it.
    pub command: Vec<u8>,
    /// What became of it.
    pub fate: Fate,
    /// Its last try.
    pub started: SystemTime,
    /// That try.
    pub took: Duration,
    /// Bytes of its stdout.
    pub received: u64,
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// All went well.
    Ok,
    /// It failed.
    Failed(Failure),
    /// It was ended because the run ends.
    CutOff,
}

impl Fate {
    /// Of a job that ended by itself.
    pub fn of(status: Status) -> Fate {
        match status {
            Status::Exited(0) => Fate::Ok,
            Status::Exited(code) => Fate::Failed(Failure::Exit(code)),
            Status::Killed(signal) => Fate::Failed(Failure::Signal(signal)),
        }
    }
}

/// The books of a run.
pub struct Books {
    tally: Tally,
    begun: Instant,
    last_end: Instant,
    running: u64,
    joblog: Option<(PathBuf, Joblog)>,
    halt: Option<Halt>,
    end: Option<End>,
}

impl Books {
    /// Empty ones; the run begins now.
    pub fn new(joblog: Option<(PathBuf, Joblog)>, halt: Option<Halt>) -> Books {
        let now = Instant::now();
        Books { tally: Tally::default(), begun: now, last_end: now, running: 0, joblog, halt, end: None }
    }

    /// A worker has a job.
    pub fn started(&mut self) {
        self.running += 1;
    }

    /// An earlier run had done it.
    pub fn skipped(&mut self) {
        self.tally.skipped += 1;
    }

    /// It is tried again.
    pub fn retried(&mut self) {
        self.tally.retried += 1;
    }

    /// Writes a job down; whether that is the last one wanted, and whether the others are to be ended now.
    pub fn ended(&mut self, ending: &Ending) -> Option<Halt> {
        self.running -= 1;
        self.last_end = Instant::now();
        let failure = match &ending.fate {
            Fate::CutOff => {
                self.tally.cut_off += 1;
                return None;
            }
            Fate::Ok => None,
            Fate::Failed(failure) => Some(failure),
        };
        self.count(failure, ending.took);
        self.name(ending, failure);
        self.log(ending, failure);
        let due = self.halt.filter(|halt| halt.is_due(self.tally.ok, self.tally.failed))?;
        self.close(End::Halted(due));
        Some(due)
    }

    /// What ends the run; only the first counts.
    pub fn close(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// How the run stands.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            elapsed: self.begun.elapsed(),
            ended: self.tally.ok + self.tally.failed,
            failed: self.tally.failed,
            skipped: self.tally.skipped,
            running: self.running,
        }
    }

    /// What was found; the books are empty after that. What a stuck worker holds is cut off.
    pub fn outcome(&mut self) -> Outcome {
        let mut tally = std::mem::take(&mut self.tally);
        tally.cut_off += self.running;
        Outcome { tally, elapsed: self.last_end - self.begun, end: self.end.take().unwrap_or(End::Done) }
    }

    fn count(&mut self, failure: Option<&Failure>, took: Duration) {
        let Some(failure) = failure else {
            self.tally.ok += 1;
            self.tally.ok_times.record(took);
            return;
        };
        self.tally.failed += 1;
        match failure {
            Failure::Exit(code) => *self.tally.exits.entry(*code).or_default() += 1,
            Failure::Signal(signal) => *self.tally.signals.entry(*signal).or_default() += 1,
            Failure::Timeout(_) => self.tally.timed_out += 1,
            Failure::NotStarted(..) => {
                self.tally.not_started += 1;
                return;
            }
        }
        self.tally.failed_times.record(took);
    }

    fn name(&mut self, ending: &Ending, failure: Option<&Failure>) {
        let named = if failure.is_some() { &mut self.tally.failures } else { &mut self.tally.passes };
        if named.len() < NAMED {
            let line = String::from_utf8_lossy(&ending.line[..ending.line.len().min(SHOWN)]).into_owned();
            let (number, took) = (ending.number, ending.took);
            named.push(Finished { number, line, took, failure: failure.cloned() });
        }
    }

    fn log(&mut self, ending: &Ending, failure: Option<&Failure>) {
        let Some((path, log)) = &mut self.joblog else { return };
        let (exit, signal) = failure.map_or((0, 0), Failure::logged);
        let entry = Entry {
            number: ending.number,
            started: ending.started,
            took: ending.took,
            received: ending.received,
            exit,
            signal,
            command: ending.command.clone(),
        };
        if let Err(error) = log.add(&entry) {
            let end = End::Broken(Error::Joblog(path.clone(), error.into()));
            self.close(end);
        }
    }

    /// Whether a log is kept: nobody else needs to know a command as one would type it.
    pub fn has_joblog(&self) -> bool {
        self.joblog.is_some()
    }

    /// Whether something has ended the run.
    pub fn is_closed(&self) -> bool {
        self.end.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(number: u64, fate: Fate) -> Ending {
        let (line, command) = (b"x".to_vec(), b"echo x".to_vec());
        let took = Duration::from_millis(number);
        Ending { number, line, command, fate, started: SystemTime::now(), took, received: 0 }
    }

    fn play(books: &mut Books, fates: &[Fate]) -> Vec<Option<Halt>> {
        let mut play = |(number, fate): (u64, &Fate)| {
            books.started();
            books.ended(&ending(number, fate.clone()))
        };
        (1..).zip(fates).map(&mut play).collect()
    }

    #[test]
    fn every_job_is_counted_once() {
        let mut books = Books::new(None, None);
        let failed = |failure| Fate::Failed(failure);
        let fates = [
            Fate::Ok,
            failed(Failure::Exit(3)),
            failed(Failure::Signal(9)),
            failed(Failure::Timeout(Some(15))),
            failed(Failure::NotStarted(126, "no".into())),
            Fate::CutOff,
        ];
        play(&mut books, &fates);
        books.started();
        let outcome = books.outcome();
        let tally = outcome.tally;
        assert_eq!((tally.ok, tally.failed, tally.cut_off), (1, 4, 2));
        assert_eq!((tally.exits[&3], tally.signals[&9], tally.timed_out, tally.not_started), (1, 1, 1, 1));
        // One that never ran has no run time.
        assert_eq!((tally.ok_times.count(), tally.failed_times.count()), (1, 3));
        assert_eq!((tally.passes.len(), tally.failures.len()), (1, 4));
        assert!(matches!(outcome.end, End::Done));
    }

    #[test]
    fn a_rule_is_due_once_its_count_is_reached() {
        let halt: Halt = "now,fail=2".parse().unwrap();
        let mut books = Books::new(None, Some(halt));
        let failed = Fate::Failed(Failure::Exit(1));
        let halted = play(&mut books, &[failed.clone(), Fate::Ok, Fate::CutOff, failed]);
        assert_eq!(halted, [None, None, None, Some(halt)]);
        books.close(End::Stopped);
        assert!(matches!(books.outcome().end, End::Halted(_)));
    }

    #[test]
    fn names_are_bounded() {
        let mut books = Books::new(None, None);
        play(&mut books, &vec![Fate::Ok; NAMED + 5]);
        let tally = books.outcome().tally;
        assert_eq!((tally.passes.len(), tally.ok), (NAMED, NAMED as u64 + 5));
    }
}
