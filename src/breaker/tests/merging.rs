//! Merging: the order and the grouping do not matter, and counts add up.

use proptest::prelude::*;

use super::*;

/// A record some way into its life: `calls` are gaps between calls and whether each fails.
fn record(calls: &[(u16, bool)]) -> Hand {
    let mut hand =
        Hand::new(Config { trials: 3, request_volume: 3, cooldown: Duration::from_secs(1), ..steady() });
    for (gap, fails) in calls {
        if let Ok(ticket) = hand.wait((*gap).into()).ask() {
            // Every seventh stays in flight.
            if gap % 7 != 0 {
                hand.report(ticket, if *fails { Outcome::Failure } else { Outcome::Success });
            }
        }
    }
    hand
}

fn records() -> impl Strategy<Value = Hand> {
    prop::collection::vec((0u16..1500, prop::bool::weighted(0.3)), 0..40).prop_map(|calls| record(&calls))
}

fn merge(left: &State, right: &State) -> State {
    let mut merged = left.clone();
    merged.merge(right);
    merged
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_order_and_the_grouping_do_not_matter(a in records(), b in records(), c in records()) {
        let (a, b, c) = (a.state, b.state, c.state);
        prop_assert_eq!(merge(&a, &b), merge(&b, &a));
        prop_assert_eq!(merge(&merge(&a, &b), &c), merge(&a, &merge(&b, &c)));
    }

    #[test]
    fn counts_add_up(a in records(), b in records(), later in 0u64..5_000) {
        let merged = merge(&a.state, &b.state);
        let requests = |state: &State| state.totals().tally.requests();
        prop_assert_eq!(requests(&merged), requests(&a.state) + requests(&b.state));
        prop_assert_eq!(merged.in_flight(), a.state.in_flight() + b.state.in_flight());

        let now = a.now.max(b.now) + later;
        let window = |state: &State| state.window(&a.config, now).requests;
        let expected = match a.state.generation().cmp(&b.state.generation()) {
            std::cmp::Ordering::Less => window(&b.state),
            std::cmp::Ordering::Equal => window(&a.state) + window(&b.state),
            std::cmp::Ordering::Greater => window(&a.state),
        };
        prop_assert_eq!(window(&merged), expected);
    }
}

#[test]
fn the_later_generation_says_where_it_stands_and_what_counts() {
    let old = Hand::tripped(steady());
    let mut new = Hand::tripped(steady());
    new.wait(5_000).call(Outcome::Success);
    new.call(Outcome::Failure);
    let merged = merge(&old.state, &new.state);
    assert_eq!((merged.phase(), merged.generation()), (Phase::Closed, 3));
    assert_eq!(merged.window(&new.config, new.now).requests, 1, "twenty failures of before would trip it");
    assert_eq!(merged.totals().tally.failures, 41);
}

#[test]
fn of_one_generation_the_more_cautious_record_wins() {
    let closed = |outcome| {
        let mut hand = Hand::tripped(steady());
        hand.wait(5_000).call(outcome);
        hand.state
    };
    let (healthy, unhealthy) = (closed(Outcome::Success), closed(Outcome::Failure));
    assert_eq!(healthy.generation(), unhealthy.generation());
    assert_eq!(merge(&healthy, &unhealthy).phase(), Phase::Open);
}

#[test]
fn a_record_of_a_wrong_clock_does_not_hide_the_others() {
    let mut good = Hand::new(steady());
    (0..5).for_each(|_| assert_eq!(good.call(Outcome::Failure), None));
    let mut ahead = Hand::new(steady());
    ahead.wait(3_600_000).call(Outcome::Success);
    let merged = merge(&good.state, &ahead.state);
    assert_eq!(merged.window(&good.config, good.now).requests, 5);
}

#[test]
fn trials_that_run_anywhere_hold_their_permits() {
    let half_open = |after| {
        let mut hand = Hand::tripped(Config { trials: 2, ..steady() });
        hand.wait(after).ask().unwrap();
        hand
    };
    let (early, late) = (half_open(5_000), half_open(6_000));
    let merged = merge(&late.state, &early.state);
    assert_eq!(merged, merge(&early.state, &late.state));
    let mut hand = Hand { state: merged, ..late };
    assert_eq!(hand.ask(), short_circuited(1_000), "until the earlier of the two lapses");
}
