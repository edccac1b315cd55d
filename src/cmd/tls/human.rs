//! How a person reads a check: what is wrong, how it should be, and what to do, the worst first.

use std::io;
use std::time::Duration;

use super::baseline::{Changed, Changes, Difference};
use super::report::{FindingReport, Report, TargetReport};
use crate::output::{Human, Tone, printable};
use crate::tls::Snapshot;
use crate::tls::finding::Status;
use crate::tls::registry::Version;
use crate::units::{brief, counted, grouped};

/// More items than these are only counted, unless everything is wanted.
const FEW_ITEMS: usize = 8;
/// Longer bars are no clearer.
const LONGEST_BAR: usize = 40;
/// Before the text of a finding: a gap, the status, a gap.
const MARGIN: usize = 9;
/// Before what a finding expects and what mends it.
const LABEL: usize = 6;

/// The whole report. Of several targets those that are as they should be have one line each.
pub fn report(out: &mut Human<'_>, report: &Report) -> io::Result<()> {
    if report.run.codes.is_nagios() {
        let line = nagios(report);
        out.line(printable(&line))?;
    }
    let several = report.targets.len() > 1;
    for (index, target) in report.targets.iter().enumerate() {
        let brief = several && !report.run.verbose && target.status == Status::Pass && !has_news(target);
        if index > 0 && !brief {
            out.line("")?;
        }
        headline(out, target, brief)?;
        if !brief {
            details(out, report, target)?;
        }
    }
    if several || report.interrupted || report.baseline.is_some() {
        out.line("")?;
        closing(out, report)?;
    }
    Ok(())
}

fn has_news(target: &TargetReport) -> bool {
    target.changes.as_ref().is_some_and(|changes| *changes != Changes::default())
}

fn headline(out: &mut Human<'_>, target: &TargetReport, with_days: bool) -> io::Result<()> {
    let (tone, word) = match target.status {
        Status::Fail => (Tone::Bad, "FAIL"),
        Status::Error => (Tone::Bad, "ERROR"),
        Status::Warn => (Tone::Warn, "WARN"),
        Status::Skip => (Tone::Warn, "NOT TESTED"),
        Status::Pass => (Tone::Good, "OK"),
    };
    let days = target.days_left().filter(|_| with_days).map(|days| format!("  {}", left(days)));
    let (word, name) = (out.tone(tone, word), out.tone(Tone::Strong, &target.name()));
    out.line(format!("{word}  {name}{}", days.unwrap_or_default()))
}

fn left(days: i64) -> String {
    if days < 0 { format!("ended {} days ago", -days) } else { format!("{days} days left") }
}

fn details(out: &mut Human<'_>, report: &Report, target: &TargetReport) -> io::Result<()> {
    let connections = counted(target.connections, "connection");
    let elapsed = brief(Duration::from_millis(target.elapsed_ms));
    let how = match target.file {
        Some(_) => format!("policy {}", report.policy),
        None => format!("policy {}, {connections}, {elapsed}", report.policy),
    };
    paragraph(out, "", &how, Some(Tone::Faint))?;
    for line in observed(target) {
        paragraph(out, "", &line, Some(Tone::Faint))?;
    }
    let shown = target.findings.iter().filter(|f| report.run.verbose || f.counts());
    for (index, shown) in shown.enumerate() {
        if index == 0 {
            out.line("")?;
        }
        finding(out, shown, report.run.verbose)?;
    }
    rest(out, report, target)?;
    match &target.changes {
        Some(changes) => self::changes(out, report, changes),
        None => Ok(()),
    }
}

/// The short of what was seen.
fn observed(target: &TargetReport) -> Vec<String> {
    let seen = &target.observed;
    let mut parts = Vec::new();
    if !seen.versions.is_empty() {
        let version = |version: &Version| {
            let suites = seen.suites.get(version.id()).map_or(0, Vec::len);
            format!("{version} ({})", counted(suites, "suite"))
        };
        parts.push(seen.versions.iter().map(version).collect::<Vec<_>>().join(", "));
        let groups: Vec<String> = seen.groups.iter().map(ToString::to_string).collect();
        parts.push(groups.join(", "));
    } else if let Some(negotiated) = &seen.negotiated {
        let version = Version::ALL.into_iter().find(|version| version.id() == negotiated.version);
        let version = version.map_or(negotiated.version.clone(), |version| version.to_string());
        parts.push(format!("{version}, {}", negotiated.suite));
        parts.extend(negotiated.group.clone());
    }
    parts.extend(seen.alpn.clone());
    let leaf = seen.chain.first().map(|leaf| {
        let until = leaf.not_after.get(..10).unwrap_or(&leaf.not_after);
        format!("{}, until {until} ({})", leaf.key, left(leaf.days_left))
    });
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let spoken = (!parts.is_empty()).then(|| parts.join("; "));
    spoken.into_iter().chain(leaf).collect()
}

fn finding(out: &mut Human<'_>, finding: &FindingReport, verbose: bool) -> io::Result<()> {
    let (tone, word) = match finding.status {
        _ if finding.waived.is_some() => (Tone::Faint, "waived"),
        _ if finding.known => (Tone::Faint, "known"),
        Status::Fail => (Tone::Bad, "FAIL"),
        Status::Error => (Tone::Bad, "ERROR"),
        Status::Warn => (Tone::Warn, "WARN"),
        Status::Skip => (Tone::Faint, "skip"),
        Status::Pass => (Tone::Good, "pass"),
    };
    let text = match finding.actual.is_empty() {
        true => finding.subject.clone(),
        false => format!("{}: {}", finding.subject, finding.actual),
    };
    let head = format!("{}  {text}", finding.id);
    let margin = format!("  {}{}", out.tone(tone, word), " ".repeat(MARGIN - 2 - word.len()));
    for (index, line) in wrap(&printable(&head), room(out, MARGIN)).into_iter().enumerate() {
        let line = match line.strip_prefix(finding.id.as_str()) {
            Some(rest) if index == 0 => format!("{margin}{}{rest}", out.tone(Tone::Strong, &finding.id)),
            _ => format!("{}{line}", " ".repeat(MARGIN)),
        };
        out.line(line)?;
    }
    if finding.counts() || verbose && finding.is_bad() {
        let said = finding.items.iter().all(|item| finding.actual.contains(item.as_str()));
        if !said && (verbose || finding.items.len() <= FEW_ITEMS) {
            paragraph(out, "these", &finding.items.join(" "), None)?;
        }
        paragraph(out, "want", &finding.expected, None)?;
        paragraph(out, "fix", &finding.fix, None)?;
    }
    paragraph(out, "why", finding.waived.as_deref().unwrap_or_default(), None)
}

/// Text below a finding, or below a headline where it has no label; nothing where there is none.
fn paragraph(out: &mut Human<'_>, label: &str, text: &str, tone: Option<Tone>) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let indent = if label.is_empty() { 2 } else { MARGIN };
    let gap = if label.is_empty() { 0 } else { LABEL };
    for (index, line) in wrap(&printable(text), room(out, indent + gap)).into_iter().enumerate() {
        let label = if index == 0 { label } else { "" };
        let label = out.tone(Tone::Faint, &format!("{label:<gap$}"));
        let line = tone.map_or_else(|| line.clone(), |tone| out.tone(tone, &line));
        out.line(format!("{}{label}{line}", " ".repeat(indent)))?;
    }
    Ok(())
}

fn room(out: &Human<'_>, used: usize) -> usize {
    out.width().saturating_sub(used).max(LABEL)
}

/// What is not shown one by one.
fn rest(out: &mut Human<'_>, report: &Report, target: &TargetReport) -> io::Result<()> {
    let count = |is: &dyn Fn(&FindingReport) -> bool| target.findings.iter().filter(|f| is(f)).count();
    let parts = [
        (count(&|f| f.status == Status::Pass), "passed"),
        (count(&|f| f.status == Status::Skip), "skipped"),
        (count(&|f| f.is_bad() && f.waived.is_some()), "waived"),
        (count(&|f| f.is_bad() && f.waived.is_none() && f.known), "known"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let hint = if report.run.verbose { "" } else { " (-v lists them)" };
    match parts.is_empty() {
        true => Ok(()),
        false => paragraph(out, "", &format!("{}{hint}", parts.join(", ")), Some(Tone::Faint)),
    }
}

fn changes(out: &mut Human<'_>, report: &Report, changes: &Changes) -> io::Result<()> {
    let since = report.baseline.as_ref().map(|baseline| baseline.at.clone()).unwrap_or_default();
    if changes.is_new {
        return paragraph(out, "", &format!("since {since}: a new target"), Some(Tone::Faint));
    }
    let lists = [("+", &changes.new), ("-", &changes.gone), ("~", &changes.changed)];
    let mut lines: Vec<String> = lines_of(&lists).chain(changes.observed.iter().map(difference)).collect();
    if lines.is_empty() {
        lines.push("nothing has changed".to_owned());
    }
    paragraph(out, "", &format!("since {since}:"), Some(Tone::Faint))?;
    for line in lines {
        for (index, part) in wrap(&printable(&line), room(out, 6)).into_iter().enumerate() {
            out.line(format!("{}{part}", " ".repeat(if index == 0 { 4 } else { 6 })))?;
        }
    }
    Ok(())
}

fn lines_of<'a>(lists: &'a [(&str, &'a Vec<Changed>)]) -> impl Iterator<Item = String> + 'a {
    lists.iter().flat_map(|(mark, list)| list.iter().map(move |changed| finding_line(mark, changed)))
}

fn finding_line(mark: &str, changed: &Changed) -> String {
    let word = |status: Option<Status>| match status {
        Some(Status::Fail) => "fail",
        Some(Status::Error) => "error",
        Some(Status::Warn) => "warn",
        Some(Status::Skip) => "skip",
        Some(Status::Pass) => "pass",
        None => "",
    };
    let status = match (changed.from, changed.to) {
        (Some(from), Some(to)) if from != to => format!(" {} -> {}", word(Some(from)), word(Some(to))),
        (from, to) => format!(" {}", word(to.or(from))),
    };
    let (id, subject) = (&changed.id, &changed.subject);
    let items = if changed.from.is_some() && changed.to.is_some() {
        items(&changed.added, &changed.removed)
    } else {
        String::new()
    };
    format!("{mark} {id} {subject}{status}{items}")
}

fn difference(difference: &Difference) -> String {
    let what = difference.what.trim_start_matches("protocol.").trim_start_matches("versions.");
    match (&difference.from, &difference.to) {
        (Some(from), Some(to)) => format!("~ {what}: {from} -> {to}"),
        _ => format!("~ {what}:{}", items(&difference.added, &difference.removed)),
    }
}

fn items(added: &[String], removed: &[String]) -> String {
    let marked = |mark: &'static str, list: &[String]| {
        list.iter().map(|one| format!(" {mark}{one}")).collect::<Vec<_>>().concat()
    };
    format!("{}{}", marked("+", added), marked("-", removed))
}

fn closing(out: &mut Human<'_>, report: &Report) -> io::Result<()> {
    let all = [
        (Status::Fail, Tone::Bad, "fail"),
        (Status::Error, Tone::Bad, "error"),
        (Status::Skip, Tone::Warn, "not tested"),
        (Status::Warn, Tone::Warn, "warn"),
        (Status::Pass, Tone::Good, "ok"),
    ];
    let counts: Vec<String> = all
        .into_iter()
        .filter(|(status, _, _)| report.count(*status) > 0)
        .map(|(status, tone, word)| out.tone(tone, &format!("{} {word}", report.count(status))))
        .collect();
    let connections: u64 = report.targets.iter().map(|target| target.connections).sum();
    let end = if report.interrupted { ", interrupted" } else { "" };
    out.line(format!("{}: {}", counted(report.targets.len(), "target"), counts.join(", ")))?;
    let elapsed = brief(Duration::from_millis(report.elapsed_ms));
    paragraph(
        out,
        "",
        &format!("{} connections in {elapsed}{end}", grouped(connections)),
        Some(Tone::Faint),
    )?;
    let Some(baseline) = &report.baseline else { return Ok(()) };
    match baseline.targets_gone.is_empty() {
        true => Ok(()),
        false => {
            paragraph(out, "", &format!("not checked since: {}", baseline.targets_gone.join(", ")), None)
        }
    }
}

/// The line that monitoring systems show, with their performance data behind the bar.
fn nagios(report: &Report) -> String {
    let word = match crate::output::Report::exit(report).code() {
        0 => "OK",
        1 => "WARNING",
        2 => "CRITICAL",
        _ => "UNKNOWN",
    };
    let bad = report.targets.iter().filter(|target| target.status != Status::Pass);
    let bad: Vec<String> = bad
        .map(|target| {
            let mut ids: Vec<&str> =
                target.findings.iter().filter(|f| f.counts()).map(|f| f.id.as_str()).collect();
            ids.dedup();
            format!("{}: {}", target.name(), ids.join(" "))
        })
        .collect();
    let total = counted(report.targets.len(), "target");
    let text = if bad.is_empty() { total } else { format!("{} of {total}: {}", bad.len(), bad.join("; ")) };
    let days = report.targets.iter().filter_map(TargetReport::days_left).min();
    let data = days.map(|days| format!(" | days_left={days}")).unwrap_or_default();
    format!("TLS {word} - {}{data}", text.replace('|', "/"))
}

/// How far a check is.
pub fn progress(out: &mut Human<'_>, snapshot: &Snapshot, elapsed: Duration) -> io::Result<()> {
    let Snapshot { done, total } = *snapshot;
    let share = if total > 0 { done as f64 / total as f64 } else { 0.0 };
    let left = Duration::try_from_secs_f64(elapsed.as_secs_f64() * (1.0 - share) / share);
    let left = left.map(|left| format!(", {} left", brief(left))).ok().filter(|_| done < total);
    let text = format!("  {done} of {}{}", counted(total, "target"), left.unwrap_or_default());
    let room = out.width().saturating_sub(text.chars().count()).min(LONGEST_BAR);
    let filled = (share * room as f64) as usize;
    out.line(format!("{}{}{text}", "█".repeat(filled), "░".repeat(room - filled)))
}

/// Lines of at most so many characters, broken between words, and within a word that is longer than a line.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        for c in word.chars() {
            if used == width {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(c);
            used += 1;
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrap("a  b", 80), ["a  b"]);
        for width in 1..30 {
            assert!(wrap("TLS_ECDHE_RSA_WITH_X of words", width).iter().all(|l| l.chars().count() <= width));
        }
    }
}
