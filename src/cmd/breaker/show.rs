//! `hardy breaker show`: all about one breaker.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::list::ago;
use super::settings::{self, StoreArgs};
use super::shown::{Details, Shown, clock, metrics, timestamp};
use crate::app::App;
use crate::circuit::{Name, Numbers};
use crate::error::Error;
use crate::exit::Verdict;
use crate::histogram::Summary;
use crate::metrics::Metric;
use crate::output::{self, Human, Tone, printable};
use crate::units::{Duration, brief, counted};

/// Show one breaker: window, totals, transitions, permits, members
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  hardy breaker show pay
  hardy breaker show pay --json | jq .data.window
  hardy breaker show pay --report prometheus=/var/lib/node_exporter/pay.prom

Looking changes nothing. The exit code is 0 whatever its state; 1 where its record is damaged.")]
pub struct Args {
    /// The breaker
    #[arg(value_name = "NAME", add = settings::names())]
    name: Name,
    #[command(flatten)]
    store: StoreArgs,
}

/// The breaker.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Report(Shown);

/// Reads the record.
pub async fn run(args: Args, app: &App) -> Result<Report, Error> {
    let panel = args.store.panel(&app.config)?;
    match Shown::look(&panel, &args.name).await? {
        Some(shown) => Ok(Report(shown)),
        None => Err(unknown(&args.name, &args.store.place(&app.config)?)),
    }
}

/// Nobody has used it.
pub fn unknown(name: &Name, place: &str) -> Error {
    Error::usage(format!("no call was ever made through a breaker {name} {place}"))
        .hint("`hardy breaker list` shows those that were used; --endpoints and --store-dir choose the store")
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.breaker.show/v1";

    fn verdict(&self) -> Verdict {
        if self.0.details.is_some() { Verdict::Good } else { Verdict::Bad }
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        let (tone, state) = self.0.state();
        let (name, state) = (out.tone(Tone::Strong, &self.0.name), out.tone(tone, &state));
        let why = Some(self.0.why()).filter(|why| !why.is_empty());
        let why = why.map(|why| format!(": {}", printable(&why))).unwrap_or_default();
        let Some(details) = &self.0.details else { return out.line(format!("{name} is {state}{why}")) };
        out.line(format!("{name} is {state} for {}{why}", ago(details.since)))?;
        counts(out, details)?;
        members(out, details)?;
        numbers(out, &details.settings)?;
        moments(out, details)
    }

    fn metrics(&self) -> Vec<Metric> {
        metrics(std::slice::from_ref(&self.0))
    }
}

fn counts(out: &mut Human<'_>, details: &Details) -> io::Result<()> {
    let window = &details.window;
    out.line(format!(
        "  window       {} in {}, {}% failed: {} failed, {} timed out, {} slow",
        counted(window.requests, "call"),
        brief(window.span),
        window.error_percent,
        window.failures,
        window.timeouts,
        window.slow
    ))?;
    latency(out, &details.recent.latency)?;
    let running = match details.trials {
        0 => format!("{}", details.in_flight),
        trials => format!("{}, of them {}", details.in_flight, counted(trials, "trial")),
    };
    out.line(format!("  in flight    {running}"))?;
    out.line(format!(
        "  ever         {}: {} succeeded, {} failed, {} timed out; {} excluded, {} short-circuited, {} rejected, {} lost",
        counted(details.requests, "call"),
        details.successes,
        details.failures,
        details.timeouts,
        details.excluded,
        details.short_circuited,
        details.rejected,
        details.lost
    ))?;
    let fallbacks = &details.fallbacks;
    if *fallbacks == Default::default() {
        return Ok(());
    }
    out.line(format!(
        "  fallbacks    {} succeeded, {} failed, {} not run",
        fallbacks.successes, fallbacks.failures, fallbacks.rejected
    ))
}

fn latency(out: &mut Human<'_>, latency: &Summary) -> io::Result<()> {
    let known = [
        ("p50", latency.p50_us),
        ("p90", latency.p90_us),
        ("p99", latency.p99_us),
        ("at most", latency.max_us),
    ];
    let told: Vec<_> = known
        .into_iter()
        .filter_map(|(name, us)| Some(format!("{name} {}", brief(std::time::Duration::from_micros(us?)))))
        .collect();
    if told.is_empty() { Ok(()) } else { out.line(format!("  latency      {}", told.join(", "))) }
}

fn members(out: &mut Human<'_>, details: &Details) -> io::Result<()> {
    for member in &details.members {
        let seen = brief(std::time::Duration::from_millis(member.seen_ms_ago));
        let failing = if member.failing { ", sees it failing" } else { "" };
        let ahead = match member.clock_ahead_ms {
            0 => String::new(),
            ms => format!(", its clock is {} ahead", brief(std::time::Duration::from_millis(ms))),
        };
        let (host, calls) = (printable(&member.host), counted(member.requests, "call"));
        out.line(format!(
            "  member       {host}: {calls}, {}% failed, seen {seen} ago{failing}{ahead}",
            member.error_percent
        ))?;
    }
    Ok(())
}

fn numbers(out: &mut Human<'_>, settings: &[Numbers]) -> io::Result<()> {
    let time = |ms| Duration(std::time::Duration::from_millis(ms));
    for one in settings {
        let slow = one.slow_ms.map(|ms| format!(", slow {}", time(ms))).unwrap_or_default();
        let quorum = if one.quorum > 1 { format!(", quorum {}", one.quorum) } else { String::new() };
        out.line(format!(
            "  settings     timeout {}, {} at once, trips at {}% of {} in {}, cooldown {}{slow}{quorum}",
            time(one.timeout_ms),
            one.max_concurrent,
            one.error_threshold_percent,
            one.volume,
            time(one.window_ms),
            time(one.cooldown_ms)
        ))?;
    }
    if settings.len() > 1 {
        let warning = out.tone(Tone::Warn, "callers differ");
        out.line(format!("  {warning}: each goes by its own numbers, in the window of who came first"))?;
    }
    Ok(())
}

fn moments(out: &mut Human<'_>, details: &Details) -> io::Result<()> {
    for moment in details.transitions.iter().rev() {
        let transition = &moment.transition;
        let at = timestamp(transition.at).map(clock).unwrap_or_default();
        let (at, by) = (out.tone(Tone::Faint, &at), printable(&moment.by));
        out.line(format!("  {at} {} -> {}: {} ({by})", transition.from, transition.to, transition.why))?;
    }
    Ok(())
}
