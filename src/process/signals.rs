//! The signals that a supervisor passes on, as one stream.

use std::future::poll_fn;
use std::io;
use std::sync::LazyLock;
use std::task::Poll;

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc::UnboundedReceiver;

/// What people, shells and service supervisors send. What asks for an end comes from whoever listens for it already.
const PASSED_ON: &[Signal] =
    &[Signal::QUIT, Signal::USR1, Signal::USR2, Signal::ALARM, Signal::WINCH, Signal::TSTP];

/// What tells the supervisor itself something.
const NEEDED: &[Signal] = &[Signal::CHILD, Signal::CONT];

/// All of them, from now on.
pub struct Signals {
    asked: UnboundedReceiver<i32>,
    listeners: Vec<(Signal, unix::Signal)>,
}

impl Signals {
    /// Starts to listen; needs a running tokio runtime. A signal that this program was told to ignore (`nohup`) stays
    /// ignored, by the command as well. `asked`: the numbers of SIGINT, SIGTERM and SIGHUP as they arrive.
    ///
    /// # Errors
    /// No listener could be had from the kernel.
    pub fn listen(asked: UnboundedReceiver<i32>) -> io::Result<Signals> {
        let heeded = PASSED_ON.iter().filter(|signal| !is_ignored(signal.as_raw()));
        let listeners = heeded
            .chain(NEEDED)
            .map(|&signal| Ok((signal, unix::signal(SignalKind::from_raw(signal.as_raw()))?)))
            .collect::<io::Result<_>>()?;
        Ok(Signals { asked, listeners })
    }

    /// The next one. Cancel safe.
    pub async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            if let Poll::Ready(Some(number)) = self.asked.poll_recv(context)
                && let Some(signal) = Signal::from_named_raw(number)
            {
                return Poll::Ready(signal);
            }
            for (signal, listener) in &mut self.listeners {
                if listener.poll_recv(context).is_ready() {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// One that asks for an end, if it has arrived already.
    pub fn asked(&mut self) -> Option<i32> {
        self.asked.try_recv().ok()
    }
}

/// Whether this process ignores the signal with this number, as it was told to at its start; not where the kernel does
/// not tell.
pub fn is_ignored(signal: i32) -> bool {
    static IGNORED: LazyLock<u64> = LazyLock::new(ignored);
    *IGNORED >> (signal - 1) & 1 == 1
}

/// The mask of signals that are ignored now.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use rustix::process::{getpid, kill_process};
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[tokio::test]
    async fn both_kinds_come_in_one_stream() {
        let (sender, asked) = unbounded_channel();
        let mut signals = Signals::listen(asked).unwrap();
        sender.send(15).unwrap();
        assert_eq!(signals.next().await, Signal::TERM);
        sender.send(2).unwrap();
        assert_eq!(signals.asked(), Some(2));
        assert_eq!(signals.asked(), None);
        kill_process(getpid(), Signal::ALARM).unwrap();
        while signals.next().await != Signal::ALARM {}
    }

    #[test]
    fn rust_ignores_sigpipe_and_that_is_seen() {
        assert!(is_ignored(Signal::PIPE.as_raw()) && !is_ignored(Signal::TERM.as_raw()));
    }
}
