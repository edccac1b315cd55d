//! What `hardy probe` found, and its verdict.

use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::settings::Settings;
use super::{human, metrics, nagios};
use crate::breaker::Phase;
use crate::config::FailOn;
use crate::exit::{Exit, Verdict};
use crate::metrics::Metric;
use crate::output::{self, Case, Human, Outcome};
use crate::probe::notify::Counts;
use crate::probe::{self, End, Snapshot, State, StateChange, TargetReport};
use crate::reason::Reason;
use crate::units::brief;

/// All targets.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Report {
    /// In the order in which they were given.
    pub targets: Vec<TargetReport>,
    /// With `--watch`: the round that this document is the first to tell of, from 1; null when it tells of none.
    pub round: Option<u64>,
    /// Rounds that all targets have finished.
    pub rounds: u64,
    /// Since the start.
    pub elapsed_ms: u64,
    /// Why the run ended; null while it goes on, so that the one document that has it is the last.
    pub end: Option<Ended>,
    /// What was waited for.
    pub until: Option<Waited>,
    /// From which state on a target makes the verdict bad.
    pub fail_on: FailOn,
    /// The latest changes, oldest first; at most ten.
    pub changes: Vec<StateChange>,
    /// What became of the notices about changes, for each way that they go.
    pub notices: Vec<Counts>,
    /// The changes were not printed line by line.
    #[serde(skip)]
    pub tell_changes: bool,
    #[serde(skip)]
    nagios: bool,
    #[serde(skip)]
    goal: Option<probe::Goal>,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// All rounds are over.
    Finished,
    /// What was waited for is so.
    Reached,
    /// It was not so in time.
    WaitedOut,
    /// By a signal, or because nobody reads any more.
    Interrupted,
}

/// What was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Waited {
    /// `up`, `down`, or `answering`: up or degraded.
    pub goal: &'static str,
    /// For how long at most.
    pub wait_ms: u64,
    /// Whether all targets came to be so.
    pub reached: bool,
}

impl Report {
    /// `end` is absent while the run goes on.
    pub fn new(snapshot: Snapshot, end: Option<End>, settings: &Settings) -> Report {
        let until = settings.plan.until;
        Report {
            targets: snapshot.targets,
            round: None,
            rounds: snapshot.rounds,
            elapsed_ms: snapshot.elapsed_ms,
            end: end.map(|end| match end {
                End::Finished => Ended::Finished,
                End::Reached => Ended::Reached,
                End::WaitedOut => Ended::WaitedOut,
                End::Interrupted => Ended::Interrupted,
            }),
            until: until.map(|until| Waited {
                goal: until.goal.id(),
                wait_ms: u64::try_from(until.wait.as_millis()).unwrap_or(u64::MAX),
                reached: end == Some(End::Reached),
            }),
            fail_on: settings.fail_on,
            changes: snapshot.changes,
            notices: Vec::new(),
            tell_changes: false,
            nagios: settings.nagios,
            goal: until.map(|until| until.goal),
        }
    }

    /// The same, as the first to tell of its last round.
    pub fn of_round(self) -> Report {
        Report { round: Some(self.rounds), ..self }
    }

    /// What a target's state means for the verdict.
    pub fn judge(&self, state: State) -> Verdict {
        match self.goal {
            Some(goal) if goal.holds(state) => Verdict::Good,
            Some(_) => Verdict::Bad,
            None => judge(state, self.fail_on),
        }
    }
}

/// What a state means by itself.
pub fn judge(state: State, fail_on: FailOn) -> Verdict {
    match state {
        State::Unknown => Verdict::Unknown,
        State::Down => Verdict::Bad,
        State::Degraded if fail_on == FailOn::Degraded => Verdict::Bad,
        State::Degraded | State::Up => Verdict::Good,
    }
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.probe/v1";

    /// One that is known to be bad outweighs one that is not known.
    fn verdict(&self) -> Verdict {
        if let Some(waited) = &self.until {
            return if waited.reached { Verdict::Good } else { Verdict::Bad };
        }
        let verdicts = || self.targets.iter().map(|target| self.judge(target.state));
        if verdicts().any(|verdict| verdict == Verdict::Bad) {
            Verdict::Bad
        } else if verdicts().any(|verdict| verdict == Verdict::Unknown) {
            Verdict::Unknown
        } else {
            Verdict::Good
        }
    }

    fn exit(&self) -> Exit {
        match &self.until {
            _ if self.nagios => nagios::exit(self),
            Some(waited) if !waited.reached => Exit::WAIT_ENDED,
            _ if self.is_refused() => Exit::REFUSED,
            _ => self.verdict().into(),
        }
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        if self.nagios { out.line(nagios::line(self)) } else { human::report(out, self) }
    }

    fn cases(&self) -> Vec<Case> {
        self.targets.iter().map(|target| self.case(target)).collect()
    }

    fn metrics(&self) -> Vec<Metric> {
        metrics::of_run(&self.targets)
    }
}

impl Report {
    /// Nothing is known to be bad, and what is unknown is so because its breaker let no call through.
    fn is_refused(&self) -> bool {
        let mut unknown = self.targets.iter().filter(|target| target.state == State::Unknown);
        output::Report::verdict(self) == Verdict::Unknown && unknown.all(was_refused)
    }

    fn case(&self, target: &TargetReport) -> Case {
        let failure = target.last_failure.as_ref();
        let state = if was_refused(target) { "short_circuited" } else { target.state.id() };
        let reason = failure.and_then(|last| last.reason).map_or(state, Reason::id).to_owned();
        let detail = failure.and_then(|last| last.detail.clone());
        let why = || match not_called(target) {
            Some(why) => why,
            None => format!("{} is {}", target.name, target.state.id()),
        };
        let message = detail.unwrap_or_else(why);
        let outcome = match self.judge(target.state) {
            Verdict::Good => Outcome::Pass,
            Verdict::Bad => Outcome::Fail { reason, message },
            Verdict::Unknown => Outcome::Error { reason, message },
        };
        let time = Duration::from_micros(target.last.as_ref().map_or(0, |last| last.latency_us));
        Case { name: target.name.clone(), time, outcome }
    }
}

/// Why a target was never called, where its breaker is the reason.
pub(super) fn not_called(target: &TargetReport) -> Option<String> {
    let breaker = &target.breaker;
    let name = breaker.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    let Some(phase) = breaker.state else { return Some(format!("the breaker{name} cannot be asked")) };
    let next =
        breaker.next_trial_ms.map(|ms| format!(", next trial in {}", brief(Duration::from_millis(ms))));
    let why = || match phase {
        Phase::Closed => format!("the breaker{name} has no place for more calls"),
        _ => format!("the breaker{name} is {phase}{}", next.unwrap_or_default()),
    };
    was_refused(target).then(why)
}

/// Its breaker let no call through.
fn was_refused(target: &TargetReport) -> bool {
    target.calls == 0 && target.breaker.short_circuited + target.breaker.rejected > 0
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::breaker::Config;
    use crate::http::Trust;
    use crate::output::Report as _;
    use crate::probe::expect::Expect;
    use crate::probe::notify::Patience;
    use crate::probe::{
        FlapRule, Goal, Means, Observers, Pace, Plan, Request, Retry, Streaks, Target, Until,
    };

    pub fn settings(addresses: &[&str], fail_on: FailOn) -> Settings {
        let target = |address: &&str| Target {
            name: (*address).to_owned(),
            address: address.parse().unwrap(),
            request: Request::default(),
            expect: Expect::default(),
            breaker: Config { timeout: Duration::from_secs(20), ..Config::default() },
            shared: None,
        };
        let plan = Plan {
            targets: addresses.iter().map(target).collect(),
            means: Means {
                trust: Trust::anyone(),
                overrides: Default::default(),
                proxies: Default::default(),
                family: None,
            },
            pace: Pace { count: Some(2), interval: Duration::from_millis(1) },
            retry: Retry { most: 0, backoff: Duration::from_millis(1) },
            streaks: Streaks { up_after: 1, down_after: 1 },
            until: None,
            fallback: Some("true".into()),
            flapping: FlapRule { changes: 8, window: Duration::from_secs(300) },
            breaking: true,
        };
        let patience = Patience { retry: plan.retry, timeout: Duration::from_secs(20) };
        Settings { plan, watch: false, fail_on, nagios: false, ways: Vec::new(), patience, listen: None }
    }

    pub async fn found(settings: &Settings) -> Report {
        let found = probe::run(settings.plan.clone(), Observers::default(), CancellationToken::new()).await;
        Report::new(found.snapshot, Some(found.end), settings)
    }

    #[tokio::test]
    async fn a_report_fits_its_schema() {
        let report = found(&settings(&["exec:true", "exec:exit 3", "tcp://127.0.0.1:1"], FailOn::Down)).await;
        let schema = serde_json::to_value(schemars::schema_for!(Report)).unwrap();
        let document = serde_json::to_value(&report).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let errors: Vec<_> =
            validator.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }

    #[tokio::test]
    async fn the_verdict_follows_from_the_states() {
        use State::{Degraded, Down, Unknown, Up};
        let cases = [
            (vec![Up, Up], FailOn::Down, Verdict::Good),
            (vec![Up, Degraded], FailOn::Down, Verdict::Good),
            (vec![Up, Degraded], FailOn::Degraded, Verdict::Bad),
            (vec![Up, Unknown], FailOn::Down, Verdict::Unknown),
            (vec![Down, Unknown], FailOn::Down, Verdict::Bad),
        ];
        let mut report = found(&settings(&["exec:true", "exec:true"], FailOn::Down)).await;
        for (states, fail_on, verdict) in cases {
            report.fail_on = fail_on;
            for (target, state) in report.targets.iter_mut().zip(&states) {
                target.state = *state;
            }
            assert_eq!((report.verdict(), report.exit()), (verdict, verdict.into()), "{states:?}");
        }
    }

    #[tokio::test]
    async fn what_was_waited_for_decides_alone() {
        let mut settings = settings(&["exec:false"], FailOn::Down);
        for (goal, verdict, exit) in
            [(Goal::Down, Verdict::Good, Exit::GOOD), (Goal::Answering, Verdict::Bad, Exit::WAIT_ENDED)]
        {
            settings.plan.until = Some(Until { goal, wait: Duration::from_secs(20) });
            let report = found(&settings).await;
            assert_eq!((report.verdict(), report.exit()), (verdict, exit));
            assert_eq!(report.cases()[0].outcome == Outcome::Pass, verdict == Verdict::Good);
        }
    }
}
