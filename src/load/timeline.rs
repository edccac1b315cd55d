//! How a run went over time: windows of equal length, never more than a screen can show, so that memory stays flat.

use super::batch::Batch;
use crate::histogram::Histogram;

/// When there would be more windows, each two become one.
const MOST: usize = 120;
/// The length of the first windows, in nanoseconds.
const SHORTEST: u64 = 250_000_000;

/// Windows, the oldest first.
#[derive(Clone, Debug)]
pub struct Timeline {
    windows: Vec<Window>,
    length: u64,
}

/// One part of the run.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Nanoseconds since the start of the run.
    pub start: u64,
    /// Likewise; as it was measured, which is a little more than the length of a window.
    pub end: u64,
    /// Requests that ended in it as expected.
    pub ok: u64,
    /// And otherwise.
    pub failed: u64,
    /// Response times, in the closed loop service times.
    pub response: Histogram,
    /// Requests due and not sent, at its end.
    pub backlog: u64,
}

impl Default for Timeline {
    fn default() -> Timeline {
        Timeline { windows: Vec::new(), length: SHORTEST }
    }
}

impl Timeline {
    /// Adds what happened since the last call.
    pub fn add(&mut self, since: u64, now: u64, batch: &Batch, backlog: u64) {
        let length = self.length;
        match self.windows.last_mut().filter(|last| last.end - last.start < length) {
            Some(last) => last.end = now,
            None => self.windows.push(Window { start: since, end: now, ..Window::default() }),
        }
        if let Some(last) = self.windows.last_mut() {
            last.ok += batch.ok;
            last.failed += batch.failures();
            last.backlog = backlog;
            let response = batch.response_or_service();
            last.response.merge(&response.ok);
            last.response.merge(&response.failed);
        }
        if self.windows.len() > MOST {
            self.halve();
        }
    }

    /// The windows so far; the last one may be shorter.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The same in no more windows than that: neighbours joined, and their response times merged.
    pub fn within(&self, most: usize) -> Vec<Window> {
        joined(&self.windows, self.windows.len().div_ceil(most.max(1)).max(1))
    }

    fn halve(&mut self) {
        self.length *= 2;
        self.windows = joined(&self.windows, 2);
    }
}

impl Window {
    /// Requests per second.
    pub fn rate(&self) -> f64 {
        let seconds = (self.end - self.start) as f64 / 1e9;
        if seconds > 0.0 { (self.ok + self.failed) as f64 / seconds } else { 0.0 }
    }

    fn join(&mut self, next: &Window) {
        self.end = next.end;
        self.ok += next.ok;
        self.failed += next.failed;
        self.backlog = next.backlog;
        self.response.merge(&next.response);
    }
}

/// Each so many windows as one.
fn joined(windows: &[Window], each: usize) -> Vec<Window> {
    let join = |some: &[Window]| {
        let mut joined = some[0].clone();
        some[1..].iter().for_each(|next| joined.join(next));
        joined
    };
    windows.chunks(each).map(join).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::batch::Sample;

    #[test]
    fn a_long_run_needs_no_more_windows_than_a_short_one() {
        const TENTH: u64 = 100_000_000;
        let mut timeline = Timeline::default();
        for tick in 0..36_000u64 {
            let mut batch = Batch::default();
            batch.ended(Sample { due: 0, sent: 0, ended: 1000 }, false, Ok(()));
            timeline.add(tick * TENTH, (tick + 1) * TENTH, &batch, tick);
        }
        let windows = timeline.windows();
        assert!(windows.len() <= MOST && windows.len() > MOST / 4, "{}", windows.len());
        assert_eq!(windows.iter().map(|w| w.ok).sum::<u64>(), 36_000);
        assert!(windows.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert!(windows.iter().all(|w| (w.rate() - 10.0).abs() < 1e-6));
        assert_eq!(windows.last().map(|w| (w.end, w.backlog)), Some((36_000 * TENTH, 35_999)));
        for most in [0, 1, 7, 1000] {
            let fewer = timeline.within(most);
            assert!(fewer.len() <= most.max(1), "{most}: {}", fewer.len());
            assert_eq!(fewer.iter().map(|w| w.response.count()).sum::<u64>(), 36_000);
        }
    }
}
