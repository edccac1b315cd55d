//! The only printer: every report leaves through here, for a person or for a machine.
//! stdout carries the result and nothing else; everything beside it goes to stderr.
//! It decides nothing: success is the report's matter, and no network is touched here.

mod file;
pub mod html;
mod human;
mod junit;
mod live;
pub mod plot;
pub mod sarif;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::builder::styling::{AnsiColor, Style};
use indicatif::ProgressBar;
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Error;
use crate::exit::{Exit, Verdict};
use crate::metrics::Metric;
use crate::text::printable_json;

pub use crate::text::printable;
pub use file::{Forms, replace};
pub use human::{Human, Table, Tone, sparkline};
pub use junit::{Case, Outcome, Suite};
pub use live::Live;

/// What a command found, and how it is shown.
pub trait Report: Serialize + JsonSchema {
    /// Name and version of the JSON form, such as `hardy.probe/v1`; additive within a version.
    const SCHEMA: &'static str;

    /// Whether a signal is the normal end of this command, so that it does not change the exit code.
    const ENDS_BY_SIGNAL: bool = false;

    /// What the report says about its subject.
    fn verdict(&self) -> Verdict;

    /// The exit code; only a report with a code of its own overrides it.
    fn exit(&self) -> Exit {
        self.verdict().into()
    }

    /// The form for people.
    fn human(&self, out: &mut Human<'_>) -> io::Result<()>;

    /// The test cases of the JUnit form; none where that form makes no sense.
    fn cases(&self) -> Vec<Case> {
        Vec::new()
    }

    /// The same as several suites; one with the name of the command where nothing else is said.
    fn suites(&self) -> Vec<Suite> {
        let name = Self::SCHEMA.split('/').next().unwrap_or(Self::SCHEMA);
        vec![Suite { name: name.to_owned(), cases: self.cases() }]
    }

    /// The values of the Prometheus form; none where that form makes no sense.
    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }

    /// A page of its own, for browsers; none where that form makes no sense.
    fn html(&self) -> Option<String> {
        None
    }

    /// Its findings, for tools that show them beside code; none where that form makes no sense.
    fn sarif(&self) -> Option<sarif::Log> {
        None
    }
}

/// The JSON document around every report.
#[derive(Serialize)]
struct Document<'a, R> {
    schema: &'static str,
    verdict: Verdict,
    data: &'a R,
}

/// For whom stdout is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text for people.
    Human,
    /// One JSON document.
    Json,
}

/// When something is shown that only a terminal can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum When {
    /// On a terminal.
    Auto,
    /// In any case.
    Always,
    /// Not at all.
    Never,
}

/// `--report FORMAT=FILE`: a second form of the same report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportFile {
    format: file::Format,
    path: PathBuf,
}

impl FromStr for ReportFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("expected FORMAT=FILE, with {} as FORMAT", file::Format::NAMES);
        let (format, path) = text.split_once('=').ok_or_else(form)?;
        let format = format.parse().map_err(|()| form())?;
        if path.is_empty() || path == "-" {
            return Err(
                "expected a file: stdout belongs to the result (use -o json for JSON on stdout)".into()
            );
        }
        Ok(ReportFile { format, path: path.into() })
    }
}

/// The choices of the command line about output.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The form on stdout.
    pub format: Format,
    /// Further forms, in files.
    pub reports: Vec<ReportFile>,
    /// Colour.
    pub color: When,
    /// Bars and live tables on stderr.
    pub progress: When,
    /// Only errors and the result.
    pub quiet: bool,
    /// More about what is done.
    pub verbose: bool,
}

/// The way to the terminal. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Console {
    settings: Settings,
    stdout_color: bool,
    stderr_color: bool,
    reader_gone: Arc<AtomicBool>,
    /// The live block, if one is shown; whatever else is printed goes above it.
    block: ProgressBar,
}

impl Console {
    /// Looks at the terminal and the environment once.
    pub fn new(settings: &Settings) -> Console {
        Console {
            stdout_color: colored(settings.color, io::stdout().is_terminal()),
            stderr_color: colored(settings.color, io::stderr().is_terminal()),
            settings: settings.clone(),
            reader_gone: Arc::default(),
            block: ProgressBar::hidden(),
        }
    }

    /// Whether the files of `--report` can be written, by a command that has these forms; asked before any work is done.
    pub fn check_reports(&self, forms: Forms) -> Result<(), Error> {
        self.settings.reports.iter().try_for_each(|file| file::check(file, forms))
    }

    /// Prints the report on stdout and into the files asked for; returns its exit code.
    pub fn emit<R: Report>(&self, report: &R) -> Result<Exit, Error> {
        let printed = self.event(report);
        let filed = self.file(report);
        printed.and(filed).map(|()| report.exit())
    }

    /// Only into the files asked for: stdout is somebody else's.
    pub fn file<R: Report>(&self, report: &R) -> Result<(), Error> {
        let mut outcome = Ok(());
        for file in &self.settings.reports {
            // One place that is full must not cost the report in the others.
            outcome = outcome.and(file::write(file, report));
        }
        outcome
    }

    /// Prints one report of a stream: a line of JSON, or its human form.
    pub fn event<R: Report>(&self, report: &R) -> Result<(), Error> {
        let text = match self.settings.format {
            Format::Json => json(report)? + "\n",
            Format::Human => self.human(report),
        };
        self.emit_text(&text).map(|_| ())
    }

    /// Prints text as the result; a reader that has gone away is no error.
    pub fn emit_text(&self, text: &str) -> Result<Exit, Error> {
        if text.is_empty() {
            // Not even the lock: whoever streams to stdout may be waiting for its reader.
            return Ok(Exit::GOOD);
        }
        let mut stdout = io::stdout().lock();
        match self.block.suspend(|| stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())) {
            Ok(()) => Ok(Exit::GOOD),
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                self.reader_gone.store(true, Ordering::Relaxed);
                Ok(Exit::GOOD)
            }
            Err(e) => Err(Error::unknown("cannot write the result to stdout").because(e)),
        }
    }

    /// stdout for a stream of lines that are themselves the result, such as an access log. It has a descriptor
    /// of its own: who waits there for a reader must not hold the lock that everybody else needs.
    pub fn lines(&self) -> Box<dyn Write + Send> {
        match io::stdout().as_fd().try_clone_to_owned() {
            Ok(descriptor) => Box::new(File::from(descriptor)),
            Err(_) => Box::new(io::stdout()),
        }
    }

    /// The same where stdout carries what others wrote: the human form goes to stderr, unless `--quiet`.
    pub fn emit_beside<R: Report>(&self, report: &R) -> Result<Exit, Error> {
        if self.is_json() {
            return self.emit(report);
        }
        let text = self.styled_report(report, width(&io::stderr()), self.stderr_color);
        self.note(text.trim_end());
        self.file(report).map(|()| report.exit())
    }

    /// For what others wrote. With JSON on stdout all of it goes to stderr.
    pub fn relay(&self) -> Relay {
        let stderr = || match io::stderr().as_fd().try_clone_to_owned() {
            Ok(descriptor) => Box::new(File::from(descriptor)) as Box<dyn Write + Send>,
            Err(_) => Box::new(io::stderr()),
        };
        let outlet = |to, on_terminal: bool| Outlet { to, block: on_terminal.then(|| self.block.clone()) };
        let err = || outlet(stderr(), io::stderr().is_terminal());
        let out = if self.is_json() { err() } else { outlet(self.lines(), io::stdout().is_terminal()) };
        Relay { out, err: err() }
    }

    /// The human form of a report as text, styled for stdout.
    fn human<R: Report>(&self, report: &R) -> String {
        self.styled_report(report, width(&io::stdout()), self.stdout_color)
    }

    fn styled_report<R: Report>(&self, report: &R, width: usize, color: bool) -> String {
        let mut text = Vec::new();
        let mut human = Human::new(&mut text, width, color);
        // Writing into memory cannot fail.
        let _ = report.human(&mut human);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Whether somebody closed stdout: what is endless and only reports may end then.
    pub fn reader_is_gone(&self) -> bool {
        self.reader_gone.load(Ordering::Relaxed)
    }

    /// Whether a person reads the result as it comes.
    pub fn is_on_terminal(&self) -> bool {
        !self.is_json() && io::stdout().is_terminal()
    }

    /// Whether nothing but errors and the result is wanted.
    pub fn is_quiet(&self) -> bool {
        self.settings.quiet
    }

    /// Whether more is wanted than usual.
    pub fn is_verbose(&self) -> bool {
        self.settings.verbose
    }

    /// Whether stdout carries JSON.
    pub fn is_json(&self) -> bool {
        self.settings.format == Format::Json
    }

    /// A line for the operator on stderr, unless `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.settings.quiet {
            self.stderr(text);
        }
    }

    /// The same, only where a person sits at the terminal.
    pub fn interactive_note(&self, text: &str) {
        if io::stderr().is_terminal() {
            self.note(text);
        }
    }

    /// Asks a person at the terminal; none where nobody can answer.
    pub fn confirm(&self, question: &str) -> Option<bool> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return None;
        }
        let _ = write!(io::stderr().lock(), "{} [y/N] ", printable(question));
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).ok()?;
        Some(matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    /// A line on stderr with `--verbose`.
    pub fn detail(&self, text: &str) {
        if self.settings.verbose {
            self.stderr(text);
        }
    }

    /// Something that the operator should look at: on stderr, even with `--quiet`.
    pub fn warn(&self, text: &str) {
        self.stderr(&format!("{} {text}", self.styled("warning:", AnsiColor::Yellow.on_default().bold())));
    }

    /// Prints the error in its three parts; returns its exit code.
    pub fn fail(&self, error: &Error) -> Exit {
        let red = AnsiColor::Red.on_default().bold();
        let mut text = format!("{} {error}", self.styled("error:", red));
        for cause in error.causes() {
            text += &format!("\n  caused by: {cause}");
        }
        if let Some(hint) = error.advice() {
            text += &format!("\n{} {hint}", self.styled("hint:", AnsiColor::Cyan.on_default().bold()));
        }
        self.stderr(&text);
        error.exit()
    }

    /// Lines on stderr that are redrawn while work goes on; nothing where no terminal shows them.
    pub fn live(&self) -> Live {
        let terminal = io::stderr().is_terminal() && !is_set("CI");
        let shown = match self.settings.progress {
            When::Auto => terminal && !self.settings.quiet && !self.settings.verbose,
            When::Always => true,
            When::Never => false,
        };
        Live::new(shown.then(|| self.block.clone()), self.stderr_color)
    }

    fn styled(&self, text: &str, style: Style) -> String {
        if self.stderr_color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    fn stderr(&self, text: &str) {
        // In one piece, since other processes write to it, too. Nobody is left to be told that it is gone.
        let _ = self.block.suspend(|| io::stderr().lock().write_all(format!("{text}\n").as_bytes()));
    }
}

/// stdout and stderr for what others wrote, byte for byte; above the live block where one is shown.
pub struct Relay {
    out: Outlet,
    err: Outlet,
}

struct Outlet {
    to: Box<dyn Write + Send>,
    /// Only on a terminal: who waits for the reader of a pipe must not keep the block from everybody else.
    block: Option<ProgressBar>,
}

impl Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &self.block {
            Some(block) => block.suspend(|| self.to.write_all(bytes)),
            None => self.to.write_all(bytes),
        }
    }
}

impl Relay {
    /// To stdout.
    ///
    /// # Errors
    /// Also when its reader has gone away.
    pub fn out(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write(bytes)
    }

    /// To stderr; nobody is left to be told that it is gone.
    pub fn err(&mut self, bytes: &[u8]) {
        let _ = self.err.write(bytes);
    }
}

/// A usage error, or the help and version that were asked for, in the parser's own words.
pub fn print_usage(usage: &clap::Error) -> Exit {
    // A reader that has gone away is no error.
    let _ = usage.print();
    if usage.use_stderr() { Exit::USAGE } else { Exit::GOOD }
}

/// The JSON document of a report on one line, as a file of `--report json` has it.
///
/// # Errors
/// The report cannot be written as JSON.
pub fn document<R: Report>(report: &R) -> Result<String, Error> {
    let document = Document { schema: R::SCHEMA, verdict: report.verdict(), data: report };
    let text = serde_json::to_string(&document);
    text.map(printable_json).map_err(|e| Error::unknown("cannot write the report as JSON").because(e))
}

/// One JSON document: indented for a terminal, on one line for a pipe.
fn json<R: Report>(report: &R) -> Result<String, Error> {
    let document = Document { schema: R::SCHEMA, verdict: report.verdict(), data: report };
    let text = if io::stdout().is_terminal() {
        serde_json::to_string_pretty(&document)
    } else {
        serde_json::to_string(&document)
    };
    text.map(printable_json).map_err(|e| Error::unknown("cannot write the report as JSON").because(e))
}

/// `--color` > `NO_COLOR` > `CLICOLOR_FORCE` > is it a terminal that can?
fn colored(color: When, terminal: bool) -> bool {
    match color {
        When::Always => true,
        When::Never => false,
        When::Auto if is_set("NO_COLOR") => false,
        When::Auto if is_set("CLICOLOR_FORCE") => true,
        When::Auto => terminal && !is_value("TERM", "dumb"),
    }
}

/// Columns of the terminal; 80 where there is none, so that a log reads like a screen.
fn width(stream: &impl std::os::fd::AsFd) -> usize {
    const WITHOUT_TERMINAL: usize = 80;
    match rustix::termios::tcgetwinsize(stream) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => WITHOUT_TERMINAL,
    }
}

#[expect(clippy::disallowed_methods, reason = "conventions about the terminal, not settings of hardy")]
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0")
}

#[expect(clippy::disallowed_methods, reason = "conventions about the terminal, not settings of hardy")]
fn is_value(name: &str, expected: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value == expected)
}
