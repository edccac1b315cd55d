//! What the phases do, step by step.

use super::*;

#[test]
fn it_trips_at_the_volume_and_the_threshold_and_not_before() {
    let mut hand = Hand::new(steady());
    for _ in 0..19 {
        assert_eq!(hand.call(Outcome::Failure), None, "below the request volume");
    }
    let transition = hand.call(Outcome::Success).unwrap();
    assert_eq!((transition.from, transition.to, transition.at), (Phase::Closed, Phase::Open, hand.now));
    assert_eq!(transition.why, Why::Tripped { failed: 19, requests: 20 });

    let mut hand = Hand::new(steady());
    (0..11).for_each(|_| assert_eq!(hand.call(Outcome::Success), None));
    (0..10).for_each(|_| assert_eq!(hand.call(Outcome::Timeout), None, "10 of 21 are less than half"));
    assert!(hand.call(Outcome::Timeout).is_some(), "11 of 22 are half");
}

#[test]
fn what_left_the_window_no_longer_counts() {
    let mut hand = Hand::new(steady());
    (0..19).for_each(|_| assert_eq!(hand.call(Outcome::Failure), None));
    hand.wait(10_000);
    (0..19).for_each(|_| assert_eq!(hand.call(Outcome::Failure), None));
    assert_eq!(hand.window().requests, 19);
    assert!(hand.call(Outcome::Failure).is_some());
}

#[test]
fn the_whole_way_round() {
    let mut hand = Hand::tripped(steady());
    assert_eq!(hand.ask(), short_circuited(5_000));
    assert_eq!(hand.wait(4_999).ask(), short_circuited(1));
    assert_eq!(hand.state.next_trial_in(hand.now), Some(Duration::from_millis(1)));
    hand.wait(1);
    assert_eq!((hand.state.phase(), hand.state.next_trial_in(hand.now)), (Phase::Open, Some(Duration::ZERO)));

    let trial = hand.ask().unwrap();
    assert!(trial.is_trial());
    assert_eq!((hand.state.phase(), hand.state.next_trial_in(hand.now)), (Phase::HalfOpen, None));
    assert_eq!(hand.ask(), short_circuited(2_000), "until the permit of the trial lapses");
    let transition = hand.report(trial, Outcome::Success).unwrap();
    assert_eq!((transition.from, transition.to), (Phase::HalfOpen, Phase::Closed));
    assert_eq!((hand.window().requests, hand.state.generation()), (0, 3));
    assert_eq!(hand.state.totals().short_circuited, 3);
}

#[test]
fn a_failed_trial_opens_for_longer_and_a_close_forgets_that() {
    let mut hand = Hand::tripped(steady());
    for (cooldown, why, outcome) in [
        (5_000, Why::TrialFailed, Outcome::Failure),
        (10_000, Why::TrialTimedOut, Outcome::Timeout),
        (20_000, Why::TrialFailed, Outcome::Failure),
        (40_000, Why::TrialFailed, Outcome::Failure),
        (60_000, Why::TrialFailed, Outcome::Failure),
        (60_000, Why::TrialFailed, Outcome::Failure),
    ] {
        assert_eq!(hand.ask(), short_circuited(cooldown));
        assert_eq!(hand.wait(cooldown).call(outcome).map(|transition| transition.why), Some(why));
    }
    assert_eq!(hand.state.reopen_count(), 6);
    hand.wait(60_000).call(Outcome::Success);
    assert_eq!((hand.state.phase(), hand.state.reopen_count()), (Phase::Closed, 0));
    while hand.state.phase() == Phase::Closed {
        hand.call(Outcome::Failure);
    }
    assert_eq!(hand.ask(), short_circuited(5_000));
}

#[test]
fn as_many_trials_as_needed_and_no_more() {
    let mut hand = Hand::tripped(Config { trials: 3, ..steady() });
    hand.wait(5_000);
    let trials: Vec<Ticket> = (0..3).map(|_| hand.ask().unwrap()).collect();
    assert_eq!(hand.ask(), short_circuited(2_000));
    assert_eq!(hand.report(trials[0], Outcome::Success), None);
    assert_eq!(hand.ask(), short_circuited(2_000), "the first is not repeated");
    assert_eq!(hand.report(trials[1], Outcome::Excluded), None);
    let replacement = hand.ask().unwrap();
    assert_eq!(hand.report(replacement, Outcome::Success), None);
    assert_eq!(hand.report(trials[2], Outcome::Success).map(|transition| transition.to), Some(Phase::Closed));
}

#[test]
fn one_failure_among_the_trials_decides() {
    let mut hand = Hand::tripped(Config { trials: 2, ..steady() });
    hand.wait(5_000);
    let (first, second) = (hand.ask().unwrap(), hand.ask().unwrap());
    assert_eq!(hand.report(first, Outcome::Success), None);
    assert_eq!(hand.report(second, Outcome::Failure).map(|transition| transition.to), Some(Phase::Open));
}

#[test]
fn an_excluded_trial_decides_nothing_and_frees_its_permit() {
    let mut hand = Hand::tripped(steady());
    assert_eq!(hand.wait(5_000).call(Outcome::Excluded), None);
    assert_eq!(hand.state.phase(), Phase::HalfOpen);
    assert_eq!(hand.call(Outcome::Success).map(|transition| transition.to), Some(Phase::Closed));
}

#[test]
fn a_trial_that_is_never_reported_is_replaced_and_then_decides_nothing() {
    let mut hand = Hand::tripped(steady());
    let lost = hand.wait(5_000).ask().unwrap();
    assert_eq!(hand.wait(1_999).ask(), short_circuited(1));
    let replacement = hand.wait(1).ask().unwrap();
    assert!(replacement.is_trial());
    assert_eq!(hand.report(lost, Outcome::Failure), None);
    assert_eq!(hand.state.phase(), Phase::HalfOpen);
    assert_eq!(
        hand.report(replacement, Outcome::Success).map(|transition| transition.to),
        Some(Phase::Closed)
    );
}

#[test]
fn slow_successes_trip_when_asked_to_and_stay_successes() {
    let mut hand = Hand::new(Config { slow: Some(Duration::from_millis(100)), ..steady() });
    for _ in 0..20 {
        let ticket = hand.ask().unwrap();
        hand.report_after(ticket, Outcome::Success, Duration::from_millis(101));
    }
    assert_eq!(hand.state.phase(), Phase::Open);
    let window = hand.window();
    assert_eq!((window.successes, window.slow, window.failures), (20, 20, 0));
    let trial = hand.wait(5_000).ask().unwrap();
    let transition = hand.report_after(trial, Outcome::Success, Duration::from_secs(1)).unwrap();
    assert_eq!((transition.to, transition.why), (Phase::Open, Why::TrialSlow));
}

#[test]
fn a_clock_set_back_neither_wedges_nor_lengthens_the_cooldown() {
    let mut hand = Hand::tripped(steady());
    hand.now -= 900_000;
    assert_eq!(hand.state.next_trial_in(hand.now), Some(Duration::from_secs(5)));
    assert_eq!(hand.ask(), short_circuited(5_000));
    let trial = hand.wait(5_000).ask().unwrap();
    hand.now -= 90_000;
    assert_eq!(hand.ask(), short_circuited(2_000));
    assert_eq!(hand.report(trial, Outcome::Success).map(|transition| transition.to), Some(Phase::Closed));
}

#[test]
fn a_restored_state_past_its_cooldown_is_tried_at_the_next_ask() {
    let mut hand = Hand::tripped(steady());
    let json = serde_json::to_string(&hand.state).unwrap();
    hand.state = serde_json::from_str(&json).unwrap();
    assert_eq!(hand.ask(), short_circuited(5_000), "the restart did not lengthen or shorten it");
    assert!(hand.wait(86_400_000).ask().unwrap().is_trial());
}

#[test]
fn a_config_with_other_buckets_starts_an_empty_window_and_keeps_the_rest() {
    let mut hand = Hand::new(steady());
    (0..19).for_each(|_| assert_eq!(hand.call(Outcome::Failure), None));
    hand.config.request_volume = 30;
    assert_eq!(hand.window().requests, 19, "another volume does not touch the window");
    hand.config.window = Duration::from_secs(60);
    assert_eq!(hand.window().requests, 0);
    hand.call(Outcome::Failure);
    assert_eq!((hand.window().requests, hand.state.totals().tally.failures), (1, 20));
}

#[test]
fn the_persisted_form_is_small_and_refuses_another_schema() {
    let mut hand = Hand::new(Config { request_volume: 1_000_000, ..steady() });
    (0..1000).for_each(|_| assert_eq!(hand.wait(100).call(Outcome::Failure), None));
    let json = serde_json::to_string(&hand.state).unwrap();
    assert!(json.len() < 2048, "{} bytes: {json}", json.len());
    let error = serde_json::from_str::<State>(&json.replace(r#""schema":1"#, r#""schema":2"#)).unwrap_err();
    assert!(error.to_string().starts_with("breaker schema 2 is not known, only 1"), "{error}");
}
