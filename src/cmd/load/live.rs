//! A run while it goes on: how far it is, and how it does.

use std::io;
use std::time::Duration;

use super::human::{tail, tick};
use super::settings::Prepared;
use crate::load::outcome::Snapshot;
use crate::load::plan::{Pace, Plan};
use crate::load::timeline::Window;
use crate::output::{Human, Tone, printable, sparkline};
use crate::units::{brief, brief_count, brief_rate, grouped};

/// The rate of now is that of at least so long.
const NOW: u64 = 500_000_000;
/// Longer bars are no clearer.
const LONGEST_BAR: usize = 40;

/// What is drawn while a run goes on.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Without secrets.
    pub target: String,
    /// The run ends after so many.
    pub requests: Option<u64>,
    /// The run ends after this time.
    pub duration: Option<Duration>,
}

impl View {
    /// Of what will be run.
    pub fn of(run: &Prepared) -> View {
        let Plan { stop, pace, .. } = &run.plan;
        let length = match pace {
            Pace::Open(schedule) => schedule.length(),
            Pace::Closed => None,
        };
        View {
            target: run.target.clone(),
            requests: stop.requests,
            duration: stop.duration.into_iter().chain(length).min(),
        }
    }

    /// Draws one moment.
    pub fn draw(&self, out: &mut Human<'_>, snapshot: &Snapshot) -> io::Result<()> {
        let width = out.width();
        let lines =
            [cut(&printable(&self.target), width), self.progress(snapshot, width), now(out, snapshot)];
        lines.into_iter().try_for_each(|line| out.line(line))?;
        let windows = snapshot.so_far.1.within(width.saturating_sub(18));
        if windows.len() > 1 {
            let rates: Vec<_> = windows.iter().map(|window| Some(window.rate())).collect();
            let (name, tails) = tail(&windows);
            track(out, "rate", &rates, &format!("{}/s", brief_count(top(&rates))))?;
            track(out, name, &tails, &brief(Duration::from_micros(top(&tails) as u64)))?;
        }
        Ok(())
    }

    /// A bar and what is left where the end is known; else how long it has been going on.
    fn progress(&self, snapshot: &Snapshot, width: usize) -> String {
        let elapsed = tick(snapshot.elapsed.as_secs_f64());
        let state = if snapshot.warm_up { "warming up, " } else { "" };
        let Some(done) = self.done(snapshot) else { return cut(&format!("{state}{elapsed}"), width) };
        let left = match self.left(snapshot, done) {
            // Nobody wants to see tenths of what is estimated.
            Some(left) => format!(", {} left", tick(left.as_secs_f64().ceil())),
            None => String::new(),
        };
        let text = format!("  {:>3.0}%  {state}{elapsed}{left}", done * 100.0);
        let room = width.saturating_sub(text.chars().count()).min(LONGEST_BAR);
        let filled = (done * room as f64) as usize;
        cut(&format!("{}{}{text}", "█".repeat(filled), "░".repeat(room - filled)), width)
    }

    /// The part that is done, 0 to 1.
    fn done(&self, snapshot: &Snapshot) -> Option<f64> {
        let share = |part: f64, all: f64| if all > 0.0 { (part / all).min(1.0) } else { 1.0 };
        let requests = self.requests.map(|all| share(snapshot.sent as f64, all as f64));
        let time = self.duration.map(|all| share(snapshot.elapsed.as_secs_f64(), all.as_secs_f64()));
        // Whichever is first ends it.
        requests.into_iter().chain(time).reduce(f64::max)
    }

    /// How long it will go on as it did so far.
    fn left(&self, snapshot: &Snapshot, done: f64) -> Option<Duration> {
        let by_time = self.duration.map(|all| all.saturating_sub(snapshot.elapsed));
        let seconds = snapshot.elapsed.as_secs_f64() * (1.0 - done) / done;
        let by_share = Duration::try_from_secs_f64(seconds).ok().filter(|_| done > 0.0);
        by_share.into_iter().chain(by_time).min()
    }
}

fn now(out: &Human<'_>, snapshot: &Snapshot) -> String {
    let (totals, timeline) = &*snapshot.so_far;
    let all = totals.response_or_service().all();
    let quantile = |name: &str, q: f64| all.quantile(q).map(|time| format!("{name} {}", brief(time)));
    let mut parts = vec![(None, brief_rate(rate_now(timeline.windows())))];
    parts
        .extend([quantile("p50", 0.5), quantile("p99", 0.99)].into_iter().flatten().map(|text| (None, text)));
    let failed = (snapshot.failed > 0).then_some(Tone::Bad);
    parts.push((failed, format!("{} failed", grouped(snapshot.failed))));
    parts.push((None, format!("{} in flight", grouped(snapshot.in_flight))));
    if snapshot.backlog > 0 {
        parts.push((Some(Tone::Warn), format!("{} waiting", grouped(snapshot.backlog))));
    }
    parts.push((None, format!("{} sent", grouped(snapshot.sent))));
    let mut line = String::new();
    let mut used = 0;
    for (tone, text) in parts {
        let gap = if used > 0 { 2 } else { 0 };
        if used + gap + text.chars().count() > out.width() {
            break;
        }
        used += gap + text.chars().count();
        line += &" ".repeat(gap);
        line += &tone.map_or_else(|| text.clone(), |tone| out.tone(tone, &text));
    }
    line
}

/// Of the last windows: a single one may have begun just now.
fn rate_now(windows: &[Window]) -> f64 {
    let (mut requests, mut nanos) = (0, 0);
    for window in windows.iter().rev() {
        requests += window.ok + window.failed;
        nanos += window.end - window.start;
        if nanos >= NOW {
            break;
        }
    }
    if nanos > 0 { requests as f64 * 1e9 / nanos as f64 } else { 0.0 }
}

fn top(values: &[Option<f64>]) -> f64 {
    values.iter().flatten().copied().fold(0.0, f64::max)
}

fn track(out: &mut Human<'_>, name: &str, values: &[Option<f64>], top: &str) -> io::Result<()> {
    // A part without samples is a gap, no failure.
    let line: String = sparkline(values).chars().map(|c| if c == '✗' { ' ' } else { c }).collect();
    let line = format!("{name:<4} {line} {top}");
    let line = cut(&line, out.width());
    out.line(line)
}

fn cut(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}
