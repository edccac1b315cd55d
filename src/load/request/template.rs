//! Texts with parts that change from one request to the next: `{number}`, `{random:1-100}`, `{csv:NAME}`.
//!
//! Compiled once to segments; rendering appends to a buffer and allocates nothing once that has grown. `{{` and `}}`
//! stand for braces. Refuses names that it does not know, and values that would break what is around them: in a path
//! they are percent-encoded, a header never gets a control character, a body gets them as they are.

use std::fmt;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::header::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode};

use super::table::Table;
use crate::text::printable;

/// What cannot stand in a path or query as it is. `%` can: it begins what is encoded already.
const NOT_IN_PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'`');
/// What has no meaning of its own anywhere in a URL (RFC 3986, 2.3: unreserved).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Names that are always known.
const KNOWN: &str = "{number} or {n}, {line}, {random:LEAST-MOST}, {uuid}, {time}";
/// Characters of a template that an error shows.
const SHOWN: usize = 40;

/// Where a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a path or query.
    Path,
    /// In the value of a header.
    Header,
    /// In a body.
    Body,
}

/// A text with parts that change.
#[derive(Clone, Default)]
pub struct Template(Vec<Segment>);

#[derive(Clone)]
enum Segment {
    Literal(Vec<u8>),
    Number,
    Line,
    Random { least: u64, most: u64 },
    Uuid,
    Time,
    Column { column: usize, place: Place },
}

/// A text that is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Nothing has this name.
    #[error("unknown {{{name}}}: known are {known}; a brace is written {{{{ or }}}}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// All that can be.
        known: String,
    },
    /// A brace without the other one.
    #[error("a single {brace} at `{at}`: a brace is written {{{{ or }}}}")]
    Brace {
        /// Which one.
        brace: char,
        /// The text from there on, or up to there.
        at: String,
    },
    /// Not of the form `{random:LEAST-MOST}`.
    #[error("{{random:{0}}} is no range: expected one such as {{random:1-100}}")]
    Range(String),
    /// There are no rows.
    #[error("{{{0}}} needs a CSV file")]
    NoTable(String),
    /// No header can have this value.
    #[error("column {column} has a control character in row {row}, which no header can have")]
    Unsendable {
        /// The column's name.
        column: String,
        /// The row's number, from 1.
        row: usize,
    },
}

/// What is filled in.
pub struct Values<'a> {
    /// The number of the request, from 0.
    pub number: u64,
    /// The table and one of its rows.
    pub row: Option<(&'a Table, usize)>,
    /// Where chance comes from.
    pub random: &'a mut fastrand::Rng,
}

impl Template {
    /// A text that never changes. In a path, what cannot stand there is percent-encoded.
    pub fn literal(text: &[u8], place: Place) -> Template {
        let mut template = Template::default();
        template.push_literal(text, place);
        template
    }

    /// Reads a template.
    ///
    /// # Errors
    /// A brace without the other one, and names that are not known.
    pub fn compile(text: &[u8], place: Place, table: Option<&Table>) -> Result<Template, TemplateError> {
        let mut template = Template::default();
        let mut rest = text;
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'{' | b'}')) {
            let (before, from) = rest.split_at(at);
            template.push_literal(before, place);
            if from.starts_with(b"{{") || from.starts_with(b"}}") {
                template.push_literal(&from[..1], place);
                rest = &from[2..];
                continue;
            }
            let close = from.iter().position(|byte| *byte == b'}').filter(|close| *close > 0);
            let Some(close) = close else {
                let (brace, at) = if from[0] == b'{' { ('{', from) } else { ('}', &rest[..=at]) };
                return Err(TemplateError::Brace { brace, at: excerpt(at, brace == '}') });
            };
            template.0.push(segment(&from[1..close], place, table)?);
            rest = &from[close + 1..];
        }
        template.push_literal(rest, place);
        Ok(template)
    }

    /// Adds a text that never changes. Neighbours become one, so that a constant template has at most one segment.
    pub fn push_literal(&mut self, text: &[u8], place: Place) {
        if text.is_empty() {
            return;
        }
        if !matches!(self.0.last(), Some(Segment::Literal(_))) {
            self.0.push(Segment::Literal(Vec::new()));
        }
        if let Some(Segment::Literal(literal)) = self.0.last_mut() {
            match place {
                Place::Path => append_encoded(text, NOT_IN_PATH, literal),
                Place::Header | Place::Body => literal.extend_from_slice(text),
            }
        }
    }

    /// Adds another one.
    pub fn push(&mut self, other: &Template) {
        for segment in &other.0 {
            match segment {
                Segment::Literal(text) => self.push_literal(text, Place::Body),
                changing => self.0.push(changing.clone()),
            }
        }
    }

    /// The text, if nothing in it changes.
    pub fn constant(&self) -> Option<&[u8]> {
        match &self.0[..] {
            [] => Some(b""),
            [Segment::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the text with these values.
    pub fn render(&self, values: &mut Values<'_>, out: &mut Vec<u8>) {
        for segment in &self.0 {
            // Writing to a Vec cannot fail.
            let _ = match segment {
                Segment::Literal(text) => out.write_all(text),
                Segment::Number => write!(out, "{}", values.number.saturating_add(1)),
                Segment::Line => write!(out, "{}", values.row.map_or(0, |(_, row)| row + 1)),
                Segment::Random { least, most } => write!(out, "{}", values.random.u64(*least..=*most)),
                Segment::Uuid => uuid(values.random.u128(..), out),
                Segment::Time => write!(out, "{}", unix_ms()),
                Segment::Column { column, place } => {
                    let cell = values.row.map_or(&b""[..], |(table, row)| table.cell(row, *column));
                    match place {
                        Place::Path => append_encoded(cell, RESERVED, out),
                        Place::Header | Place::Body => out.extend_from_slice(cell),
                    }
                    Ok(())
                }
            };
        }
    }
}

/// Without its text, which may be a secret.
impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({} segments)", self.0.len())
    }
}

/// What stands between two braces.
fn segment(name: &[u8], place: Place, table: Option<&Table>) -> Result<Segment, TemplateError> {
    let unknown = || TemplateError::Unknown { name: excerpt(name, false), known: known(table) };
    let name = std::str::from_utf8(name).map_err(|_| unknown())?;
    let column = |wanted: &str| {
        let column = table?.columns().iter().position(|column| column == wanted)?;
        Some(Segment::Column { column, place })
    };
    let segment = match name.split_once(':').unwrap_or((name, "")) {
        ("number" | "n", "") => Segment::Number,
        ("uuid", "") => Segment::Uuid,
        ("time", "") => Segment::Time,
        ("random", range) => random(range)?,
        ("line" | "csv", _) if table.is_none() => {
            return Err(TemplateError::NoTable(excerpt(name.as_bytes(), false)));
        }
        ("line", "") => Segment::Line,
        ("csv", wanted) => column(wanted).ok_or_else(unknown)?,
        _ => column(name).ok_or_else(unknown)?,
    };
    if let (Segment::Column { column, place: Place::Header }, Some(table)) = (&segment, table) {
        sendable(table, *column)?;
    }
    Ok(segment)
}

fn random(range: &str) -> Result<Segment, TemplateError> {
    let parsed =
        range.split_once('-').and_then(|(least, most)| Some((least.parse().ok()?, most.parse().ok()?)));
    match parsed {
        Some((least, most)) if least <= most => Ok(Segment::Random { least, most }),
        _ => Err(TemplateError::Range(excerpt(range.as_bytes(), false))),
    }
}

/// Whether all values of a column can stand in a header.
fn sendable(table: &Table, column: usize) -> Result<(), TemplateError> {
    let bad = (0..table.rows()).find(|row| HeaderValue::from_bytes(table.cell(*row, column)).is_err());
    match bad {
        None => Ok(()),
        Some(row) => {
            let column = printable(table.columns().get(column).map_or("", String::as_str));
            Err(TemplateError::Unsendable { column, row: row + 1 })
        }
    }
}

fn known(table: Option<&Table>) -> String {
    let columns = table.map(Table::columns).unwrap_or_default().iter();
    columns.fold(KNOWN.to_owned(), |known, column| format!("{known}, {{csv:{}}}", printable(column)))
}

/// A part of a text for people.
fn excerpt(text: &[u8], end: bool) -> String {
    let text = String::from_utf8_lossy(text);
    let length = text.chars().count();
    let part: String = if end {
        text.chars().skip(length.saturating_sub(SHOWN)).collect()
    } else {
        text.chars().take(SHOWN).collect()
    };
    printable(&part)
}

fn append_encoded(text: &[u8], set: &'static AsciiSet, out: &mut Vec<u8>) {
    percent_encode(text, set).for_each(|part| out.extend_from_slice(part.as_bytes()));
}

/// A path that can be sent, from bytes as somebody else wrote them.
pub(super) fn encoded_path(path: &[u8]) -> String {
    percent_encode(path, NOT_IN_PATH).collect()
}

/// Version 4 (RFC 9562, 5.4).
fn uuid(random: u128, out: &mut Vec<u8>) -> std::io::Result<()> {
    let bits = random & !(0xf << 76) & !(0b11 << 62) | 0x4 << 76 | 0b10 << 62;
    let part = |shift: u32, digits: u32| bits >> shift & ((1 << (4 * digits)) - 1);
    write!(
        out,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(96, 8),
        part(80, 4),
        part(64, 4),
        part(48, 4),
        part(0, 12)
    )
}

fn unix_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table() -> Table {
        Table::read(&b"id,name,n\n7,a b/\xc3\xbc&,x\n8,plain,y\n"[..]).unwrap()
    }

    fn rendered(template: &Template, number: u64, row: usize) -> String {
        let (mut out, table) = (Vec::new(), table());
        let mut values =
            Values { number, row: Some((&table, row)), random: &mut fastrand::Rng::with_seed(1) };
        template.render(&mut values, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn compiled(text: &str, place: Place) -> Result<Template, TemplateError> {
        Template::compile(text.as_bytes(), place, Some(&table()))
    }

    #[test]
    fn everything_is_filled_in() {
        for (text, place, expected) in [
            ("/u/{n}/{number}?l={line}", Place::Path, "/u/5/5?l=1"),
            ("/{csv:id}/{name}?q={name}", Place::Path, "/7/a%20b%2F%C3%BC%26?q=a%20b%2F%C3%BC%26"),
            ("{csv:n} {name}", Place::Header, "x a b/ü&"),
            ("{{\"id\": {id}, \"n\": \"{name}\"}}", Place::Body, "{\"id\": 7, \"n\": \"a b/ü&\"}"),
            ("/a b/%20/{{x}}/ü#1\r\n", Place::Path, "/a%20b/%20/{x}/%C3%BC%231%0D%0A"),
            ("{random:3-3}", Place::Body, "3"),
            ("", Place::Body, ""),
        ] {
            assert_eq!(rendered(&compiled(text, place).unwrap(), 4, 0), expected, "{text}");
        }
    }

    #[test]
    fn what_changes_has_its_form() {
        let text = rendered(&compiled("{uuid} {time} {random:10-19}", Place::Body).unwrap(), 0, 0);
        let form = "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12} [0-9]{13} 1[0-9]$";
        assert!(regex::Regex::new(form).unwrap().is_match(&text), "{text}");
        let template = compiled("{random:1-100}", Place::Body).unwrap();
        let (mut random, mut seen) = (fastrand::Rng::with_seed(3), std::collections::BTreeSet::new());
        for number in 0..10_000 {
            let mut out = Vec::new();
            template.render(&mut Values { number, row: None, random: &mut random }, &mut out);
            seen.insert(String::from_utf8(out).unwrap().parse::<u64>().unwrap());
        }
        assert_eq!((seen.first(), seen.last(), seen.len()), (Some(&1), Some(&100), 100));
    }

    #[test]
    fn what_is_no_template_says_why() {
        for (text, error) in [
            (
                "/{nam}",
                "unknown {nam}: known are {number} or {n}, {line}, {random:LEAST-MOST}, {uuid}, {time}, {csv:id}, {csv:name}, \
                 {csv:n}; a brace is written {{ or }}",
            ),
            ("{csv:x}", "unknown {csv:x}: known are "),
            ("{n:1}", "unknown {n:1}: "),
            ("a{}", "unknown {}: "),
            ("{\"a\": 1}", "unknown {\"a\": 1}: "),
            ("a {n", "a single { at `{n`: a brace is written {{ or }}"),
            ("a } b", "a single } at `a }`: "),
            ("{random:5-1}", "{random:5-1} is no range: expected one such as {random:1-100}"),
            ("{random:-1-5}", "{random:-1-5} is no range"),
            ("{random}", "{random:} is no range"),
        ] {
            let found = compiled(text, Place::Body).unwrap_err().to_string();
            assert!(found.starts_with(error), "{text}: {found}");
        }
        let without = Template::compile(b"{line}", Place::Body, None).unwrap_err();
        assert_eq!(without.to_string(), "{line} needs a CSV file");
    }

    #[test]
    fn no_value_breaks_a_header() {
        let table = Table::read(&b"id\nfine\n\"a\r\nx-evil: 1\"\n"[..]).unwrap();
        let error = Template::compile(b"{id}", Place::Header, Some(&table)).unwrap_err();
        assert_eq!(error, TemplateError::Unsendable { column: "id".into(), row: 2 });
        assert!(Template::compile(b"{id}", Place::Body, Some(&table)).is_ok());
        assert_eq!(Template::compile(b"/{id}", Place::Path, Some(&table)).unwrap().0.len(), 2);
    }

    proptest! {
        #[test]
        fn compiling_never_panics(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Template::compile(&text, Place::Path, Some(&table()));
        }

        #[test]
        fn near_templates_never_panic(text in "[{}a-z0-9:-]{0,20}|\\{(random:[0-9]{0,25}-[0-9]{0,25}|n|csv:[a-z]*)\\}") {
            if let Ok(template) = compiled(&text, Place::Header) {
                rendered(&template, 1, 0);
            }
        }

        #[test]
        fn any_text_comes_through_doubled_braces(text in "\\PC*") {
            let doubled = text.replace('{', "{{").replace('}', "}}");
            prop_assert_eq!(rendered(&compiled(&doubled, Place::Body).unwrap(), 0, 0), text);
        }

        #[test]
        fn a_path_can_always_be_sent(text in proptest::collection::vec(any::<u8>(), 0..60), value in "\\PC+") {
            let mut csv = csv::Writer::from_writer(Vec::new());
            csv.write_record(["v"]).unwrap();
            csv.write_record([&value]).unwrap();
            let table = Table::read(&csv.into_inner().unwrap()[..]).unwrap();
            let mut template = Template::literal(b"/", Place::Path);
            template.push_literal(&text, Place::Path);
            template.push(&Template::compile(b"?{csv:v}", Place::Path, Some(&table)).unwrap());
            let mut out = Vec::new();
            let mut values =
                Values { number: 0, row: Some((&table, 0)), random: &mut fastrand::Rng::with_seed(1) };
            template.render(&mut values, &mut out);
            let path = hyper::http::uri::PathAndQuery::try_from(&out[..]).unwrap();
            prop_assert_eq!(path.as_str().as_bytes(), &out[..]);
            let query = path.as_str().rsplit_once('?').unwrap().1;
            prop_assert_eq!(percent_encoding::percent_decode_str(query).decode_utf8().unwrap(), value);
        }
    }
}
