//! How a person reads a probe: a table, what was wrong and when, and one closing line.

use std::io;

use super::report::{Ended, Report};
use super::short::shorten;
use crate::breaker::Phase;
use crate::histogram::Summary;
use crate::output::{Human, Table, Tone, printable, sparkline};
use crate::probe::report::{
    BreakerReport, CertificateReport, Ending, FallbackCounts, Mark, TransitionReport,
};
use crate::probe::{Snapshot, Standing, State, StateChange, TargetReport};
use crate::units::counted;

/// More targets than these have no details of their own while they are up.
const FEW: usize = 5;
/// Details of so many targets fit a report; the table and the JSON form have all.
const MOST_DETAILS: usize = 20;
/// So many of the latest changes are beneath a live table, where the screen has room for them.
const LIVE_CHANGES: usize = 8;
/// Even on a low screen.
const LEAST_LIVE: usize = 3;
/// What the table puts after the first column and after the last.
const GAPS: usize = 4;
/// What the details put around a history.
const INDENT: usize = 16;
/// Columns for the history even where the names are long.
const LEAST_HISTORY: usize = 12;
/// A narrower terminal has no room for a history beside the rest.
const HISTORY_FROM: usize = 60;
/// Columns for the name even where the terminal is narrow.
const LEAST_NAME: usize = 12;

/// The whole report.
pub fn report(out: &mut Human<'_>, report: &Report) -> io::Result<()> {
    let all: Vec<&TargetReport> = report.targets.iter().collect();
    table(out, &all)?;
    let few = all.len() <= FEW;
    let (told, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|target| few || target.state != State::Up);
    for target in told.iter().take(MOST_DETAILS) {
        out.line("")?;
        details(out, target)?;
    }
    if told.len() > MOST_DETAILS {
        out.line(format!("\n... and {} more that are not up", told.len() - MOST_DETAILS))?;
    }
    endings(out, &rest)?;
    if report.tell_changes && !report.changes.is_empty() {
        out.line("")?;
        last_changes(out, &report.changes, report.changes.len())?;
    }
    out.line("")?;
    let line = closing(out, report);
    out.line(line)
}

/// Those that have no details, and a certificate that ends soon.
fn endings(out: &mut Human<'_>, targets: &[&TargetReport]) -> io::Result<()> {
    let known = targets.iter().filter_map(|target| Some((target, target.certificate.as_ref()?)));
    let ending: Vec<_> = known.filter(|(_, certificate)| certificate.is_short).collect();
    if !ending.is_empty() {
        out.line("")?;
    }
    for (target, certificate) in ending.iter().take(MOST_DETAILS) {
        let text = format!("{}: the certificate {}", target.name, remaining(certificate));
        let line = out.tone(Tone::Warn, &text);
        out.line(line)?;
    }
    if ending.len() > MOST_DETAILS {
        out.line(format!("... and {} more that end soon", ending.len() - MOST_DETAILS))?;
    }
    Ok(())
}

/// The table and the last changes while the run goes on, within `rows`; the worst first when not all have room.
pub fn live(out: &mut Human<'_>, snapshot: &Snapshot, rows: usize) -> io::Result<()> {
    let changes = snapshot.changes.len().min(LIVE_CHANGES).min(rows / 3);
    // A heading, a line for those without room, an empty line, and the one with the cursor.
    let most = rows.saturating_sub(changes + 4).max(LEAST_LIVE);
    let mut all: Vec<&TargetReport> = snapshot.targets.iter().collect();
    let more = all.len().saturating_sub(most);
    if more > 0 {
        all.sort_by_key(|target| target.state == State::Up && target.flapping.is_none());
        all.truncate(most);
    }
    table(out, &all)?;
    if more > 0 {
        out.line(format!("... and {more} more"))?;
    }
    if changes > 0 {
        out.line("")?;
    }
    last_changes(out, &snapshot.changes, changes)
}

/// The last of the changes, a line for each; a long name leaves room for what changed.
fn last_changes(out: &mut Human<'_>, changes: &[StateChange], most: usize) -> io::Result<()> {
    /// A time, `degraded -> flapping`, and what is between them and a name.
    const BESIDE_NAME: usize = 37;
    let width = out.width();
    let last = &changes[changes.len().saturating_sub(most)..];
    let names: Vec<String> = last.iter().map(|change| change.name.clone()).collect();
    for (told, name) in last.iter().zip(shorten(&names, width.saturating_sub(BESIDE_NAME))) {
        let line = change_of(&name, told);
        let line = clock(&line);
        let cut = if line.chars().count() > width { "…" } else { "" };
        let kept: String = line.chars().take(width - cut.chars().count()).collect();
        out.line(kept + cut)?;
    }
    Ok(())
}

/// One line about a change.
pub fn change(change: &StateChange) -> String {
    change_of(&change.name, change)
}

fn change_of(name: &str, change: &StateChange) -> String {
    let StateChange { at, from, to, reason, detail, changes, .. } = change;
    let why = match (reason, detail) {
        _ if *to == Standing::Flapping => format!("  {changes} changes so far"),
        (Some(reason), Some(detail)) => format!("  {reason}: {detail}"),
        _ => String::new(),
    };
    printable(&format!("{at}  {name}  {} -> {}{why}", from.id(), to.id()))
}

fn table(out: &mut Human<'_>, targets: &[&TargetReport]) -> io::Result<()> {
    let names: Vec<String> = targets.iter().map(|target| plain_name(target)).collect();
    let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or_default().max(6);
    let mut headers = vec!["STATE", "OK/CALLS", "P50", "MAX", "BREAKER"];
    let mut rows: Vec<Vec<(Option<Tone>, String)>> = targets.iter().map(|target| cells(target)).collect();
    let room = |headers: &[&str], rows: &[Vec<(Option<Tone>, String)>]| {
        let width = |(i, header): (usize, &&str)| {
            rows.iter().map(|row| row[i].1.chars().count()).max().unwrap_or_default().max(header.len()) + 2
        };
        let fixed: usize = headers.iter().enumerate().map(width).sum();
        out.width().saturating_sub(fixed + GAPS)
    };
    // What a narrow terminal can do without, the least needed first.
    for header in ["MAX", "P50", "OK/CALLS", "BREAKER"] {
        if room(&headers, &rows) < widest.min(LEAST_NAME)
            && let Some(at) = headers.iter().position(|other| *other == header)
        {
            headers.remove(at);
            rows.iter_mut().for_each(|row| drop(row.remove(at)));
        }
    }
    let room = room(&headers, &rows);
    let with_history = out.width() >= HISTORY_FROM && room > LEAST_NAME + LEAST_HISTORY;
    let kept = if with_history { LEAST_HISTORY } else { 0 };
    let name_width = widest.min(room.saturating_sub(kept)).max(6);
    headers.insert(0, "TARGET");
    if with_history {
        headers.push("HISTORY");
    }
    let mut table = Table::new(&headers);
    for ((mut row, target), name) in rows.into_iter().zip(targets).zip(shorten(&names, name_width)) {
        row.insert(0, (None, name));
        if with_history {
            row.push((None, history(&target.history, room - name_width)));
        }
        table.toned_row(row);
    }
    out.table(table)
}

/// State, calls, latency and breaker.
fn cells(target: &TargetReport) -> Vec<(Option<Tone>, String)> {
    let latency = |pick: fn(&Summary) -> Option<u64>| {
        let us = target.success_us.as_ref().or(target.failure_us.as_ref()).and_then(pick);
        (None, us.map_or("–".into(), time))
    };
    let breaker = &target.breaker;
    let phase = match (breaker.state, breaker.next_trial_ms) {
        _ if !breaker.enabled => (Some(Tone::Faint), "off".into()),
        (None, _) => (Some(Tone::Warn), "unknown".into()),
        (Some(Phase::Open), Some(ms)) => (Some(Tone::Bad), format!("open {}", time(ms.saturating_mul(1000)))),
        (Some(Phase::Open), None) => (Some(Tone::Bad), "open".into()),
        (Some(Phase::HalfOpen), _) => (Some(Tone::Warn), "half-open".into()),
        (Some(Phase::Closed), _) => (None, "closed".into()),
    };
    let flapping = if target.flapping.is_some() { ", flapping" } else { "" };
    let state = (Some(tone(target.state)), format!("{}{flapping}", target.state.id()));
    let calls = (None, format!("{}/{}", target.ok, target.calls));
    vec![state, calls, latency(|s| s.p50_us), latency(|s| s.max_us), phase]
}

fn tone(state: State) -> Tone {
    match state {
        State::Up => Tone::Good,
        State::Degraded | State::Unknown => Tone::Warn,
        State::Down => Tone::Bad,
    }
}

/// The name without what says least; the details have it in full.
fn plain_name(target: &TargetReport) -> String {
    let plain = ["http://", "unix+http://"].into_iter().find_map(|scheme| target.name.strip_prefix(scheme));
    let name = plain.unwrap_or(&target.name);
    printable(name.strip_suffix('/').unwrap_or(name))
}

/// The latest rounds as heights of their latency; ✗ failed, · not called, ? not tested.
fn history(marks: &[Mark], width: usize) -> String {
    let latest = &marks[marks.len().saturating_sub(width)..];
    let good = |mark: &Mark| mark.latency_us.filter(|_| mark.outcome == Ending::Success).map(|us| us as f64);
    let heights: Vec<_> = latest.iter().map(good).collect();
    let symbol = |(mark, height): (&Mark, char)| match mark.outcome {
        Ending::ShortCircuited | Ending::Rejected | Ending::Unavailable => '·',
        Ending::Excluded => '?',
        Ending::Success | Ending::Failure | Ending::Timeout => height,
    };
    latest.iter().zip(sparkline(&heights).chars()).map(symbol).collect()
}

fn details(out: &mut Human<'_>, target: &TargetReport) -> io::Result<()> {
    let title = if target.name == target.url {
        target.url.clone()
    } else {
        format!("{}  {}", target.name, target.url)
    };
    let title = out.tone(Tone::Strong, &title);
    out.line(title)?;
    let room = out.width().saturating_sub(INDENT);
    let mut table = Table::new(&[]);
    let mut row = |label: &str, text: String| table.row([format!("  {label}"), text]);
    if let Some(flapping) = &target.flapping {
        row("flapping", format!("since {}, {} changes of state", clock(&flapping.since), target.changes));
    }
    if target.history.len() > 1 {
        row("history", history(&target.history, room));
    }
    if !target.reasons.is_empty() {
        let counts: Vec<_> =
            target.reasons.iter().map(|(reason, count)| format!("{reason} ×{count}")).collect();
        row("failures", counts.join(", "));
    }
    if let Some(last) = &target.last_failure {
        let detail = last.detail.as_deref().unwrap_or_default();
        row("", format!("{}  {detail}", clock(&last.at)));
    }
    if target.calls == 1
        && let Some(status) = target.last.as_ref().and_then(|last| last.status)
    {
        row("status", status.to_string());
    }
    if let Some(answer) = target.last.as_ref().and_then(|last| last.answer.as_ref()) {
        row("answer", answer.clone());
    }
    for (label, summary) in [("success", &target.success_us), ("failure", &target.failure_us)] {
        if let Some(summary) = summary {
            row(label, quantiles(summary));
        }
    }
    if let Some(phases) = phases(target) {
        row("phases", phases);
    }
    row("breaker", counts(&target.breaker));
    for transition in &target.breaker.transitions {
        row("", step(transition));
    }
    if let Some(fallback) = &target.fallback {
        row("fallback", fallback_counts(fallback));
    }
    if let Some(certificate) = &target.certificate {
        let tone = certificate.is_short.then_some(Tone::Warn);
        table.toned_row(vec![(None, "  certificate".into()), (tone, remaining(certificate))]);
    }
    out.table(table)
}

/// How long a certificate lasts, to follow its name.
fn remaining(certificate: &CertificateReport) -> String {
    let CertificateReport { not_after, days_left, .. } = certificate;
    match u64::try_from(*days_left) {
        Ok(days) => format!("ends in {}, at {not_after}", counted(days, "day")),
        Err(_) => format!("ran out at {not_after}"),
    }
}

fn fallback_counts(fallback: &FallbackCounts) -> String {
    let FallbackCounts { runs, successes, failures, rejected, last_failure } = fallback;
    let rejected = if *rejected > 0 { format!(", {rejected} rejected") } else { String::new() };
    let last = last_failure.as_ref().map(|why| format!("; the last failure: {why}")).unwrap_or_default();
    format!("{}, {successes} good, {failures} failed{rejected}{last}", counted(*runs, "run"))
}

/// What there are enough samples for.
fn quantiles(summary: &Summary) -> String {
    if let (1, Some(only)) = (summary.count, summary.min_us) {
        return time(only);
    }
    let all = [
        ("min", summary.min_us),
        ("p50", summary.p50_us),
        ("p90", summary.p90_us),
        ("p95", summary.p95_us),
        ("p99", summary.p99_us),
        ("max", summary.max_us),
    ];
    let all: Vec<_> =
        all.into_iter().filter_map(|(name, us)| Some(format!("{name} {}", time(us?)))).collect();
    format!("{}  (of {})", all.join("  "), summary.count)
}

/// The median of each phase that calls came to.
fn phases(target: &TargetReport) -> Option<String> {
    let phases = &target.phases_us;
    let all = [
        ("dns", &phases.dns),
        ("connect", &phases.connect),
        ("tls", &phases.tls),
        ("first byte", &phases.first_byte),
        ("body", &phases.body),
    ];
    let median = |(name, summary): (&str, &Option<Summary>)| {
        Some(format!("{name} {}", time(summary.as_ref()?.p50_us?)))
    };
    let all: Vec<_> = all.into_iter().filter_map(median).collect();
    (!all.is_empty()).then(|| all.join("  "))
}

fn counts(breaker: &BreakerReport) -> String {
    let state = match breaker.state {
        _ if !breaker.enabled => "off".to_owned(),
        Some(phase) => phase.to_string(),
        None => "state unavailable".to_owned(),
    };
    let name = breaker.name.as_ref().map(|name| format!("{name}, ")).unwrap_or_default();
    let mut text = format!("{name}{state}: {}", counted(breaker.requests, "request"));
    let more = [
        (breaker.failures, "failed"),
        (breaker.timeouts, "timed out"),
        (breaker.slow, "slow"),
        (breaker.short_circuited, "short-circuited"),
        (breaker.rejected, "rejected"),
        (breaker.excluded, "excluded"),
        (breaker.uncounted, "not counted"),
    ];
    for (count, what) in more.into_iter().filter(|(count, _)| *count > 0) {
        text += &format!(", {count} {what}");
    }
    if let Some(ms) = breaker.next_trial_ms {
        text += &format!("; next trial in {}", time(ms.saturating_mul(1000)));
    }
    text
}

fn step(transition: &TransitionReport) -> String {
    let TransitionReport { at, from, to, why } = transition;
    format!("{}  {from} -> {to}: {why}", clock(at))
}

/// The time of day of an RFC 3339 time.
fn clock(at: &str) -> &str {
    at.split_once('T').map_or(at, |(_, time)| time)
}

fn closing(out: &Human<'_>, report: &Report) -> String {
    let count = |state: State| report.targets.iter().filter(|target| target.state == state).count();
    let states = [State::Up, State::Degraded, State::Down, State::Unknown];
    let counted = states.into_iter().filter(|state| count(*state) > 0);
    let counted: Vec<_> =
        counted.map(|state| out.tone(tone(state), &format!("{} {}", count(state), state.id()))).collect();
    let flapping = report.targets.iter().filter(|target| target.flapping.is_some()).count();
    let flapping = if flapping > 0 { format!(", {flapping} flapping") } else { String::new() };
    let end = match report.end {
        Some(Ended::WaitedOut) => ", the wait ran out",
        Some(Ended::Interrupted) => ", interrupted",
        _ => "",
    };
    format!("{}{flapping} after {}{end}", counted.join(", "), time(report.elapsed_ms.saturating_mul(1000)))
}

/// Microseconds with three digits or so and the unit that fits.
fn time(us: u64) -> String {
    let value = us as f64;
    match us {
        0..1_000 => format!("{us}us"),
        1_000..10_000 => format!("{:.1}ms", value / 1e3),
        10_000..1_000_000 => format!("{:.0}ms", value / 1e3),
        _ => format!("{:.1}s", value / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::probe::report::tests::{found, settings};
    use crate::config::FailOn;

    #[test]
    fn times_have_the_unit_that_fits() {
        let shown = [0, 999, 1_000, 41_234, 999_000, 1_000_000, 61_500_000].map(time);
        assert_eq!(shown, ["0us", "999us", "1.0ms", "41ms", "999ms", "1.0s", "61.5s"]);
    }

    #[tokio::test]
    async fn a_narrow_terminal_gets_fewer_columns_and_one_line_per_target() {
        let command = "exec:a/command/with/quite/a/long/path/to/it/and/then/some || true";
        let report = found(&settings(&[command], FailOn::Down)).await;
        let drawn = |width: usize| {
            let mut out = Vec::new();
            let all: Vec<_> = report.targets.iter().collect();
            table(&mut Human::new(&mut out, width, false), &all).unwrap();
            String::from_utf8(out).unwrap()
        };
        for width in [24, 30, 40, 50, 59, 60, 80, 120] {
            let text = drawn(width);
            assert_eq!(text.lines().count(), 2, "{width}: {text}");
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}: {text}");
            assert!(text.starts_with("TARGET") && text.contains("STATE"), "{width}: {text}");
        }
        assert!(drawn(80).contains("HISTORY") && !drawn(59).contains("HISTORY"));
    }

    #[test]
    fn the_history_tells_failed_from_not_called() {
        let mark = |outcome, latency_us| Mark { outcome, latency_us };
        let marks = [
            mark(Ending::Success, Some(1)),
            mark(Ending::Success, Some(8)),
            mark(Ending::Failure, Some(9)),
            mark(Ending::ShortCircuited, None),
            mark(Ending::Excluded, Some(3)),
        ];
        assert_eq!(history(&marks, 80), "▂█✗·?");
        assert_eq!(history(&marks, 2), "·?");
    }
}
