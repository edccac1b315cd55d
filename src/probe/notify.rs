//! Tells a command and a webhook of changes: one after the other, repeated while it fails, given up in the end.
//!
//! Never holds anybody up: each way has a queue of [`QUEUE`] notices, and what does not fit is lost and counted.
//! Refuses to decide what is worth telling, and in which words.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::CONTENT_TYPE;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::round::Retry;
use super::shell::{self, Capture};
use crate::http::{self, Asked, Overrides, PhaseClock, Recipe, Served, Trust};
use crate::units;

/// So many notices wait at most, for each way.
pub const QUEUE: usize = 256;

/// A way to tell.
#[derive(Clone, Debug)]
pub enum Way {
    /// A text for `sh -c`; the notice is in its environment and on its stdin.
    Exec(String),
    /// A URL that gets the notice by POST.
    Webhook {
        /// Where.
        url: Url,
        /// Which servers to believe.
        trust: Trust,
        /// Addresses given by hand.
        overrides: Overrides,
    },
}

impl Way {
    /// `exec` or `webhook`.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Way::Exec(_) => "exec",
            Way::Webhook { .. } => "webhook",
        }
    }

    /// The same for people, without what may be a secret: the path of a webhook often is.
    fn shown(&self) -> String {
        match self {
            Way::Exec(_) => "--exec".to_owned(),
            Way::Webhook { url, .. } => format!("the webhook at {}", url.host_str().unwrap_or_default()),
        }
    }
}

/// How long, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How a failed attempt is repeated.
    pub retry: Retry,
    /// For one attempt.
    pub timeout: Duration,
}

/// What is to be told.
#[derive(Clone, Debug)]
pub struct Notice {
    /// In a few words, for messages about it.
    pub subject: String,
    /// For a command.
    pub environment: Vec<(&'static str, String)>,
    /// One JSON document.
    pub document: String,
}

/// What became of notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counts {
    /// `exec` or `webhook`.
    pub way: &'static str,
    /// Delivered.
    pub sent: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Given up after the last attempt.
    pub failed: u64,
    /// Never tried to the end: too many waited, or the run was over.
    pub lost: u64,
}

/// Something that the operator should hear.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// An attempt failed, and there will be another.
    #[error("{way} did not take \"{subject}\" and gets it again: {why}")]
    Again {
        /// Which way.
        way: String,
        /// The notice.
        subject: String,
        /// In words.
        why: String,
    },
    /// The last attempt failed.
    #[error("{way} did not take \"{subject}\" after {attempts}: {why}")]
    GivenUp {
        /// Which way.
        way: String,
        /// The notice.
        subject: String,
        /// How many attempts.
        attempts: String,
        /// In words.
        why: String,
    },
    /// It never got its turn.
    #[error("{way} was never told \"{subject}\": {why}")]
    Lost {
        /// Which way.
        way: String,
        /// The notice.
        subject: String,
        /// In words.
        why: &'static str,
    },
}

#[derive(Debug, Default)]
struct Tally {
    sent: AtomicU64,
    retries: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
}

/// All ways with their queues.
pub struct Notifier {
    outlets: Vec<(Sender<Arc<Notice>>, Arc<Outlet>)>,
    running: JoinSet<()>,
    over: CancellationToken,
}

/// One way and all that was done about it.
struct Outlet {
    way: Way,
    patience: Patience,
    tally: Tally,
    troubles: UnboundedSender<Trouble>,
}

impl Notifier {
    /// Waits for notices, which go each of these ways.
    #[must_use]
    pub fn start(ways: Vec<Way>, patience: Patience, troubles: &UnboundedSender<Trouble>) -> Notifier {
        let (mut running, over) = (JoinSet::new(), CancellationToken::new());
        let mut open = |way| {
            let (sender, queue) = mpsc::channel(QUEUE);
            let outlet = Outlet { way, patience, tally: Tally::default(), troubles: troubles.clone() };
            let outlet = Arc::new(outlet);
            running.spawn(outlet.clone().keep_telling(queue, over.clone()));
            (sender, outlet)
        };
        Notifier { outlets: ways.into_iter().map(&mut open).collect(), running, over }
    }

    /// Puts the notice into each queue, without waiting.
    pub fn tell(&self, notice: Notice) {
        let notice = Arc::new(notice);
        for (queue, outlet) in &self.outlets {
            if queue.try_send(notice.clone()).is_err() {
                outlet.lose(&notice, "too many notices wait already");
            }
        }
    }

    /// Where the counts are read while it works.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        Ledger(self.outlets.iter().map(|(_, outlet)| outlet.clone()).collect())
    }

    /// Delivers what waits still, for so long at most, and counts the rest as lost.
    pub async fn finish(mut self, grace: Duration) {
        // Nothing more can come, so that each queue ends.
        self.outlets.clear();
        let all = async { while self.running.join_next().await.is_some() {} };
        if timeout(grace, all).await.is_err() {
            self.over.cancel();
            while self.running.join_next().await.is_some() {}
        }
    }
}

/// What became of the notices so far. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(Vec<Arc<Outlet>>);

impl Ledger {
    /// Of each way.
    #[must_use]
    pub fn counts(&self) -> Vec<Counts> {
        self.0.iter().map(|outlet| outlet.counts()).collect()
    }
}

impl Outlet {
    async fn keep_telling(self: Arc<Self>, mut queue: Receiver<Arc<Notice>>, over: CancellationToken) {
        while let Some(notice) = queue.recv().await {
            if over.run_until_cancelled(self.deliver(&notice)).await.is_none() {
                self.lose(&notice, "the run was over");
            }
        }
    }

    async fn deliver(&self, notice: &Notice) {
        let most = self.patience.retry.most;
        for nth in 0..=most {
            let attempt = timeout(self.patience.timeout, self.attempt(notice));
            let why = match attempt.await {
                Ok(Ok(())) => {
                    self.tally.sent.fetch_add(1, Relaxed);
                    return;
                }
                Ok(Err(why)) => why,
                Err(_) => format!("no end within {}", units::Duration(self.patience.timeout)),
            };
            let (way, subject) = (self.way.shown(), notice.subject.clone());
            if nth == most {
                self.tally.failed.fetch_add(1, Relaxed);
                let attempts = units::counted(u64::from(most) + 1, "attempt");
                self.report(Trouble::GivenUp { way, subject, attempts, why });
                return;
            }
            self.report(Trouble::Again { way, subject, why });
            sleep(self.patience.retry.pause(nth, fastrand::f64())).await;
            self.tally.retries.fetch_add(1, Relaxed);
        }
    }

    async fn attempt(&self, notice: &Notice) -> Result<(), String> {
        match &self.way {
            Way::Exec(text) => execute(text, notice).await,
            Way::Webhook { url, trust, overrides } => post(url, trust, overrides, notice).await,
        }
    }

    fn counts(&self) -> Counts {
        let count = |number: &AtomicU64| number.load(Relaxed);
        let Tally { sent, retries, failed, lost } = &self.tally;
        Counts {
            way: self.way.id(),
            sent: count(sent),
            retries: count(retries),
            failed: count(failed),
            lost: count(lost),
        }
    }

    fn lose(&self, notice: &Notice, why: &'static str) {
        self.tally.lost.fetch_add(1, Relaxed);
        self.report(Trouble::Lost { way: self.way.shown(), subject: notice.subject.clone(), why });
    }

    fn report(&self, trouble: Trouble) {
        // Fails only when nobody listens any more.
        let _ = self.troubles.send(trouble);
    }
}

async fn execute(text: &str, notice: &Notice) -> Result<(), String> {
    let environment: Vec<_> =
        notice.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let input = Some(notice.document.as_bytes());
    match shell::run_with(text, &environment, Capture::Stderr, input).await {
        Ok(ended) if ended.status.success() => Ok(()),
        Ok(ended) => Err(ended.verdict()),
        Err(error) => Err(format!("cannot start sh: {error}")),
    }
}

async fn post(url: &Url, trust: &Trust, overrides: &Overrides, notice: &Notice) -> Result<(), String> {
    let port = url.port_or_known_default().unwrap_or_default();
    let client = http::client(Recipe {
        trust,
        overrides: overrides.seen_from(url.host_str().unwrap_or_default(), port),
        family: None,
        redirects: 0,
        unix_socket: None,
        http2_only: false,
        keep: false,
        clock: PhaseClock::start(),
        asked: Asked::default(),
        served: Served::default(),
    });
    let sent = async {
        let request = client?.post(url.clone()).header(CONTENT_TYPE, "application/json");
        request.body(notice.document.clone()).send().await
    };
    match sent.await {
        Ok(response) if response.status().is_success() => Ok(()),
        Ok(response) => Err(format!("expected 2xx, got {}", response.status().as_u16())),
        Err(error) => Err(innermost(&error.without_url())),
    }
}

/// The cause that says most.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
    use tokio::time::Instant;

    use super::*;

    fn notice(subject: &str) -> Notice {
        Notice {
            subject: subject.into(),
            environment: vec![("HARDY_TARGET", subject.into())],
            document: "{}".into(),
        }
    }

    fn start(text: &str, most: u32, timeout: Duration) -> (Notifier, UnboundedReceiver<Trouble>) {
        let (troubles, told) = unbounded_channel();
        let retry = Retry { most, backoff: Duration::from_millis(1) };
        (Notifier::start(vec![Way::Exec(text.into())], Patience { retry, timeout }, &troubles), told)
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_command_that_fails_gets_it_again_and_then_the_next_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display();
        let text = format!("cd {place} && echo $HARDY_TARGET >>log && test $(wc -l <log) -ne 1");
        let (notifier, mut told) = start(&text, 3, LONG);
        ["a", "b"].into_iter().for_each(|subject| notifier.tell(notice(subject)));
        let ledger = notifier.ledger();
        notifier.finish(LONG).await;
        assert_eq!(ledger.counts(), [Counts { way: "exec", sent: 2, retries: 1, ..Counts::default() }]);
        assert_eq!(std::fs::read_to_string(folder.path().join("log")).unwrap(), "a\na\nb\n");
        assert!(matches!(told.recv().await, Some(Trouble::Again { subject, .. }) if subject == "a"));
    }

    #[tokio::test]
    async fn what_always_fails_or_hangs_is_given_up_and_said() {
        for (text, timeout, why) in [
            ("echo no >&2; exit 3", LONG, "exit status: 3: \"no\""),
            ("sleep 60", Duration::from_millis(20), "no end within 20ms"),
        ] {
            let (notifier, mut told) = start(text, 1, timeout);
            notifier.tell(notice("a is down"));
            let ledger = notifier.ledger();
            notifier.finish(LONG).await;
            assert_eq!(ledger.counts(), [Counts { way: "exec", retries: 1, failed: 1, ..Counts::default() }]);
            assert!(matches!(told.recv().await, Some(Trouble::Again { .. })));
            let text = format!("--exec did not take \"a is down\" after 2 attempts: {why}");
            assert_eq!(told.recv().await.unwrap().to_string(), text);
        }
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_nobody_waits_for_it() {
        let (notifier, mut told) = start("sleep 60", 0, LONG);
        let begin = Instant::now();
        (0..QUEUE + 50).for_each(|n| notifier.tell(notice(&n.to_string())));
        // Nothing ran in between: the runtime has one thread, and nothing was waited for.
        let ledger = notifier.ledger();
        assert_eq!(ledger.counts()[0].lost, 50);
        notifier.finish(Duration::from_millis(1)).await;
        assert_eq!(ledger.counts()[0].lost, QUEUE as u64 + 50, "what waited is lost, too");
        assert!(begin.elapsed() < LONG, "it waited for a command that hangs");
        let first = told.recv().await.unwrap().to_string();
        assert_eq!(first, "--exec was never told \"256\": too many notices wait already");
    }
}
