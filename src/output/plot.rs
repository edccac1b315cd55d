//! Plots drawn with text: bars for a distribution, columns for what happened over time.
//!
//! Plain functions over plain numbers and labels; every line keeps within the width. They know neither colour nor what
//! the numbers mean.

/// Parts of a cell, from the left.
const ACROSS: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
/// Parts of a cell, from below.
const UPWARD: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// A shorter bar says nothing.
const SHORTEST_BAR: usize = 5;
/// What stands for a failure.
pub const FAILED: char = '✗';

/// One bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// What was counted.
    pub label: String,
    /// How often.
    pub count: u64,
    /// The same for people.
    pub shown: String,
}

/// One line per bar: its label, the bar, how often, and the share of all. What was counted at all has a visible bar.
pub fn bars(bars: &[Bar], width: usize) -> Vec<String> {
    let all: u64 = bars.iter().map(|bar| bar.count).sum();
    let most = bars.iter().map(|bar| bar.count).max().unwrap_or(0).max(1);
    let widest = |pick: fn(&Bar) -> &String| bars.iter().map(|bar| pick(bar).chars().count()).max();
    let labels = widest(|bar| &bar.label).unwrap_or(0);
    let counts = widest(|bar| &bar.shown).unwrap_or(0);
    // Two gaps of two, and the share in seven columns.
    let room = width.saturating_sub(labels + counts + 4 + 7);
    let line = |bar: &Bar| {
        let share = if all > 0 { bar.count as f64 / all as f64 * 100.0 } else { 0.0 };
        let drawn = if room < SHORTEST_BAR { String::new() } else { across(bar.count, most, room) };
        let line = format!("{:>labels$}  {drawn}  {:>counts$} {share:>5.1}%", bar.label, bar.shown);
        line.chars().take(width).collect()
    };
    bars.iter().map(line).collect()
}

fn across(count: u64, most: u64, room: usize) -> String {
    let eighths = (count as f64 / most as f64 * (room * 8) as f64).round() as usize;
    let eighths = eighths.clamp(usize::from(count > 0), room * 8);
    let cell = |at: usize| ACROSS[eighths.saturating_sub(at * 8).min(8)];
    (0..room).map(cell).collect()
}

/// What happened over time.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// When each part of it began and ended, in seconds, the oldest first.
    pub spans: Vec<(f64, f64)>,
    /// What is drawn, one below the other.
    pub tracks: Vec<Track>,
    /// The parts in which something failed.
    pub failed: Vec<bool>,
}

/// One quantity over time, drawn from 0 to its largest value.
#[derive(Clone, Debug)]
pub struct Track {
    /// What it is.
    pub name: &'static str,
    /// A value for each part; none where there is none to show.
    pub values: Vec<Option<f64>>,
    /// The largest value for people.
    pub top: String,
    /// Lines.
    pub height: usize,
}

/// The tracks above a common axis of time, and a line of marks where anything failed.
pub fn timeline(timeline: &Timeline, axis: impl Fn(f64) -> String, width: usize) -> Vec<String> {
    let (Some(first), Some(last)) = (timeline.spans.first(), timeline.spans.last()) else {
        return Vec::new();
    };
    let (start, end) = (first.0, last.1);
    let any_failed = timeline.failed.contains(&true);
    let names =
        timeline.tracks.iter().map(|track| track.name.len()).chain(any_failed.then_some("failed".len()));
    let tops = timeline.tracks.iter().map(|track| track.top.chars().count());
    let (names, tops) = (names.max().unwrap_or(0), tops.max().unwrap_or(0));
    // A gap after the name, and one with the axis after the number.
    let margin = names + 1 + tops + 2;
    let columns = width.saturating_sub(margin);
    if columns < 2 {
        return Vec::new();
    }
    let time = |column: usize| start + (column as f64 + 0.5) / columns as f64 * (end - start);
    let parts: Vec<usize> = (0..columns).map(|column| part_at(&timeline.spans, time(column))).collect();
    let mut lines = Vec::new();
    for track in &timeline.tracks {
        let values: Vec<Option<f64>> = parts.iter().map(|part| *track.values.get(*part)?).collect();
        for (row, cells) in upward(&values, track.height).into_iter().enumerate() {
            let (name, number) = match row {
                0 => (track.name, track.top.as_str()),
                row if row + 1 == track.height => ("", "0"),
                _ => ("", ""),
            };
            let tick = if number.is_empty() { '│' } else { '┤' };
            lines.push(format!("{name:<names$} {number:>tops$} {tick}{cells}"));
        }
    }
    if any_failed {
        let mark = |part: &usize| if timeline.failed.get(*part) == Some(&true) { FAILED } else { ' ' };
        let marks: String = parts.iter().map(mark).collect();
        lines.push(format!("{:<names$} {:>tops$} │{marks}", "failed", ""));
    }
    lines.push(format!("{:margin$}{}", "", ticks(start, end, columns, axis)));
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// The part that a time belongs to.
fn part_at(spans: &[(f64, f64)], time: f64) -> usize {
    spans.partition_point(|(_, end)| *end <= time).min(spans.len().saturating_sub(1))
}

/// Lines of blocks, the topmost first.
fn upward(values: &[Option<f64>], height: usize) -> Vec<String> {
    let top = values.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
    let eighths =
        |value: f64| ((value / top * (height * 8) as f64).round() as usize).max(usize::from(value > 0.0));
    let cell = |value: &Option<f64>, row: usize| {
        let filled = value.map_or(0, eighths);
        UPWARD[filled.saturating_sub(row * 8).min(8)]
    };
    (0..height).rev().map(|row| values.iter().map(|value| cell(value, row)).collect()).collect()
}

/// Start, middle and end, as far as there is room.
fn ticks(start: f64, end: f64, columns: usize, axis: impl Fn(f64) -> String) -> String {
    let [first, middle, last] = [start, (start + end) / 2.0, end].map(axis);
    let [left, centre, right] = [&first, &middle, &last].map(|text| text.chars().count());
    if left + right + 2 > columns {
        return first.chars().take(columns).collect();
    }
    if left + centre + right + 4 > columns {
        return format!("{first}{last:>room$}", room = columns - left);
    }
    let at = columns / 2 - centre / 2;
    format!("{first}{middle:>to$}{last:>rest$}", to = at + centre - left, rest = columns - at - centre)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, count: u64) -> Bar {
        Bar { label: label.into(), count, shown: count.to_string() }
    }

    #[test]
    fn bars_show_counts_and_shares() {
        let drawn = bars(&[bar("1ms", 50), bar("2ms", 100), bar("5ms", 0), bar("10ms", 1)], 40);
        assert_eq!(
            drawn,
            [
                " 1ms  ███████████              50  33.1%",
                " 2ms  ██████████████████████  100  66.2%",
                " 5ms                            0   0.0%",
                "10ms  ▎                         1   0.7%",
            ]
        );
        assert_eq!(bars(&[], 40), [""; 0]);
        assert_eq!(bars(&[bar("1ms", 0)], 21), ["1ms          0   0.0%"]);
    }

    #[test]
    fn no_line_is_wider_than_asked_for() {
        let many = [bar("a label", 1_000_000_000_000), bar("b", 3)];
        let line = Timeline {
            spans: vec![(0.0, 1.0), (1.0, 2.5), (2.5, 3600.0)],
            tracks: vec![Track {
                name: "rate",
                values: vec![Some(1.0), None, Some(1e12)],
                top: "1T/s".into(),
                height: 3,
            }],
            failed: vec![false, true, false],
        };
        for width in 0..100 {
            let lines = [bars(&many, width), timeline(&line, |s| format!("{s:.0}s"), width)].concat();
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}: {lines:#?}");
        }
    }

    #[test]
    fn a_timeline_has_axes_and_marks_failures() {
        let drawn = Timeline {
            spans: (0..8).map(|i| (f64::from(i), f64::from(i + 1))).collect(),
            tracks: vec![
                Track {
                    name: "rate",
                    values: [0, 1, 2, 3, 4, 4, 0, 2].map(|v| Some(f64::from(v))).to_vec(),
                    top: "4/s".into(),
                    height: 2,
                },
                Track { name: "p99", values: vec![None, Some(2.0), Some(8.0)], top: "8ms".into(), height: 1 },
            ],
            failed: vec![false, false, true, true, false, false, false, false],
        };
        assert_eq!(
            timeline(&drawn, |s| format!("{s}s"), 28),
            [
                "rate   4/s ┤      ▄▄████",
                "         0 ┤  ▄▄████████  ██",
                "p99    8ms ┤  ▂▂██",
                "failed     │    ✗✗✗✗",
                "            0s     4s     8s",
            ]
        );
        assert_eq!(timeline(&Timeline::default(), |s| s.to_string(), 80), [""; 0]);
    }
}
