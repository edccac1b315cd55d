//! When a target changes so often that a single change says nothing any more: it flaps.
//!
//! It begins to flap when its state has changed as often as the rule says within the rule's window, and has settled
//! once the window holds fewer than half as many changes. Pure: time comes in as an argument.

use std::collections::VecDeque;
use std::time::Duration;

/// What is too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlapRule {
    /// So many changes within the window are too many; 0: none are.
    pub changes: u32,
    /// How far back changes count.
    pub window: Duration,
}

/// The latest changes of one target, as many as the rule needs.
#[derive(Debug, Default)]
pub struct Flaps {
    latest: VecDeque<u64>,
    total: u64,
    since: Option<u64>,
}

impl Flaps {
    /// The state has changed.
    pub fn note(&mut self, now_ms: u64, rule: FlapRule) {
        self.total += 1;
        self.latest.push_back(now_ms);
        if self.latest.len() > rule.changes as usize {
            self.latest.pop_front();
        }
    }

    /// Does it flap? To be asked whenever its state was looked at.
    pub fn judge(&mut self, now_ms: u64, rule: FlapRule) -> bool {
        let window = rule.window.as_millis();
        while self.latest.front().is_some_and(|at| u128::from(now_ms.saturating_sub(*at)) >= window) {
            self.latest.pop_front();
        }
        let (count, many) = (self.latest.len() as u64, u64::from(rule.changes));
        let flaps = many > 0 && (count >= many || (self.since.is_some() && count * 2 >= many));
        self.since = flaps.then(|| self.since.unwrap_or(now_ms));
        flaps
    }

    /// All changes so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Since when it flaps, and how many changes the window held when it was judged last.
    pub fn flapping(&self) -> Option<(u64, u64)> {
        Some((self.since?, self.latest.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULE: FlapRule = FlapRule { changes: 6, window: Duration::from_secs(60) };

    /// Judged every second up to `end`, with changes at `changes`; the seconds at which it began and ceased to flap.
    fn turns(rule: FlapRule, changes: &[u64], end: u64) -> Vec<(u64, bool)> {
        let (mut flaps, mut was, mut turns) = (Flaps::default(), false, Vec::new());
        for second in 0..end {
            if changes.contains(&second) {
                flaps.note(second * 1000, rule);
            }
            let is = flaps.judge(second * 1000, rule);
            if std::mem::replace(&mut was, is) != is {
                turns.push((second, is));
            }
        }
        assert_eq!(flaps.total(), changes.len() as u64);
        turns
    }

    #[test]
    fn it_begins_with_the_sixth_change_and_ends_when_fewer_than_three_are_left() {
        assert_eq!(turns(RULE, &[0, 1, 2, 3, 4], 300), []);
        assert_eq!(turns(RULE, &[0, 1, 2, 3, 4, 5], 300), [(5, true), (63, false)]);
        assert_eq!(turns(RULE, &[0, 12, 24, 36, 48, 60], 300), [], "the first is a minute ago");
        assert_eq!(turns(RULE, &[0, 11, 22, 33, 44, 55], 300), [(55, true), (93, false)]);
    }

    #[test]
    fn one_long_unrest_is_one_flapping() {
        let changes: Vec<u64> = (0..100).map(|n| n * 20).collect();
        assert_eq!(turns(RULE, &changes, 3000), [], "three a minute are few");
        let mut restless: Vec<u64> = (0..5).collect();
        restless.extend(&changes[1..]);
        assert_eq!(turns(RULE, &restless, 3000), [(20, true), (2000, false)]);
    }

    #[test]
    fn no_rule_no_flapping() {
        let rule = FlapRule { changes: 0, ..RULE };
        assert_eq!(turns(rule, &(0..200).collect::<Vec<_>>(), 300), []);
    }

    proptest! {
        #[test]
        fn it_agrees_with_who_keeps_every_change(
            gaps in prop::collection::vec(0u64..40_000, 0..200),
            many in 2u32..9,
        ) {
            let rule = FlapRule { changes: many, ..RULE };
            let (mut flaps, mut all, mut flapping, mut now) = (Flaps::default(), Vec::new(), false, 0);
            for gap in gaps {
                now += gap;
                if !gap.is_multiple_of(3) {
                    flaps.note(now, rule);
                    all.push(now);
                }
                let count = all.iter().filter(|at| now - **at < 60_000).count() as u32;
                flapping = count >= many || (flapping && count * 2 >= many);
                prop_assert_eq!(flaps.judge(now, rule), flapping);
                prop_assert!(flaps.latest.len() <= many as usize);
            }
        }
    }
}
