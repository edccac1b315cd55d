//! What every command receives, and nothing else: it holds no state of its own.

use crate::config::Config;
use crate::output::Console;
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
