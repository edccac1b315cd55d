//! The access log: one JSON line per request, written by a thread of its own. A full disk loses lines,
//! never requests. Query strings, cookies and credentials are not even looked at.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, SystemTime};

use hyper::Request;
use hyper::header::USER_AGENT;
use serde::Serialize;

use super::connection::Peer;
use super::error::Error;
use super::event::{Event, Events};
use super::settings::AccessLog;

/// Lines that may wait for the disk; above it, lines are lost.
const QUEUE: usize = 16_384;
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
            method: request.method().as_str().to_owned(),
            path: request.uri().path().to_owned(),
            version: version(request.version()),
            status: 0,
            bytes: 0,
            duration_us: 0,
            fault: None,
            user_agent: user_agent.map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned()),
        }
    }
}

impl Line {
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
    lost: Arc<AtomicU64>,
    full: Arc<AtomicBool>,
    events: Events,
}

impl Handle {
    /// Queues one line; never waits.
    pub(super) fn write(&self, line: Box<Line>) {
        if self.queue.try_send(Message::Line(line)).is_err() {
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

    /// Waits until everything queued is written, but not longer than `within`.
    pub(super) fn close(&self, within: Duration) {
        let (done, wait) = sync_channel(1);
        if self.queue.try_send(Message::Close(done)).is_ok() {
            let _ = wait.recv_timeout(within);
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
    let writer = Writer {
        path: path.clone(),
        out,
        batch: Vec::with_capacity(BATCH),
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
    Ok(Handle { queue, lost, full, events })
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

struct Writer {
    path: Option<PathBuf>,
    out: Box<dyn Write + Send>,
    batch: Vec<u8>,
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
                Some(Message::Line(line)) => self.add(&line),
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
