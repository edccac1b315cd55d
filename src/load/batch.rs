//! What happened in a part of a run: counts and distributions that merge by addition.

use std::time::Duration;

use crate::histogram::Histogram;
use crate::reason::Reason;

/// Statuses up to 999 have a place of their own.
const STATUSES: usize = 1000;

/// Counts and distributions, of one thread for a tenth of a second, or of all threads for the whole run.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Requests sent, those of the warm-up included.
    pub sent: u64,
    /// Requests that were due in the warm-up and have ended; they are in nothing else here.
    pub warm_up: u64,
    /// Of those that ended, how many did when nothing more was to be sent.
    pub after_end: u64,
    /// Answers as expected.
    pub ok: u64,
    failed: [u64; Reason::ALL.len()],
    statuses: Vec<u64>,
    /// Requests under way when the run was over, with how old they were.
    pub cut_off: Histogram,
    /// Requests that an open breaker kept back.
    pub short_circuited: u64,
    /// Workers that had to sit out for want of a file descriptor; those that did twice count twice.
    pub benched: u64,
    /// Bytes of answers, heads and framing included, as HTTP counts them: before TLS.
    pub received: u64,
    /// Bytes of requests, likewise.
    pub written: u64,
    /// From sending to the end of the answer.
    pub service: Split,
    /// From when a request was due to the end of the answer. Empty in the closed loop, where it is the same.
    pub response: Split,
    /// From when a request was due to when it was sent. Empty in the closed loop.
    pub late: Histogram,
    /// How long connecting took, with TLS: of connections that came about.
    pub connect: Histogram,
    /// When the last answer was complete, or the last failure seen.
    pub last_end: u64,
    /// Processor time of the threads, in nanoseconds.
    pub cpu: u64,
}

/// Success and failure apart: fast refusals must not flatter.
#[derive(Clone, Debug, Default)]
pub struct Split {
    /// Of answers as expected.
    pub ok: Histogram,
    /// Of everything else; of timeouts, what had passed.
    pub failed: Histogram,
}

impl Split {
    /// Both together.
    pub fn all(&self) -> Histogram {
        let mut all = self.ok.clone();
        all.merge(&self.failed);
        all
    }

    fn of(&mut self, ok: bool) -> &mut Histogram {
        if ok { &mut self.ok } else { &mut self.failed }
    }

    fn merge(&mut self, other: &Split) {
        self.ok.merge(&other.ok);
        self.failed.merge(&other.failed);
    }
}

impl Default for Batch {
    fn default() -> Batch {
        Batch {
            sent: 0,
            warm_up: 0,
            after_end: 0,
            ok: 0,
            failed: [0; Reason::ALL.len()],
            statuses: vec![0; STATUSES],
            cut_off: Histogram::new(),
            short_circuited: 0,
            benched: 0,
            received: 0,
            written: 0,
            service: Split::default(),
            response: Split::default(),
            late: Histogram::new(),
            connect: Histogram::new(),
            last_end: 0,
            cpu: 0,
        }
    }
}

/// One request that has ended, in nanoseconds since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was due; in the closed loop when it was sent.
    pub due: u64,
    /// When it was sent.
    pub sent: u64,
    /// When its answer was complete, or its failure seen.
    pub ended: u64,
}

impl Batch {
    /// Counts a request that has ended: as expected, or why not.
    pub(super) fn ended(&mut self, sample: Sample, open_loop: bool, result: Result<(), Reason>) {
        match result {
            Ok(()) => self.ok += 1,
            Err(reason) => self.failed[reason as usize] += 1,
        }
        let since = |start: u64| Duration::from_nanos(sample.ended.saturating_sub(start));
        self.service.of(result.is_ok()).record(since(sample.sent));
        if open_loop {
            self.response.of(result.is_ok()).record(since(sample.due));
        }
        self.last_end = self.last_end.max(sample.ended);
    }

    pub(super) fn status(&mut self, status: u16) {
        if let Some(count) = self.statuses.get_mut(usize::from(status)) {
            *count += 1;
        }
    }

    /// Adds what the other counted.
    pub fn merge(&mut self, other: &Batch) {
        let Batch {
            sent,
            warm_up,
            after_end,
            ok,
            failed,
            statuses,
            cut_off,
            short_circuited,
            benched,
            received,
            written,
            service,
            response,
            late,
            connect,
            last_end,
            cpu,
        } = other;
        self.sent += sent;
        self.warm_up += warm_up;
        self.after_end += after_end;
        self.ok += ok;
        self.failed.iter_mut().zip(failed).for_each(|(sum, more)| *sum += more);
        self.statuses.iter_mut().zip(statuses).for_each(|(sum, more)| *sum += more);
        self.cut_off.merge(cut_off);
        self.short_circuited += short_circuited;
        self.benched += benched;
        self.received += received;
        self.written += written;
        self.service.merge(service);
        self.response.merge(response);
        self.late.merge(late);
        self.connect.merge(connect);
        self.last_end = self.last_end.max(*last_end);
        self.cpu += cpu;
    }

    /// Forgets everything, and keeps the memory.
    pub fn clear(&mut self) {
        self.failed.fill(0);
        self.statuses.fill(0);
        for histogram in [
            &mut self.cut_off,
            &mut self.service.ok,
            &mut self.service.failed,
            &mut self.response.ok,
            &mut self.response.failed,
            &mut self.late,
            &mut self.connect,
        ] {
            histogram.clear();
        }
        for count in [
            &mut self.sent,
            &mut self.warm_up,
            &mut self.after_end,
            &mut self.ok,
            &mut self.short_circuited,
            &mut self.benched,
            &mut self.received,
            &mut self.written,
            &mut self.last_end,
            &mut self.cpu,
        ] {
            *count = 0;
        }
    }

    /// All that failed.
    pub fn failures(&self) -> u64 {
        self.failed.iter().sum()
    }

    /// All that ended: as expected or not, but not cut off.
    pub fn requests(&self) -> u64 {
        self.ok + self.failures()
    }

    /// Why how many failed, each reason that occurred.
    pub fn reasons(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL
            .iter()
            .map(|reason| (*reason, self.failed[*reason as usize]))
            .filter(|(_, count)| *count > 0)
    }

    /// How often each status came, those that did.
    pub fn statuses(&self) -> impl Iterator<Item = (u16, u64)> {
        (0..).zip(self.statuses.iter().copied()).filter(|(_, count)| *count > 0)
    }

    /// From when requests were due, where they had a time; else from when they were sent.
    pub fn response_or_service(&self) -> &Split {
        if self.response.ok.count() + self.response.failed.count() > 0 {
            &self.response
        } else {
            &self.service
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(due: u64, sent: u64, ended: u64) -> Sample {
        Sample { due: due * 1000, sent: sent * 1000, ended: ended * 1000 }
    }

    #[test]
    fn batches_add_up() {
        let mut sum = Batch::default();
        let mut part = Batch::default();
        part.ended(sample(0, 5, 10), true, Ok(()));
        part.ended(sample(1, 2, 30), true, Err(Reason::Timeout));
        part.status(200);
        sum.merge(&part);
        sum.merge(&part);
        assert_eq!((sum.requests(), sum.ok, sum.failures()), (4, 2, 2));
        assert_eq!(sum.reasons().collect::<Vec<_>>(), [(Reason::Timeout, 2)]);
        assert_eq!(sum.statuses().collect::<Vec<_>>(), [(200, 2)]);
        assert_eq!(sum.service.ok.summary().max_us, Some(5));
        assert_eq!(sum.response.ok.summary().max_us, Some(10));
        assert_eq!(sum.response.all().summary().max_us, Some(29));
        assert_eq!(sum.last_end, 30_000);
        part.clear();
        assert_eq!(format!("{:?}", part.summary()), format!("{:?}", Batch::default().summary()));
    }

    impl Batch {
        fn summary(&self) -> impl std::fmt::Debug {
            let times = [&self.service, &self.response].map(|split| split.all().summary());
            (self.requests(), self.last_end, times, self.statuses().count())
        }
    }

    #[test]
    fn in_the_closed_loop_response_time_is_service_time() {
        let mut batch = Batch::default();
        batch.ended(sample(5, 5, 10), false, Ok(()));
        assert_eq!(batch.response.all().count(), 0);
        assert_eq!(batch.response_or_service().all().count(), 1);
    }
}
