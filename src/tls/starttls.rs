//! What must be said before TLS begins, by protocol.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::address::StartTls;
use crate::reason::{Fault, Reason};

/// Asks the server to begin TLS, as a client of this protocol would.
///
/// # Errors
/// When it does not agree, says something else, or takes longer than `timeout`.
pub async fn upgrade(kind: StartTls, _: &mut TcpStream, _: &str, _: Duration) -> Result<(), Fault> {
    Err(Reason::TlsHandshake.because(format!("{kind} is not spoken yet")))
}
