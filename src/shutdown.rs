//! Signals as one token. The first SIGINT or SIGTERM asks for an orderly end; the second forces it. Where it would leave
//! something behind, a closed terminal (SIGHUP) asks as well, and forces nothing: shells and the kernel both send it.
//! While a command runs for us, they are its own matter: see [`Shutdown::hand_over`].

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;
use crate::output::Console;
use crate::process::is_ignored;

/// A second signal so soon is an echo of the first, not a second wish: timeout(1) signals its child
/// and then its whole process group.
const ECHO: Duration = Duration::from_millis(100);

/// Handed to every command; clones share the same state.
#[derive(Clone)]
pub struct Shutdown {
    /// Cancelled by the first signal.
    pub token: CancellationToken,
    state: Arc<Mutex<State>>,
}

/// Who is told of the next signal.
#[derive(Default)]
enum State {
    /// The token.
    #[default]
    Quiet,
    /// Nobody: the end was asked for by this signal.
    Asked(i32),
    /// Whoever has taken them over, until it lets the other end go.
    HandedOver(UnboundedSender<i32>),
}

impl Shutdown {
    /// Starts to listen for signals; needs a running tokio runtime. `on_hangup`: for SIGHUP as well, unless this program
    /// was told to ignore it (`nohup`).
    pub fn install(console: Console, on_hangup: bool) -> io::Result<Shutdown> {
        let on_hangup = on_hangup && !is_ignored(SignalKind::hangup().as_raw_value());
        let mut signals = Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: on_hangup.then(|| signal(SignalKind::hangup())).transpose()?,
        };
        let shutdown = Shutdown { token: CancellationToken::new(), state: Arc::default() };
        let ours = shutdown.clone();
        tokio::spawn(async move {
            while !ours.is_first(signals.next().await) {}
            ours.token.cancel();
            console.interactive_note("stopping... (again to force)");
            let asked = Instant::now();
            loop {
                let again = signals.next().await;
                if asked.elapsed() > ECHO && again != SignalKind::hangup().as_raw_value() {
                    force(again);
                }
            }
        });
        Ok(shutdown)
    }

    /// The number of the signal that asked for the end, if one did.
    pub fn signal(&self) -> Option<i32> {
        match *self.lock() {
            State::Asked(number) => Some(number),
            State::Quiet | State::HandedOver(_) => None,
        }
    }

    /// From now on these signals end nothing here, and their numbers come out of this, until it is dropped. None
    /// if the end was asked for already.
    pub fn hand_over(&self) -> Option<UnboundedReceiver<i32>> {
        let mut state = self.lock();
        if matches!(*state, State::Asked(_)) {
            return None;
        }
        let (sender, receiver) = unbounded_channel();
        *state = State::HandedOver(sender);
        Some(receiver)
    }

    /// Whether this signal is the one that asks for the end.
    fn is_first(&self, number: i32) -> bool {
        let mut state = self.lock();
        let passed_on = matches!(&*state, State::HandedOver(taker) if taker.send(number).is_ok());
        if !passed_on {
            *state = State::Asked(number);
        }
        !passed_on
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One message for each SIGHUP, which would otherwise end the process. Needs a running tokio runtime.
pub fn hangups() -> io::Result<UnboundedReceiver<()>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move { while hangup.recv().await.is_some() && sender.send(()).is_ok() {} });
    Ok(receiver)
}

/// What asks for an end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    async fn next(&mut self) -> i32 {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = hangup => SignalKind::hangup().as_raw_value(),
        }
    }
}

#[expect(clippy::exit, clippy::disallowed_methods, reason = "the second signal means: now")]
fn force(signal: i32) -> ! {
    std::process::exit(Exit::signal(signal).code().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_somebody_elses_until_it_lets_go() {
        let shutdown = Shutdown { token: CancellationToken::new(), state: Arc::default() };
        let mut taken = shutdown.hand_over().unwrap();
        assert!(!shutdown.is_first(15));
        assert!(!shutdown.is_first(2));
        assert_eq!((taken.try_recv(), taken.try_recv()), (Ok(15), Ok(2)));
        assert_eq!(shutdown.signal(), None);
        drop(taken);
        assert!(shutdown.is_first(2));
        assert_eq!(shutdown.signal(), Some(2));
        assert!(shutdown.hand_over().is_none());
    }
}
