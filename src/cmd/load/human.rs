//! How a person reads a run: what came of it, how long it took, what went wrong, and what to beware of.

use std::io;
use std::time::Duration;

use super::parts::{Ended, Mode};
use super::report::Report;
use super::warnings;
use crate::histogram::{Histogram, Quantiles};
use crate::load::timeline::Window;
use crate::output::plot::{self, Bar, Timeline, Track};
use crate::output::{Human, Tone, printable};
use crate::units::{brief, brief_count, brief_rate, brief_size, grouped};

/// Columns of a number in the table of times.
const NUMBER: usize = 10;
/// Columns of the names in front of it.
const NAME: usize = 8;
/// Bars of the histogram.
const BARS: usize = 12;
/// Wider plots are no clearer.
const WIDEST: usize = 100;
/// Columns that a timeline needs beside its parts.
const MARGIN: usize = 20;

/// The whole report.
pub fn report(out: &mut Human<'_>, report: &Report) -> io::Result<()> {
    headline(out, report)?;
    out.line("")?;
    times(out, report)?;
    out.line("")?;
    details(out, report)?;
    if report.plots {
        plots(out, report)?;
    }
    conditions(out, report)?;
    let warnings = warnings::of(report);
    if !warnings.is_empty() {
        out.line("")?;
    }
    for warning in warnings {
        paragraph(out, Tone::Warn, "warning: ", &warning)?;
    }
    Ok(())
}

fn headline(out: &mut Human<'_>, report: &Report) -> io::Result<()> {
    let pace = match (report.mode, report.rate.offered) {
        (Mode::Open, Some(offered)) => format!("open loop at {}", brief_rate(offered)),
        _ => "closed loop".to_owned(),
    };
    let elapsed = seconds(report.elapsed_s);
    let connections = match report.connections {
        1 => "1 connection".to_owned(),
        many => format!("{} connections", grouped(many)),
    };
    let target = printable(&report.target);
    let shown = out.tone(Tone::Strong, &target);
    let end = match report.end {
        Ended::Done => "",
        Ended::Stopped => ", interrupted",
        Ended::BreakerOpened => ", ended by the breaker",
        Ended::Hopeless => ", ended early",
    };
    let rest = format!("{pace}, {connections}, {elapsed}{end}");
    if target.chars().count() + 2 + rest.chars().count() <= out.width() {
        out.line(format!("{shown}  {rest}"))?;
    } else {
        // A URL in pieces is none.
        out.line(shown)?;
        paragraph_plain(out, &rest)?;
    }
    let mut parts = vec![
        (Some(Tone::Strong), format!("{} requests", brief_rate(report.rate.achieved))),
        (None, format!("{} ok", grouped(report.ok))),
    ];
    let bad = |count: u64, what: &str, tone: Tone| {
        (count > 0).then(|| (Some(tone), format!("{} {what}", grouped(count))))
    };
    parts.push(bad(report.failed, "failed", Tone::Bad).unwrap_or((None, "0 failed".into())));
    parts.extend(bad(report.cut_off, "cut off", Tone::Warn));
    parts.extend(bad(report.unsent, "unsent", Tone::Warn));
    parts.extend(bad(report.short_circuited, "short-circuited", Tone::Warn));
    parts.extend(bad(report.warm_up, "in the warm-up", Tone::Faint));
    flow(out, "", &parts)
}

/// Parts one after the other, on as many lines as they need.
fn flow(out: &mut Human<'_>, label: &str, parts: &[(Option<Tone>, String)]) -> io::Result<()> {
    let indent = label.chars().count();
    let mut line = label.to_owned();
    let mut used = indent;
    for (index, (tone, text)) in parts.iter().enumerate() {
        let comma = if index + 1 < parts.len() { "," } else { "" };
        let wide = text.chars().count() + comma.len();
        if used > indent && used + 1 + wide > out.width() {
            out.line(line)?;
            (line, used) = (" ".repeat(indent), indent);
        }
        if used > indent {
            line.push(' ');
            used += 1;
        }
        line += &tone.map_or_else(|| printable(text), |tone| out.tone(tone, text));
        line += comma;
        used += wide;
    }
    out.line(line)
}

/// Text that wraps between words.
fn paragraph(out: &mut Human<'_>, tone: Tone, label: &str, text: &str) -> io::Result<()> {
    let mut start = out.tone(tone, label);
    let indent = label.chars().count();
    let text = printable(text);
    let (mut line, mut used) = (String::new(), 0);
    for word in text.split_whitespace() {
        let wide = word.chars().count();
        if used > 0 && indent + used + 1 + wide > out.width() {
            out.line(format!("{start}{line}"))?;
            start = " ".repeat(indent);
            (line, used) = (String::new(), 0);
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        line += word;
        used += wide;
    }
    out.line(format!("{start}{line}"))
}

fn paragraph_plain(out: &mut Human<'_>, text: &str) -> io::Result<()> {
    paragraph(out, Tone::Faint, "", text)
}

/// Quantiles from above to below, as many distributions beside each other as there is room for.
fn times(out: &mut Human<'_>, report: &Report) -> io::Result<()> {
    let mut columns: Vec<(&str, &str, &Quantiles)> = Vec::new();
    let mut split = |name, ok, failed| {
        columns.push((name, if report.failed > 0 { "ok" } else { "" }, ok));
        if report.failed > 0 {
            columns.push(("", "failed", failed));
        }
    };
    if let (Some(ok), Some(failed)) = (&report.response_ok_us, &report.response_failed_us) {
        split("response", ok, failed);
    }
    split("service", &report.service_ok_us, &report.service_failed_us);
    columns.extend(report.late_us.as_ref().map(|late| ("late", "", late)));
    columns.push(("connect", "", &report.connect_us));
    columns.truncate((out.width().saturating_sub(NAME) / NUMBER).max(1));
    let row = |name: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>NUMBER$}")).collect();
        format!("{name:<NAME$}{cells}").trim_end().to_owned()
    };
    let heads: [Vec<String>; 2] = [
        columns.iter().map(|column| column.0.to_owned()).collect(),
        columns.iter().map(|column| column.1.to_owned()).collect(),
    ];
    for head in heads.into_iter().filter(|head| head.iter().any(|cell| !cell.is_empty())) {
        let head = out.tone(Tone::Faint, &row("", head));
        out.line(head)?;
    }
    let cell = |us: Option<u64>| us.map_or("–".to_owned(), time);
    let mut rows: Vec<(&str, Vec<Option<u64>>)> = vec![
        ("min", columns.iter().map(|column| column.2.min_us).collect()),
        ("mean", columns.iter().map(|column| column.2.mean_us).collect()),
    ];
    for (index, (name, _)) in Quantiles::default().named().into_iter().enumerate() {
        rows.push((name, columns.iter().map(|column| column.2.named()[index].1).collect()));
    }
    for (name, values) in rows {
        // What no distribution has enough samples for is left out.
        if name == "max" || values.iter().any(Option::is_some) {
            out.line(row(name, values.into_iter().map(cell).collect()))?;
        }
    }
    Ok(())
}

/// A time in one column of the table.
pub fn time(us: u64) -> String {
    const DAYS_999: u64 = 999 * 86_400_000_000;
    if us > DAYS_999 { ">999d".to_owned() } else { brief(Duration::from_micros(us)) }
}

fn seconds(seconds: f64) -> String {
    brief(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// A time on an axis, where round numbers need no fraction.
pub fn tick(seconds: f64) -> String {
    if seconds < 60.0 { format!("{}s", (seconds * 10.0).round() / 10.0) } else { self::seconds(seconds) }
}

fn details(out: &mut Human<'_>, report: &Report) -> io::Result<()> {
    if !report.status.is_empty() {
        let parts: Vec<_> = report
            .status
            .iter()
            .map(|(status, count)| (None, format!("{status} ×{}", grouped(*count))))
            .collect();
        flow(out, &label("status"), &parts)?;
    }
    if !report.errors.is_empty() {
        let part = |(reason, count): (&crate::reason::Reason, &u64)| {
            (Some(Tone::Bad), format!("{reason} ×{}", grouped(*count)))
        };
        let parts: Vec<_> = report.errors.iter().map(part).collect();
        flow(out, &label("failures"), &parts)?;
    }
    let per_second = |bytes: u64| {
        let rate = if report.elapsed_s > 0.0 { bytes as f64 / report.elapsed_s } else { 0.0 };
        format!("{} ({}/s)", brief_size(bytes), brief_size(rate as u64))
    };
    let bytes = [("received", report.bytes.received), ("sent", report.bytes.written)];
    let parts: Vec<_> =
        bytes.into_iter().map(|(what, n)| (None, format!("{what} {}", per_second(n)))).collect();
    flow(out, &label("bytes"), &parts)?;
    let mut parts = vec![format!("busiest thread {:.0}% of a processor", report.generator.busiest * 100.0)];
    if report.requests > 0 {
        let micros = report.generator.cpu_s * 1e6 / report.requests as f64;
        let cost = if micros < 100.0 { format!("{micros:.1}us") } else { seconds(micros / 1e6) };
        parts.push(format!("{cost} of it per request"));
    }
    if let (Some(late), Some(all)) = (report.generator.late_over_1ms, &report.late_us)
        && all.count > 0
    {
        parts.push(format!("{} sent over 1ms late", share(late, all.count)));
    }
    let parts: Vec<_> = parts.into_iter().map(|part| (None, part)).collect();
    flow(out, &label("hardy"), &parts)?;
    if report.mode == Mode::Closed {
        paragraph(
            out,
            Tone::Faint,
            &label("note"),
            "service times of a closed loop: waiting before sending is not in them",
        )?;
    }
    Ok(())
}

fn label(text: &str) -> String {
    format!("{text:<10}")
}

fn share(part: u64, all: u64) -> String {
    format!("{} ({:.2}%)", grouped(part), part as f64 / all as f64 * 100.0)
}

fn conditions(out: &mut Human<'_>, report: &Report) -> io::Result<()> {
    if !report.conditions.is_empty() || report.hopeless.is_some() {
        out.line("")?;
    }
    for condition in &report.conditions {
        let tone = match condition.holds {
            Some(true) => Tone::Bad,
            Some(false) => Tone::Good,
            None => Tone::Warn,
        };
        paragraph(out, tone, "fail if ", &format!("{}: {}", condition.text, condition.answer()))?;
    }
    if let Some(hopeless) = &report.hopeless {
        paragraph(out, Tone::Bad, "ended early: ", &format!("{hopeless} could not be averted any more"))?;
    }
    Ok(())
}

fn plots(out: &mut Human<'_>, report: &Report) -> io::Result<()> {
    let width = out.width().min(WIDEST);
    let times = if report.mode == Mode::Open { "response times" } else { "service times" };
    let all = report.shape.all();
    if all.count() > 1 {
        let title = out.tone(Tone::Faint, times);
        out.line(format!("\n{title}"))?;
        for line in plot::bars(&bars(&all), width) {
            out.line(line)?;
        }
    }
    let windows = report.windows.within(width.saturating_sub(MARGIN));
    if windows.len() > 1 {
        let title = out.tone(Tone::Faint, "over time");
        out.line(format!("\n{title}"))?;
        for line in plot::timeline(&over_time(&windows), tick, width) {
            let line = if line.contains(plot::FAILED) { out.tone(Tone::Bad, &line) } else { line };
            out.line(line)?;
        }
    }
    Ok(())
}

/// Steps of equal ratio between the shortest and the longest time.
fn bars(all: &Histogram) -> Vec<Bar> {
    let summary = all.summary();
    let (Some(min), Some(max)) = (summary.min_us, summary.max_us) else { return Vec::new() };
    let low = min.max(1) as f64;
    let step = (max.max(1) as f64 / low).powf(1.0 / BARS as f64);
    let mut ends: Vec<u64> =
        (1..BARS).map(|n| three_digits(low * step.powf(n as f64))).filter(|end| *end < max).collect();
    ends.push(max);
    // Two that look the same are one, up to the later.
    ends.reverse();
    ends.dedup_by_key(|end| time(*end));
    ends.reverse();
    let mut before = 0;
    let bar = |end: u64| {
        let until = all.at_most(Duration::from_micros(end));
        let count = until - std::mem::replace(&mut before, until);
        Bar { label: format!("<= {}", time(end)), count, shown: grouped(count) }
    };
    ends.into_iter().map(bar).collect()
}

/// As exact as it is shown.
fn three_digits(us: f64) -> u64 {
    let unit = 10f64.powf((us.log10().floor() - 2.0).max(0.0));
    ((us / unit).round() * unit) as u64
}

/// Rate and the highest quantile that most of the windows bear.
pub fn over_time(windows: &[Window]) -> Timeline {
    let rates: Vec<Option<f64>> = windows.iter().map(|window| Some(window.rate())).collect();
    let (name, tails) = tail(windows);
    let top = |values: &[Option<f64>]| values.iter().flatten().copied().fold(0.0, f64::max);
    let top_rate = format!("{}/s", brief_count(top(&rates)));
    let top_tail = time(top(&tails) as u64);
    Timeline {
        spans: windows.iter().map(|w| (w.start as f64 / 1e9, w.end as f64 / 1e9)).collect(),
        tracks: vec![
            Track { name: "rate", values: rates, top: top_rate, height: 5 },
            Track { name, values: tails, top: top_tail, height: 3 },
        ],
        failed: windows.iter().map(|window| window.failed > 0).collect(),
    }
}

/// The highest quantile that three quarters of the windows with samples have enough of, in microseconds; else the longest.
pub fn tail(windows: &[Window]) -> (&'static str, Vec<Option<f64>>) {
    let some = windows.iter().filter(|window| window.response.count() > 0).count();
    let of = |pick: &dyn Fn(&Histogram) -> Option<u64>| -> Vec<Option<f64>> {
        windows.iter().map(|window| pick(&window.response).map(|us| us as f64)).collect()
    };
    for (name, q) in [("p99", 0.99), ("p90", 0.9)] {
        let values =
            of(&|histogram| histogram.quantile(q).and_then(|time| u64::try_from(time.as_micros()).ok()));
        if values.iter().flatten().count() * 4 >= some * 3 && some > 0 {
            return (name, values);
        }
    }
    ("max", of(&|histogram| histogram.summary().max_us))
}
