//! The open loop: hands each request, when it is due, to whoever is idle.
//!
//! The runtime's timers are rounded up to milliseconds, so this has one of the kernel's.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::desk::{Desk, Next};

/// Until there is nothing more to send.
pub(super) async fn pace(desk: Rc<Desk>) {
    let alarm = Alarm::new();
    loop {
        desk.somebody_idle().await;
        let now = desk.clock.now();
        match desk.ask(now) {
            Next::Send(due) => desk.hand(due),
            Next::Wait(due) => alarm.wait(Duration::from_nanos(due - now)).await,
            Next::Pause => {}
            Next::Over => return,
        }
    }
}

/// A timer as exact as the kernel's, or the runtime's where there is no descriptor for one.
struct Alarm(Option<AsyncFd<OwnedFd>>);

impl Alarm {
    #[expect(deprecated, reason = "sound with an OwnedFd; what should replace it is unsafe to call")]
    fn new() -> Alarm {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).ok();
        Alarm(timer.and_then(|timer| AsyncFd::with_interest(timer, Interest::READABLE).ok()))
    }

    async fn wait(&self, time: Duration) {
        if self.ring(time).await.is_none() {
            tokio::time::sleep(time).await;
        }
    }

    async fn ring(&self, time: Duration) -> Option<()> {
        let timer = self.0.as_ref()?;
        let it_value = Timespec {
            tv_sec: i64::try_from(time.as_secs()).ok()?,
            // A zero would disarm it.
            tv_nsec: time.subsec_nanos().max(1).into(),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(timer, TimerfdTimerFlags::empty(), &once).ok()?;
        // Setting it anew takes back that it went off: nobody needs to read it.
        timer.readable().await.ok()?.clear_ready();
        Some(())
    }
}
