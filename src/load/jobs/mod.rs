//! Jobs: a command for each line of an input, several at once, in process groups that end with them.
//!
//! - `template`   the words of the command, with places for the line; `input` where lines come from
//! - `desk`       hands out the next job when it may be started: pace, `gate` (load and memory), count, time
//! - `attempt`    one start of one job: its output, its timeout, its end and that of its group
//! - `leash`      the end of a job whose worker is stuck
//! - `worker`     a thread's way through jobs: attempts, retries, results
//! - `books`      what became of all of them; `halt` when that is enough; `joblog` for a later run
//! - `printer`    the order in which outputs leave; `capture` where they wait
//! - `alarm`      what is asked of all workers at once; `run` starts and ends them
//!
//! A job's stdin is empty. What it leaves in its process group is ended with it; a daemon is one that left the group.
//! Writes to no terminal, knows no flags and no environment, and starts nothing after it was told to stop.

mod alarm;
mod attempt;
mod books;
mod capture;
mod desk;
mod gate;
mod halt;
mod input;
mod joblog;
mod leash;
mod printer;
mod run;
mod template;
mod worker;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::plan::{Pace, Stop};
use crate::process::StartError;

pub use books::{Failure, Finished, Tally};
pub use gate::Limits;
pub use halt::{After, Halt, On};
pub use input::count;
pub use joblog::Resume;
pub use printer::{Sink, Stream};
pub use run::{Observers, Orders, run};
pub use template::Template;

/// A run of jobs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is run for each line.
    pub command: Template,
    /// Directories in which a program is looked up.
    pub search_path: OsString,
    /// Lines end with a NUL byte.
    pub null: bool,
    /// Jobs at once, at most; at least 1.
    pub workers: usize,
    /// Closed loop, or when jobs are due. One that comes late, or finds no worker, is started as soon as it can be.
    pub pace: Pace,
    /// So many jobs at most, and none started after that time.
    pub stop: Stop,
    /// Between two starts.
    pub delay: Duration,
    /// Nothing is started while these are exceeded.
    pub limits: Limits,
    /// A job that takes longer is stopped, and has failed.
    pub timeout: Option<Duration>,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Of a job that failed.
    pub retries: Retries,
    /// When to stop.
    pub halt: Option<Halt>,
    /// In which pieces output leaves.
    pub form: Form,
    /// Each line of output comes after that of its job, and a tab.
    pub tag: bool,
    /// For each job a directory by its number, with the files stdout, stderr and job.
    pub results: Option<PathBuf>,
    /// Where ends are written down, and whether what is there already is not repeated.
    pub joblog: Option<(PathBuf, Option<Resume>)>,
    /// For large outputs.
    pub temporary: PathBuf,
}

/// How often a job that failed is run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// At most.
    pub most: u32,
    /// Before the first, doubled for each further one, with jitter. The worker waits.
    pub backoff: Duration,
}

/// In which pieces output leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// That of a job at its end, in one piece. Of several tries only that of the last.
    Whole,
    /// The same, in the order of the input.
    InOrder,
    /// Line by line, as it comes.
    Lines,
    /// Jobs have our own stdout and stderr.
    Inherited,
}

/// What was found.
#[derive(Debug)]
pub struct Outcome {
    /// What became of the jobs.
    pub tally: Tally,
    /// From the start to the end of the last job.
    pub elapsed: Duration,
    /// What ended it.
    pub end: End,
}

/// What ended a run.
#[derive(Debug)]
pub enum End {
    /// Its input, its count, its time.
    Done,
    /// A signal.
    Stopped,
    /// Its halt rule.
    Halted(Halt),
    /// Nobody reads the output any more.
    ReaderGone,
    /// It could not go on.
    Broken(Error),
}

/// How a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Since the start.
    pub elapsed: Duration,
    /// Jobs that have ended, well or not.
    pub ended: u64,
    /// Of these, those that failed.
    pub failed: u64,
    /// Jobs that an earlier run has done.
    pub skipped: u64,
    /// Jobs under way.
    pub running: u64,
}

/// What a person may want to hear while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing is started for this reason.
    Held(String),
    /// A job is tried again: its number and why it failed.
    Retrying(u64, String),
    /// A job left processes that could not be ended: its number.
    LeftBehind(u64),
    /// The system had no room for another process or descriptor.
    Exhausted(String),
}

/// Why a run could not begin, or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command can be started for no job.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The jobs could not be read.
    #[error("cannot read the jobs")]
    Input(#[source] io::Error),
    /// What jobs wrote could not be passed on.
    #[error("cannot write the output of the jobs")]
    Output(#[source] io::Error),
    /// What jobs wrote found no room.
    #[error("cannot keep the output of the jobs in {0}")]
    Temporary(PathBuf, #[source] io::Error),
    /// The log of jobs cannot be used.
    #[error("cannot use the joblog {0}")]
    Joblog(PathBuf, #[source] joblog::Error),
    /// The results of a job could not be written.
    #[error("cannot write the results to {0}")]
    Results(PathBuf, #[source] io::Error),
    /// Threads or descriptors could not be had.
    #[error("cannot start the workers")]
    System(#[source] io::Error),
}
