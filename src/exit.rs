//! The documented exit codes. Nothing else in the house knows their numbers.

use std::ffi::OsString;
use std::process::ExitCode;

use schemars::JsonSchema;
use serde::Serialize;

/// What a report says about its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be: exit 0.
    Good,
    /// Found out, and it is not as it should be: exit 1.
    Bad,
    /// Could not find out: exit 3. Never counted as good.
    Unknown,
}

/// An exit code of the table in design.md section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(u8);

impl Exit {
    /// Done, and the verdict is good.
    pub const GOOD: Exit = Exit(0);
    /// Done, and the verdict is bad.
    pub const BAD: Exit = Exit(1);
    /// Usage or configuration error: nothing was done.
    pub const USAGE: Exit = Exit(2);
    /// Could not find out.
    pub const UNKNOWN: Exit = Exit(3);
    /// Refused for now, try again later: a lock is held by others, a breaker is open.
    pub const REFUSED: Exit = Exit(75);
    /// A lock was lost; a command that ran under it was stopped.
    pub const LOST: Exit = Exit(76);
    /// The given command could not be executed.
    pub const NOT_EXECUTABLE: Exit = Exit(126);
    /// The given command was not found.
    pub const NOT_FOUND: Exit = Exit(127);
    /// `--wait` ran out in `probe --until`; a command ran into its timeout, as with timeout(1).
    pub const WAIT_ENDED: Exit = Exit(124);

    /// Ended by a signal, by its number: 130 for SIGINT, 143 for SIGTERM.
    pub fn signal(number: i32) -> Exit {
        Exit(128u8.saturating_add(u8::try_from(number).unwrap_or(u8::MAX)))
    }

    /// Of a command that was run, or as the user asked for.
    pub fn of_command(code: u8) -> Exit {
        Exit(code)
    }

    /// Of an error, for who gave these words: a monitoring system, which says so with `--nagios` or `--exit nagios`, takes 2
    /// for an outage, and 3 for a check that cannot be made.
    pub fn of_error(self, words: impl IntoIterator<Item = OsString>) -> Exit {
        // What stands behind `--` is for others.
        let words: Vec<OsString> = words.into_iter().take_while(|word| word != "--").collect();
        let is_one = |word: &OsString| word == "--nagios" || word == "--exit=nagios";
        let are_two = |pair: &[OsString]| pair[0] == "--exit" && pair[1] == "nagios";
        let monitored = words.iter().any(is_one) || words.windows(2).any(are_two);
        if monitored && self == Exit::USAGE { Exit::UNKNOWN } else { self }
    }

    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        self.0
    }
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Exit {
        match verdict {
            Verdict::Good => Exit::GOOD,
            Verdict::Bad => Exit::BAD,
            Verdict::Unknown => Exit::UNKNOWN,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.0)
    }
}

/// The exit codes as the long help and the man pages show them.
pub const TABLE: &str = "  0        done, and the verdict is good
  1        done, and the verdict is bad
  2        usage or configuration error: nothing was done
  3        could not find out: unreachable, no permission, I/O error
  75       refused for now, try again later: a lock is held by others, a breaker is open
  76       a lock was lost; the command that ran under it was stopped
  124      --wait ran out in probe --until; the command of breaker run ran into its timeout
  126/127  the given command could not be executed / was not found
  130/143  interrupted by SIGINT/SIGTERM, after the partial report
  other    the exit code of the command that `lock run` or `breaker run` ran";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_a_monitoring_system_a_mistake_is_no_outage() {
        let of = |exit: Exit, line: &str| exit.of_error(line.split(' ').map(OsString::from)).code();
        for line in
            ["hardy probe --nagios --cuont 3", "hardy tls check --exit nagios x", "tls check --exit=nagios"]
        {
            assert_eq!(
                (of(Exit::USAGE, line), of(Exit::GOOD, line), of(Exit::REFUSED, line)),
                (3, 0, 75),
                "{line}"
            );
        }
        for line in
            ["hardy probe x", "hardy lock run x -- check --nagios", "tls check --exit hardy nagios", "--exit"]
        {
            assert_eq!(of(Exit::USAGE, line), 2, "{line}");
        }
    }
}
