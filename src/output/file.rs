//! `--report FORMAT=FILE`: further forms of the same report, each replaced as a whole or not at all.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;

use super::{Report, ReportFile, junit};
use crate::error::Error;
use crate::metrics;

/// The forms that a file can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Junit,
    Prometheus,
}

impl Format {
    pub(super) const NAMES: &'static str = "json, junit or prometheus";
}

impl FromStr for Format {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "json" => Ok(Format::Json),
            "junit" => Ok(Format::Junit),
            "prometheus" => Ok(Format::Prometheus),
            _ => Err(()),
        }
    }
}

pub(super) fn write<R: Report>(file: &ReportFile, report: &R) -> Result<(), Error> {
    let suite = R::SCHEMA.split('/').next().unwrap_or(R::SCHEMA);
    let text = match file.format {
        Format::Json => super::json(report)? + "\n",
        Format::Junit => junit::render(suite, &report.cases())?,
        Format::Prometheus => metrics::render(&report.metrics()),
    };
    replace(&file.path, text.as_bytes()).map_err(|e| {
        Error::unknown(format!("cannot write the report to {}", file.path.display()))
            .because(e)
            .hint("check that the directory exists, is writable and has space")
    })
}

/// Writes beside the file and renames: a reader such as node-exporter never sees half of it.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = fs::File::create(&beside).and_then(|mut f| f.write_all(bytes).and_then(|()| f.sync_all()));
    let renamed = written.and_then(|()| fs::rename(&beside, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&beside);
    }
    renamed
}
