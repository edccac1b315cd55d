//! When a command has to be asked to end, and when it is killed, so that it is gone before its lease is.

use std::time::Duration;

use crate::clock::Boot;
use crate::lock::Lease;

/// The two moments of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopTimes {
    /// SIGTERM.
    pub term: Boot,
    /// SIGKILL.
    pub kill: Boot,
}

/// What is left between the last process of a command and the end of its lease: a tenth of the TTL, at least 200 ms
/// and at most one second. It covers what a busy machine takes to deliver a signal.
pub fn margin(ttl: Duration) -> Duration {
    (ttl / 10).clamp(Duration::from_millis(200), Duration::from_secs(1))
}

/// The longest grace that leaves time for a renewal: with the margin it is half of the TTL, and a lease is renewed after
/// a third of it. Zero for leases that have no time to lose.
pub fn longest_grace(ttl: Duration) -> Duration {
    (ttl / 2).saturating_sub(margin(ttl))
}

/// When to stop a command whose lock cannot be renewed. A grace that is too long is cut to [`longest_grace`].
pub fn stop_times(lease: &Lease, grace: Duration) -> StopTimes {
    let kill = lease.deadline - margin(lease.ttl);
    StopTimes { term: kill - grace.min(longest_grace(lease.ttl)), kill }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_moments_of_usual_leases() {
        for (ttl, grace, term, kill) in [
            (30_000, 5_000, 24_000, 29_000),
            (10_000, 5_000, 5_000, 9_000),
            (5_000, 5_000, 2_500, 4_500),
            (2_000, 0, 1_800, 1_800),
        ] {
            let lease = Lease { ttl: ms(ttl), deadline: Boot::from_millis(ttl) };
            let times = stop_times(&lease, ms(grace));
            assert_eq!((times.term.as_millis(), times.kill.as_millis()), (term, kill), "{ttl} {grace}");
        }
    }

    proptest! {
        #[test]
        fn the_end_is_before_the_deadline_and_after_a_renewal(
            ttl in 500_u64..10_000_000, sent in 0_u64..1_000_000, grace in 0_u64..10_000_000,
        ) {
            let (ttl, grace, sent) = (ms(ttl), ms(grace), Boot::from_millis(sent));
            let lease = Lease { ttl, deadline: sent + ttl };
            let StopTimes { term, kill } = stop_times(&lease, grace);
            prop_assert!(term <= kill);
            prop_assert!(kill + ms(200) <= lease.deadline);
            prop_assert!(kill - term <= grace);
            prop_assert!(term >= sent + ttl / 2);
            prop_assert_eq!(kill - term == grace, grace <= longest_grace(ttl));
        }
    }
}
