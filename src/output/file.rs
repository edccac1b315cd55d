//! `--report FORMAT=FILE`: further forms of the same report, each replaced as a whole or not at all.

use std::fs;
use std::io::{self, Write};
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
    Html,
    Sarif,
}

/// The forms of a report that only some commands have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forms {
    /// A page for browsers.
    pub html: bool,
    /// Findings.
    pub sarif: bool,
}

impl Format {
    pub(super) const NAMES: &'static str = "json, junit, prometheus, html or sarif";
}

impl FromStr for Format {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "json" => Ok(Format::Json),
            "junit" => Ok(Format::Junit),
            "prometheus" => Ok(Format::Prometheus),
            "html" => Ok(Format::Html),
            "sarif" => Ok(Format::Sarif),
            _ => Err(()),
        }
    }
}

pub(super) fn write<R: Report>(file: &ReportFile, report: &R) -> Result<(), Error> {
    let text = match file.format {
        Format::Json => super::json(report)? + "\n",
        Format::Junit => junit::render(&report.suites())?,
        Format::Prometheus => metrics::render(&report.metrics()),
        Format::Html => report.html().ok_or_else(no_page)?,
        Format::Sarif => report.sarif().ok_or_else(no_findings)?.render()?,
    };
    replace(&file.path, text.as_bytes()).map_err(|e| {
        Error::unknown(format!("cannot write the report to {}", file.path.display()))
            .because(e)
            .hint("check that the directory exists, is writable and has space")
    })
}

/// Replaces a file as a whole, so that a reader such as node-exporter never sees half of it.
/// What is no file (a pipe, a terminal) is written to; a link stays, and its target is replaced.
///
/// # Errors
/// The file cannot be written; what was there before is still there.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Where these go to a file, others write to it, too: nothing of theirs is replaced.
    match path.to_str() {
        Some("/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1") => return all_to(io::stdout().lock(), bytes),
        Some("/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2") => return all_to(io::stderr().lock(), bytes),
        _ => {}
    }
    let path = match fs::metadata(path) {
        Ok(about) if !about.is_file() => return fs::File::options().write(true).open(path)?.write_all(bytes),
        Ok(_) => &fs::canonicalize(path)?,
        Err(_) => path,
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = fs::File::create(&beside).and_then(|mut f| f.write_all(bytes).and_then(|()| f.sync_all()));
    let renamed = written.and_then(|()| fs::rename(&beside, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&beside);
    }
    renamed
}

fn all_to(mut stream: impl Write, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}

/// Fails before any work is done where the file could not be written after it.
pub(super) fn check(file: &ReportFile, forms: Forms) -> Result<(), Error> {
    match file.format {
        Format::Html if !forms.html => return Err(no_page()),
        Format::Sarif if !forms.sarif => return Err(no_findings()),
        _ => {}
    }
    let directory = file.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if directory.is_dir() && !file.path.is_dir() {
        return Ok(());
    }
    let path = file.path.display();
    Err(Error::usage(format!("cannot write a report to {path}")).because(if file.path.is_dir() {
        "it is a directory"
    } else {
        "its directory does not exist"
    }))
}

fn no_page() -> Error {
    Error::usage("this command has no report as html").hint("--report html=FILE is for `hardy load run`")
}

fn no_findings() -> Error {
    Error::usage("this command has no report as sarif").hint("--report sarif=FILE is for `hardy tls check`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_refused_where_there_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let file: ReportFile = format!("html={}/x.html", directory.path().display()).parse().unwrap();
        let page = Forms { html: true, sarif: false };
        assert_eq!(check(&file, Forms::default()).unwrap_err().exit(), crate::exit::Exit::USAGE);
        assert!(check(&file, page).is_ok());
        let file: ReportFile = format!("sarif={}/x.sarif", directory.path().display()).parse().unwrap();
        assert_eq!(check(&file, page).unwrap_err().exit(), crate::exit::Exit::USAGE);
        assert!(check(&file, Forms { html: false, sarif: true }).is_ok());
    }

    #[test]
    fn a_link_stays_and_its_target_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is left beside");
    }

    #[test]
    fn a_pipe_is_written_to() {
        let (mut reader, writer) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
        replace(Path::new(&path), b"text").unwrap();
        drop(writer);
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "text");
    }
}
