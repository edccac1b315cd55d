//! Which exit codes are the target's failures.

use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::breaker::Outcome;
use crate::circuit::run::Ended;
use crate::process::Status;

/// A set of exit codes, such as `1-125` or `2,64-78`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitCodes(Vec<RangeInclusive<u8>>);

impl FromStr for ExitCodes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "expected exit codes such as 1-125 or 2,64-78";
        let code = |text: &str| text.trim().parse::<u8>().map_err(|_| FORM);
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (code(first)?, code(last)?);
            if first == 0 { Err("exit code 0 is never a failure") } else { Ok(first..=last) }
        };
        let ranges = text.split(',').map(range).collect::<Result<Vec<_>, _>>()?;
        if ranges.iter().any(RangeInclusive::is_empty) { Err(FORM) } else { Ok(ExitCodes(ranges)) }
    }
}

impl ExitCodes {
    /// What the end of a command says about the target. A shell's own 126 and 127, and a command that was interrupted,
    /// say nothing; a crash is a failure.
    pub fn outcome(&self, ended: &Ended) -> Outcome {
        match ended.status {
            _ if ended.timed_out => Outcome::Timeout,
            Status::Exited(0) => Outcome::Success,
            _ if ended.interrupted => Outcome::Excluded,
            Status::Killed(_) => Outcome::Failure,
            Status::Exited(code) if self.0.iter().any(|range| range.contains(&code)) => Outcome::Failure,
            Status::Exited(126..) => Outcome::Excluded,
            Status::Exited(_) => Outcome::Success,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_says_nothing_about_the_target_is_excluded() {
        let usual: ExitCodes = "1-125".parse().unwrap();
        let ended = |status| Ended { status, timed_out: false, interrupted: false, latency: Duration::ZERO };
        let outcome = |codes: &ExitCodes, code| codes.outcome(&ended(Status::Exited(code)));
        let found = [0, 1, 125, 126, 127, 255].map(|code| outcome(&usual, code));
        use Outcome::{Excluded, Failure, Success, Timeout};
        assert_eq!(found, [Success, Failure, Failure, Excluded, Excluded, Excluded]);
        let few: ExitCodes = "2,255".parse().unwrap();
        assert_eq!([1, 2, 255].map(|code| outcome(&few, code)), [Success, Failure, Failure]);
        assert_eq!(usual.outcome(&ended(Status::Killed(11))), Failure);
        assert_eq!(usual.outcome(&Ended { timed_out: true, ..ended(Status::Killed(15)) }), Timeout);
        assert_eq!(usual.outcome(&Ended { interrupted: true, ..ended(Status::Killed(2)) }), Excluded);
        assert_eq!(usual.outcome(&Ended { interrupted: true, ..ended(Status::Exited(0)) }), Success);
    }

    #[test]
    fn what_is_no_set_of_codes_is_refused() {
        for text in ["", "0", "0-5", "5-1", "256", "a", "1-", "-1", "1,,2"] {
            text.parse::<ExitCodes>().unwrap_err();
        }
    }
}
