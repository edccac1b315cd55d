//! What is to happen to a command, and when: no clock, no signals, only moments.

use std::time::Duration;

use rustix::process::Pid;

use super::times::{StopTimes, stop_times};
use crate::clock::Boot;
use crate::lock::Lease;
use crate::process::watchdog::Orders;

/// How much later than hardy the watchdog asks a command to end: it must not be asked twice.
const LATER: Duration = Duration::from_millis(50);

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Ask it to end: its lease could not be renewed.
    Unrenewed,
    /// Ask it to end: it has held the lock for as long as it may.
    Held,
    /// Kill it.
    Kill,
}

/// The moments of one command.
#[derive(Debug)]
pub struct Plan {
    grace: Duration,
    lease: Option<StopTimes>,
    deadline: Option<Boot>,
    hold: Option<Boot>,
    /// Once it was asked to end: when it is killed.
    ending: Option<Boot>,
    killed: bool,
}

impl Plan {
    /// `hold`: when it has held the lock for as long as it may.
    pub fn new(grace: Duration, lease: Option<Lease>, hold: Option<Boot>) -> Plan {
        let mut plan = Plan { grace, lease: None, deadline: None, hold, ending: None, killed: false };
        if let Some(lease) = lease {
            plan.renewed(&lease);
        }
        plan
    }

    /// The lease runs anew.
    pub fn renewed(&mut self, lease: &Lease) {
        self.lease = Some(stop_times(lease, self.grace));
        self.deadline = Some(lease.deadline);
    }

    /// The command is asked to end now. Asked again, it has no more time than before.
    pub fn ask(&mut self, now: Boot) {
        let end = now + self.grace;
        self.ending = Some(self.ending.map_or(end, |before| before.min(end)));
    }

    /// Whether it was asked to end.
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether the lease is over.
    pub fn is_over(&self, now: Boot) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// When [`Plan::due`] is worth asking again.
    pub fn next(&self) -> Option<Boot> {
        earliest([self.term(), self.kill()])
    }

    /// What is to be done now; [`Due::Kill`] only once.
    pub fn due(&mut self, now: Boot) -> Option<Due> {
        if !self.is_ending() {
            let over = |moment: Option<Boot>| moment.is_some_and(|moment| moment <= now);
            if over(self.lease.map(|lease| lease.term)) {
                return Some(Due::Unrenewed);
            }
            return over(self.hold).then_some(Due::Held);
        }
        self.kill().filter(|&moment| moment <= now)?;
        self.killed = true;
        Some(Due::Kill)
    }

    /// The same for the watchdog. `group`: once there is one. `ends_with_us`: without hardy nobody keeps the
    /// lock.
    pub fn orders(&self, group: Option<Pid>, ends_with_us: bool) -> Orders {
        let hold = self.hold.map(|hold| hold + self.grace).filter(|_| !self.is_ending());
        let kill = earliest([self.ending, self.lease.map(|lease| lease.kill), hold]);
        Orders { group, term: self.term().map(|term| term + LATER), kill, grace: self.grace, ends_with_us }
    }

    fn term(&self) -> Option<Boot> {
        earliest([self.lease.map(|lease| lease.term), self.hold]).filter(|_| !self.is_ending())
    }

    fn kill(&self) -> Option<Boot> {
        let kill = earliest([self.ending, self.lease.map(|lease| lease.kill)]);
        kill.filter(|_| self.is_ending() && !self.killed)
    }
}

fn earliest<const N: usize>(moments: [Option<Boot>; N]) -> Option<Boot> {
    moments.into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(2);

    fn at(millis: u64) -> Boot {
        Boot::from_millis(millis)
    }

    /// SIGTERM after 7 s, SIGKILL after 9 s, its end after 10 s.
    fn lease(sent: u64) -> Lease {
        Lease { ttl: Duration::from_secs(10), deadline: at(sent + 10_000) }
    }

    fn times(plan: &Plan) -> (Option<u64>, Option<u64>) {
        let orders = plan.orders(Pid::from_raw(42), true);
        (orders.term.map(Boot::as_millis), orders.kill.map(Boot::as_millis))
    }

    #[test]
    fn a_lease_that_is_not_renewed_ends_the_command_before_itself() {
        let mut plan = Plan::new(GRACE, Some(lease(0)), None);
        assert_eq!(
            (plan.due(at(6_999)), plan.next(), times(&plan)),
            (None, Some(at(7_000)), (Some(7_050), Some(9_000)))
        );
        plan.renewed(&lease(3_000));
        assert_eq!((plan.due(at(9_999)), times(&plan)), (None, (Some(10_050), Some(12_000))));
        assert_eq!(plan.due(at(10_000)), Some(Due::Unrenewed));
        plan.ask(at(10_000));
        assert_eq!(
            (plan.due(at(11_999)), plan.next(), times(&plan)),
            (None, Some(at(12_000)), (None, Some(12_000)))
        );
        assert_eq!((plan.due(at(12_000)), plan.due(at(12_000)), plan.next()), (Some(Due::Kill), None, None));
        assert_eq!((plan.is_over(at(12_999)), plan.is_over(at(13_000))), (false, true));
    }

    #[test]
    fn a_renewal_that_comes_too_late_changes_nothing() {
        let mut plan = Plan::new(GRACE, Some(lease(0)), None);
        plan.ask(at(7_000));
        plan.renewed(&lease(7_500));
        assert_eq!(plan.next(), Some(at(9_000)));
    }

    #[test]
    fn after_the_longest_hold_there_is_the_grace_but_never_past_the_lease() {
        let mut plan = Plan::new(GRACE, Some(lease(0)), Some(at(5_000)));
        assert_eq!(times(&plan), (Some(5_050), Some(7_000)));
        assert_eq!(plan.due(at(5_000)), Some(Due::Held));
        plan.ask(at(5_000));
        assert_eq!(plan.next(), Some(at(7_000)));
        let mut plan = Plan::new(GRACE, Some(lease(0)), None);
        plan.ask(at(8_500));
        assert_eq!((plan.next(), times(&plan)), (Some(at(9_000)), (None, Some(9_000))));
    }

    #[test]
    fn asked_twice_it_has_no_more_time() {
        let mut plan = Plan::new(GRACE, None, None);
        assert_eq!((plan.next(), plan.due(at(1 << 50)), times(&plan)), (None, None, (None, None)));
        plan.ask(at(1_000));
        plan.ask(at(2_000));
        assert_eq!(plan.next(), Some(at(3_000)));
    }
}
