//! One round of one target: a call through the breaker, its retries, and the fallback when all failed.
//!
//! Refuses to count: what happens is sent to the board.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{sleep, timeout};

use super::call::{Call, Means, call};
use super::clock::Clock;
use super::front::{Front, Refused};
use super::report::{Ending, Mark, micros};
use super::shell::{self, Capture};
use super::target::Target;
use crate::breaker::{Outcome, Refusal};
use crate::units;

/// How a failed call is repeated within its round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// At most so often.
    pub most: u32,
    /// The longest first pause; each further one is up to twice as long.
    pub backoff: Duration,
}

/// So many fallbacks of one target run at the same time, as with Hystrix: a target that is down for long
/// must not fill the host with slow fallbacks.
pub const FALLBACKS: usize = 10;

/// No pause between retries is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl Retry {
    /// The pause before retry `nth`, counted from 0. Half of it is fixed and half random (`unit`, 0..1), so that
    /// many probes do not retry in step.
    pub(super) fn pause(&self, nth: u32, unit: f64) -> Duration {
        let full = self.backoff.saturating_mul(2u32.saturating_pow(nth)).min(LONGEST_PAUSE);
        full.mul_f64(0.5 + unit / 2.0)
    }
}

/// What a round tells the board.
#[derive(Debug)]
pub enum Message {
    /// A call was made.
    Call {
        /// The target's place.
        target: usize,
        /// When it began.
        at_ms: u64,
        /// What came of it.
        call: Call,
    },
    /// The fallback was run.
    Fallback {
        /// The target's place.
        target: usize,
        /// What was wrong, in words.
        result: Result<(), String>,
    },
    /// As many fallbacks ran already as may.
    FallbackRejected {
        /// The target's place.
        target: usize,
    },
    /// A round is over.
    Round {
        /// The target's place.
        target: usize,
        /// Counted from 0.
        number: u64,
        /// How it ended.
        mark: Mark,
    },
}

/// All that the rounds of one target share.
pub struct Runner {
    /// The target's place.
    pub index: usize,
    /// The target.
    pub target: Target,
    /// How it is reached.
    pub means: Means,
    /// Its breakers.
    pub front: Arc<Front>,
    /// How failed calls are repeated.
    pub retry: Retry,
    /// A text for `sh -c`, run when a round was not good.
    pub fallback: Option<String>,
    /// Places for fallbacks: [`FALLBACKS`] run at the same time, no more.
    pub fallbacks: Semaphore,
    /// The run's clock.
    pub clock: Clock,
    /// Where everything is counted. It never holds a round up.
    pub board: UnboundedSender<Message>,
}

impl Runner {
    /// One round: the first call, its retries, and the fallback when none was good.
    pub async fn round(self: Arc<Self>, number: u64) {
        let (mut mark, mut reason) = self.attempt().await;
        for nth in 0..self.retry.most {
            if !matches!(mark.outcome, Ending::Failure | Ending::Timeout) {
                break;
            }
            sleep(self.retry.pause(nth, fastrand::f64())).await;
            match self.attempt().await {
                // Refused: the failure before it is what is known.
                (Mark { latency_us: None, .. }, _) => break,
                again => (mark, reason) = again,
            }
        }
        if let Some(fallback) = &self.fallback
            && mark.outcome != Ending::Success
        {
            self.tell(match self.fallbacks.try_acquire() {
                Ok(_place) => {
                    let result = self.fall_back(fallback, reason).await;
                    Message::Fallback { target: self.index, result }
                }
                Err(_) => Message::FallbackRejected { target: self.index },
            });
        }
        self.tell(Message::Round { target: self.index, number, mark });
    }

    /// One call, if its breakers let it through; and a word for why it was not good.
    async fn attempt(&self) -> (Mark, &'static str) {
        let leave = match self.front.ask(self.clock.now_ms()).await {
            Ok(leave) => leave,
            Err(refused) => return not_made(refused),
        };
        let at_ms = self.clock.now_ms();
        let call = call(&self.target, &self.means).await;
        let outcome = call.result.as_ref().map_or_else(|fault| fault.reason.outcome(), |()| Outcome::Success);
        let reported = leave.report(outcome, call.latency, self.clock.now_ms());
        let mark = Mark { outcome: outcome.into(), latency_us: Some(micros(call.latency)) };
        let reason = call.result.as_ref().map_or_else(|fault| fault.reason.id(), |()| "");
        self.tell(Message::Call { target: self.index, at_ms, call });
        if let Some(reported) = reported {
            // It does not panic, and nobody aborts it.
            let _ = reported.await;
        }
        (mark, reason)
    }

    async fn fall_back(&self, fallback: &str, reason: &str) -> Result<(), String> {
        let url = self.target.address.shown();
        let environment =
            [("HARDY_TARGET", self.target.name.as_str()), ("HARDY_URL", &url), ("HARDY_REASON", reason)];
        let limit = self.target.timeout();
        match timeout(limit, shell::run(fallback, &environment, Capture::Stderr)).await {
            Ok(Ok(ended)) if ended.status.success() => Ok(()),
            Ok(Ok(ended)) => Err(ended.verdict()),
            Ok(Err(error)) => Err(format!("cannot start sh: {error}")),
            Err(_) => Err(format!("still running after {}, killed", units::Duration(limit))),
        }
    }

    fn tell(&self, message: Message) {
        // Fails only when the board is gone, and then nobody counts any more.
        let _ = self.board.send(message);
    }
}

fn not_made(refused: Refused) -> (Mark, &'static str) {
    let (outcome, reason) = match refused {
        Refused::By(Refusal::ShortCircuited { .. }) => (Ending::ShortCircuited, "short_circuited"),
        Refused::By(Refusal::Rejected { .. }) => (Ending::Rejected, "rejected"),
        Refused::Unavailable => (Ending::Unavailable, "unavailable"),
    };
    (Mark { outcome, latency_us: None }, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_with_jitter_up_to_the_longest() {
        let retry = Retry { most: 9, backoff: Duration::from_millis(100) };
        let ms = |nth, unit| retry.pause(nth, unit).as_millis();
        assert_eq!([ms(0, 0.0), ms(0, 1.0), ms(1, 0.0), ms(3, 1.0)], [50, 100, 100, 800]);
        assert_eq!(retry.pause(u32::MAX, 1.0), LONGEST_PAUSE);
    }
}
