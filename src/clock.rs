//! Time that goes on while the machine sleeps: `CLOCK_BOOTTIME`, on which every lease is measured.
//! The wall clock is only ever shown. tokio's clock stops in a suspended machine, and a lease does not.

use std::fmt;
use std::io;
use std::ops::{Add, Sub};
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::net::unix::pipe;

/// A moment, as the time since this host was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boot(Duration);

impl Boot {
    /// Now.
    pub fn now() -> Boot {
        let now = clock_gettime(ClockId::Boottime);
        Boot(Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0)))
    }

    /// The moment that many milliseconds after the host was started.
    pub const fn from_millis(millis: u64) -> Boot {
        Boot(Duration::from_millis(millis))
    }

    /// Milliseconds since the host was started.
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// How long it is until then; zero if it is over.
    pub fn left(self) -> Duration {
        self.0.saturating_sub(Boot::now().0)
    }

    /// What the wall clock will show then, if nobody sets it.
    pub fn timestamp(self) -> Timestamp {
        let now = Boot::now();
        let wall = SystemTime::now();
        let then = if self >= now { wall.checked_add(self - now) } else { wall.checked_sub(now - self) };
        then.and_then(|then| Timestamp::try_from(then).ok()).unwrap_or(Timestamp::MAX)
    }
}

impl Add<Duration> for Boot {
    type Output = Boot;

    fn add(self, span: Duration) -> Boot {
        Boot(self.0.saturating_add(span))
    }
}

impl Sub<Duration> for Boot {
    type Output = Boot;

    fn sub(self, span: Duration) -> Boot {
        Boot(self.0.saturating_sub(span))
    }
}

impl Sub for Boot {
    type Output = Duration;

    fn sub(self, earlier: Boot) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms after the start of the host", self.as_millis())
    }
}

/// Waits until then, also across a suspension of the machine.
///
/// # Errors
/// No timer could be had from the kernel (too many open files).
pub async fn sleep_until(then: Boot) -> io::Result<()> {
    if then <= Boot::now() {
        return Ok(());
    }
    // Not a pipe, but like one it is an owned descriptor that becomes readable.
    pipe::Receiver::from_owned_fd_unchecked(timer(then)?)?.readable().await
}

/// A descriptor that becomes readable then.
///
/// # Errors
/// No timer could be had from the kernel (too many open files).
pub fn timer(then: Boot) -> io::Result<OwnedFd> {
    let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    let value = Timespec {
        tv_sec: i64::try_from(then.0.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: then.0.subsec_nanos().into(),
    };
    timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &Itimerspec { it_interval: zero, it_value: value })?;
    Ok(timer)
}

/// Waits that long, also across a suspension of the machine.
///
/// # Errors
/// As [`sleep_until`].
pub async fn sleep(span: Duration) -> io::Result<()> {
    sleep_until(Boot::now() + span).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_wakes_no_earlier_than_then() {
        let then = Boot::now() + Duration::from_millis(20);
        sleep_until(then).await.unwrap();
        assert!(Boot::now() >= then);
        assert_eq!(then.left(), Duration::ZERO);
        sleep_until(then).await.unwrap();
    }

    #[test]
    fn moments_keep_their_distance() {
        let early = Boot::from_millis(10);
        assert_eq!((early + Duration::from_millis(5)) - early, Duration::from_millis(5));
        assert_eq!(early - (early + Duration::from_millis(5)), Duration::ZERO);
        assert!(Boot::now().timestamp() <= Timestamp::now());
    }
}
