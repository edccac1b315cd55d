//! `--halt now|soon,fail|success|done=N|N%`: after which ends of jobs no other is started.

use std::fmt;
use std::str::FromStr;

/// When to stop, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Halt {
    /// Also what is under way is ended.
    pub now: bool,
    /// Which ends count.
    pub on: On,
    /// How many of them.
    pub after: After,
}

/// Ends that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Jobs that failed.
    Fail,
    /// Jobs that did not.
    Success,
    /// All.
    Done,
}

/// How many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum After {
    /// So many.
    Count(u64),
    /// That share of the jobs that have ended, once there are three.
    Percent(f64),
}

/// With fewer ends a share says nothing.
const FEW: u64 = 3;

impl Halt {
    /// Whether it is so far, with so many that went well and so many that failed.
    pub fn is_due(&self, ok: u64, failed: u64) -> bool {
        let ended = ok + failed;
        let counted = match self.on {
            On::Fail => failed,
            On::Success => ok,
            On::Done => ended,
        };
        match self.after {
            After::Count(count) => counted >= count,
            After::Percent(percent) => {
                ended >= FEW && counted > 0 && counted as f64 * 100.0 >= percent * ended as f64
            }
        }
    }
}

impl FromStr for Halt {
    type Err = String;

    fn from_str(text: &str) -> Result<Halt, String> {
        let form =
            || "expected now or soon, then fail, success or done and how many: `now,fail=1`, `soon,fail=10%`";
        let (when, rule) = text.split_once(',').ok_or_else(form)?;
        let (on, after) = rule.split_once('=').ok_or_else(form)?;
        let now = match when {
            "now" => true,
            "soon" => false,
            _ => return Err(form().into()),
        };
        let on = match on {
            "fail" => On::Fail,
            "success" => On::Success,
            "done" => On::Done,
            _ => return Err(form().into()),
        };
        let after = match after.strip_suffix('%') {
            Some(share) => share.parse().ok().filter(|p| (0.0..=100.0).contains(p)).map(After::Percent),
            None => after.parse().ok().filter(|count| *count > 0).map(After::Count),
        };
        Ok(Halt { now, on, after: after.ok_or("expected a number from 1 on, or a percentage up to 100%")? })
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.now { "now" } else { "soon" };
        let on = match self.on {
            On::Fail => "fail",
            On::Success => "success",
            On::Done => "done",
        };
        match self.after {
            After::Count(count) => write!(f, "{when},{on}={count}"),
            After::Percent(percent) => write!(f, "{when},{on}={percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_due(rule: &str, ok: u64, failed: u64) -> bool {
        rule.parse::<Halt>().unwrap().is_due(ok, failed)
    }

    #[test]
    fn rules_count_what_they_name() {
        assert!(!is_due("now,fail=2", 9, 1) && is_due("now,fail=2", 0, 2));
        assert!(!is_due("now,success=1", 0, 9) && is_due("now,success=1", 1, 9));
        assert!(!is_due("soon,done=3", 1, 1) && is_due("soon,done=3", 1, 2));
        // A share of fewer than three says nothing.
        assert!(!is_due("now,fail=10%", 0, 2) && is_due("now,fail=10%", 2, 1));
        assert!(!is_due("now,fail=50%", 3, 2) && is_due("now,fail=50%", 3, 3));
        assert!(!is_due("now,fail=0%", 9, 0) && is_due("now,fail=0%", 9, 1));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "now",
            "now,fail",
            "later,fail=1",
            "now,fall=1",
            "now,fail=0",
            "now,fail=101%",
            "now,fail=-1",
        ] {
            assert!(bad.parse::<Halt>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_prints_reads_back(now: bool, on in 0..3, count in 1u64.., percent in prop::option::of(0.0..=100.0)) {
            let on = [On::Fail, On::Success, On::Done][on as usize];
            let halt = Halt { now, on, after: percent.map_or(After::Count(count), After::Percent) };
            prop_assert_eq!(halt.to_string().parse::<Halt>(), Ok(halt));
        }

        #[test]
        fn once_due_more_of_the_same_keeps_it_due(ok in 0u64..50, failed in 0u64..50, percent in 0.0..=100.0) {
            let halt = Halt { now: true, on: On::Fail, after: After::Percent(percent) };
            prop_assert!(!halt.is_due(ok, failed) || halt.is_due(ok, failed + 1));
        }
    }
}
