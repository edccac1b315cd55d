//! Notes on what happens, told by a thread of their own: whoever reads them may have stopped to, and the command must be
//! ended in time nevertheless. Most runs have nothing to tell, and start no thread.

use std::cell::{Cell, OnceCell};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::Event;

/// How many wait to be told; more are dropped.
const BACKLOG: usize = 32;

/// Whoever tells them. Dropped, it tells what it was given before.
pub struct Notes<F> {
    tell: Cell<Option<F>>,
    /// None where no thread could be had: then nothing is told.
    thread: OnceCell<Option<(SyncSender<Event>, JoinHandle<()>)>>,
}

impl<F: Fn(Event) + Send + 'static> Notes<F> {
    /// Nothing is told yet.
    pub fn new(tell: F) -> Notes<F> {
        Notes { tell: Cell::new(Some(tell)), thread: OnceCell::new() }
    }

    /// Has it told some time. Never blocks.
    pub fn note(&self, event: Event) {
        if let Some((sender, _)) = self.thread.get_or_init(|| start(self.tell.take()?)) {
            let _ = sender.try_send(event);
        }
    }
}

fn start(tell: impl Fn(Event) + Send + 'static) -> Option<(SyncSender<Event>, JoinHandle<()>)> {
    let (sender, events) = sync_channel(BACKLOG);
    let thread = thread::Builder::new().spawn(move || events.into_iter().for_each(tell)).ok()?;
    Some((sender, thread))
}

impl<F> Drop for Notes<F> {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.thread.take().flatten() {
            drop(sender);
            let _ = thread.join();
        }
    }
}
