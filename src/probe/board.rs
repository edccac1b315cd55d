//! Has the books of all targets kept, publishes them, and decides when the run is over.
//!
//! One task owns all books, so there is nothing to lock; rounds send it messages and never wait for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::books::Books;
use super::call::Means;
use super::clock::Clock;
use super::flap::FlapRule;
use super::pace::{Pace, keep_pace};
use super::report::{Snapshot, State, StateChange};
use super::round::{FALLBACKS, Message, Retry, Runner};
use super::tally::Streaks;
use super::target::Target;
use crate::circuit::Trouble;

/// Everything that a run does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is probed, in parallel.
    pub targets: Vec<Target>,
    /// How they are reached.
    pub means: Means,
    /// How often.
    pub pace: Pace,
    /// How failed calls are repeated within a round.
    pub retry: Retry,
    /// When a target counts as up and as down.
    pub streaks: Streaks,
    /// When it counts as flapping.
    pub flapping: FlapRule,
    /// What to wait for.
    pub until: Option<Until>,
    /// A text for `sh -c`, run when a round was not good.
    pub fallback: Option<String>,
    /// The breakers only count when this is false.
    pub breaking: bool,
}

/// The end that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    /// What all targets must be.
    pub goal: Goal,
    /// For how long at most.
    pub wait: Duration,
}

/// What a target can be waited for to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Up, or degraded.
    Answering,
    /// Up and not degraded.
    Up,
    /// Down.
    Down,
}

impl Goal {
    /// `answering`, `up` or `down`.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Goal::Answering => "answering",
            Goal::Up => "up",
            Goal::Down => "down",
        }
    }

    /// Is a target in this state where it should be?
    #[must_use]
    pub fn holds(self, state: State) -> bool {
        match self {
            Goal::Answering => matches!(state, State::Up | State::Degraded),
            Goal::Up => state == State::Up,
            Goal::Down => state == State::Down,
        }
    }
}

/// Who looks on while it runs.
#[derive(Debug, Default)]
pub struct Observers {
    /// Gets all books whenever a round is over for all targets, and a few times per second.
    pub snapshots: Option<watch::Sender<Snapshot>>,
    /// Gets each change of how a target stands.
    pub changes: Option<UnboundedSender<StateChange>>,
    /// Gets what goes wrong with the store of shared breakers; of each target's once, until it answers again.
    pub troubles: Option<UnboundedSender<Trouble>>,
}

/// Why the run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All rounds are over.
    Finished,
    /// What was waited for is so.
    Reached,
    /// It was not so in time.
    WaitedOut,
    /// The shutdown token was cancelled.
    Interrupted,
}

/// What a run found out.
#[derive(Clone, Debug)]
pub struct Found {
    /// All books at the end.
    pub snapshot: Snapshot,
    /// Why it ended.
    pub end: End,
}

/// Live observers get the books at least this often, when there is something new.
const FRESH: Duration = Duration::from_millis(250);

/// Runs the plan to its end.
pub async fn run(plan: Plan, observers: Observers, shutdown: CancellationToken) -> Found {
    tokio::select! {
        () = plan.means.prepare(&plan.targets) => {}
        () = shutdown.cancelled() => {}
    }
    let clock = Clock::start();
    let stop = CancellationToken::new();
    let (sender, messages) = mpsc::unbounded_channel();
    let books = Books::new(&plan, observers.troubles.as_ref(), clock.now_ms());
    let mut board = Board { books, clock, observers, fresh: false };
    let mut runners = JoinSet::new();
    for (index, target) in plan.targets.iter().enumerate() {
        let runner = Arc::new(Runner {
            index,
            target: target.clone(),
            means: plan.means.clone(),
            front: board.books.front(index),
            retry: plan.retry,
            fallback: plan.fallback.clone(),
            fallbacks: Semaphore::new(FALLBACKS),
            clock,
            board: sender.clone(),
        });
        let round = move |number| runner.clone().round(number);
        runners.spawn(keep_pace(plan.pace, clock.started(), stop.clone(), round));
    }
    drop(sender);
    let end = board.keep(messages, &plan, &shutdown, &stop).await;
    for index in 0..plan.targets.len() {
        board.books.front(index).finish().await;
    }
    Found { snapshot: board.snapshot(), end }
}

struct Board {
    books: Books,
    clock: Clock,
    observers: Observers,
    /// Something was counted since the last snapshot.
    fresh: bool,
}

impl Board {
    /// Counts until the end, then stops all rounds and waits until they are gone.
    async fn keep(
        &mut self,
        mut messages: UnboundedReceiver<Message>,
        plan: &Plan,
        shutdown: &CancellationToken,
        stop: &CancellationToken,
    ) -> End {
        let live = self.observers.snapshots.is_some();
        let mut tick = interval(FRESH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let deadline = plan.until.and_then(|until| self.clock.started().checked_add(until.wait));
        let waited_out = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(waited_out);
        let end = loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break End::Interrupted,
                () = &mut waited_out => break End::WaitedOut,
                message = messages.recv() => match message {
                    None => break End::Finished,
                    Some(message) => self.count(message),
                },
                _ = tick.tick(), if live && self.fresh => self.publish(),
            }
            if plan.until.is_some_and(|until| self.books.states().all(|state| until.goal.holds(state))) {
                break End::Reached;
            }
        };
        stop.cancel();
        while let Some(message) = messages.recv().await {
            self.count(message);
        }
        end
    }

    fn count(&mut self, message: Message) {
        self.fresh = true;
        let counted = self.books.count(message, self.clock.now_ms());
        if let (Some(changes), Some(change)) = (&self.observers.changes, counted.change) {
            // Fails only when nobody listens any more.
            let _ = changes.send(change);
        }
        if counted.round_is_over {
            self.publish();
        }
    }

    fn publish(&mut self) {
        self.fresh = false;
        if let Some(snapshots) = &self.observers.snapshots {
            snapshots.send_replace(self.snapshot());
        }
    }

    fn snapshot(&self) -> Snapshot {
        self.books.snapshot(self.clock.now_ms())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::breaker::{Config, Phase};
    use crate::http::Trust;
    use crate::probe::expect::Expect;
    use crate::probe::target::Request;
    use crate::reason::Reason;

    pub fn plan(addresses: &[&str], count: Option<u64>) -> Plan {
        let target = |address: &&str| Target {
            name: (*address).to_owned(),
            address: address.parse().unwrap(),
            request: Request::default(),
            expect: Expect::default(),
            breaker: Config { timeout: Duration::from_secs(20), ..Config::default() },
            shared: None,
        };
        Plan {
            targets: addresses.iter().map(target).collect(),
            means: Means {
                trust: Trust::anyone(),
                overrides: Default::default(),
                proxies: Default::default(),
                family: None,
            },
            pace: Pace { count, interval: Duration::from_millis(1) },
            retry: Retry { most: 0, backoff: Duration::from_millis(1) },
            streaks: Streaks { up_after: 1, down_after: 1 },
            flapping: FlapRule { changes: 8, window: Duration::from_secs(300) },
            until: None,
            fallback: None,
            breaking: true,
        }
    }

    /// A listener that nobody needs to accept from, and a port where nobody listens.
    async fn open_and_closed() -> (TcpListener, String, String) {
        let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let url = format!("tcp://{}", open.local_addr().unwrap());
        (open, url, format!("tcp://{closed}"))
    }

    #[tokio::test]
    async fn every_round_of_every_target_is_counted() {
        let (_open, up, down) = open_and_closed().await;
        let (snapshots, seen) = watch::channel(Snapshot::default());
        let (changes, mut changed) = mpsc::unbounded_channel();
        let observers = Observers { snapshots: Some(snapshots), changes: Some(changes), troubles: None };
        let found = run(plan(&[&up, &down], Some(30)), observers, CancellationToken::new()).await;
        let [up, down] = &found.snapshot.targets[..] else { panic!("two targets") };
        assert_eq!((found.end, found.snapshot.rounds), (End::Finished, 30));
        assert_eq!((up.state, up.rounds, up.calls, up.ok), (State::Up, 30, 30, 30));
        assert_eq!((down.state, down.rounds, down.ok), (State::Down, 30, 0));
        assert_eq!(down.reasons.keys().collect::<Vec<_>>(), [&Reason::ConnectRefused]);
        assert_eq!(down.breaker.state, Some(Phase::Open));
        assert_eq!(down.breaker.requests + down.breaker.short_circuited, 30);
        assert_eq!(seen.borrow().rounds, 30);
        let mut states = Vec::new();
        while let Some(change) = changed.recv().await {
            states.push((change.from, change.to));
        }
        states.sort_unstable();
        use crate::probe::report::Standing::{Down, Unknown, Up};
        assert_eq!(states, [(Unknown, Up), (Unknown, Down)]);
    }

    #[tokio::test]
    async fn retries_and_fallback_belong_to_their_round() {
        let (_open, _, down) = open_and_closed().await;
        let mut plan = plan(&[&down], Some(2));
        plan.retry.most = 2;
        plan.fallback = Some("test \"$HARDY_REASON\" = connect.refused && exit 4".into());
        let found = run(plan, Observers::default(), CancellationToken::new()).await;
        let target = &found.snapshot.targets[0];
        assert_eq!((target.rounds, target.calls), (2, 6));
        let fallback = target.fallback.clone().unwrap();
        assert_eq!((fallback.runs, fallback.successes, fallback.failures), (2, 0, 2));
        assert_eq!(fallback.last_failure.unwrap(), "exit status: 4");
    }

    #[tokio::test]
    async fn fallbacks_that_take_long_do_not_pile_up() {
        let (_open, _, down) = open_and_closed().await;
        let mut plan = plan(&[&down], Some(30));
        plan.fallback = Some("sleep 2".into());
        let found = run(plan, Observers::default(), CancellationToken::new()).await;
        let fallback = found.snapshot.targets[0].fallback.clone().unwrap();
        assert_eq!((fallback.runs, fallback.rejected), (10, 20));
    }

    #[tokio::test]
    async fn a_breaker_that_only_counts_never_trips() {
        let (_open, _, down) = open_and_closed().await;
        let mut plan = plan(&[&down], Some(50));
        plan.breaking = false;
        let found = run(plan, Observers::default(), CancellationToken::new()).await;
        let breaker = &found.snapshot.targets[0].breaker;
        assert_eq!((breaker.enabled, breaker.state, breaker.requests), (false, Some(Phase::Closed), 50));
    }

    #[tokio::test]
    async fn waiting_ends_when_the_goal_is_reached_or_the_time_is_up() {
        let (_open, up, down) = open_and_closed().await;
        let until = |goal, ms| Some(Until { goal, wait: Duration::from_millis(ms) });
        let cases = [
            (vec![&up[..]], until(Goal::Up, 20_000), End::Reached),
            (vec![&down[..]], until(Goal::Down, 20_000), End::Reached),
            (vec![&up[..], &down[..]], until(Goal::Answering, 50), End::WaitedOut),
        ];
        for (addresses, until, end) in cases {
            let plan = Plan { until, ..plan(&addresses, None) };
            assert_eq!(run(plan, Observers::default(), CancellationToken::new()).await.end, end);
        }
    }

    #[tokio::test]
    async fn an_interruption_gives_running_calls_up() {
        let shutdown = CancellationToken::new();
        let stopper = shutdown.clone();
        let (snapshots, mut seen) = watch::channel(Snapshot::default());
        tokio::spawn(async move {
            let _ = seen.wait_for(|snapshot| snapshot.targets.iter().any(|t| t.breaker.in_flight > 0)).await;
            stopper.cancel();
        });
        let observers = Observers { snapshots: Some(snapshots), ..Observers::default() };
        let mut plan = plan(&["exec:sleep 60", "exec:true"], None);
        plan.pace.interval = Duration::from_millis(20);
        let found = run(plan, observers, shutdown).await;
        assert_eq!((found.end, found.snapshot.targets[0].calls), (End::Interrupted, 0));
        assert_eq!(found.snapshot.targets[0].breaker.in_flight, 0);
    }
}
