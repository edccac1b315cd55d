//! The rows of a CSV file (RFC 4180), whose first line names the columns.
//!
//! Refuses rows of another length, and columns without a name or with one that another has.

use std::collections::HashSet;
use std::fmt;
use std::io::Read;

use crate::text::printable;

/// Values by row and column, in one piece of memory.
#[derive(Clone, Default)]
pub struct Table {
    columns: Vec<String>,
    text: Vec<u8>,
    /// Where in the text each cell ends; it begins where the one before it ended.
    ends: Vec<usize>,
}

/// In which order rows are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowOrder {
    /// By the number of the request, and again from the first one.
    #[default]
    Turn,
    /// By chance.
    Random,
}

/// A text that is no table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It could not be read, or a row has another length.
    #[error("{}", told(.0))]
    Csv(#[source] csv::Error),
    /// A header without a name.
    #[error("column {0} has no name in the first line")]
    NoName(usize),
    /// A name that cannot be told apart.
    #[error("two columns are called {0:?}")]
    Twice(String),
    /// Nothing but the header.
    #[error("there is no row below the line of names")]
    NoRows,
}

fn told(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!("line {line} has {len} columns, and the first line names {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "a name in the first line is no UTF-8".into(),
        _ => error.to_string(),
    }
}

impl Table {
    /// Reads all rows. Values may be any bytes.
    ///
    /// # Errors
    /// Everything that makes it no table.
    pub fn read(source: impl Read) -> Result<Table, TableError> {
        let mut reader = csv::Reader::from_reader(source);
        let columns: Vec<String> =
            reader.headers().map_err(TableError::Csv)?.iter().map(str::to_owned).collect();
        if let Some(at) = columns.iter().position(String::is_empty) {
            return Err(TableError::NoName(at + 1));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = columns.iter().find(|name| !seen.insert(*name)) {
            return Err(TableError::Twice(printable(twice)));
        }
        let mut table = Table { columns, ..Table::default() };
        let mut record = csv::ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(TableError::Csv)? {
            for cell in &record {
                table.text.extend_from_slice(cell);
                table.ends.push(table.text.len());
            }
        }
        if table.rows() == 0 { Err(TableError::NoRows) } else { Ok(table) }
    }

    /// The names, from left to right.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// How many rows there are; at least 1.
    pub fn rows(&self) -> usize {
        self.ends.len() / self.columns.len().max(1)
    }

    /// A value; empty where there is none.
    pub fn cell(&self, row: usize, column: usize) -> &[u8] {
        let cell = row * self.columns.len() + column;
        let end = self.ends.get(cell).copied().unwrap_or(0);
        let start = cell.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.text.get(start..end).unwrap_or_default()
    }
}

/// Without its values, which may be secrets.
impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({:?}, {} rows)", self.columns, self.rows())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Table, String> {
        Table::read(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn quoted_values_are_read() {
        let table = read("\u{feff}id,text\r\n1,\"a, \"\"b\"\"\nc\"\r\n2,\n").unwrap();
        assert_eq!((table.columns(), table.rows()), (&["id".to_owned(), "text".to_owned()][..], 2));
        assert_eq!(table.cell(0, 1), b"a, \"b\"\nc");
        assert_eq!((table.cell(1, 0), table.cell(1, 1), table.cell(2, 0)), (&b"2"[..], &b""[..], &b""[..]));
    }

    #[test]
    fn what_is_no_table_says_why() {
        for (text, error) in [
            ("", "there is no row below the line of names"),
            ("id\n", "there is no row below the line of names"),
            ("id,\n1,2\n", "column 2 has no name in the first line"),
            ("a,b,a\n1,2,3\n", "two columns are called \"a\""),
            ("a,b\n1,2\n3\n", "line 3 has 1 columns, and the first line names 2"),
        ] {
            assert_eq!(read(text).unwrap_err(), error, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Table::read(&bytes[..]);
        }

        #[test]
        fn every_value_comes_back(rows in proptest::collection::vec(("\\PC*", "[\",\r\na]*"), 1..20)) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["x", "y"]).unwrap();
            for (x, y) in &rows {
                writer.write_record([x, y]).unwrap();
            }
            let table = Table::read(&writer.into_inner().unwrap()[..]).unwrap();
            prop_assert_eq!(table.rows(), rows.len());
            for (row, (x, y)) in rows.iter().enumerate() {
                prop_assert_eq!((table.cell(row, 0), table.cell(row, 1)), (x.as_bytes(), y.as_bytes()));
            }
        }
    }
}
