//! What an operator should hear while the server runs. The engine says it here and prints nothing.

use std::fmt;
use std::path::PathBuf;

use tokio::sync::mpsc::UnboundedSender;

/// Something worth a line on the operator's screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A new certificate is served from now on.
    CertificateReloaded {
        /// Its file.
        path: PathBuf,
        /// SHA-256 of the leaf, `AA:BB:...`.
        fingerprint: String,
    },
    /// The new certificate is unusable; the old one is still served.
    CertificateKept {
        /// Why.
        reason: String,
    },
    /// Log lines are being lost; requests are not.
    AccessLogFailing {
        /// Why.
        reason: String,
    },
    /// Log lines are written again.
    AccessLogRecovered {
        /// Lines lost since the start.
        lost: u64,
    },
    /// New connections wait, because this process has no file descriptor left.
    OutOfFiles {
        /// What the operating system said.
        reason: String,
    },
    /// This process may have fewer files open than it may have connections.
    FewFiles {
        /// Files that may be open.
        files: u64,
        /// Connections that may be.
        connections: usize,
    },
    /// The limit of open connections was reached; new ones wait in the kernel's queue.
    ConnectionLimit {
        /// The limit.
        limit: usize,
    },
    /// The end was asked for.
    Draining {
        /// Requests not yet answered.
        in_flight: u64,
        /// Open connections.
        connections: u64,
    },
}

impl Event {
    /// Something is not as it should be.
    pub fn is_warning(&self) -> bool {
        !matches!(
            self,
            Event::CertificateReloaded { .. } | Event::AccessLogRecovered { .. } | Event::Draining { .. }
        )
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::CertificateReloaded { path, fingerprint } => {
                write!(f, "certificate reloaded from {} (SHA-256 {fingerprint})", path.display())
            }
            Event::CertificateKept { reason } => {
                write!(f, "certificate not reloaded, the old one is still served: {reason}")
            }
            Event::AccessLogFailing { reason } => {
                write!(f, "access log is losing lines, requests are still served: {reason}")
            }
            Event::AccessLogRecovered { lost } => {
                write!(f, "access log is being written again ({lost} lines were lost)")
            }
            Event::OutOfFiles { reason } => {
                write!(f, "cannot accept connections: {reason}; raise the open file limit (ulimit -n)")
            }
            Event::FewFiles { files, connections } => {
                write!(
                    f,
                    "only {files} files may be open, too few for {connections} connections; raise the open \
                     file limit (ulimit -n)"
                )
            }
            Event::ConnectionLimit { limit } => {
                write!(f, "{limit} connections are open; new ones wait until one closes")
            }
            Event::Draining { in_flight, connections } => {
                write!(f, "draining: {in_flight} requests in flight on {connections} connections")
            }
        }
    }
}

/// Where events go. Nobody listening is fine.
#[derive(Clone, Debug)]
pub struct Events(Option<UnboundedSender<Event>>);

impl Events {
    /// `None`: nobody listens.
    pub fn new(sender: Option<UnboundedSender<Event>>) -> Events {
        Events(sender)
    }

    pub(super) fn send(&self, event: Event) {
        if let Some(sender) = &self.0 {
            // The receiver may be gone at the end of the program.
            let _ = sender.send(event);
        }
    }
}
