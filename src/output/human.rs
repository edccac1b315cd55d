//! Text for people: lines, tables and tones, within the width of the terminal.
//! Colour only repeats what the words say already.

use std::io::{self, Write};

use crate::text::printable;
use anstyle::{AnsiColor, Style};
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Width, presets};

/// Rather a line that is too long than a column of single letters.
const NARROWEST: u16 = 20;

/// How good a thing is; printed as colour where there is colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Works, but look at it.
    Warn,
    /// Not as it should be.
    Bad,
    /// Beside the point.
    Faint,
    /// A heading.
    Strong,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Warn => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Faint => Style::new().dimmed(),
            Tone::Strong => Style::new().bold(),
        }
    }
}

/// Where a report writes its human form.
pub struct Human<'a> {
    out: &'a mut dyn Write,
    width: usize,
    color: bool,
}

impl<'a> Human<'a> {
    /// Writes to `out`, at most `width` columns wide.
    pub fn new(out: &'a mut dyn Write, width: usize, color: bool) -> Human<'a> {
        Human { out, width, color }
    }

    /// The columns to keep within.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One line as it is; foreign text in it goes through [`Human::tone`] or [`printable`] first.
    pub fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.out, "{}", text.as_ref())
    }

    /// The text in a tone, to be put into a line. Control characters are replaced.
    pub fn tone(&self, tone: Tone, text: &str) -> String {
        let text = printable(text);
        let style = tone.style();
        if self.color { format!("{style}{text}{style:#}") } else { text }
    }

    /// A table; columns keep their content, the last one wraps when the width is short.
    pub fn table(&mut self, table: Table) -> io::Result<()> {
        let mut drawn = comfy_table::Table::new();
        drawn.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        drawn.set_width(u16::try_from(self.width).unwrap_or(u16::MAX));
        if self.color {
            drawn.enforce_styling();
        } else {
            drawn.force_no_tty();
        }
        let columns = table.columns();
        if !table.header.is_empty() {
            drawn.set_header(table.header.iter().map(|h| Cell::new(h).add_attribute(Attribute::Dim)));
        }
        for row in &table.rows {
            drawn.add_row(row.iter().map(|(tone, text)| cell(*tone, text)));
        }
        for (index, column) in drawn.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            let constraint = match index + 1 {
                last if last == columns => ColumnConstraint::LowerBoundary(Width::Fixed(NARROWEST)),
                _ => ColumnConstraint::ContentWidth,
            };
            column.set_constraint(constraint);
        }
        for line in drawn.lines() {
            self.line(line.trim_end())?;
        }
        Ok(())
    }
}

fn cell(tone: Option<Tone>, text: &str) -> Cell {
    let cell = Cell::new(printable(text));
    match tone {
        None => cell,
        Some(Tone::Good) => cell.fg(Color::DarkGreen),
        Some(Tone::Warn) => cell.fg(Color::DarkYellow),
        Some(Tone::Bad) => cell.fg(Color::DarkRed).add_attribute(Attribute::Bold),
        Some(Tone::Faint) => cell.add_attribute(Attribute::Dim),
        Some(Tone::Strong) => cell.add_attribute(Attribute::Bold),
    }
}

/// Rows of cells with their tones.
#[derive(Clone, Debug, Default)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<(Option<Tone>, String)>>,
}

impl Table {
    /// A table with these headings; none for a table without.
    pub fn new(header: &[&str]) -> Table {
        Table { header: header.iter().map(|&h| h.to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row of plain cells.
    pub fn row<I: IntoIterator<Item = S>, S: Into<String>>(&mut self, cells: I) {
        self.rows.push(cells.into_iter().map(|cell| (None, cell.into())).collect());
    }

    /// Adds a row whose cells may have a tone.
    pub fn toned_row(&mut self, cells: Vec<(Option<Tone>, String)>) {
        self.rows.push(cells);
    }

    fn columns(&self) -> usize {
        self.rows.iter().map(Vec::len).chain([self.header.len()]).max().unwrap_or(0)
    }
}

/// Eight levels of height for values between 0 and the largest; `None` is a failed call.
pub fn sparkline(values: &[Option<f64>]) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let top = values.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
    let level = |value: f64| LEVELS[((value / top * 7.0).round() as usize).min(7)];
    values.iter().map(|value| value.map_or('✗', level)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(width: usize, color: bool, draw: impl Fn(&mut Human<'_>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        draw(&mut Human::new(&mut out, width, color)).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "STATE", "WHY"]);
        table.toned_row(vec![
            (None, "api".into()),
            (Some(Tone::Bad), "down".into()),
            (None, "expected 200, got 503 and a long story that does not fit".into()),
        ]);
        table.row(["db", "up", "bell \u{7} and escape \u{1b}[2J"]);
        table
    }

    #[test]
    fn a_table_keeps_within_its_width_and_disarms_control_characters() {
        let text = drawn(40, false, |h| h.table(table()));
        assert!(text.lines().all(|l| l.chars().count() <= 40), "{text}");
        assert!(text.contains("api   down") && text.contains("\\u{1b}[2J"), "{text}");
    }

    #[test]
    fn colour_takes_no_width() {
        let plain = drawn(80, false, |h| h.table(table()));
        let color = drawn(80, true, |h| h.table(table()));
        assert!(color.contains("\u{1b}["), "{color:?}");
        let stripped = anstream::adapter::strip_str(&color).to_string();
        let trimmed: Vec<&str> = stripped.lines().map(str::trim_end).collect();
        assert_eq!(trimmed, plain.lines().collect::<Vec<_>>());
    }

    #[test]
    fn sparklines() {
        assert_eq!(sparkline(&[Some(1.0), Some(8.0), None]), "▂█✗");
        assert_eq!(sparkline(&[Some(0.0)]), "▁");
    }
}
