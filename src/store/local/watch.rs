//! To notice that something happened to a file or a directory. It says only that, and perhaps too often.

use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags};
use tokio::net::unix::pipe;

pub use rustix::fs::inotify::WatchFlags;

/// The kernel gives each user few watches (128 by default): whoever gets none looks that often.
const LOOK: Duration = Duration::from_secs(1);

/// For one event: begin it, look, then wait.
pub struct Watch(Option<pipe::Receiver>);

impl Watch {
    /// From now on.
    pub fn begin(path: &Path, what: WatchFlags) -> Watch {
        let begin = || {
            let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            inotify::add_watch(&events, path, what)?;
            // Not a pipe, but like one it is an owned descriptor that becomes readable.
            pipe::Receiver::from_owned_fd_unchecked(events)
        };
        Watch(begin().ok())
    }

    /// Until something has happened, or it is time to look.
    pub async fn event(&self) {
        match &self.0 {
            Some(events) if events.readable().await.is_ok() => {}
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}
