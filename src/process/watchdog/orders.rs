//! What a watchdog is told: one line of text, each replacing the one before.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rustix::process::Pid;

use crate::clock::Boot;
use crate::process::group;

/// Whom to watch, and when to end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orders {
    /// The process group; none while the command is being started, when only its mark is known: see
    /// [`own`](super::own).
    pub group: Option<Pid>,
    /// When to ask it to end; none if it was asked already, or may run for ever.
    pub term: Option<Boot>,
    /// When to kill it.
    pub kill: Option<Boot>,
    /// How long it may take to end after it was asked.
    pub grace: Duration,
    /// Whether it is to end with hardy, too.
    pub ends_with_us: bool,
}

impl fmt::Display for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = |at: Option<Boot>| at.map_or("-".into(), |at| at.as_millis().to_string());
        let Orders { group, term, kill, grace, ends_with_us } = self;
        let grace = grace.as_millis();
        let group = group.map_or("-".into(), |group| group.to_string());
        writeln!(f, "{group} {} {} {grace} {}", moment(*term), moment(*kill), u8::from(*ends_with_us))
    }
}

/// A text that holds no orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garbled;

impl FromStr for Orders {
    type Err = Garbled;

    fn from_str(line: &str) -> Result<Orders, Garbled> {
        let fields: Vec<_> = line.split(' ').collect();
        let [group, term, kill, grace, ends_with_us] = fields[..] else { return Err(Garbled) };
        let number = |text: &str| text.parse::<u64>().map_err(|_| Garbled);
        let moment = |text: &str| match text {
            "-" => Ok(None),
            text => number(text).map(|millis| Some(Boot::from_millis(millis))),
        };
        Ok(Orders {
            group: match group {
                "-" => None,
                text => Some(u32::try_from(number(text)?).ok().and_then(group::pid).ok_or(Garbled)?),
            },
            term: moment(term)?,
            kill: moment(kill)?,
            grace: Duration::from_millis(number(grace)?),
            ends_with_us: ends_with_us == "1",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn orders_are_read_as_they_are_written(
            group in proptest::option::of(2_i32..), term: Option<u64>, kill: Option<u64>, grace: u32, ends_with_us: bool,
        ) {
            let moment = |at: Option<u64>| at.map(|at| Boot::from_millis(at >> 1));
            let group = group.and_then(Pid::from_raw);
            let grace = Duration::from_millis(grace.into());
            let orders = Orders { group, term: moment(term), kill: moment(kill), grace, ends_with_us };
            let text = orders.to_string();
            prop_assert_eq!(text.strip_suffix('\n').unwrap().parse::<Orders>(), Ok(orders));
        }

        #[test]
        fn no_text_is_a_reason_to_panic(text: String) {
            let _ = text.parse::<Orders>();
        }
    }

    #[test]
    fn nobody_is_told_to_kill_everybody() {
        for group in ["0", "1", "-1", "4294967297", ""] {
            assert_eq!(format!("{group} - - 0 1").parse::<Orders>(), Err(Garbled));
        }
    }
}
