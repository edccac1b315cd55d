//! What is asked of all workers at once, as descriptors: whoever waits for anything else waits for them too.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

/// What is asked for. Each includes those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing more is started.
    Soon,
    /// What is under way gets SIGTERM, and its grace.
    Terminate,
    /// And SIGKILL.
    Kill,
}

/// Rings for good.
#[derive(Debug)]
pub struct Alarm {
    bells: [OwnedFd; 3],
    raised: AtomicUsize,
}

impl Alarm {
    /// # Errors
    /// No descriptor could be had.
    pub fn new() -> io::Result<Alarm> {
        let bell = || eventfd(0, EventfdFlags::CLOEXEC);
        Ok(Alarm { bells: [bell()?, bell()?, bell()?], raised: AtomicUsize::new(0) })
    }

    /// Asks for this.
    pub fn raise(&self, level: Level) {
        let wanted = level as usize + 1;
        let before = self.raised.fetch_max(wanted, Ordering::SeqCst);
        for bell in self.bells.iter().take(wanted).skip(before) {
            // It is readable from now on: nobody reads it.
            let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
        }
    }

    /// Whether this was asked for.
    pub fn is_raised(&self, level: Level) -> bool {
        self.raised.load(Ordering::SeqCst) > level as usize
    }

    /// Readable once this was asked for.
    pub fn bell(&self, level: Level) -> BorrowedFd<'_> {
        self.bells[level as usize].as_fd()
    }

    /// Waits so long, or until this is asked for: whether it was.
    pub fn wait(&self, level: Level, time: Duration) -> bool {
        let end = Instant::now() + time;
        while !self.is_raised(level) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let _ = wait_for(&mut [readable(&self.bells[level as usize])], Some(left));
        }
        true
    }
}

/// To be waited for until it can be read.
pub fn readable<'a>(descriptor: &'a impl AsFd) -> PollFd<'a> {
    PollFd::new(descriptor, PollFlags::IN)
}

/// Waits for any of them, for so long at most. An interruption looks like the end of that time.
///
/// # Errors
/// Those of the system, which has no memory or no such descriptor.
pub fn wait_for(descriptors: &mut [PollFd<'_>], time: Option<Duration>) -> io::Result<()> {
    let time = time.map(|time| Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    });
    match poll(descriptors, time.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_includes_those_before() {
        let alarm = Alarm::new().unwrap();
        let all = |alarm: &Alarm| {
            [Level::Soon, Level::Terminate, Level::Kill].map(|level| alarm.wait(level, Duration::ZERO))
        };
        assert_eq!(all(&alarm), [false; 3]);
        alarm.raise(Level::Terminate);
        alarm.raise(Level::Soon);
        assert_eq!(all(&alarm), [true, true, false]);
        alarm.raise(Level::Kill);
        assert_eq!(all(&alarm), [true; 3]);
    }

    #[test]
    fn who_waits_is_woken() {
        let alarm = Alarm::new().unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| alarm.wait(Level::Soon, Duration::from_secs(60)));
            alarm.raise(Level::Soon);
            assert!(waiter.join().unwrap());
        });
    }
}
