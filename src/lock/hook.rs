//! What is run when the holders of a lock change. Its output goes to stderr: stdout belongs to the result.

use std::io;
use std::os::fd::AsFd;
use std::process::{ExitStatus, Stdio};

use tokio::process::Command;

use super::{Name, Queue};

/// Runs `text` by `sh -c`, and waits for its end; killed when dropped.
///
/// # Errors
/// `sh` cannot be started.
pub async fn on_change(text: &str, name: &Name, queue: &Queue) -> io::Result<ExitStatus> {
    let first = queue.holders.first();
    let owner = first.and_then(|holder| holder.owner.as_ref());
    let holder = owner.map(|owner| format!("{}:{}", owner.host, owner.pid)).unwrap_or_default();
    let token = first.and_then(|holder| holder.token).map(|token| token.to_string()).unwrap_or_default();
    let mut command = Command::new("sh");
    command.args(["-c", text]).stdin(Stdio::null()).kill_on_drop(true);
    command.stdout(Stdio::from(io::stderr().as_fd().try_clone_to_owned()?));
    command.env("HARDY_LOCK_NAME", name.as_str());
    command.env("HARDY_LOCK_HOLDER", holder).env("HARDY_LOCK_TOKEN", token);
    command.status().await
}
