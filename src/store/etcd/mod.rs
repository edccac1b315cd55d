//! A cluster of etcd: one client per endpoint with our own rotation, a deadline on every call. What is called here can
//! be called twice without harm, so that a call whose answer got lost is simply made again.
//!
//! It knows nothing of locks, and never shows a password.

mod calls;
mod endpoint;
mod fault;
mod read;
mod records;
mod watch;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch as cell;

use crate::clock::Boot;
use crate::store::Error;

use endpoint::{Endpoint, Identity};
use fault::{Fault, Reasons};

pub use calls::Alive;
pub use etcd_client::{
    Compare, CompareOp, DeleteOptions, GetOptions, KeyValue, PutOptions, SortOrder, SortTarget, Txn, TxnOp,
};
pub use fault::Failure;
pub use read::{Read, TxnRead};
pub use records::{Following, Records};
pub use watch::{Change, Ended, Watch, Watched};

/// How to reach it.
#[derive(Clone)]
pub struct Settings {
    /// `http://HOST:PORT` or `https://HOST:PORT`, in the order in which they are tried.
    pub endpoints: Vec<String>,
    /// Trust the PEM certificates of this file, and no others.
    pub ca: Option<PathBuf>,
    /// Client certificate, with its chain, in PEM.
    pub cert: Option<PathBuf>,
    /// Its key, in PEM.
    pub key: Option<PathBuf>,
    /// The name and the password of a user, where authentication is on.
    pub user: Option<(String, String)>,
    /// The longest time for one call to one endpoint.
    pub timeout: Duration,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the password.
        f.debug_struct("Settings").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

/// Between two rounds over all endpoints; it doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How long to try.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Not beyond this; without it, as long as every endpoint may take once.
    pub until: Option<Boot>,
    /// Go on until then, whatever happens. Otherwise once over all endpoints, each with its share of the time, and again
    /// only while the cluster says that it is looking for a leader.
    pub again: bool,
    /// The longest time for one endpoint, where it is less than [`Settings::timeout`].
    pub each: Option<Duration>,
}

impl Effort {
    /// Once over all endpoints.
    pub const ONCE: Effort = Effort { until: None, again: false, each: None };

    /// Once over all endpoints, and not beyond this.
    pub const fn by(then: Boot) -> Effort {
        Effort { until: Some(then), again: false, each: None }
    }

    /// Again and again until then.
    pub const fn until(then: Boot) -> Effort {
        Effort { until: Some(then), again: true, each: None }
    }
}

/// A cluster, connected to when it is first asked.
pub struct Etcd {
    endpoints: Vec<Endpoint>,
    /// The endpoint that answered last; watches follow it.
    current: cell::Sender<usize>,
    /// Whether one has ever answered.
    answered: AtomicBool,
    timeout: Duration,
}

impl Etcd {
    /// Reads the certificates; connects to nothing.
    ///
    /// # Errors
    /// Certificates or a key that cannot be read; no endpoint at all.
    pub fn open(settings: &Settings) -> Result<Etcd, Error> {
        if settings.endpoints.is_empty() {
            return Err(Error::new("no endpoint of etcd is given"));
        }
        let identity = Identity::read(settings)?;
        let endpoints =
            settings.endpoints.iter().map(|url| Endpoint::new(url, settings, &identity)).collect();
        let (current, answered) = (cell::Sender::new(0), AtomicBool::new(false));
        Ok(Etcd { endpoints, current, answered, timeout: settings.timeout })
    }

    /// How long a call takes at most when no endpoint answers.
    pub fn round(&self) -> Duration {
        self.timeout.saturating_mul(u32::try_from(self.endpoints.len()).unwrap_or(u32::MAX))
    }

    /// Whether there is but one endpoint.
    pub fn is_single(&self) -> bool {
        self.endpoints.len() == 1
    }

    /// Whether any endpoint has ever answered.
    pub fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Runs `op` against one endpoint after the other. `object`: what it is about, for the error. With the answer
    /// comes the number of the attempt, from 0, and of the endpoint.
    async fn call<T, F>(
        &self,
        object: &str,
        effort: Effort,
        op: impl Fn(etcd_client::Client) -> F,
    ) -> Result<Answer<T>, Failure>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let whole = Boot::now() + self.round();
        let end = match effort.until {
            Some(until) if effort.again => until,
            Some(until) => until.min(whole),
            None => whole,
        };
        let each = effort.each.map_or(self.timeout, |each| each.min(self.timeout));
        let mut reasons = Reasons::new(self.endpoints.iter().map(|endpoint| endpoint.url.as_str()));
        let mut pause = PAUSE;
        let mut attempt = 0;
        loop {
            let mut again = effort.again;
            let mut asked = vec![false; self.endpoints.len()];
            for to_ask in (1..=self.endpoints.len()).rev() {
                let left = end.left();
                if left.is_zero() && attempt > 0 {
                    return Err(reasons.unreachable());
                }
                let at = self.next(&asked);
                asked[at] = true;
                let share =
                    if effort.again { left } else { left / u32::try_from(to_ask).unwrap_or(u32::MAX) };
                let result = self.endpoints[at].attempt(each.min(share), &op).await;
                if !matches!(result, Err(Fault::Elsewhere { temporary: false, .. })) {
                    self.answered.store(true, Ordering::Relaxed);
                }
                match result {
                    Ok(value) => return Ok(Answer { value, attempt, at }),
                    Err(Fault::Elsewhere { why, temporary }) => {
                        again |= temporary;
                        reasons.note(at, why);
                        self.move_on(at);
                    }
                    Err(fault) => return Err(fault.into_failure(&self.endpoints[at].url, object)),
                }
                attempt += 1;
            }
            if !again || end.left() < pause {
                return Err(reasons.unreachable());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The endpoint that others use, or the next one that this round has not asked: calls that fail side by side must
    /// not make each other leave one out.
    fn next(&self, asked: &[bool]) -> usize {
        let current = *self.current.borrow();
        (current..asked.len()).chain(0..current).find(|&at| !asked[at]).unwrap_or(current)
    }

    /// Leaves the endpoint, if nobody else has yet.
    fn move_on(&self, from: usize) {
        self.current.send_if_modified(|current| {
            let leave = *current == from && self.endpoints.len() > 1;
            if leave {
                *current = (from + 1) % self.endpoints.len();
            }
            leave
        });
    }
}

/// What came back, at which attempt, from which endpoint.
struct Answer<T> {
    value: T,
    attempt: u32,
    at: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_leaves_no_endpoint_out_when_others_move_on() {
        let endpoints = ["http://a:1", "http://b:1", "http://c:1"].map(str::to_owned).into();
        let timeout = Duration::from_secs(1);
        let settings = Settings { endpoints, ca: None, cert: None, key: None, user: None, timeout };
        let etcd = Etcd::open(&settings).unwrap();
        let mut asked = [false; 3];
        asked[etcd.next(&asked)] = true;
        // This call and two others fail, and the last of them has been everywhere.
        etcd.move_on(0);
        asked[etcd.next(&asked)] = true;
        etcd.move_on(1);
        etcd.move_on(2);
        assert_eq!((asked, etcd.next(&asked)), ([true, true, false], 2));
    }
}
