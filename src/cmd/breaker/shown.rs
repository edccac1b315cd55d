//! A breaker as several commands show it.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::breaker::{Phase, WindowCounts};
use crate::circuit::{
    self, FallbackCounts, Forced, Look, MemberView, Moment, Name, Numbers, Panel, RecentView, View,
};
use crate::cmd::store::failed;
use crate::error::Error;
use crate::metrics::Metric;
use crate::output::{Tone, printable};
use crate::store;
use crate::units::brief;

/// A breaker, for programs.
#[derive(Serialize, JsonSchema)]
pub struct Shown {
    /// What it is called.
    pub name: String,
    /// `closed`, `half_open` or `open`; null if its record is damaged, or cannot be read.
    pub state: Option<Phase>,
    /// Why its record cannot be read, where that is so.
    pub problem: Option<String>,
    /// Everything else; null if its record is damaged, or cannot be read.
    #[serde(flatten)]
    pub details: Option<Details>,
}

/// All that is known of it.
#[derive(Serialize, JsonSchema)]
pub struct Details {
    /// What an operator decided, if that still holds.
    pub forced: Option<Forced>,
    /// Since when it is in this state; RFC 3339.
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// Grows by one with each change of state.
    pub generation: u64,
    /// Failed trials since it was last closed.
    pub reopen_count: u32,
    /// While open: time until a call is let through as a trial; null while it is held open without an end.
    pub next_trial_in_ms: Option<u64>,
    /// Trials that run now.
    pub trials: usize,
    /// Calls that run now, trials included.
    pub in_flight: usize,
    /// The rolling window.
    pub window: WindowCounts,
    /// What else is known of the last calls: in the time of the window, and not forgotten when the breaker closes.
    pub recent: RecentView,
    /// Calls that ran and count, ever.
    pub requests: u64,
    /// Slow ones included.
    pub successes: u64,
    /// Timeouts not included.
    pub failures: u64,
    /// Calls that ran into their timeout.
    pub timeouts: u64,
    /// Those of the successes that took too long.
    pub slow: u64,
    /// Calls that ran and say nothing about the target.
    pub excluded: u64,
    /// Calls refused because the breaker was not closed.
    pub short_circuited: u64,
    /// Calls refused because too many were in flight.
    pub rejected: u64,
    /// Calls that were never reported: their callers crashed, or did not reach the store in time.
    pub lost: u64,
    /// What became of the fallbacks.
    pub fallbacks: FallbackCounts,
    /// The hosts that share it.
    pub members: Vec<MemberView>,
    /// The settings it was used with in the last hour, last used first.
    pub settings: Vec<Numbers>,
    /// The latest changes of state, oldest first.
    pub transitions: Vec<Moment>,
}

impl Shown {
    /// Looks at a breaker; none if no call was ever made through it.
    pub async fn look(panel: &Panel, name: &Name) -> Result<Option<Shown>, Error> {
        Ok(Shown::of(name, panel.look(name).await.map_err(failed)?))
    }

    /// Looks at these, or at all; those that no call was ever made through are left out.
    pub async fn all(panel: &Panel, names: &[Name]) -> Result<Vec<Shown>, Error> {
        let names = match names {
            [] => panel.names().await.map_err(failed)?,
            some => some.to_vec(),
        };
        let mut all = Vec::new();
        for name in names {
            match panel.look(&name).await {
                // A file of one is no reason to be silent about all; in etcd they fail together.
                Err(error) if panel.kind() == "local" => all.push(Shown::unreadable(&name, &error)),
                looked => all.extend(Shown::of(&name, looked.map_err(failed)?)),
            }
        }
        Ok(all)
    }

    fn of(name: &Name, look: Look) -> Option<Shown> {
        let (state, details) = match look {
            Look::Unknown => return None,
            Look::Damaged => (None, None),
            Look::Found(view) => (Some(view.phase), Some(Details::of(*view))),
        };
        Some(Shown { name: name.to_string(), state, problem: None, details })
    }

    fn unreadable(name: &Name, error: &store::Error) -> Shown {
        Shown { name: name.to_string(), state: None, problem: Some(circuit::why(error)), details: None }
    }

    /// Its state in a word or two, and how good that is.
    pub fn state(&self) -> (Tone, String) {
        let Some(phase) = self.state else {
            let what = if self.problem.is_some() { "unreadable" } else { "damaged" };
            return (Tone::Bad, what.to_owned());
        };
        let tone = match phase {
            Phase::Closed => Tone::Good,
            Phase::HalfOpen => Tone::Warn,
            Phase::Open => Tone::Bad,
        };
        let forced = self.details.as_ref().is_some_and(|details| details.forced.is_some());
        if forced { (Tone::Warn, format!("{phase}, forced")) } else { (tone, phase.to_string()) }
    }

    /// Why it is in its state, and what comes next, in a few words.
    pub fn why(&self) -> String {
        if let Some(problem) = &self.problem {
            return printable(problem);
        }
        let Some(details) = &self.details else {
            return "the next call puts its record aside and begins anew".to_owned();
        };
        let mut parts = Vec::new();
        match (&details.forced, details.transitions.last()) {
            (Some(forced), _) => parts.push(told(forced)),
            (None, Some(last)) if self.state != Some(Phase::Closed) => {
                parts.push(last.transition.why.to_string())
            }
            _ => {}
        }
        match details.next_trial_in_ms {
            Some(0) => parts.push("the next call is a trial".to_owned()),
            Some(ms) => parts.push(format!("next trial in {}", brief(Duration::from_millis(ms)))),
            None => {}
        }
        if details.settings.len() > 1 {
            parts.push(format!("{} different settings in use", details.settings.len()));
        }
        parts.join("; ")
    }
}

impl Details {
    fn of(view: View) -> Details {
        let tally = view.totals.tally;
        Details {
            since: timestamp(view.since_ms),
            generation: view.generation,
            reopen_count: view.reopen_count,
            next_trial_in_ms: view
                .next_trial_in
                .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            trials: view.trials,
            in_flight: view.in_flight,
            window: view.window,
            recent: view.recent,
            requests: tally.requests(),
            successes: tally.successes,
            failures: tally.failures,
            timeouts: tally.timeouts,
            slow: tally.slow,
            excluded: view.totals.excluded,
            short_circuited: view.totals.short_circuited,
            rejected: view.totals.rejected,
            lost: view.lost,
            fallbacks: view.fallback,
            members: view.members,
            settings: view.settings,
            transitions: view.moments,
            forced: view.forced,
        }
    }
}

fn told(forced: &Forced) -> String {
    let reason = forced.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let until = match forced.until_ms.and_then(timestamp) {
        Some(until) => format!("until {}", clock(until)),
        None => "until somebody resets it".to_owned(),
    };
    format!("by {} {until}{reason}", forced.by)
}

/// Unix time as a moment.
pub fn timestamp(ms: u64) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()
}

/// A moment for people.
pub fn clock(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// For Prometheus.
pub fn metrics(breakers: &[Shown]) -> Vec<Metric> {
    let mut state = Metric::gauge("hardy_breaker_state", "0 closed, 1 half-open, 2 open.");
    let mut in_flight = Metric::gauge("hardy_breaker_in_flight", "Calls that run now.");
    let mut calls = Metric::counter("hardy_breaker_calls_total", "Calls by how they ended.");
    for shown in breakers {
        let (Some(phase), Some(details)) = (shown.state, &shown.details) else { continue };
        let name = shown.name.as_str();
        state = state.with(&[("breaker", name)], f64::from(phase as u8));
        in_flight = in_flight.with(&[("breaker", name)], details.in_flight as f64);
        for (outcome, count) in [
            ("success", details.successes),
            ("failure", details.failures),
            ("timeout", details.timeouts),
            ("excluded", details.excluded),
            ("short_circuited", details.short_circuited),
            ("rejected", details.rejected),
            ("lost", details.lost),
        ] {
            calls = calls.with(&[("breaker", name), ("outcome", outcome)], count as f64);
        }
    }
    vec![state, in_flight, calls]
}
