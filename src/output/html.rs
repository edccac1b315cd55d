//! Pages for browsers: one file that loads nothing, in the colours that the reader's system has.
//!
//! Charts are SVG for what stretches (lines, areas, grid) under HTML for what must not (labels), so that they can be
//! read on a phone as well. Functions over plain numbers and labels; whatever is foreign goes through [`escape`].

use std::fmt::Write as _;

use super::printable;

/// The drawing's own units, both ways.
const SIDE: f64 = 1000.0;
/// More labels than these run into each other on a phone.
const MOST_TICKS: usize = 6;

const STYLE: &str = include_str!("page.css");

/// Text as it can stand anywhere in a page.
pub fn escape(text: &str) -> String {
    printable(text).chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

/// A whole page; the body is HTML, the title is text.
pub fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

/// A table of text; numbers stand on the right from the second column on.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
        let cells: String = cells.map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let mut out = String::from("<div class=\"wide\"><table>\n");
    if !header.is_empty() {
        out += &cells("th", &mut header.iter().copied());
    }
    for row in rows {
        out += &cells("td", &mut row.iter().map(String::as_str));
    }
    out + "</table></div>\n"
}

/// One axis.
#[derive(Clone, Debug)]
pub struct Axis {
    from: f64,
    to: f64,
    is_log: bool,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Even steps, with the labels given.
    pub fn even(from: f64, to: f64, ticks: Vec<(f64, String)>) -> Axis {
        let to = if to > from { to } else { from + 1.0 };
        Axis { from, to, is_log: false, ticks }
    }

    /// From 0 to a round number above the largest value.
    pub fn from_zero(most: f64, label: impl Fn(f64) -> String) -> Axis {
        let step = round_up(most.max(f64::MIN_POSITIVE) / 4.0);
        let steps = (most / step).ceil().max(1.0);
        let ticks = (0..=steps as usize).map(|n| (n as f64 * step, label(n as f64 * step))).collect();
        Axis::even(0.0, steps * step, ticks)
    }

    /// From `from` to `to` exactly, with labels at round numbers between them.
    pub fn span(from: f64, to: f64, label: impl Fn(f64) -> String) -> Axis {
        let step = round_up((to - from).max(f64::MIN_POSITIVE) / 5.0);
        let first = (from / step).ceil();
        let ticks = (0..MOST_TICKS).map(|n| (first + n as f64) * step).filter(|at| *at <= to);
        Axis::even(from, to, ticks.map(|at| (at, label(at))).collect())
    }

    /// Equal ratios, from a round number below the smallest to one above the largest. Both are positive.
    pub fn log(least: f64, most: f64, label: impl Fn(f64) -> String) -> Axis {
        // What is no number is no larger, either.
        let least = if least > 1e-9 { least.min(1e30) } else { 1e-9 };
        let most = most.max(least).min(1e30);
        let decades = || (least.log10().floor() as i32)..=(most.log10().ceil() as i32);
        let series = |factors: &[f64]| -> Vec<f64> {
            let all: Vec<f64> =
                decades().flat_map(|n| factors.iter().map(move |f| f * 10f64.powi(n))).collect();
            let below = all.iter().rposition(|at| *at <= least).unwrap_or(0);
            let above = all.iter().position(|at| *at >= most && *at > least).unwrap_or(all.len() - 1);
            all[below..=above.max(below)].to_vec()
        };
        let mut ticks = series(&[1.0, 2.0, 5.0]);
        if ticks.len() > MOST_TICKS + 2 {
            ticks = series(&[1.0]);
        }
        let (from, to) = (ticks.first().copied().unwrap_or(least), ticks.last().copied().unwrap_or(most));
        let each = ticks.len().div_ceil(MOST_TICKS + 2).max(1);
        let ticks = ticks.into_iter().step_by(each).map(|at| (at, label(at))).collect();
        Axis { is_log: true, ..Axis::even(from, if to > from { to } else { from * 10.0 }, ticks) }
    }

    /// Where a value stands, 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let place = if self.is_log {
            (value.max(self.from).ln() - self.from.ln()) / (self.to.ln() - self.from.ln())
        } else {
            (value - self.from) / (self.to - self.from)
        };
        place.clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5 times a power of ten, not below the value.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= value * 0.999_999);
    factor.unwrap_or(10.0) * power
}

/// One of the colours of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// The main one.
    First,
    /// Beside it.
    Second,
    /// Beside both.
    Third,
    /// What went wrong.
    Bad,
}

impl Ink {
    fn class(self) -> &'static str {
        match self {
            Ink::First => "first",
            Ink::Second => "second",
            Ink::Third => "third",
            Ink::Bad => "bad",
        }
    }
}

/// One line of a chart.
#[derive(Clone, Debug)]
pub struct Line {
    /// As the legend has it.
    pub name: String,
    /// Its colour.
    pub ink: Ink,
    /// Whether the area below is filled.
    pub filled: bool,
    /// Where it goes; it breaks where there is nothing.
    pub points: Vec<Option<(f64, f64)>>,
}

/// A chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// Across.
    pub x: Axis,
    /// Upward.
    pub y: Axis,
    /// What is drawn; later ones above earlier ones.
    pub lines: Vec<Line>,
    /// Marks at the foot, in the colour of what went wrong: from where to where.
    pub marks: Vec<(f64, f64)>,
    /// What is told where the reader points: from where to where.
    pub notes: Vec<(f64, f64, String)>,
}

impl Chart {
    /// The chart as HTML.
    pub fn draw(&self) -> String {
        let title = escape(&self.title);
        let mut out = format!("<figure>\n<figcaption>{title}");
        // One line needs no legend.
        for line in self.lines.iter().filter(|_| self.lines.len() > 1) {
            let (class, name) = (line.ink.class(), escape(&line.name));
            // Writing to a String cannot fail.
            let _ = write!(out, " <span class=\"key {class}\">{name}</span>");
        }
        let _ = write!(
            out,
            "</figcaption>\n<div class=\"chart\">\n<svg viewBox=\"0 0 {SIDE} {SIDE}\" preserveAspectRatio=\"none\" \
             role=\"img\" aria-label=\"{title}\">\n"
        );
        out += &self.grid();
        self.lines.iter().for_each(|line| out += &self.line(line));
        for (from, to) in &self.marks {
            let (x, wide) = self.across(*from, *to);
            let _ = writeln!(
                out,
                "<rect class=\"bad mark\" x=\"{x:.1}\" y=\"{:.0}\" width=\"{:.1}\" height=\"{:.0}\"/>",
                SIDE * 0.965,
                wide.max(3.0),
                SIDE * 0.035
            );
        }
        for (from, to, text) in &self.notes {
            let (x, wide) = self.across(*from, *to);
            let _ = writeln!(
                out,
                "<rect class=\"note\" x=\"{x:.1}\" y=\"0\" width=\"{wide:.1}\" height=\"{SIDE}\">\
                 <title>{}</title></rect>",
                escape(text)
            );
        }
        out += "</svg>\n";
        for (side, axis) in [("left", &self.x), ("bottom", &self.y)] {
            for (at, label) in &axis.ticks {
                let (place, label) = (axis.place(*at) * 100.0, escape(label));
                let edge = match place {
                    p if side == "left" && p > 90.0 => " class=\"end\"",
                    _ => "",
                };
                let name = if side == "left" { "b" } else { "i" };
                let _ = writeln!(out, "<{name}{edge} style=\"{side}:{place:.2}%\">{label}</{name}>");
            }
        }
        out + "</div>\n</figure>\n"
    }

    fn across(&self, from: f64, to: f64) -> (f64, f64) {
        let x = self.x.place(from) * SIDE;
        (x, (self.x.place(to) * SIDE - x).max(0.0))
    }

    fn grid(&self) -> String {
        let across = self.y.ticks.iter().map(|(at, _)| {
            let y = (1.0 - self.y.place(*at)) * SIDE;
            format!("M0 {y:.1}H{SIDE}")
        });
        let upward = self.x.ticks.iter().map(|(at, _)| format!("M{:.1} 0V{SIDE}", self.x.place(*at) * SIDE));
        format!("<path class=\"grid\" d=\"{}\"/>\n", across.chain(upward).collect::<String>())
    }

    fn line(&self, line: &Line) -> String {
        let class = line.ink.class();
        let place = |(x, y): &(f64, f64)| (self.x.place(*x) * SIDE, (1.0 - self.y.place(*y)) * SIDE);
        let mut out = String::new();
        for run in line.points.split(Option::is_none) {
            let run: Vec<(f64, f64)> = run.iter().flatten().map(place).collect();
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let mut path: String = run.iter().map(|(x, y)| format!("L{x:.1} {y:.1}")).collect();
            path.replace_range(..1, "M");
            if line.filled {
                let _ = writeln!(
                    out,
                    "<path class=\"{class} area\" d=\"{path}L{:.1} {SIDE}L{:.1} {SIDE}Z\"/>",
                    last.0, first.0
                );
            }
            if run.len() == 1 {
                // A line of one point is invisible; its round end is not.
                path += &format!("L{:.1} {:.1}", first.0 + 0.1, first.1);
            }
            let _ = writeln!(out, "<path class=\"{class}\" d=\"{path}\"/>");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn axes_have_round_numbers() {
        let label = |value: f64| value.to_string();
        assert_eq!(labels(&Axis::from_zero(9.3, label)), ["0", "5", "10"]);
        assert_eq!(labels(&Axis::from_zero(0.0, |_| "x".into())), ["x", "x"]);
        assert_eq!(labels(&Axis::from_zero(1e12, |v| format!("{v:e}"))), ["0e0", "5e11", "1e12"]);
        assert_eq!(labels(&Axis::span(0.25, 10.1, label)), ["2", "4", "6", "8", "10"]);
        assert_eq!(labels(&Axis::log(120.0, 900.0, label)), ["100", "200", "500", "1000"]);
        assert_eq!(labels(&Axis::log(100.0, 100.0, label)), ["100", "200"]);
        let wide = Axis::log(1.0, 1e15, |v| format!("{v:e}"));
        assert!(wide.ticks.len() <= MOST_TICKS + 2 && wide.to >= 1e15, "{wide:?}");
        for odd in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300] {
            let _ = (Axis::log(odd, odd, label), Axis::from_zero(odd, label), Axis::span(odd, odd, label));
        }
    }

    #[test]
    fn lines_break_where_there_is_nothing() {
        let points = vec![Some((0.0, 0.0)), Some((5.0, 10.0)), None, Some((10.0, 5.0))];
        let chart = Chart {
            title: "a <b>".into(),
            x: Axis::even(0.0, 10.0, vec![(0.0, "0".into())]),
            y: Axis::even(0.0, 10.0, vec![]),
            lines: vec![Line { name: "&".into(), ink: Ink::First, filled: true, points }],
            marks: vec![(5.0, 10.0)],
            notes: vec![],
        };
        let drawn = chart.draw();
        assert!(drawn.contains("d=\"M0.0 1000.0L500.0 0.0\""), "{drawn}");
        assert!(drawn.contains("d=\"M0.0 1000.0L500.0 0.0L500.0 1000L0.0 1000Z\""), "{drawn}");
        assert!(drawn.contains("d=\"M1000.0 500.0L1000.1 500.0\""), "{drawn}");
        assert!(drawn.contains("a &lt;b&gt;") && !drawn.contains("class=\"key"), "{drawn}");
        let twice = Chart { lines: [chart.lines.clone(), chart.lines.clone()].concat(), ..chart };
        assert_eq!(twice.draw().matches(">&amp;</span>").count(), 2);
    }

    #[test]
    fn nothing_foreign_becomes_markup() {
        assert_eq!(escape("<a href='x\">&\u{1b}"), "&lt;a href=&#39;x&quot;&gt;&amp;\\u{1b}");
        assert!(
            table(&["<"], &[vec!["</td>".into()]]).contains("<th>&lt;</th></tr>\n<tr><td>&lt;/td&gt;</td>")
        );
    }
}
