//! Who holds and who waits: the one rule of admission, the same in every store.

use std::num::NonZeroU32;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// With how many others a holder puts up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// With none. What etcd's own clients ask for.
    #[default]
    Exclusive,
    /// With every other shared one.
    Shared,
    /// With at most this many, itself counted: a semaphore.
    Slots(NonZeroU32),
}

impl Mode {
    /// How many may hold at once, if all ask for this.
    pub fn capacity(self) -> u32 {
        match self {
            Mode::Exclusive => 1,
            Mode::Shared => u32::MAX,
            Mode::Slots(slots) => slots.get(),
        }
    }
}

/// How many entries at the front of a queue hold the lock. `modes`: of all entries, oldest first.
///
/// An entry holds when fewer stand before it than the least capacity among it and them. Since that least
/// capacity can only fall along the queue, holders are always a prefix of it: first come, first served, and
/// no writer starves. etcd's clients wait until nobody is before them, which is this rule for
/// [`Mode::Exclusive`].
pub fn holders(modes: impl IntoIterator<Item = Mode>) -> usize {
    let mut least = u32::MAX;
    let mut count = 0;
    for mode in modes {
        least = least.min(mode.capacity());
        if u32::try_from(count).is_ok_and(|before| before < least) {
            count += 1;
        } else {
            break;
        }
    }
    count
}

/// Who is behind an entry, as it says itself: shown to people, never used to decide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Owner {
    /// The name of its host.
    pub host: String,
    /// The process id there.
    pub pid: u32,
    /// `--reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A holder or a waiter.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// What it asked for.
    pub mode: Mode,
    /// Who it is; none for clients that leave no trace of themselves, such as etcdctl.
    pub owner: Option<Owner>,
    /// Since when it holds, or waits; none where the store cannot tell.
    pub since: Option<Timestamp>,
    /// The fencing token of a holder, where the store can tell.
    pub token: Option<u64>,
    /// How long its lease still runs; none for one that lasts as long as its process.
    pub left: Option<std::time::Duration>,
    /// How the store calls it: the lease in etcd (hexadecimal), the ticket in the local store.
    pub id: String,
}

/// One lock, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Queue {
    /// Those who hold it, oldest first.
    pub holders: Vec<Member>,
    /// Those who wait for it, in their order.
    pub waiters: Vec<Member>,
}

/// What a waiter knows of its place: published while it waits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ahead {
    /// Who holds the lock.
    pub holders: Vec<Member>,
    /// How many wait before this one.
    pub waiters: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: Mode = Mode::Exclusive;
    const S: Mode = Mode::Shared;

    fn slots(count: u32) -> Mode {
        Mode::Slots(NonZeroU32::new(count).unwrap())
    }

    #[test]
    fn one_rule_for_all_modes() {
        let cases: &[(&[Mode], usize)] = &[
            (&[], 0),
            (&[X], 1),
            (&[X, X, S], 1),
            (&[S, S, S], 3),
            (&[S, S, X, S], 2),
            (&[X, S, S], 1),
            (&[slots(2), slots(2), slots(2)], 2),
            (&[slots(3), slots(2), slots(3)], 2),
            (&[slots(2), X], 1),
            (&[slots(2), S, S], 2),
            (&[S, slots(2)], 2),
            (&[S, S, slots(2), S], 2),
        ];
        for (modes, expected) in cases {
            assert_eq!(holders(modes.iter().copied()), *expected, "{modes:?}");
        }
    }

    #[test]
    fn whoever_goes_lets_holders_keep_what_they_have() {
        // Removing any entry never takes the lock from one that held it: leaving is always safe.
        let modes = [slots(3), S, slots(2), X, S, slots(3), S];
        for gone in 0..modes.len() {
            let before = holders(modes);
            let left = modes.iter().enumerate().filter(|(i, _)| *i != gone).map(|(_, mode)| *mode);
            assert!(holders(left) >= before - usize::from(gone < before));
        }
    }
}
