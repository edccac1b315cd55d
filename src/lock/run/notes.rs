//! Notes on what happens, told by a thread of their own: whoever reads them may have stopped to, and the command must be
//! ended in time nevertheless.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::Event;

/// How many wait to be told; more are dropped.
const BACKLOG: usize = 32;

/// The thread. Dropped, it tells what it was given before.
pub struct Notes {
    sender: Option<SyncSender<Event>>,
    thread: Option<JoinHandle<()>>,
}

impl Notes {
    /// Where no thread can be had, nothing is told.
    pub fn start(tell: impl Fn(Event) + Send + 'static) -> Notes {
        let (sender, events) = sync_channel(BACKLOG);
        let thread = thread::Builder::new().spawn(move || events.into_iter().for_each(tell)).ok();
        Notes { sender: Some(sender), thread }
    }

    /// Has it told some time. Never blocks.
    pub fn note(&self, event: Event) {
        if let Some(sender) = &self.sender {
            let _ = sender.try_send(event);
        }
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        self.sender = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
