//! Many callers with clocks of their own and one record, as bytes: what must hold whatever they do, and whenever one
//! of them dies.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use super::record::{Admission, Caller, Record};
use super::*;
use crate::breaker::{Config, Outcome, Phase, Refusal, Tally, Totals};

const HOUR: u64 = 3_600_000;
const START: u64 = 100 * HOUR;

fn config() -> Config {
    Config { request_volume: 4, jitter_percent: 0, cooldown: Duration::from_secs(2), ..Config::default() }
}

fn terms() -> Terms {
    Terms::of(config())
}

/// The record as it is kept, and the true time.
struct World {
    bytes: Option<Vec<u8>>,
    now: u64,
    clocks: BTreeMap<&'static str, i64>,
}

impl World {
    fn new() -> World {
        World { bytes: None, now: START, clocks: BTreeMap::new() }
    }

    fn step<T>(
        &mut self,
        host: &'static str,
        terms: &Terms,
        make: impl FnOnce(&mut Record, Caller<'_>) -> T,
    ) -> T {
        let wall = self.now.saturating_add_signed(self.clocks.get(host).copied().unwrap_or(0));
        let caller = Caller { host, terms, wall };
        let mut record =
            self.bytes.as_deref().map_or_else(|| Record::new(caller), |bytes| Record::parse(bytes).unwrap());
        let value = make(&mut record, caller);
        self.bytes = Some(record.bytes());
        value
    }

    fn ask(&mut self, host: &'static str, terms: &Terms) -> Result<Admission, Refusal> {
        self.step(host, terms, |record, caller| record.ask(caller))
    }

    fn report(&mut self, host: &'static str, terms: &Terms, admission: Admission, outcome: Outcome) {
        self.step(host, terms, |record, caller| {
            record.report(caller, admission, outcome, Duration::from_millis(1))
        });
    }

    fn call(&mut self, host: &'static str, terms: &Terms, outcome: Outcome) -> bool {
        let Ok(admission) = self.ask(host, terms) else { return false };
        self.report(host, terms, admission, outcome);
        true
    }

    fn record(&self) -> Record {
        Record::parse(self.bytes.as_deref().unwrap()).unwrap()
    }

    fn phase(&self) -> Phase {
        self.record().state.phase()
    }
}

#[test]
fn two_callers_share_what_both_have_seen() {
    let mut world = World::new();
    for host in ["a", "b", "a", "b"] {
        assert!(world.call(host, &terms(), Outcome::Failure));
    }
    assert!(matches!(world.ask("a", &terms()), Err(Refusal::ShortCircuited { .. })));
    world.now += 2_000;
    let trial = world.ask("b", &terms()).unwrap();
    world.ask("a", &terms()).unwrap_err();
    world.report("b", &terms(), trial, Outcome::Success);
    assert_eq!(world.phase(), Phase::Closed);
    let moments = world.record().moments;
    let told: Vec<_> = moments.iter().map(|m| (m.transition.to, m.by.as_str())).collect();
    assert_eq!(told, [(Phase::Open, "b"), (Phase::HalfOpen, "b"), (Phase::Closed, "b")]);
}

#[test]
fn places_are_shared_and_lapse_with_their_holder() {
    let terms = Terms::of(Config { max_concurrent: 2, ..config() });
    let mut world = World::new();
    let (first, _crashed) = (world.ask("a", &terms).unwrap(), world.ask("b", &terms).unwrap());
    assert!(matches!(world.ask("b", &terms), Err(Refusal::Rejected { in_flight: 2, limit: 2 })));
    world.report("a", &terms, first, Outcome::Success);
    let _third = world.ask("a", &terms).unwrap();
    world.ask("a", &terms).unwrap_err();
    world.now += 2_000;
    world.ask("a", &terms).unwrap();
    assert_eq!(world.record().lost, 2);
}

#[test]
fn a_late_report_is_no_lost_one() {
    let mut world = World::new();
    let late = world.ask("a", &terms()).unwrap();
    world.now += 10_000;
    world.call("a", &terms(), Outcome::Success);
    assert_eq!(world.record().lost, 1);
    world.report("a", &terms(), late, Outcome::Success);
    assert_eq!((world.record().lost, world.record().state.totals().tally.successes), (0, 2));
}

#[test]
fn without_a_quorum_one_bad_host_trips_nothing() {
    let terms = Terms { quorum: 2, ..terms() };
    let mut world = World::new();
    for _ in 0..50 {
        assert!(world.call("bad", &terms, Outcome::Failure));
    }
    assert!(world.call("good", &terms, Outcome::Success), "one alone sees it failing");
    assert!(world.call("other", &terms, Outcome::Failure), "the second one does");
    world.ask("good", &terms).unwrap_err();
    // Half-open, one success is enough, and both have to see it failing again.
    world.now += 2_000;
    assert!(world.call("bad", &terms, Outcome::Success));
    assert_eq!(world.phase(), Phase::Closed);
    for _ in 0..50 {
        assert!(world.call("bad", &terms, Outcome::Failure));
    }
}

#[test]
fn hosts_an_hour_apart_share_a_window_and_a_cooldown() {
    for offset in [HOUR as i64, -(HOUR as i64), 100 * 24 * HOUR as i64] {
        let mut world = World::new();
        world.clocks.insert("odd", offset);
        for host in ["a", "odd"].into_iter().cycle().take(2) {
            world.call(host, &terms(), Outcome::Success);
            world.now += 10;
        }
        let mut calls = 0;
        while world.call(["a", "odd"][calls % 2], &terms(), Outcome::Failure) {
            calls += 1;
            world.now += 10;
            assert!(calls < 20, "never trips with a clock off by {offset} ms");
        }
        assert_eq!(world.phase(), Phase::Open);
        world.now += 2_000;
        for host in ["odd", "a"] {
            assert!(world.call(host, &terms(), Outcome::Success), "{host} waits longer, {offset}");
        }
        assert_eq!(world.phase(), Phase::Closed);
        assert_eq!(world.record().lost, 0);
    }
}

#[test]
fn each_caller_goes_by_its_own_numbers_and_the_window_is_the_records() {
    let strict = Terms::of(Config { request_volume: 2, window: Duration::from_secs(60), ..config() });
    let lax = Terms::of(Config { request_volume: 100, ..config() });
    let mut world = World::new();
    for _ in 0..20 {
        assert!(world.call("a", &lax, Outcome::Failure), "its own volume");
    }
    let window = |world: &World, config: &Config| {
        let state = world.record().state;
        state.window(&state.with_geometry(config), world.now)
    };
    assert_eq!(window(&world, &config()).requests, 20);
    assert!(world.call("a", &strict, Outcome::Failure), "the report trips, not the ask");
    assert_eq!(world.phase(), Phase::Open);
    let numbers: Vec<_> = world.record().settings.iter().map(|used| used.numbers.volume).collect();
    assert_eq!(numbers, [2, 100]);
    // Empty again, the window is that of whoever comes first.
    world.now += HOUR;
    world.call("a", &strict, Outcome::Success);
    world.call("a", &strict, Outcome::Success);
    world.now += 30_000;
    assert_eq!(window(&world, &config()).requests, 1, "counted for a minute");
}

#[test]
fn an_operator_has_the_last_word_until_its_time_is_over() {
    let mut world = World::new();
    let force = |world: &mut World, phase, span| {
        world.step("ops", &terms(), |record, caller| record.force(caller, phase, span, None));
    };
    force(&mut world, Phase::Open, Some(600_000));
    let Err(Refusal::ShortCircuited { retry_after }) = world.ask("a", &terms()) else {
        panic!("let through")
    };
    assert_eq!(retry_after, Duration::from_secs(600));
    world.now += 599_999;
    world.ask("a", &terms()).unwrap_err();
    world.now += 1;
    assert!(world.call("a", &terms(), Outcome::Success), "a trial");
    assert_eq!((world.phase(), world.record().forced), (Phase::Closed, None));
    force(&mut world, Phase::Closed, None);
    for _ in 0..50 {
        assert!(world.call("a", &terms(), Outcome::Failure));
    }
    force(&mut world, Phase::Open, None);
    world.now += 1000 * HOUR;
    world.ask("a", &terms()).unwrap_err();
    world.step("ops", &terms(), |record, caller| record.reset(caller));
    assert!(world.call("a", &terms(), Outcome::Success));
    assert_eq!(world.record().state.totals().tally.requests(), 1);
}

#[test]
fn fallbacks_have_places_of_their_own() {
    let terms = Terms { fallbacks: 2, ..terms() };
    let mut world = World::new();
    let place = |world: &mut World| world.step("a", &terms, |record, caller| record.fall_back(caller));
    let first = place(&mut world).unwrap();
    place(&mut world).unwrap();
    assert_eq!(place(&mut world), None);
    world.step("a", &terms, |record, caller| record.fell_back(caller, first, true));
    place(&mut world).unwrap();
    world.now += 2_000;
    place(&mut world).unwrap();
    let counts = world.record().fallback;
    assert_eq!((counts.successes, counts.failures, counts.rejected), (1, 0, 1));
}

fn failures(failures: u64, may_trip: bool) -> Bulk {
    let tally = Tally { failures, ..Tally::default() };
    Bulk { calls: Totals { tally, ..Totals::default() }, may_trip, ..Bulk::default() }
}

#[test]
fn calls_that_were_not_asked_for_count_as_any_other() {
    let mut world = World::new();
    let add = |world: &mut World, host, terms: &Terms, bulk: Bulk| {
        world.step(host, terms, |record, caller| record.add(caller, &bulk));
    };
    add(&mut world, "a", &terms(), failures(100, false));
    assert_eq!(world.phase(), Phase::Closed, "they may not trip it");
    let generation = world.record().state.generation();
    add(&mut world, "a", &Terms { quorum: 2, ..terms() }, failures(100, true));
    assert_eq!(world.phase(), Phase::Closed, "one host alone sees it failing");
    add(&mut world, "b", &Terms { quorum: 2, ..terms() }, failures(1, true));
    assert_eq!(world.phase(), Phase::Open);
    add(&mut world, "a", &terms(), Bulk { lost: 7, ..failures(0, true) });
    let record = world.record();
    assert_eq!((record.state.totals().tally.failures, record.lost), (201, 7));
    world.now += 2_000;
    add(&mut world, "a", &terms(), failures(1, true));
    assert_eq!(world.phase(), Phase::Open, "no trial is among them");
    assert!(world.call("b", &terms(), Outcome::Success), "a trial");
    add(&mut world, "a", &terms(), Bulk { generation: Some(generation), ..failures(100, true) });
    assert_eq!(world.phase(), Phase::Closed, "they were sent before");
    assert_eq!(world.record().state.totals().tally.failures, 302);
    add(&mut world, "a", &terms(), failures(3, true));
    assert_eq!(world.phase(), Phase::Closed);
    add(&mut world, "a", &terms(), failures(1, true));
    assert_eq!(world.phase(), Phase::Open);
}

#[derive(Clone, Debug)]
enum Op {
    Ask(usize),
    Report {
        which: Index,
        outcome: Outcome,
    },
    /// The caller dies with its call.
    Crash(Index),
    Pass(u64),
    /// Somebody sets a clock.
    Set(usize, i64),
    Force(bool, u64),
}

const HOSTS: [&str; 3] = ["a", "b", "c"];

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let outcome =
        prop::sample::select(vec![Outcome::Success, Outcome::Failure, Outcome::Timeout, Outcome::Excluded]);
    let report = (any::<Index>(), outcome).prop_map(|(which, outcome)| Op::Report { which, outcome });
    let clock = prop_oneof![Just(0), Just(HOUR as i64), Just(-(HOUR as i64)), -5_000_i64..5_000];
    let op = prop_oneof![
        12 => (0..HOSTS.len()).prop_map(Op::Ask),
        10 => report,
        1 => any::<Index>().prop_map(Op::Crash),
        5 => prop_oneof![0_u64..400, 500_u64..12_000].prop_map(Op::Pass),
        1 => (0..HOSTS.len(), clock).prop_map(|(host, clock)| Op::Set(host, clock)),
        1 => (any::<bool>(), 1_u64..20_000).prop_map(|(open, span)| Op::Force(open, span)),
    ];
    prop::collection::vec(op, 1..80)
}

/// All calls that were let through are in exactly one place.
fn balances(world: &World, admitted: u64) {
    let record = world.record();
    let totals = record.state.totals();
    let counted = totals.tally.requests() + totals.excluded + record.lost + record.running(0) as u64;
    assert_eq!(counted, admitted, "{record:?}");
}

/// With nobody left, a host is let through after at most its cooldown, or what an operator said, and can close it.
fn recovers(world: &World, terms: &Terms, host: &'static str) {
    let mut world = World { bytes: world.bytes.clone(), now: world.now, clocks: world.clocks.clone() };
    let mut waited = Duration::ZERO;
    let longest = terms.config.cooldown_max.max(Duration::from_secs(20)) * 2;
    for _ in 0..6 {
        match world.ask(host, terms) {
            Ok(admission) => world.report(host, terms, admission, Outcome::Success),
            Err(Refusal::ShortCircuited { retry_after }) => {
                waited += retry_after;
                assert!(waited <= longest, "{host} waits {waited:?}");
                world.now += u64::try_from(retry_after.as_millis()).unwrap();
            }
            // A place of one who died lapses, too.
            Err(Refusal::Rejected { .. }) => world.now += 2_000,
        }
    }
    assert_eq!(world.phase(), Phase::Closed, "{host}: {:?}", world.record());
}

/// How many: each of them costs as much as hundreds of the schedules of the breaker alone, of which `make soak` tries a
/// hundred thousand.
#[expect(clippy::disallowed_methods, reason = "a setting of this test")]
fn cases() -> u32 {
    let schedules = std::env::var("HARDY_SOAK_SCHEDULES").ok().and_then(|count| count.parse::<u32>().ok());
    schedules.map_or(100, |count| count / 50)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn whatever_dies_when_it_recovers_and_every_call_is_somewhere(ops in ops(), quorum in 1_u32..3, at_once in 1_u32..5) {
        let config = Config { max_concurrent: at_once, cooldown_max: Duration::from_secs(9), ..config() };
        let terms = Terms { quorum, ..Terms::of(config) };
        let (mut world, mut held, mut admitted) = (World::new(), Vec::new(), 0);
        for (number, op) in ops.into_iter().enumerate() {
            match op {
                Op::Ask(host) => {
                    let before = world.bytes.as_ref().map(|_| world.phase());
                    if let Ok(admission) = world.ask(HOSTS[host], &terms) {
                        admitted += 1;
                        held.push((HOSTS[host], admission));
                        prop_assert!(before != Some(Phase::Open) || admission.ticket.is_trial());
                    }
                    prop_assert!(before != Some(Phase::Open) || world.phase() != Phase::Closed);
                    let record = world.record();
                    prop_assert!(record.running(0) <= at_once as usize && record.state.trials_at(0) <= 1);
                }
                Op::Report { which, outcome } if !held.is_empty() => {
                    let (host, admission) = held.swap_remove(which.index(held.len()));
                    let before = world.phase();
                    world.report(host, &terms, admission, outcome);
                    let closed = before != Phase::Closed && world.phase() == Phase::Closed;
                    prop_assert!(!closed || (admission.ticket.is_trial() && outcome == Outcome::Success));
                }
                Op::Crash(which) if !held.is_empty() => drop(held.swap_remove(which.index(held.len()))),
                Op::Report { .. } | Op::Crash(_) => {}
                Op::Pass(time) => world.now += time,
                Op::Set(host, clock) => drop(world.clocks.insert(HOSTS[host], clock)),
                Op::Force(open, span) => {
                    let phase = if open { Phase::Open } else { Phase::Closed };
                    world.step("a", &terms, |record, caller| record.force(caller, phase, Some(span), None));
                }
            }
            if world.bytes.is_some() {
                balances(&world, admitted);
                recovers(&world, &terms, HOSTS[number % HOSTS.len()]);
            }
        }
    }

    #[test]
    fn no_bytes_are_a_reason_to_panic(cut in any::<Index>(), at in any::<Index>(), byte: u8, now: u64) {
        let mut world = World::new();
        world.call("a", &terms(), Outcome::Failure);
        world.ask("b", &terms()).unwrap();
        let mut bytes = world.bytes.unwrap();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            if let Some(mut record) = Record::parse(bytes) {
                let terms = terms();
                let caller = Caller { host: "a", terms: &terms, wall: now };
                let _ = record.ask(caller);
                let _ = record.fall_back(caller);
                let _ = record.recent.view(now);
            }
        }
    }
}
