//! The access log: one JSON line per request, written by a thread of its own. A full disk loses lines,
//! never requests. Query strings, cookies and credentials are not even looked at.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, SystemTime};

use hyper::Request;
use hyper::header::USER_AGENT;
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::Serialize;

use super::connection::Peer;
use super::error::Error;
use super::event::{Event, Events};
use super::input;
use super::settings::AccessLog;

/// Lines that may wait for the disk; above it, lines are lost.
const QUEUE: usize = 16_384;
/// Bytes of memory that they may take.
const QUEUE_BYTES: usize = 8 << 20;
/// Bytes of a text that its client chose; the rest of it is cut off.
const LONGEST: usize = 2 << 10;
/// Bytes written at a time.
const BATCH: usize = 64 << 10;

/// One request as it is logged.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    #[serde(rename = "time", serialize_with = "rfc3339")]
    at: SystemTime,
    #[serde(serialize_with = "as_text")]
    peer: Peer,
    method: String,
    path: String,
    version: &'static str,
    /// 0: the connection ended without an answer.
    pub(super) status: u16,
    pub(super) bytes: u64,
    pub(super) duration_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
}

impl Line {
    /// What the header tells.
    pub(super) fn new<B>(peer: Peer, request: &Request<B>) -> Line {
        let user_agent = request.headers().get(USER_AGENT);
        Line {
            at: SystemTime::now(),
            peer,
            method: cut(request.method().as_str()),
            path: cut(request.uri().path()),
            version: version(request.version()),
            status: 0,
            bytes: 0,
            duration_us: 0,
            fault: None,
            user_agent: user_agent.map(|agent| {
                let agent = agent.as_bytes();
                cut(&String::from_utf8_lossy(&agent[..agent.len().min(LONGEST)]))
            }),
        }
    }

    /// What never became a request.
    pub(super) fn malformed(peer: Peer, status: u16) -> Line {
        Line {
            at: SystemTime::now(),
            peer,
            method: String::new(),
            path: String::new(),
            version: "HTTP/1.1",
            status,
            bytes: 0,
            duration_us: 0,
            fault: None,
            user_agent: None,
        }
    }

    /// The memory that it takes while it waits.
    fn size(&self) -> usize {
        let texts = [Some(&self.method), Some(&self.path), self.fault.as_ref(), self.user_agent.as_ref()];
        size_of::<Line>() + texts.into_iter().flatten().map(String::capacity).sum::<usize>()
    }
}

/// The text, or as much of it as is logged.
fn cut(text: &str) -> String {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

fn version(version: hyper::Version) -> &'static str {
    match version {
        hyper::Version::HTTP_10 => "HTTP/1.0",
        hyper::Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

fn rfc3339<S: serde::Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let at = jiff::Timestamp::try_from(*at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    serializer.collect_str(&format_args!("{at:.3}"))
}

fn as_text<S: serde::Serializer>(peer: &Peer, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(peer)
}

enum Message {
    Line(Box<Line>),
    Reopen,
    Close(SyncSender<()>),
}

/// The way to the log.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    queue: SyncSender<Message>,
    waiting: Arc<Waiting>,
    lost: Arc<AtomicU64>,
    full: Arc<AtomicBool>,
    events: Events,
}

/// What is in the queue.
#[derive(Debug, Default)]
struct Waiting {
    lines: AtomicU64,
    bytes: AtomicUsize,
}

impl Waiting {
    fn add(&self, size: usize) {
        self.lines.fetch_add(1, Relaxed);
        self.bytes.fetch_add(size, Relaxed);
    }

    fn remove(&self, size: usize) {
        self.lines.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(size, Relaxed);
    }
}

impl Handle {
    /// Queues one line; never waits.
    pub(super) fn write(&self, line: Box<Line>) {
        let size = line.size();
        self.waiting.add(size);
        let room = self.waiting.bytes.load(Relaxed) <= QUEUE_BYTES;
        if !room || self.queue.try_send(Message::Line(line)).is_err() {
            self.waiting.remove(size);
            self.lost.fetch_add(1, Relaxed);
            if !self.full.swap(true, Relaxed) {
                let reason = "it cannot be written as fast as requests come".to_owned();
                self.events.send(Event::AccessLogFailing { reason });
            }
        }
    }

    /// Lines lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Opens the file again under its name: the old one was rotated away.
    pub(super) fn reopen(&self) {
        let _ = self.queue.try_send(Message::Reopen);
    }

    /// Waits until everything queued is written, but not longer than `within`; the rest is lost.
    pub(super) fn close(&self, within: Duration) {
        let (done, wait) = sync_channel(1);
        let asked = self.queue.try_send(Message::Close(done)).is_ok();
        if !asked || wait.recv_timeout(within).is_err() {
            self.lost.fetch_add(self.waiting.lines.load(Relaxed), Relaxed);
        }
    }
}

/// Opens the log and starts its thread.
pub(super) fn open(target: AccessLog, events: Events) -> Result<Handle, Error> {
    let (path, out): (Option<PathBuf>, Box<dyn Write + Send>) = match target {
        AccessLog::Writer(out) => (None, out),
        AccessLog::File(path) => {
            let file = append(&path).map_err(|cause| Error::AccessLog { path: path.clone(), cause })?;
            (Some(path), Box::new(file))
        }
    };
    let (queue, messages) = sync_channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let full = Arc::new(AtomicBool::new(false));
    let waiting = Arc::new(Waiting::default());
    let writer = Writer {
        path: path.clone(),
        out,
        batch: Vec::with_capacity(BATCH),
        waiting: Arc::clone(&waiting),
        lost: Arc::clone(&lost),
        full: Arc::clone(&full),
        events: events.clone(),
        failing: false,
        torn: false,
    };
    std::thread::Builder::new()
        .name("access-log".into())
        .spawn(move || writer.run(&messages))
        .map_err(|cause| Error::AccessLog { path: path.unwrap_or_else(|| PathBuf::from("-")), cause })?;
    Ok(Handle { queue, waiting, lost, full, events })
}

fn append(path: &Path) -> io::Result<File> {
    let file =
        input::open(OpenOptions::new().append(true).create(true), path).map_err(|cause| {
            match cause.raw_os_error() {
                Some(code) if code == Errno::NXIO.raw_os_error() => {
                    io::Error::other("nobody reads from this pipe")
                }
                _ => cause,
            }
        })?;
    // From here on waiting is right: only the log's own thread does.
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(file)
}

struct Writer {
    path: Option<PathBuf>,
    out: Box<dyn Write + Send>,
    batch: Vec<u8>,
    waiting: Arc<Waiting>,
    lost: Arc<AtomicU64>,
    full: Arc<AtomicBool>,
    events: Events,
    failing: bool,
    /// Part of a line was written; the next one must not be glued to it.
    torn: bool,
}

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let message = match messages.try_recv() {
                Err(TryRecvError::Empty) => {
                    self.flush();
                    messages.recv().ok()
                }
                other => other.ok(),
            };
            match message {
                Some(Message::Line(line)) => {
                    self.waiting.remove(line.size());
                    self.add(&line);
                }
                Some(Message::Reopen) => self.reopen(),
                Some(Message::Close(done)) => {
                    self.flush();
                    let _ = done.send(());
                }
                None => return self.flush(),
            }
        }
    }

    fn add(&mut self, line: &Line) {
        // Serialising plain text and numbers into memory cannot fail.
        let _ = serde_json::to_writer(&mut self.batch, line);
        self.batch.push(b'\n');
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        match self.write() {
            Ok(()) if self.failing || self.full.swap(false, Relaxed) => {
                self.failing = false;
                self.events.send(Event::AccessLogRecovered { lost: self.lost.load(Relaxed) });
            }
            Ok(()) => {}
            Err(cause) => {
                let lost = self.batch.iter().filter(|byte| **byte == b'\n').count();
                self.lost.fetch_add(lost as u64, Relaxed);
                if !self.failing {
                    self.failing = true;
                    self.events.send(Event::AccessLogFailing { reason: cause.to_string() });
                }
            }
        }
        self.batch.clear();
    }

    /// Writes the batch; what stays in it when this fails is lost.
    fn write(&mut self) -> io::Result<()> {
        if self.torn {
            self.out.write_all(b"\n")?;
            self.torn = false;
        }
        while !self.batch.is_empty() {
            match self.out.write(&self.batch) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.torn = self.batch[count - 1] != b'\n';
                    self.batch.drain(..count);
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        self.out.flush()
    }

    fn reopen(&mut self) {
        self.flush();
        let Some(path) = &self.path else { return };
        match append(path) {
            Ok(file) => {
                self.out = Box::new(file);
                self.torn = false;
            }
            Err(cause) => {
                let reason = format!("cannot reopen {}: {cause}", path.display());
                self.events.send(Event::AccessLogFailing { reason });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    /// Says that it was asked to write, and then never does.
    struct Stuck(Sender<()>, Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(());
            let _ = self.1.recv();
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(path: &str) -> Box<Line> {
        Box::new(Line::new(Peer::Unix, &Request::builder().uri(path).body(()).unwrap()))
    }

    #[test]
    fn what_waits_is_limited_in_bytes_and_lost_in_the_end() {
        let ((asked, wait), (_release, released)) = (channel(), channel());
        let log = open(AccessLog::Writer(Box::new(Stuck(asked, released))), Events::new(None)).unwrap();
        log.write(line("/"));
        wait.recv().unwrap();
        let long = format!("/{}", "a".repeat(15_000));
        for _ in 0..QUEUE {
            log.write(line(&long));
        }
        let bytes = log.waiting.bytes.load(Relaxed);
        assert!((QUEUE_BYTES - (4 << 10)..=QUEUE_BYTES).contains(&bytes), "{bytes}");
        let waiting = log.waiting.lines.load(Relaxed);
        assert_eq!(log.lost() + waiting, QUEUE as u64);
        log.close(Duration::ZERO);
        assert_eq!(log.lost(), QUEUE as u64);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("ü"), "ü");
        assert_eq!(cut(&format!("a{}", "ü".repeat(2_000))).len(), LONGEST - 1);
    }
}
