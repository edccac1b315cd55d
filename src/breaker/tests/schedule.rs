//! Random schedules of calls, clocks and crashes: the breaker against the naive model, and what must
//! hold at every step of each.

use proptest::prelude::*;
use proptest::sample::Index;

use super::model::{Answer, Model};
use super::*;

#[derive(Clone, Debug)]
enum Op {
    Ask,
    Report {
        which: Index,
        outcome: Outcome,
        latency_ms: u64,
    },
    Forward(Millis),
    Back(Millis),
    /// The process dies: what it wrote remains, its calls are gone.
    Crash,
}

const HOUR: Millis = 3_600_000;

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Success),
        4 => Just(Outcome::Failure),
        1 => Just(Outcome::Timeout),
        1 => Just(Outcome::Excluded),
    ];
    let report = (any::<Index>(), outcome, 0u64..100).prop_map(|(which, outcome, latency_ms)| Op::Report {
        which,
        outcome,
        latency_ms,
    });
    let op = prop_oneof![
        12 => Just(Op::Ask),
        10 => report,
        4 => (0u64..400).prop_map(Op::Forward),
        4 => (500u64..12_000).prop_map(Op::Forward),
        1 => (0u64..4_000).prop_map(Op::Back),
        1 => prop_oneof![Just(Op::Forward(HOUR)), Just(Op::Back(HOUR))],
        1 => Just(Op::Crash),
    ];
    prop::collection::vec(op, 1..120)
}

fn configs() -> impl Strategy<Value = Config> {
    let trip = (
        prop::sample::select(vec![1u8, 33, 50, 100]),
        1u32..6,
        prop::option::of(Just(Duration::from_millis(50))),
    );
    let window = prop::sample::select(vec![(10_000u64, 10u32), (10_000, 3), (2_000, 2), (1_000, 1)]);
    let limits = (1u32..6, 1u32..4, prop::sample::select(vec![0u8, 10, 100]), any::<u64>());
    (trip, window, limits).prop_map(
        |((threshold, volume, slow), (window, buckets), (at_once, trials, jitter, seed))| Config {
            error_threshold_percent: threshold,
            request_volume: volume,
            slow,
            window: Duration::from_millis(window),
            buckets,
            max_concurrent: at_once,
            trials,
            jitter_percent: jitter,
            seed,
            cooldown: Duration::from_secs(2),
            cooldown_max: Duration::from_secs(9),
            ..Config::default()
        },
    )
}

/// A breaker and its model, and the calls that run.
struct Pair {
    hand: Hand,
    model: Model,
    held: Vec<(usize, Ticket)>,
    next_id: usize,
}

impl Pair {
    fn new(config: Config) -> Self {
        let mut hand = Hand::new(config);
        hand.now = 100 * HOUR;
        hand.state = State::new(&hand.config, hand.now);
        Self { model: Model::new(hand.config.clone(), hand.now), hand, held: Vec::new(), next_id: 0 }
    }

    fn apply(&mut self, op: &Op) {
        let before = self.hand.state.phase();
        match op {
            Op::Ask => self.ask(),
            Op::Report { which, outcome, latency_ms } if !self.held.is_empty() => {
                let (id, ticket) = self.held.swap_remove(which.index(self.held.len()));
                let latency = Duration::from_millis(*latency_ms);
                let entered =
                    self.hand.report_after(ticket, *outcome, latency).map(|transition| transition.to);
                assert_eq!(entered, self.model.report(id, *outcome, latency, self.hand.now));
                let closed = before != Phase::Closed && self.hand.state.phase() == Phase::Closed;
                assert!(
                    !closed || (ticket.is_trial() && *outcome == Outcome::Success),
                    "closed by {ticket:?}"
                );
            }
            Op::Report { .. } => {}
            Op::Forward(ms) => self.hand.now += ms,
            Op::Back(ms) => self.hand.now -= ms,
            Op::Crash => {
                let json = serde_json::to_string(&self.hand.state).unwrap();
                self.hand.state = serde_json::from_str(&json).unwrap();
                self.held.clear();
                self.model.crash();
            }
        }
        let after = self.hand.state.phase();
        assert!((before, after) != (Phase::Open, Phase::Closed), "open to closed without a trial");
        self.compare();
    }

    fn ask(&mut self) {
        self.next_id += 1;
        let expected = self.model.ask(self.next_id, self.hand.now);
        let answer = match self.hand.ask() {
            Err(Refusal::Rejected { .. }) => Answer::Full,
            Err(Refusal::ShortCircuited { retry_after }) => Answer::Wait(retry_after.as_millis() as u64),
            Ok(ticket) => {
                self.held.push((self.next_id, ticket));
                if ticket.is_trial() { Answer::Trial } else { Answer::Call }
            }
        };
        assert_eq!(answer, expected);
    }

    fn compare(&self) {
        let (state, model, now) = (&self.hand.state, &self.model, self.hand.now);
        assert_eq!((state.phase(), state.generation()), (model.phase, model.generation));
        assert_eq!((state.since(), state.reopen_count()), (model.since, model.reopened));
        assert_eq!(state.next_trial_in(now), model.next_trial_in(now).map(Duration::from_millis));
        let window = self.hand.window();
        let counts = [window.requests, window.successes, window.failures, window.timeouts, window.slow];
        assert_eq!(counts, model.window(now));
        assert!(window.span <= self.hand.config.window && window.error_percent <= 100.0);
        let totals = state.totals();
        assert_eq!((totals.tally.requests(), totals.excluded), (model.counted, model.excluded));
        assert_eq!(totals.short_circuited + totals.rejected, model.refused);
        assert_eq!((state.in_flight(), self.held.len()), (model.in_flight(), model.in_flight() as usize));
        assert!(state.in_flight() <= self.hand.config.max_concurrent);
        assert!(state.trials.len() as u32 <= self.hand.config.trials, "more permits than trials");
    }
}

/// If the process died here, and woke up with its clock off by `skew`: it would be let through after
/// the wait that it is told, which is no longer than a cooldown or a trial's lease, and could close again.
fn recovers(config: &Config, mut state: State, now: Millis) {
    state.in_flight = 0;
    let mut hand = Hand { config: config.clone(), state, now };
    let longest = config.longest_cooldown_ms().max(config.lease_ms());
    for _ in 0..=config.trials {
        let ticket = hand.ask().unwrap_or_else(|refusal| {
            let Refusal::ShortCircuited { retry_after } = refusal else { panic!("{refusal} without a call") };
            let wait = retry_after.as_millis() as u64;
            assert!(wait <= longest, "a wait of {wait} ms");
            hand.wait(wait).ask().expect("the wait was over")
        });
        hand.report(ticket, Outcome::Success);
        if hand.state.phase() == Phase::Closed {
            return;
        }
    }
    panic!("still {} after {} successes", hand.state.phase(), config.trials + 1);
}

/// How many schedules: `make soak` tries a hundred thousand.
#[expect(clippy::disallowed_methods, reason = "a setting of this test")]
fn cases() -> u32 {
    std::env::var("HARDY_SOAK_SCHEDULES").ok().and_then(|count| count.parse().ok()).unwrap_or(500)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn it_does_what_the_naive_model_does(config in configs(), ops in ops()) {
        let mut pair = Pair::new(config);
        ops.iter().for_each(|op| pair.apply(op));
    }

    #[test]
    fn it_recovers_from_a_crash_at_any_step_with_any_clock(config in configs(), ops in ops()) {
        let mut pair = Pair::new(config);
        for op in &ops {
            pair.apply(op);
            for now in [pair.hand.now - HOUR, pair.hand.now, pair.hand.now + HOUR] {
                recovers(&pair.hand.config, pair.hand.state.clone(), now);
            }
        }
    }

    #[test]
    fn no_record_however_wrong_panics_or_wedges(
        config in configs(),
        phase in prop::sample::select(vec!["closed", "open", "half_open"]),
        numbers in prop::array::uniform12(prop_oneof![Just(0), Just(u64::MAX), 0u64..1_000_000_000]),
        small in prop::array::uniform3(prop_oneof![Just(0), Just(u32::MAX), 0u32..20]),
        now in prop_oneof![Just(0u64), Just(u64::MAX - 1_000_000), 0u64..1_000_000_000],
    ) {
        let n = |place: usize| numbers[place];
        let tally = serde_json::json!({"successes": n(0), "failures": n(1), "timeouts": n(2), "slow": n(3)});
        let record = serde_json::json!({
            "schema": 1, "generation": n(4), "phase": phase, "since_ms": n(5), "until_ms": n(6), "reopen_count": small[0],
            "window": {"bucket_ms": n(7), "len": small[1], "from_ms": n(8), "buckets": [
                {"number": n(9), "tally": tally}, {"number": n(10), "tally": tally}, {"number": n(9), "tally": tally},
            ]},
            "totals": {"tally": tally, "excluded": n(0), "short_circuited": n(1), "rejected": n(2)},
            "trial_successes": small[2], "trials": [{"number": n(11), "until_ms": n(10)}, {"number": 0, "until_ms": n(11)}],
            "trials_granted": n(11),
        });
        let state: State = serde_json::from_value(record).unwrap();
        let mut merged = state.clone();
        merged.merge(&state);
        for state in [state, merged] {
            state.window(&config, now);
            state.next_trial_in(now);
            recovers(&config, state, now);
        }
    }
}
