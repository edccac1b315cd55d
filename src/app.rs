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

    /// What asks a store and waits for nothing else ends at once when that is asked for.
    ///
    /// # Errors
    /// Those of the work, or the interruption with the exit code of its signal.
    pub async fn unless_interrupted<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.shutdown.token.cancelled() => {
                let signal = self.shutdown.signal().unwrap_or_default();
                Err(Error::unknown("interrupted before the store had answered").with_exit(Exit::signal(signal)))
            }
        }
    }
}
