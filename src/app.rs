//! What every command receives, and nothing else: it holds no state of its own.

use crate::config::Config;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::{Console, Report};
use crate::shutdown::Shutdown;

/// The surroundings of one run.
pub struct App {
    /// The merged configuration.
    pub config: Config,
    /// The only way to the terminal.
    pub console: Console,
    /// Cancelled by the first SIGINT or SIGTERM.
    pub shutdown: Shutdown,
}

impl App {
    /// Prints the report and settles the exit code: a signal that cut the work short outranks the verdict.
    ///
    /// # Errors
    /// The report could not be written.
    pub fn finish<R: Report>(&self, report: &R) -> Result<Exit, Error> {
        let exit = self.console.emit(report)?;
        match self.shutdown.signal() {
            Some(signal) if !R::ENDS_BY_SIGNAL => Ok(Exit::signal(signal)),
            _ => Ok(exit),
        }
    }
}
