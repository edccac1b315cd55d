//! Readiness of sockets: each is registered once, and tells each change once.

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

/// What ends a connection, or half of it.
pub(super) const HUNG_UP: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);

/// What makes a read worth while.
pub(super) const SPEAKS: EventFlags = EventFlags::IN.union(HUNG_UP);

/// The sockets of one thread.
#[derive(Debug)]
pub(super) struct Poll(OwnedFd);

impl Poll {
    pub(super) fn new() -> Result<Poll, Errno> {
        epoll::create(epoll::CreateFlags::CLOEXEC).map(Poll)
    }

    /// Tells from now on of everything that happens to the socket, until that is closed, under this number.
    pub(super) fn register(&self, socket: &OwnedFd, number: usize) -> Result<(), Errno> {
        let all = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.0, socket, EventData::new_u64(number as u64), all)
    }

    /// Waits for events, at most so many nanoseconds, and fills the list with what its memory holds. The time is kept
    /// to the microsecond when it is `precise`, else rounded up to milliseconds: `epoll_wait` knows no shorter ones,
    /// and `epoll_pwait2` is younger than kernels in use.
    pub(super) fn wait(&self, events: &mut Vec<Event>, nanos: u64, precise: bool) {
        let mut wait = timespec(nanos.div_ceil(1_000_000).saturating_mul(1_000_000));
        if precise && nanos > 0 {
            // Interrupted, it is only early.
            let _ = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timespec(nanos)));
            wait = timespec(0);
        }
        events.clear();
        // The only error of a true list and descriptor is an interruption.
        let _ = epoll::wait(&self.0, spare_capacity(events), Some(&wait));
    }
}

fn timespec(nanos: u64) -> Timespec {
    // Nobody waits longer than a second.
    Timespec { tv_sec: (nanos / 1_000_000_000).min(1) as i64, tv_nsec: (nanos % 1_000_000_000) as i64 }
}
