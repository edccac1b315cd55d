//! A run as one page for browsers: headline, time by percentile, how it went, tables and settings.

use std::time::Duration;

use super::human::{tick, time};
use super::parts::{Ended, Mode, Part};
use super::report::Report;
use super::warnings;
use crate::exit::Verdict;
use crate::histogram::{Histogram, Quantiles};
use crate::output::Report as _;
use crate::output::html::{self, Axis, Chart, Ink, Line, escape, table};
use crate::units::{brief, brief_count, brief_rate, brief_size, grouped};

/// More labels than these run into each other on a phone.
const MOST_TICKS: usize = 6;
/// From so many digits on a headline has the number in short.
const LONG: u64 = 10_000_000;
/// Points of a line over one power of ten of the share above.
const POINTS_PER_NINE: f64 = 40.0;

/// The whole page.
pub fn page(report: &Report) -> String {
    let mut body = headline(report);
    body += &tiles(report);
    body += &remarks(report);
    body += &by_percentile(report).map(|chart| chart.draw()).unwrap_or_default();
    over_time(report).iter().for_each(|chart| body += &chart.draw());
    body += &times(report);
    body += &counts(report);
    body += &settings(report);
    html::page(&format!("{} - hardy load run", report.target), &body)
}

fn headline(report: &Report) -> String {
    let (class, verdict) = match report.verdict() {
        Verdict::Good => ("good", "good"),
        Verdict::Bad => ("bad", "bad"),
        Verdict::Unknown => ("unknown", "unknown"),
    };
    let pace = match (report.mode, report.rate.offered) {
        (Mode::Open, Some(offered)) => format!("open loop at {}", brief_rate(offered)),
        _ => "closed loop".into(),
    };
    let end = match report.end {
        Ended::Done => "",
        Ended::Stopped => ", interrupted",
        Ended::BreakerOpened => ", ended by the breaker",
        Ended::Hopeless => ", ended early",
    };
    format!(
        "<h1>{}</h1>\n<p class=\"faint\">hardy load run, {}: {pace}, {} connections, {}{end}; verdict \
         <b class=\"{class}\">{verdict}</b></p>\n",
        escape(&report.target),
        escape(&report.started_at),
        grouped(report.connections),
        brief(Duration::try_from_secs_f64(report.elapsed_s).unwrap_or_default()),
    )
}

fn tiles(report: &Report) -> String {
    let (name, times) = match &report.response_us {
        Some(response) => ("response", response),
        None => ("service", &report.service_us),
    };
    let time = |us: Option<u64>| us.map_or("–".into(), time);
    let count = |count: u64| if count < LONG { grouped(count) } else { brief_count(count as f64) };
    let mut tiles = vec![
        ("", brief_rate(report.rate.achieved), "requests".to_owned()),
        ("", time(times.p50_us), format!("{name} p50")),
        ("", time(times.p99_us), format!("{name} p99")),
        ("", count(report.ok), "ok".into()),
        (if report.failed > 0 { "bad" } else { "" }, count(report.failed), "failed".into()),
    ];
    for (number, what) in [
        (report.cut_off, "cut off"),
        (report.unsent, "due and unsent"),
        (report.short_circuited, "short-circuited"),
    ] {
        if number > 0 {
            tiles.push(("warn", count(number), what.into()));
        }
    }
    let tile = |(class, value, name): &(&str, String, String)| {
        format!("<div><b class=\"{class}\">{}</b><span>{}</span></div>\n", escape(value), escape(name))
    };
    format!("<div class=\"tiles\">\n{}</div>\n", tiles.iter().map(tile).collect::<String>())
}

/// Conditions, warnings, and what the numbers do not say.
fn remarks(report: &Report) -> String {
    let mut out = String::new();
    for condition in &report.conditions {
        let class = match condition.holds {
            Some(true) => "bad",
            Some(false) => "good",
            None => "warn",
        };
        let (text, answer) = (escape(&condition.text), escape(&condition.answer()));
        out += &format!("<p>fail if {text}: <b class=\"{class}\">{answer}</b></p>\n");
    }
    if let Some(hopeless) = &report.hopeless {
        out += &format!(
            "<p class=\"bad\">Ended early: {} could not be averted any more.</p>\n",
            escape(hopeless)
        );
    }
    for warning in warnings::of(report) {
        out += &format!("<p><b class=\"warn\">warning:</b> {}</p>\n", escape(&warning));
    }
    if report.mode == Mode::Closed {
        out +=
            "<p class=\"faint\">Service times of a closed loop: waiting before sending is not in them.</p>\n";
    }
    out
}

/// A label of an axis: round numbers need no fraction.
fn round_micros(us: f64) -> String {
    let text = |value: f64, unit: &str| format!("{value}{unit}");
    match us {
        us if us < 1e3 => text(us, "us"),
        us if us < 1e6 => text(us / 1e3, "ms"),
        us if us < 6e7 => text(us / 1e6, "s"),
        us => time(us as u64),
    }
}

/// Across: the share above, each power of ten as wide as the next; upward: the time.
fn by_percentile(report: &Report) -> Option<Chart> {
    let split = &report.shape;
    let any = [&split.ok, &split.failed].into_iter().filter(|histogram| histogram.count() > 0);
    let summaries: Vec<_> = any.map(Histogram::summary).collect();
    let least = summaries.iter().filter_map(|summary| summary.min_us).min()?.max(1);
    let most = summaries.iter().filter_map(|summary| summary.max_us).max()?;
    let count = summaries.iter().map(|summary| summary.count).max().filter(|count| *count > 1)?;
    let nines = (count as f64).log10().max(0.5);
    let shares = [(0.0, "0"), (0.301, "p50"), (1.0, "p90"), (2.0, "p99"), (3.0, "p99.9"), (4.0, "p99.99")];
    let more = (5..20).map(|n| (f64::from(n), format!("{n} nines")));
    let all = shares.into_iter().map(|(at, text)| (at, text.to_owned())).chain(more);
    let mut ticks: Vec<_> = all.filter(|(at, _)| *at <= nines).collect();
    if ticks.len() > MOST_TICKS {
        // The first ones would run into each other.
        let each = ticks.len() / MOST_TICKS;
        ticks = ticks.into_iter().filter(|(at, _)| *at != 0.301).step_by(each).collect();
    }
    let mut lines = vec![quantiles("ok", Ink::First, &split.ok)];
    if split.failed.count() > 0 {
        lines.push(quantiles("failed", Ink::Bad, &split.failed));
    }
    let kind = if report.mode == Mode::Open { "Response" } else { "Service" };
    Some(Chart {
        title: format!("{kind} time by percentile"),
        x: Axis::even(0.0, nines, ticks),
        y: Axis::log(least as f64, most as f64, round_micros),
        lines,
        marks: Vec::new(),
        notes: Vec::new(),
    })
}

fn quantiles(name: &str, ink: Ink, histogram: &Histogram) -> Line {
    let most = (histogram.count() as f64).log10();
    let steps = (most * POINTS_PER_NINE) as usize;
    let point = |nines: f64| {
        let time = histogram.quantile(1.0 - 10f64.powf(-nines))?;
        Some((nines, time.as_micros().max(1) as f64))
    };
    let points = (0..=steps).map(|step| step as f64 / POINTS_PER_NINE);
    // What is left out has too few samples, at the upper end only.
    let mut points: Vec<_> = points.filter_map(point).map(Some).collect();
    let summary = histogram.summary();
    points.extend(summary.max_us.map(|max| Some((most, max.max(1) as f64))));
    Line { name: name.into(), ink, filled: false, points }
}

/// Rate, times and, in the open loop, the backlog.
fn over_time(report: &Report) -> Vec<Chart> {
    let parts = &report.timeline;
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Vec::new() };
    let axis = || Axis::span(first.start_s, last.end_s, tick);
    let notes: Vec<_> = parts.iter().map(|part| (part.start_s, part.end_s, note(part))).collect();
    let line = |name: &str, ink: Ink, filled: bool, value: &dyn Fn(&Part) -> Option<f64>| {
        let middle = |part: &Part| (part.start_s + part.end_s) / 2.0;
        let mut points: Vec<_> =
            parts.iter().map(|part| value(part).map(|value| (middle(part), value))).collect();
        // To both ends: half a part is much of a short run.
        points.insert(0, value(first).map(|value| (first.start_s, value)));
        points.push(value(last).map(|value| (last.end_s, value)));
        Line { name: name.into(), ink, filled, points }
    };
    let per_second = |count: u64, part: &Part| count as f64 / (part.end_s - part.start_s).max(1e-3);
    let rate = |part: &Part| per_second(part.ok + part.failed, part);
    let mut lines = vec![line("all", Ink::First, true, &|part| Some(rate(part)))];
    if report.failed > 0 {
        lines.push(line("failed", Ink::Bad, true, &|part| Some(per_second(part.failed, part))));
    }
    let most = parts.iter().map(rate).fold(0.0, f64::max);
    let failed = parts.iter().filter(|part| part.failed > 0);
    let mut charts = vec![Chart {
        title: "Requests per second".into(),
        x: axis(),
        y: Axis::from_zero(most, brief_count_clean),
        lines,
        marks: failed.map(|part| (part.start_s, part.end_s)).collect(),
        notes: notes.clone(),
    }];
    let times =
        || parts.iter().flat_map(|part| [part.p50_us, part.max_us]).flatten().map(|us| us.max(1) as f64);
    if let (Some(least), Some(most)) = (times().reduce(f64::min), times().reduce(f64::max)) {
        let at_least_one = |us: Option<u64>| us.map(|us| us.max(1) as f64);
        let mut lines = vec![line("max", Ink::Third, false, &|part| at_least_one(part.max_us))];
        // Where most parts have too few samples for it, the rest of the line would be splinters.
        let counted = |pick: fn(&Part) -> Option<u64>| parts.iter().filter_map(pick).count();
        if counted(|part| part.p99_us) * 4 >= counted(|part| part.max_us) * 3 {
            lines.push(line("p99", Ink::Second, false, &|part| at_least_one(part.p99_us)));
        }
        lines.push(line("p50", Ink::First, false, &|part| at_least_one(part.p50_us)));
        charts.push(Chart {
            title: if report.mode == Mode::Open { "Response time".into() } else { "Service time".into() },
            x: axis(),
            y: Axis::log(least, most, round_micros),
            lines,
            marks: Vec::new(),
            notes: notes.clone(),
        });
    }
    let waiting = parts.iter().map(|part| part.backlog).max().unwrap_or(0);
    if waiting > 0 {
        charts.push(Chart {
            title: "Backlog: due and not sent".into(),
            x: axis(),
            y: Axis::from_zero(waiting as f64, brief_count_clean),
            lines: vec![line("requests", Ink::Second, true, &|part| Some(part.backlog as f64))],
            marks: Vec::new(),
            notes,
        });
    }
    charts
}

fn note(part: &Part) -> String {
    let rate = (part.ok + part.failed) as f64 / (part.end_s - part.start_s).max(1e-3);
    let mut text = format!("{:.1}s to {:.1}s: {}", part.start_s, part.end_s, brief_rate(rate));
    for (name, us) in [("p50", part.p50_us), ("p99", part.p99_us), ("max", part.max_us)] {
        text += &us.map(|us| format!(", {name} {}", time(us))).unwrap_or_default();
    }
    if part.failed > 0 {
        text += &format!(", {} failed", grouped(part.failed));
    }
    text
}

/// Without the traces of binary fractions.
fn clean(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn brief_count_clean(value: f64) -> String {
    if value < 1000.0 { clean(value).to_string() } else { brief_count(value) }
}

fn times(report: &Report) -> String {
    let mut columns: Vec<(&str, &Quantiles)> = Vec::new();
    let mut pair = |names: [&'static str; 2], ok, failed| {
        columns.push((names[0], ok));
        if report.failed > 0 {
            columns.push((names[1], failed));
        }
    };
    if let (Some(ok), Some(failed)) = (&report.response_ok_us, &report.response_failed_us) {
        pair(["response, ok", "response, failed"], ok, failed);
    }
    pair(["service, ok", "service, failed"], &report.service_ok_us, &report.service_failed_us);
    columns.extend(report.late_us.as_ref().map(|late| ("sent late by", late)));
    columns.push(("connect", &report.connect_us));
    if report.cut_off > 0 {
        columns.push(("cut off, age", &report.cut_off_us));
    }
    let header: Vec<&str> = std::iter::once("").chain(columns.iter().map(|column| column.0)).collect();
    let row = |name: &str, value: &dyn Fn(&Quantiles) -> String| {
        std::iter::once(name.to_owned())
            .chain(columns.iter().map(|column| value(column.1)))
            .collect::<Vec<_>>()
    };
    let time = |us: Option<u64>| us.map_or("–".into(), time);
    let mut rows = vec![
        row("count", &|times| grouped(times.count)),
        row("min", &|times| time(times.min_us)),
        row("mean", &|times| time(times.mean_us)),
    ];
    for (index, (name, _)) in Quantiles::default().named().into_iter().enumerate() {
        rows.push(row(name, &|times| time(times.named()[index].1)));
    }
    format!("<h2>Times</h2>\n{}", table(&header, &rows))
}

fn counts(report: &Report) -> String {
    let mut out = String::from("<div class=\"columns\">\n");
    let mut section = |title: &str, header: &[&str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            out += &format!("<section><h2>{title}</h2>\n{}</section>\n", table(header, &rows));
        }
    };
    let share = |count: u64| format!("{:.2}%", count as f64 / report.requests.max(1) as f64 * 100.0);
    let row = |name: String, count: u64| vec![name, grouped(count), share(count)];
    let status = report.status.iter().map(|(status, count)| row(status.to_string(), *count)).collect();
    section("Statuses", &["status", "answers", "of all"], status);
    let errors = report.errors.iter().map(|(reason, count)| row(reason.to_string(), *count)).collect();
    section("Failures", &["reason", "requests", "of all"], errors);
    let rate = |bytes: u64| {
        let per_second = if report.elapsed_s > 0.0 { bytes as f64 / report.elapsed_s } else { 0.0 };
        format!("{}/s", brief_size(per_second as u64))
    };
    let bytes = |name: &str, count: u64| vec![name.to_owned(), brief_size(count), rate(count)];
    let rows = vec![bytes("received", report.bytes.received), bytes("sent", report.bytes.written)];
    section("Bytes", &["", "in all", "rate"], rows);
    let generator = &report.generator;
    let mut rows = vec![
        vec!["busiest thread".into(), format!("{:.0}% of a processor", generator.busiest * 100.0)],
        vec!["processor time".into(), format!("{:.2}s", generator.cpu_s)],
    ];
    if let Some(late) = generator.late_over_1ms {
        rows.push(vec!["sent over 1ms late".into(), grouped(late)]);
    }
    section("Generator", &[], rows);
    out + "</div>\n"
}

fn settings(report: &Report) -> String {
    if report.settings.is_empty() {
        return String::new();
    }
    let rows: Vec<_> =
        report.settings.iter().map(|(name, value)| vec![name.clone(), value.clone()]).collect();
    format!("<h2>Settings</h2>\n<div class=\"settings\">{}</div>\n", table(&[], &rows))
}
