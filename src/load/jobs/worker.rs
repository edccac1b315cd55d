//! A thread's way through jobs: one after the other, each until it went well or may not be tried again.

use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::sync::mpsc::UnboundedSender;

use super::alarm::{Alarm, Level};
use super::attempt::{self, Cause, Rules};
use super::books::{Books, Ending, Failure, Fate};
use super::capture::Capture;
use super::desk::{Desk, Handed, Job, Surroundings};
use super::leash::Leash;
use super::printer::{Lines, Printer, Stream};
use super::template::Values;
use super::{End, Error, Event, Form, Plan};
use crate::process::{StartError, Status};

/// In order, no job is started while so many outputs wait for an earlier one.
const MOST_WAITING: usize = 100_000;
/// A system that has no room for another process is asked again after that time, so often.
const ROOM_AFTER: Duration = Duration::from_millis(100);
const ROOM_TRIES: u32 = 100;
const LONGEST_BACKOFF: Duration = Duration::from_secs(3600);

/// What all workers of a run have.
pub struct Shared {
    /// What is to be done.
    pub plan: Plan,
    /// Where the program is, if it is one for all jobs.
    pub program: Option<PathBuf>,
    /// What is asked of all.
    pub alarm: Alarm,
    /// Of each worker.
    pub leashes: Vec<Leash>,
    /// Where jobs come from.
    pub desk: Mutex<Desk>,
    /// Where they are written down.
    pub books: Mutex<Books>,
    /// Where their output goes.
    pub printer: Mutex<Printer>,
    /// Nobody reads it any more.
    pub reader_gone: AtomicBool,
    /// There was no room for another process once, which is told once.
    pub short_of_room: AtomicBool,
    /// Who wants to hear of it.
    pub events: Option<UnboundedSender<Event>>,
}

impl Surroundings for Shared {
    fn held(&self) -> Option<String> {
        let waiting = if self.plan.form == Form::InOrder { lock(&self.printer).waiting() } else { 0 };
        if waiting >= MOST_WAITING {
            return Some(format!("the output of {waiting} jobs waits for an earlier one"));
        }
        self.plan.limits.exceeded()
    }

    fn tell(&self, event: Event) {
        if let Some(events) = &self.events {
            let _ = events.send(event);
        }
    }
}

impl Shared {
    /// The run cannot go on.
    fn broken(&self, error: Error) {
        lock(&self.books).close(End::Broken(error));
        self.alarm.raise(Level::Soon);
    }

    /// Ends all jobs at once, also those whose worker is stuck.
    pub fn kill(&self) {
        self.alarm.raise(Level::Kill);
        self.leashes.iter().for_each(Leash::kill);
    }

    /// Writes output, if somebody reads it; whether somebody does.
    fn print(&self, print: impl FnOnce(&mut Printer) -> io::Result<()>) -> bool {
        if self.reader_gone.load(Ordering::Relaxed) {
            return false;
        }
        match print(&mut lock(&self.printer)) {
            Ok(()) => return true,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                lock(&self.books).close(End::ReaderGone);
                self.alarm.raise(Level::Soon);
            }
            Err(error) => self.broken(Error::Output(error)),
        }
        self.reader_gone.store(true, Ordering::Relaxed);
        false
    }
}

/// Does jobs until there is none. `slot`: from 1.
pub fn work(shared: &Shared, slot: usize) {
    let mut worker = Worker { shared, slot, buffer: vec![0; 64 * 1024] };
    loop {
        match Desk::next(&shared.desk, &shared.alarm, shared) {
            Ok(Handed::Job(job)) => worker.run(job),
            Ok(Handed::Done(number)) => {
                lock(&shared.books).skipped();
                shared.print(|printer| printer.skip(number));
            }
            Ok(Handed::Over) => return,
            Err(error) => return shared.broken(error),
        }
    }
}

struct Worker<'a> {
    shared: &'a Shared,
    slot: usize,
    buffer: Vec<u8>,
}

/// What a try left.
struct Try {
    fate: Fate,
    started: SystemTime,
    took: Duration,
    received: u64,
    out: Capture,
    err: Capture,
}

impl Worker<'_> {
    fn run(&mut self, job: Job) {
        lock(&self.shared.books).started();
        let last = self.tries(&job);
        let values = Values { line: &job.line, number: job.number, slot: self.slot };
        let plan = &self.shared.plan;
        let wants_command = plan.results.is_some() || lock(&self.shared.books).has_joblog();
        let ending = Ending {
            number: job.number,
            command: if wants_command { plan.command.typed(values) } else { Vec::new() },
            fate: last.fate,
            started: last.started,
            took: last.took,
            received: last.received,
            line: job.line,
        };
        if let Some(directory) = &plan.results
            && let Err(error) = file(directory, &ending, &last.out, &last.err)
        {
            self.shared.broken(Error::Results(directory.clone(), error));
        }
        if matches!(plan.form, Form::Whole | Form::InOrder) {
            let tag = plan.tag.then(|| tag(&ending.line));
            self.shared.print(|printer| printer.whole(ending.number, tag, last.out, last.err));
        }
        self.settle(&ending);
    }

    fn settle(&self, ending: &Ending) {
        let mut books = lock(&self.shared.books);
        let halted = books.ended(ending);
        if halted.is_some_and(|halt| halt.now) {
            self.shared.alarm.raise(Level::Terminate);
        } else if halted.is_some() || books.is_closed() {
            self.shared.alarm.raise(Level::Soon);
        }
    }

    /// Tries the job as often as it takes, or as it may.
    fn tries(&mut self, job: &Job) -> Try {
        let retries = self.shared.plan.retries;
        let mut tries = 0;
        loop {
            let last = self.once(job);
            let Fate::Failed(why) = &last.fate else { return last };
            if tries == retries.most || job.too_long || self.shared.alarm.is_raised(Level::Soon) {
                return last;
            }
            let backoff = retries.backoff.saturating_mul(1 << tries.min(16)).min(LONGEST_BACKOFF);
            let jittered = backoff.mul_f64(0.5 + 0.5 * fastrand::f64());
            self.shared.tell(Event::Retrying(job.number, why.to_string()));
            if self.shared.alarm.wait(Level::Soon, jittered) {
                return last;
            }
            lock(&self.shared.books).retried();
            tries += 1;
        }
    }

    fn once(&mut self, job: &Job) -> Try {
        let mut output = Output::new(self.shared, &job.line);
        let started = SystemTime::now();
        let (fate, took) = match self.attempt(job, &mut output) {
            Ok(ended) => {
                if ended.left_behind {
                    self.shared.tell(Event::LeftBehind(job.number));
                }
                (self.fate(ended.status, ended.cause), ended.took)
            }
            Err(failure) => (failure, Duration::ZERO),
        };
        output.end();
        let Output { received, captures: [out, err], .. } = output;
        Try { fate, started, took, received, out, err }
    }

    fn fate(&self, status: Status, cause: Option<Cause>) -> Fate {
        let signal = match status {
            Status::Exited(_) => None,
            Status::Killed(signal) => Some(signal),
        };
        match cause {
            Some(Cause::Stopped) => Fate::CutOff,
            Some(Cause::Timeout) => Fate::Failed(Failure::Timeout(signal)),
            // It wrote where nobody reads any more, which is not its fault.
            None if signal == Some(SIGPIPE) && self.shared.reader_gone.load(Ordering::Relaxed) => {
                Fate::CutOff
            }
            None if signal.is_some_and(|signal| OF_TERMINALS.contains(&signal)) && self.is_stopped() => {
                Fate::CutOff
            }
            None => Fate::of(status),
        }
    }

    /// A terminal's signal can reach a job before the job has left hardy's own group; the run hears of it as well.
    fn is_stopped(&self) -> bool {
        self.shared.alarm.wait(Level::Soon, HEARD_WITHIN)
    }

    fn attempt(&mut self, job: &Job, output: &mut Output<'_>) -> Result<attempt::Ended, Fate> {
        let plan = &self.shared.plan;
        if job.too_long {
            let why = "the line is longer than an argument can be".to_owned();
            return Err(Fate::Failed(Failure::NotStarted(126, why)));
        }
        let values = Values { line: &job.line, number: job.number, slot: self.slot };
        let words = plan.command.fill(values);
        let Some((name, arguments)) = words.split_first() else { return Err(Fate::CutOff) };
        let rules = Rules {
            timeout: plan.timeout,
            grace: plan.grace,
            piped: plan.form != Form::Inherited,
            alarm: &self.shared.alarm,
            leash: &self.shared.leashes[self.slot - 1],
        };
        let mut command = match &self.shared.program {
            Some(program) => Command::new(program),
            None => Command::new(name),
        };
        command.arg0(name).args(arguments);
        let mut take = |stream, bytes: &[u8]| output.take(stream, bytes);
        for tries in 0.. {
            let error = match attempt::run(&mut command, rules, &mut self.buffer, &mut take) {
                Ok(ended) => return Ok(ended),
                Err(error) => error,
            };
            if !is_short_of_room(&error) || tries == ROOM_TRIES {
                return Err(self.not_started(StartError::new(name, error)));
            }
            if !self.shared.short_of_room.swap(true, Ordering::Relaxed) {
                self.shared.tell(Event::Exhausted(error.to_string()));
            }
            if self.shared.alarm.wait(Level::Terminate, ROOM_AFTER) {
                break;
            }
        }
        Err(Fate::CutOff)
    }

    /// What no job can be started with ends the run; what is the matter of this one is its failure.
    fn not_started(&self, error: StartError) -> Fate {
        let (code, is_its_own) = match &error {
            StartError::NotFound(_) => (127, false),
            StartError::Refused(_, cause) => (126, is_about_the_words(cause) || is_short_of_room(cause)),
        };
        if self.shared.program.is_none() || is_its_own {
            let why = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
            return Fate::Failed(Failure::NotStarted(code, format!("{error}{why}")));
        }
        self.shared.broken(error.into());
        Fate::CutOff
    }
}

const SIGPIPE: i32 = 13;
/// SIGHUP, SIGINT, SIGQUIT.
const OF_TERMINALS: [i32; 3] = [1, 2, 3];
/// How long after a job the run may hear of the signal that ended both.
const HEARD_WITHIN: Duration = Duration::from_millis(200);

fn is_about_the_words(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ArgumentListTooLong | io::ErrorKind::InvalidInput)
}

fn is_short_of_room(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let short = [Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|error| short.contains(&error))
}

/// What one try writes.
struct Output<'a> {
    shared: &'a Shared,
    tag: Option<Vec<u8>>,
    lines: [Lines; 2],
    captures: [Capture; 2],
    received: u64,
}

impl Output<'_> {
    fn new<'a>(shared: &'a Shared, line: &[u8]) -> Output<'a> {
        let tag = shared.plan.tag.then(|| tag(line));
        Output { shared, tag, lines: Default::default(), captures: Default::default(), received: 0 }
    }

    /// Whether more is wanted.
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> bool {
        let plan = &self.shared.plan;
        if stream == Stream::Out {
            self.received += bytes.len() as u64;
        }
        if (plan.form != Form::Lines || plan.results.is_some())
            && let Err(error) = self.captures[stream as usize].add(bytes, &plan.temporary)
        {
            self.shared.broken(Error::Temporary(plan.temporary.clone(), error));
            return false;
        }
        if plan.form == Form::Lines {
            let ready = self.lines[stream as usize].add(bytes);
            self.print(stream, &ready);
        }
        !self.shared.reader_gone.load(Ordering::Relaxed)
    }

    fn end(&mut self) {
        for stream in [Stream::Out, Stream::Err] {
            let rest = self.lines[stream as usize].end();
            self.print(stream, &rest);
        }
    }

    fn print(&self, stream: Stream, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.shared.print(|printer| printer.lines(stream, self.tag.as_deref(), bytes));
        }
    }
}

/// A tag stands on one line.
fn tag(line: &[u8]) -> Vec<u8> {
    line.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect()
}

/// `DIRECTORY/NUMBER/{stdout,stderr,job}`.
fn file(directory: &Path, ending: &Ending, out: &Capture, err: &Capture) -> io::Result<()> {
    let place = directory.join(ending.number.to_string());
    fs::create_dir_all(&place)?;
    for (name, capture) in [("stdout", out), ("stderr", err)] {
        let mut file = fs::File::create(place.join(name))?;
        capture.read(&mut |bytes| file.write_all(bytes))?;
    }
    let (exit, signal) = match &ending.fate {
        Fate::Failed(failure) => failure.logged(),
        Fate::Ok | Fate::CutOff => (0, 0),
    };
    let job = json!({
        "number": ending.number,
        "line": String::from_utf8_lossy(&ending.line),
        "command": String::from_utf8_lossy(&ending.command),
        "exit": exit,
        "signal": signal,
        "cut_off": ending.fate == Fate::CutOff,
        "took_us": u64::try_from(ending.took.as_micros()).unwrap_or(u64::MAX),
    });
    fs::write(place.join("job"), format!("{job}\n"))
}

/// A worker that panicked has written down what it could.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
