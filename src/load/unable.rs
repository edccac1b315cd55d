//! A thread that cannot even begin: its whole share fails.

use super::batch::Sample;
use super::recorder::SHOWN_EVERY;
use super::run::Seat;
use super::turns::Turn;
use crate::reason::Reason;

/// Without even a descriptor to wait with, each request fails when it is due; in the closed loop ten per second do.
pub(super) fn fail_all(mut seat: Seat, reason: Reason) {
    loop {
        let now = seat.clock.now();
        if seat.control.is_stopped() {
            break;
        }
        seat.recorder.tick(now, &mut seat.turns, 0);
        match seat.turns.next(now) {
            Turn::Now { due, .. } => {
                seat.recorder.failed(Sample { due, sent: now, ended: now }, reason);
                if seat.turns.backlog(now) == 0 {
                    std::thread::park_timeout(SHOWN_EVERY);
                }
            }
            Turn::At(_) => std::thread::park_timeout(SHOWN_EVERY),
            Turn::Over => break,
        }
    }
    seat.recorder.show(seat.clock.now(), &mut seat.turns, 0);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    use super::super::guard::Guard;
    use super::super::outcome::Snapshot;
    use super::super::plan::{Expected, Pace, Plan, Stop};
    use super::super::run::{Transport, run};
    use super::super::schedule::{Arrivals, Schedule, Stage};
    use super::*;

    struct Unable;

    impl Transport for Unable {
        fn work(&self, seat: Seat) {
            fail_all(seat, Reason::LocalDescriptors);
        }
    }

    #[tokio::test]
    async fn no_request_disappears() {
        let stages = vec![Stage::for_ever(1000.0)];
        let open = Pace::Open(Arc::new(Schedule::Stages(stages, Arrivals::Constant)));
        for (pace, requests) in [(Pace::Closed, 3), (open, 150)] {
            let plan = Plan {
                pace,
                stop: Stop { requests: Some(requests), duration: None },
                workers: 2,
                threads: 2,
                warm_up: Duration::ZERO,
                ramp_up: Duration::ZERO,
                timeout: Duration::from_secs(20),
                grace: Duration::from_secs(20),
                expected: Expected::default(),
            };
            let (snapshots, stop) = (watch::Sender::new(Snapshot::default()), CancellationToken::new());
            let totals = run(plan, Unable, None::<Guard>, &snapshots, &stop).await.unwrap().totals;
            assert_eq!((totals.sent, totals.ok), (0, 0));
            assert_eq!(totals.reasons().collect::<Vec<_>>(), [(Reason::LocalDescriptors, requests)]);
        }
    }
}
