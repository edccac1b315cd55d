//! Signals as one token. The first SIGINT or SIGTERM asks for an orderly end; the second forces it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;
use crate::output::Console;

/// A second signal so soon is an echo of the first, not a second wish: timeout(1) signals its child
/// and then its whole process group.
const ECHO: Duration = Duration::from_millis(100);

/// Handed to every command; clones share the same state.
#[derive(Clone)]
pub struct Shutdown {
    /// Cancelled by the first signal.
    pub token: CancellationToken,
    received: Arc<AtomicI32>,
}

impl Shutdown {
    /// Starts to listen for signals; needs a running tokio runtime.
    pub fn install(console: Console) -> io::Result<Shutdown> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let shutdown = Shutdown { token: CancellationToken::new(), received: Arc::new(AtomicI32::new(0)) };
        let ours = shutdown.clone();
        tokio::spawn(async move {
            let first = next(&mut interrupt, &mut terminate).await;
            ours.received.store(first, Ordering::Relaxed);
            ours.token.cancel();
            console.interactive_note("stopping... (again to force)");
            let asked = Instant::now();
            loop {
                let again = next(&mut interrupt, &mut terminate).await;
                if asked.elapsed() > ECHO {
                    force(again);
                }
            }
        });
        Ok(shutdown)
    }

    /// The number of the signal that asked for the end, if one did.
    pub fn signal(&self) -> Option<i32> {
        Some(self.received.load(Ordering::Relaxed)).filter(|&number| number != 0)
    }
}

/// One message for each SIGHUP, which would otherwise end the process. Needs a running tokio runtime.
pub fn hangups() -> io::Result<UnboundedReceiver<()>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move { while hangup.recv().await.is_some() && sender.send(()).is_ok() {} });
    Ok(receiver)
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> i32 {
    tokio::select! {
        _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
        _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
    }
}

#[expect(clippy::exit, clippy::disallowed_methods, reason = "the second signal means: now")]
fn force(signal: i32) -> ! {
    std::process::exit(Exit::signal(signal).code().into())
}
