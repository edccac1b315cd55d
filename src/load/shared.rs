//! A breaker of a store in front of a whole run. No request asks it: ten times a second one change of its record tells it
//! what has ended since, and shows how it stands; between two looks everything passes that the last one allowed.
//!
//! Requests take none of its places. When it is open, a request passes as a trial only with the permit that the record
//! grants, which is a lease, and decides as any other trial. What ended in the warm-up is not counted.

use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::batch::Batch;
use super::control::Control;
use super::guard::WhenOpen;
use super::outcome::End;
use super::run::Judge;
use crate::breaker::{Outcome, Phase, Refusal, Totals};
use crate::circuit::{Answer, Asked, Bulk, Circuit, Pass, Seen, Trouble, View};
use crate::store::Error;

/// A trial of which nothing is heard for so much longer than it may take was not sent, or has no permit any more.
const MARGIN: Duration = Duration::from_secs(1);

/// How the breaker stood when it was looked at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// Everything passes.
    Closed,
    /// Nothing does.
    Refused,
    /// One request passes; the trial's number.
    Trial(u64),
}

/// Nothing was let through for so many looks, and nothing is shown to be under way: then nothing is.
const IDLE_AFTER: u32 = 3;

/// What the judge of the run tells the teller, at each look.
#[derive(Debug)]
enum Word {
    /// What has ended since the last look.
    Ended {
        calls: Totals,
        /// The trial that had its permit before that.
        trial: Option<u64>,
        /// Nothing is under way that could be taken for a trial.
        idle: bool,
    },
    /// The run is over, and these were all.
    Over(Totals),
}

/// Why a run does not begin.
#[derive(Debug)]
pub enum Closed {
    /// The breaker does not let it.
    Refused(Refusal),
    /// The store did not answer.
    Unavailable(Error),
}

/// Looks at the run.
#[derive(Debug)]
pub struct Shared {
    when_open: WhenOpen,
    slow: Option<Duration>,
    words: UnboundedSender<Word>,
    stand: watch::Receiver<Stand>,
    /// The last trial that has got its permit.
    permitted: Option<u64>,
    /// For how many looks nothing was let through.
    kept_back: u32,
}

/// Tells the store, beside the run.
#[derive(Debug)]
pub struct Desk {
    slow: Option<Duration>,
    words: UnboundedSender<Word>,
    telling: JoinHandle<u64>,
}

/// Looks at the breaker, and begins to tell it. `without_store`: whether requests are sent without an answer of its store.
///
/// # Errors
/// Nothing may be sent: it is open and that is to abort the run, or nobody knows.
pub async fn start(
    circuit: Circuit,
    when_open: WhenOpen,
    without_store: bool,
    troubles: UnboundedSender<Trouble>,
) -> Result<(Shared, Desk), Closed> {
    let (words, heard) = unbounded_channel();
    let (stands, stand) = watch::channel(Stand::Closed);
    let slow = circuit.terms().config.slow;
    let mut teller = Teller {
        circuit,
        without_store,
        troubles,
        stands,
        heard,
        generation: None,
        trial: None,
        trials: 0,
        silent: false,
        lost: 0,
        uncounted: 0,
    };
    match teller.circuit.look().await {
        Ok(view) => teller.seen(view, true).await,
        Err(error) if without_store => teller.without_answer(&error),
        Err(error) => return Err(Closed::Unavailable(error)),
    }
    if when_open == WhenOpen::Abort && *stand.borrow() == Stand::Refused {
        teller.ask_or_end().await?;
    }
    let desk = Desk { slow, words: words.clone(), telling: tokio::spawn(teller.tell()) };
    Ok((Shared { when_open, slow, words, stand, permitted: None, kept_back: 0 }, desk))
}

impl Judge for Shared {
    fn begin(&mut self, control: &Control) {
        self.admit(control);
    }

    fn look(&mut self, _: Duration, _: &Batch, fresh: &Batch, control: &Control) -> Option<End> {
        let idle = self.kept_back >= IDLE_AFTER && control.in_flight() == 0;
        let word = Word::Ended { calls: calls(fresh, self.slow), trial: self.permitted, idle };
        // Fails only when the teller is gone, and then nobody counts any more.
        let _ = self.words.send(word);
        if self.when_open == WhenOpen::Abort && *self.stand.borrow() == Stand::Refused {
            return Some(End::BreakerOpened);
        }
        self.admit(control);
        None
    }
}

impl Shared {
    fn admit(&mut self, control: &Control) {
        let stand = *self.stand.borrow();
        self.kept_back = if stand == Stand::Refused { self.kept_back.saturating_add(1) } else { 0 };
        match stand {
            Stand::Closed => control.admit(None),
            Stand::Refused => control.admit(Some(0)),
            Stand::Trial(number) if self.permitted == Some(number) => {}
            Stand::Trial(number) => {
                self.permitted = Some(number);
                control.admit(Some(1));
            }
        }
    }
}

impl Desk {
    /// Tells the rest of a run that is over; how many requests may not be counted, because the store did not answer.
    pub async fn finish(self, all: &Batch) -> u64 {
        let _ = self.words.send(Word::Over(calls(all, self.slow)));
        self.telling.await.unwrap_or_default()
    }
}

/// What a breaker counts of these requests.
fn calls(batch: &Batch, slow: Option<Duration>) -> Totals {
    let mut calls = Totals { short_circuited: batch.short_circuited, ..Totals::default() };
    calls.tally.successes = batch.ok;
    let good = &batch.service.ok;
    calls.tally.slow = slow.map_or(0, |slow| good.count() - good.at_most(slow));
    calls.excluded = batch.cut_off.count();
    for (reason, requests) in batch.reasons() {
        match reason.outcome() {
            Outcome::Timeout => calls.tally.timeouts += requests,
            Outcome::Excluded => calls.excluded += requests,
            Outcome::Failure | Outcome::Success => calls.tally.failures += requests,
        }
    }
    calls
}

struct Teller {
    circuit: Circuit,
    without_store: bool,
    troubles: UnboundedSender<Trouble>,
    stands: watch::Sender<Stand>,
    heard: UnboundedReceiver<Word>,
    /// In which the requests were sent that end now.
    generation: Option<u64>,
    /// The permit that is held, and since when.
    trial: Option<(Pass, Instant)>,
    /// How many there were: the number of the last.
    trials: u64,
    /// The store did not answer the last time.
    silent: bool,
    /// Requests that were told in vain, and not yet told to be lost.
    lost: u64,
    /// All such requests.
    uncounted: u64,
}

impl Teller {
    /// Until the run is over; how many requests may not be counted.
    async fn tell(mut self) -> u64 {
        let mut told = Totals::default();
        while let Some(first) = self.heard.recv().await {
            let (mut fresh, mut permitted, mut idle, mut over) = (Totals::default(), None, false, false);
            let mut next = Some(first);
            while let Some(word) = next {
                match word {
                    Word::Ended { calls, trial, idle: is_idle } => {
                        fresh.add(&calls);
                        told.add(&calls);
                        (permitted, idle) = (trial, is_idle);
                    }
                    Word::Over(all) => {
                        fresh.add(&all.without(&told));
                        over = true;
                    }
                }
                next = self.heard.try_recv().ok();
            }
            self.settle_trial(permitted, &mut fresh, over).await;
            self.exchange(fresh, idle && !over).await;
            if over {
                break;
            }
        }
        self.uncounted
    }

    /// Tells how the trial has ended, once it has: with its permit nothing else was under way.
    async fn settle_trial(&mut self, permitted: Option<u64>, fresh: &mut Totals, over: bool) {
        let Some((pass, since)) = self.trial.take() else { return };
        let ended = if permitted == Some(self.trials) || over { take_one(fresh) } else { None };
        let lapsed = || since.elapsed() > self.circuit.terms().config.timeout.saturating_add(MARGIN);
        let (outcome, latency) = match ended {
            Some(ended) => ended,
            // It was never sent.
            None if over || lapsed() => (Outcome::Excluded, Duration::ZERO),
            None => {
                self.trial = Some((pass, since));
                return;
            }
        };
        if let Err(error) = self.circuit.report(pass, outcome, latency, false).await {
            self.uncounted += 1;
            self.without_answer(&error);
        }
    }

    /// Tells what has ended, and looks at how the breaker stands.
    async fn exchange(&mut self, calls: Totals, idle: bool) {
        let bulk = Bulk { calls, lost: self.lost, generation: self.generation, may_trip: true };
        let seen = if calls == Totals::default() && self.lost == 0 {
            self.circuit.look().await
        } else {
            self.circuit.add(&bulk).await.map(|seen| Some(self.undamaged(seen)))
        };
        match seen {
            Ok(view) => {
                self.lost = 0;
                self.seen(view, idle).await;
            }
            Err(error) => {
                let requests = calls.tally.requests();
                self.lost = self.lost.saturating_add(requests);
                self.uncounted += requests;
                self.without_answer(&error);
            }
        }
    }

    fn undamaged(&self, seen: Seen) -> Box<View> {
        if seen.damaged {
            self.say(Trouble::Damaged(self.circuit.name().clone()));
        }
        seen.view
    }

    async fn seen(&mut self, view: Option<Box<View>>, idle: bool) {
        self.silent = false;
        let stand = match view {
            None => Stand::Closed,
            Some(view) => {
                self.generation = Some(view.generation);
                match view.phase {
                    Phase::Closed => Stand::Closed,
                    _ if self.trial.is_some() => Stand::Trial(self.trials),
                    _ if idle && view.awaits_trial() => self.try_again().await,
                    _ => Stand::Refused,
                }
            }
        };
        self.stands.send_replace(stand);
    }

    /// Asks for the permit of a trial; it is another's, where others were faster.
    async fn try_again(&mut self) -> Stand {
        match self.circuit.ask(false).await {
            Ok(Answer { asked: Asked::Admitted(pass), .. }) => self.hold(pass),
            Ok(Answer { asked: Asked::Refused(..), .. }) | Err(_) => Stand::Refused,
        }
    }

    /// Asks as any call does, to be counted as one that was refused.
    async fn ask_or_end(&mut self) -> Result<(), Closed> {
        match self.circuit.ask(false).await.map_err(Closed::Unavailable)?.asked {
            Asked::Refused(refusal, _) => Err(Closed::Refused(refusal)),
            Asked::Admitted(pass) => {
                let stand = self.hold(pass);
                self.stands.send_replace(stand);
                Ok(())
            }
        }
    }

    fn hold(&mut self, pass: Pass) -> Stand {
        self.trials += 1;
        self.trial = Some((pass, Instant::now()));
        Stand::Trial(self.trials)
    }

    fn without_answer(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.silent, true) {
            self.say(Trouble::unavailable(self.circuit.name(), error, self.without_store));
        }
        self.stands.send_replace(if self.without_store { Stand::Closed } else { Stand::Refused });
    }

    fn say(&self, trouble: Trouble) {
        // Fails only when nobody listens any more.
        let _ = self.troubles.send(trouble);
    }
}

/// Takes one request out, if one has ended: of several the worst.
fn take_one(calls: &mut Totals) -> Option<(Outcome, Duration)> {
    let tally = &mut calls.tally;
    let counts = [
        (&mut tally.timeouts, Outcome::Timeout),
        (&mut tally.failures, Outcome::Failure),
        (&mut tally.successes, Outcome::Success),
        (&mut calls.excluded, Outcome::Excluded),
    ];
    let (count, outcome) = counts.into_iter().find(|(count, _)| **count > 0)?;
    *count -= 1;
    // A success is slow whose latency is longer than any limit.
    let is_slow = outcome == Outcome::Success && tally.slow > 0;
    tally.slow -= u64::from(is_slow);
    Some((outcome, if is_slow { Duration::MAX } else { Duration::ZERO }))
}

#[cfg(test)]
mod tests {
    use super::super::batch::Sample;
    use super::*;
    use crate::breaker::Tally;
    use crate::reason::Reason;

    #[test]
    fn what_ended_is_counted_by_how_it_ended() {
        let mut batch = Batch::default();
        for (ms, result) in [
            (1, Ok(())),
            (300, Ok(())),
            (1, Err(Reason::HttpStatus)),
            (1, Err(Reason::Timeout)),
            (1, Err(Reason::LocalDescriptors)),
        ] {
            batch.ended(Sample { due: 0, sent: 0, ended: ms * 1_000_000 }, false, result);
        }
        batch.short_circuited = 9;
        let slow = Some(Duration::from_millis(100));
        let tally = Tally { successes: 2, failures: 1, timeouts: 1, slow: 1 };
        let all = Totals { tally, excluded: 1, short_circuited: 9, rejected: 0 };
        assert_eq!(calls(&batch, slow), all);
        assert_eq!(calls(&batch, None).tally.slow, 0);
        assert_eq!(all.without(&calls(&batch, slow)), Totals::default());
    }

    #[test]
    fn the_trial_is_the_worst_of_what_ended() {
        let tally = Tally { successes: 2, failures: 1, timeouts: 1, slow: 1 };
        let mut calls = Totals { tally, excluded: 1, ..Totals::default() };
        let taken = std::iter::from_fn(|| take_one(&mut calls)).collect::<Vec<_>>();
        let outcomes: Vec<_> = taken.iter().map(|(outcome, _)| *outcome).collect();
        use Outcome::{Excluded, Failure, Success, Timeout};
        assert_eq!(outcomes, [Timeout, Failure, Success, Success, Excluded]);
        assert_eq!((taken[2].1, taken[3].1), (Duration::MAX, Duration::ZERO), "the slow one first");
        assert_eq!(calls, Totals::default());
    }

    #[tokio::test]
    async fn permits_are_given_once_and_asked_for_when_nothing_is_under_way() {
        let (words, mut heard) = unbounded_channel();
        let (stands, stand) = watch::channel(Stand::Refused);
        let (when_open, control) = (WhenOpen::Shed, Control::default());
        let mut shared = Shared { when_open, slow: None, words, stand, permitted: None, kept_back: 0 };
        shared.begin(&control);
        assert!(!control.admits_one());
        let batch = Batch::default();
        let mut look = |control: &Control| {
            assert_eq!(shared.look(Duration::ZERO, &batch, &batch, control), None);
            match heard.try_recv().unwrap() {
                Word::Ended { trial, idle, .. } => (trial, idle),
                Word::Over(_) => panic!("it is not over"),
            }
        };
        control.shows_in_flight(1);
        assert!((0..5).all(|_| look(&control) == (None, false)));
        control.shows_in_flight(0);
        assert_eq!(look(&control), (None, true));
        stands.send_replace(Stand::Trial(1));
        look(&control);
        assert!(control.admits_one() && !control.admits_one());
        assert_eq!(look(&control), (Some(1), false));
        assert!(!control.admits_one(), "it had its permit");
        stands.send_replace(Stand::Closed);
        look(&control);
        assert!(control.admits_all());
    }
}
