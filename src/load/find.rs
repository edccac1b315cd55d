//! The search for the highest rate that a target bears.
//!
//! From a start the rate is doubled while it holds, or halved while it does not; then the gap between the highest that
//! held and the lowest that failed is halved, in ratio, until it is small enough. A rate that fails is tried once more
//! before that is believed, because a search goes wrong for good by one bad moment. A trial that was cut short by the
//! generator says nothing about the target, and ends the search; nothing is concluded from it.

use std::time::Duration;

use super::condition::Condition;
use super::outcome::{BUSY, End, Outcome};

/// Where rates are looked for, in requests per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The first rate.
    pub start: f64,
    /// No lower one is tried.
    pub lowest: f64,
    /// No higher one is tried.
    pub highest: f64,
    /// How close the answer must be, as a share of it: 0.05 for 5 %.
    pub resolution: f64,
}

/// What a trial says about its rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The target bears it.
    Held,
    /// It does not: which conditions were not met.
    Failed(Vec<String>),
    /// Too few requests to say; a higher rate has more.
    TooFew(Vec<String>),
    /// The generator was the bottleneck, or its host lacked descriptors, ports or the like: nothing is known of the
    /// target.
    GeneratorBound,
    /// The trial was interrupted.
    Interrupted,
}

/// One trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Requests per second that were due.
    pub rate: f64,
    /// That ended.
    pub achieved: f64,
    /// 99th percentile of their response times.
    pub p99: Option<Duration>,
    /// Of those that ended, the share that failed.
    pub error_rate: Option<f64>,
    /// What it says.
    pub answer: Answer,
    /// Whether it repeats one that failed.
    pub again: bool,
}

/// Why the search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The answer is as close as was asked for.
    Found,
    /// Even the highest rate held.
    HighestHeld,
    /// Not even the lowest rate held.
    NothingHeld,
    /// At rates low enough to hold there are too few requests to say so.
    TooFew,
    /// The generator could not send faster.
    GeneratorBound,
    /// By a signal.
    Interrupted,
}

/// The whole search.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// In the order of the trials.
    pub steps: Vec<Step>,
    /// The highest rate that held.
    pub held: Option<f64>,
    /// The lowest above it that failed twice.
    pub failed: Option<f64>,
    /// Why the search ended.
    pub ended: Ended,
}

/// Searches. `trial` is called for one rate at a time, and `again` when that rate has just failed.
///
/// # Errors
/// Those of a trial.
pub async fn find<E>(
    range: Range,
    mut trial: impl AsyncFnMut(f64, bool) -> Result<Step, E>,
) -> Result<Found, E> {
    let mut search = Search::new(range);
    let mut steps: Vec<Step> = Vec::new();
    loop {
        let (rate, again) = match search.next() {
            Next::Try(rate, again) => (rate, again),
            Next::End(ended) => return Ok(Found { steps, held: search.held, failed: search.failed, ended }),
        };
        let step = trial(rate, again).await?;
        search.note(rate, &step.answer);
        steps.push(step);
    }
}

/// What is known so far.
#[derive(Clone, Debug)]
struct Search {
    range: Range,
    held: Option<f64>,
    failed: Option<f64>,
    /// Failed once.
    doubtful: Option<f64>,
    /// The highest that had too few requests.
    too_few: Option<f64>,
    ended: Option<Ended>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Next {
    Try(f64, bool),
    End(Ended),
}

impl Search {
    fn new(range: Range) -> Search {
        Search { range, held: None, failed: None, doubtful: None, too_few: None, ended: None }
    }

    fn next(&self) -> Next {
        let Range { start, lowest, highest, resolution } = self.range;
        let known_below = higher(self.held, self.too_few);
        let once = |rate| Next::Try(rate, false);
        match (self.ended, self.doubtful, known_below, self.failed) {
            (Some(ended), ..) => Next::End(ended),
            (_, Some(rate), ..) => Next::Try(rate, true),
            (_, _, None, None) => once(start.clamp(lowest, highest)),
            (_, _, Some(below), None) if below >= highest => {
                Next::End(if self.held == Some(below) { Ended::HighestHeld } else { Ended::TooFew })
            }
            (_, _, Some(below), None) => once((below * 2.0).min(highest)),
            (_, _, None, Some(failed)) if failed <= lowest => Next::End(Ended::NothingHeld),
            (_, _, None, Some(failed)) => once((failed / 2.0).max(lowest)),
            (_, _, Some(below), Some(failed)) if failed <= below * (1.0 + resolution) => {
                Next::End(if self.held == Some(below) { Ended::Found } else { Ended::TooFew })
            }
            (_, _, Some(below), Some(failed)) => once(between(below, failed)),
        }
    }

    fn note(&mut self, rate: f64, answer: &Answer) {
        let doubtful = self.doubtful.take();
        match answer {
            Answer::Held => self.held = higher(self.held, Some(rate)),
            Answer::TooFew(_) => self.too_few = higher(self.too_few, Some(rate)),
            Answer::Failed(_) if doubtful.is_none() => self.doubtful = Some(rate),
            Answer::Failed(_) => self.failed = Some(rate),
            Answer::GeneratorBound => self.ended = Some(Ended::GeneratorBound),
            Answer::Interrupted => self.ended = Some(Ended::Interrupted),
        }
    }
}

fn higher(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    [a, b].into_iter().flatten().reduce(f64::max)
}

/// The middle in ratio, with three digits where these lie between.
fn between(low: f64, high: f64) -> f64 {
    let middle = (low * high).sqrt();
    let unit = 10f64.powf(middle.log10().floor() - 2.0);
    let round = (middle / unit).round() * unit;
    if round > low && round < high { round } else { middle }
}

/// The rate counts as reached when so many of the requests that were due have ended: a queue that grows more slowly is
/// within the resolution.
const REACHED: f64 = 0.98;
/// What is said where it does not; the target may not be at fault, where there are too few connections.
pub const NOT_REACHED: &str = "the rate was not reached";

impl Step {
    /// What a run at this rate says: whether all conditions hold, and what was due has ended.
    pub fn of(rate: f64, again: bool, run: &Outcome, conditions: &[Condition]) -> Step {
        let totals = &run.totals;
        let requests = totals.requests();
        Step {
            rate,
            achieved: run.achieved(),
            p99: totals.response_or_service().all().quantile(0.99),
            error_rate: (requests > 0).then(|| totals.failures() as f64 / requests as f64),
            answer: answer(run, conditions),
            again,
        }
    }
}

fn answer(run: &Outcome, conditions: &[Condition]) -> Answer {
    if run.end == End::Stopped {
        return Answer::Interrupted;
    }
    let with = |holds: Option<bool>| -> Vec<String> {
        conditions.iter().filter(|c| c.holds_for(run) == holds).map(ToString::to_string).collect()
    };
    let (mut failed, unknown) = (with(Some(false)), with(None));
    let due = run.offered.unwrap_or(0) as f64;
    // What failed here never reached the target.
    let local: u64 =
        run.totals.reasons().filter(|(reason, _)| reason.is_local()).map(|(_, count)| count).sum();
    if ((run.totals.requests() - local) as f64) < due * REACHED {
        failed.push(NOT_REACHED.to_owned());
    }
    let own_fault = run.busiest > BUSY || run.totals.benched > 0 || local > 0;
    match () {
        () if !failed.is_empty() && own_fault => Answer::GeneratorBound,
        () if !failed.is_empty() => Answer::Failed(failed),
        () if !unknown.is_empty() => Answer::TooFew(unknown),
        () => Answer::Held,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::batch::{Batch, Sample};
    use super::super::timeline::Timeline;
    use super::*;
    use crate::reason::Reason;

    const RANGE: Range = Range { start: 100.0, lowest: 1.0, highest: 1e6, resolution: 0.05 };

    fn failed() -> Answer {
        Answer::Failed(vec!["p99<50ms".into()])
    }

    /// Searches a server that answers a rate like this; the second argument is the number of the trial.
    fn search(range: Range, server: impl Fn(f64, usize) -> Answer) -> Found {
        let mut number = 0;
        let trial = async |rate: f64, again| {
            number += 1;
            let answer = server(rate, number);
            Ok::<_, ()>(Step { rate, achieved: rate, p99: None, error_rate: None, answer, again })
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(find(range, trial)).unwrap()
    }

    fn bearing(capacity: f64) -> impl Fn(f64, usize) -> Answer {
        move |rate, _| if rate <= capacity { Answer::Held } else { failed() }
    }

    #[test]
    fn every_failure_is_tried_once_more() {
        let found = search(RANGE, bearing(150.0));
        let steps: Vec<_> = found.steps.iter().map(|s| (s.rate, s.again, s.answer == Answer::Held)).collect();
        let expected = [
            (100.0, false, true),
            (200.0, false, false),
            (200.0, true, false),
            (141.0, false, true),
            (168.0, false, false),
            (168.0, true, false),
            (154.0, false, false),
            (154.0, true, false),
            (147.0, false, true),
        ];
        assert_eq!(steps, expected);
        assert_eq!((found.held, found.failed, found.ended), (Some(147.0), Some(154.0), Ended::Found));
    }

    #[test]
    fn the_range_is_never_left() {
        let within = Range { highest: 1500.0, ..RANGE };
        let found = search(within, bearing(1e9));
        assert_eq!((found.held, found.failed, found.ended), (Some(1500.0), None, Ended::HighestHeld));
        let found = search(Range { lowest: 30.0, ..RANGE }, bearing(5.0));
        let rates: Vec<_> = found.steps.iter().map(|step| step.rate).collect();
        assert_eq!((rates, found.ended), (vec![100.0, 100.0, 50.0, 50.0, 30.0, 30.0], Ended::NothingHeld));
        assert_eq!((found.held, found.failed), (None, Some(30.0)));
    }

    #[test]
    fn nothing_is_concluded_from_a_generator_that_could_not() {
        let found =
            search(RANGE, |rate, _| if rate < 3000.0 { Answer::Held } else { Answer::GeneratorBound });
        assert_eq!((found.held, found.failed, found.ended), (Some(1600.0), None, Ended::GeneratorBound));
        let found = search(RANGE, |_, number| if number < 3 { Answer::Held } else { Answer::Interrupted });
        assert_eq!((found.held, found.ended), (Some(200.0), Ended::Interrupted));
    }

    #[test]
    fn rates_with_too_few_requests_are_passed_over() {
        let few = |rate| Answer::TooFew(vec![format!("{rate}")]);
        let found = search(RANGE, |rate, _| if rate < 1000.0 { few(rate) } else { bearing(4000.0)(rate, 0) });
        assert_eq!(found.ended, Ended::Found);
        assert!(found.held.is_some_and(|held| (3800.0..=4000.0).contains(&held)), "{found:?}");
        let found = search(RANGE, |rate, _| if rate < 1000.0 { few(rate) } else { failed() });
        assert_eq!((found.held, found.ended), (None, Ended::TooFew));
        let found = search(Range { highest: 500.0, ..RANGE }, |rate, _| few(rate));
        assert_eq!((found.held, found.ended), (None, Ended::TooFew));
    }

    proptest! {
        #[test]
        fn the_capacity_is_found_whatever_it_is(
            capacity in 1.0f64..1e6,
            start in 1.0f64..1e5,
            resolution in 0.005f64..0.5,
            bad_moment in 1usize..40,
        ) {
            let range = Range { start, resolution, ..RANGE };
            // One trial fails without a reason.
            let found = search(range, |rate, number| if number == bad_moment { failed() } else { bearing(capacity)(rate, number) });
            let (held, above) = (found.held.unwrap(), found.failed.unwrap_or(capacity));
            prop_assert_eq!(found.ended, Ended::Found);
            prop_assert!(held <= capacity && capacity <= above && above <= held * (1.0 + resolution), "{:?}", found);
            // Doublings to anywhere, and halvings of one doubling; each may fail twice.
            let halvings = (2f64.ln() / resolution.ln_1p()).log2().ceil().max(0.0) + 1.0;
            prop_assert!(found.steps.len() as f64 <= 2.0 * (21.0 + halvings), "{} steps", found.steps.len());
        }
    }

    /// A run at 1000/s of one second in which all requests took that long, all but so many.
    fn run(requests: u64, failures: u64, ms: u64, busiest: f64) -> Outcome {
        let mut totals = Batch::default();
        for number in 0..requests {
            let result = if number < failures { Err(Reason::HttpStatus) } else { Ok(()) };
            totals.ended(Sample { due: 0, sent: 0, ended: ms * 1_000_000 }, true, result);
        }
        Outcome {
            totals,
            timeline: Timeline::default(),
            elapsed: Duration::from_secs(1),
            sending: Duration::from_secs(1),
            offered: Some(1000),
            unsent: 1000 - requests,
            end: End::Done,
            busiest,
            peak_memory: None,
        }
    }

    #[test]
    fn a_run_holds_when_all_conditions_do_and_the_rate_was_reached() {
        let conditions = ["p99<50ms", "error_rate<1%"].map(|text| text.parse().unwrap());
        let answer = |run: &Outcome| Step::of(1000.0, false, run, &conditions).answer;
        let failed = |why: &[&str]| Answer::Failed(why.iter().map(|why| (*why).to_owned()).collect());
        assert_eq!(answer(&run(1000, 9, 20, 0.95)), Answer::Held);
        assert_eq!(answer(&run(1000, 10, 60, 0.5)), failed(&["p99<50ms", "error_rate<1%"]));
        assert_eq!(answer(&run(979, 0, 20, 0.5)), failed(&[NOT_REACHED]));
        assert_eq!(answer(&run(979, 0, 20, 0.95)), Answer::GeneratorBound);
        assert_eq!(answer(&run(0, 0, 20, 0.5)), failed(&[NOT_REACHED]));
        let few = Outcome { offered: Some(50), ..run(50, 0, 20, 0.5) };
        assert_eq!(answer(&few), Answer::TooFew(vec!["p99<50ms".into()]));
        assert_eq!(answer(&Outcome { end: End::Stopped, ..run(50, 0, 20, 0.5) }), Answer::Interrupted);
        let step = Step::of(1000.0, true, &run(1000, 10, 60, 0.5), &conditions);
        assert_eq!((step.achieved, step.error_rate, step.again), (1000.0, Some(0.01), true));
        assert_eq!(step.p99.map(|p99| p99.as_millis()), Some(60));
    }

    #[test]
    fn what_this_host_lacks_is_not_the_fault_of_the_target() {
        let conditions = ["error_rate<1%".parse().unwrap()];
        let answer = |run: &Outcome| Step::of(1000.0, false, run, &conditions).answer;
        let lacking = |ports: u64| {
            let mut run = run(1000 - ports, 0, 20, 0.5);
            for _ in 0..ports {
                run.totals.ended(Sample { due: 0, sent: 0, ended: 0 }, true, Err(Reason::LocalPorts));
            }
            run
        };
        assert_eq!(answer(&lacking(5)), Answer::Held);
        assert_eq!(answer(&lacking(15)), Answer::GeneratorBound);
        let mut benched = run(500, 0, 20, 0.5);
        benched.totals.benched = 1;
        assert_eq!(answer(&benched), Answer::GeneratorBound);
        // They end at once: nothing is fast that never reached the target.
        let conditions = ["p99<50ms".parse().unwrap()];
        let answer = Step::of(1000.0, false, &lacking(500), &conditions).answer;
        assert_eq!(answer, Answer::GeneratorBound);
    }
}
