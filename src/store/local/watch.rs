//! To notice that something happened to a file or a directory. It says only that, and perhaps too often.

use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags};
use tokio::net::unix::pipe;

pub use rustix::fs::inotify::WatchFlags;

/// The kernel gives each user few watches (128 by default): whoever gets none looks that often.
const LOOK: Duration = Duration::from_secs(1);

/// Begin it, look, then wait; and so on.
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
            Some(events) if events.readable().await.is_ok() => {
                // What has happened is told once.
                let mut told = [0; 4096];
                while events.try_read(&mut told).is_ok_and(|length| length > 0) {}
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_has_happened_is_told_once() {
        let home = tempfile::tempdir().unwrap();
        let watch = Watch::begin(home.path(), WatchFlags::CREATE);
        for name in ["a", "b"] {
            std::fs::write(home.path().join(name), "").unwrap();
            std::fs::write(home.path().join(format!("{name}2")), "").unwrap();
            watch.event().await;
            assert!(
                tokio::time::timeout(Duration::from_millis(20), watch.event()).await.is_err(),
                "told again"
            );
        }
    }
}
