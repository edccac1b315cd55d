//! A second process that ends a command in time when the first one cannot: because it was stopped, or killed.
//!
//! hardy starts itself again with [`ARGUMENT`] and writes [`Orders`] into its stdin; the end of that stream means
//! that hardy is no more. A watchdog that is not needed any longer is killed.

mod guard;
mod orders;
mod process;

pub use guard::{Change, Dismissed, Guard};
pub use orders::Orders;
pub use process::{ARGUMENT, watch};

use std::os::unix::process::CommandExt;
use std::process::Command;

/// This program as a watchdog, whatever has become of its file. `mark`: an entry of the command's environment,
/// `NAME=value`, that no other command has; by it the command is found where hardy has died while starting it.
pub fn own(mark: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("hardy").args([ARGUMENT, mark]);
    command
}
