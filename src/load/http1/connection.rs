//! One worker: its connection, and the request that is under way on it.

use super::answer::Answer;
use super::stream::Stream;
use crate::load::batch::Sample;
use crate::reason::Reason;

/// After the first connection that did not come about, a worker waits so long; each further time twice as long.
const FIRST_PAUSE: u64 = 10_000_000;
/// But never longer.
const LONGEST_PAUSE: u64 = 1_000_000_000;

/// A worker of a thread.
#[derive(Debug)]
pub(super) struct Connection {
    pub stage: Stage,
    /// There in all stages but `Closed`.
    pub stream: Option<Stream>,
    /// The request that this worker has taken, until it has ended.
    pub call: Option<Call>,
    pub answer: Answer,
    /// Why nothing can be sent any more: what came before that is still to be read.
    pub broken: Option<Reason>,
    /// Asleep until then.
    pub wake_at: Option<u64>,
    /// Which of the peer's addresses it connects to, and how many it has tried this time.
    pub peer: usize,
    pub tried: usize,
    /// When it began to connect.
    pub since: u64,
    /// Whether any answer came over this connection.
    pub answered: bool,
    /// It has said once that there is no descriptor for it.
    pub benched: bool,
    pause: u64,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Closed,
    Connecting,
    Handshake,
    Open,
}

/// A request that was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub due: u64,
    pub number: u64,
    /// When it was sent; before that, when it was taken.
    pub since: u64,
}

impl Call {
    /// It has ended.
    pub(super) fn sample(&self, ended: u64) -> Sample {
        Sample { due: self.due, sent: self.since, ended }
    }
}

impl Connection {
    /// One that opens its first connection then.
    pub(super) fn new(opens_at: u64) -> Connection {
        Connection {
            stage: Stage::Closed,
            stream: None,
            call: None,
            answer: Answer::none(),
            broken: None,
            wake_at: Some(opens_at),
            peer: 0,
            tried: 0,
            since: 0,
            answered: false,
            benched: false,
            pause: 0,
        }
    }

    /// Whether it has neither a request nor anything else to do.
    pub(super) fn is_free(&self) -> bool {
        self.call.is_none() && matches!(self.stage, Stage::Closed | Stage::Open)
    }

    /// A connection stands.
    pub(super) fn open(&mut self) {
        (self.stage, self.pause, self.tried) = (Stage::Open, 0, 0);
        (self.answered, self.benched, self.wake_at) = (false, false, None);
    }

    /// How long to wait before the next attempt.
    pub(super) fn longer_pause(&mut self) -> u64 {
        self.pause = (2 * self.pause).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.pause
    }
}
