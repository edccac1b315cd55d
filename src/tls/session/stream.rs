//! One TLS connection as a client: its handshake, and a little text above it, each within the time of a step.
//!
//! Unlike a stream of tokio-rustls it still tells what was agreed on after a handshake that failed, and what came in
//! place of TLS. Refuses to send anything that it was not given.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, ClientConnection, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::foreign;
use crate::http::tls_reason;
use crate::reason::{Fault, Reason};
use crate::text::words;
use crate::tls::dial::Connection;

/// How much of what comes in is kept: more than the first flights of TLS 1.2 with a long chain.
const KEPT: usize = 128 * 1024;

/// One connection.
#[derive(Debug)]
pub(super) struct Stream {
    pub tls: ClientConnection,
    connection: Connection,
    /// What came in until the end of the handshake, as it was on the wire.
    pub received: Vec<u8>,
    /// The alert that the server sent.
    pub alert: Option<AlertDescription>,
    /// How long a step may take.
    pub step: Duration,
}

impl Stream {
    /// Over this connection; nothing is sent yet.
    pub(super) fn new(
        connection: Connection,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        step: Duration,
    ) -> Result<Stream, Fault> {
        let tls = ClientConnection::new(config, name).map_err(|error| fault(&error))?;
        Ok(Stream { tls, connection, received: Vec::new(), alert: None, step })
    }

    /// The whole handshake.
    pub(super) async fn shake_hands(&mut self) -> Result<(), Fault> {
        let step = self.step;
        let shaken = async {
            self.flush().await?;
            while self.tls.is_handshaking() {
                if !self.receive().await? {
                    return Err(
                        Reason::Closed.because("the server closed the connection in the TLS handshake")
                    );
                }
            }
            self.flush().await
        };
        let shaken = timeout(step, shaken).await.unwrap_or_else(|_| {
            Err(Reason::Timeout.because(format!("the TLS handshake took longer than {step:?}")))
        });
        shaken.map_err(|fault| match foreign::spoken(&self.received) {
            Some(other) => Reason::TlsHandshake.because(format!("the server speaks {other}, not TLS")),
            None => fault,
        })
    }

    /// Sends this text.
    pub(super) async fn send(&mut self, text: &[u8]) -> Result<(), Fault> {
        self.tls.writer().write_all(text).map_err(|error| broken(&error))?;
        let step = self.step;
        timeout(step, self.flush()).await.unwrap_or_else(|_| Err(late(step)))
    }

    /// The next text; empty at the end.
    pub(super) async fn read(&mut self) -> Result<Vec<u8>, Fault> {
        let step = self.step;
        let mut text = vec![0; 16 * 1024];
        let read = async {
            loop {
                match self.tls.reader().read(&mut text) {
                    Ok(length) => return Ok(length),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    // The end without a goodbye.
                    Err(_) => return Ok(0),
                }
                if !self.receive().await? {
                    return Ok(0);
                }
            }
        };
        let length = timeout(step, read).await.unwrap_or_else(|_| Err(late(step)))?;
        text.truncate(length);
        Ok(text)
    }

    /// Says goodbye, and reads until a session ticket comes, or the server's own goodbye: then none will.
    pub(super) async fn finish_or_ticket(&mut self) -> Result<(), Fault> {
        let step = self.step;
        let finished = async {
            self.tls.send_close_notify();
            self.flush().await?;
            while self.tls.tls13_tickets_received() == 0 && self.receive().await? {
                // What is said besides is of no interest.
                let _ = io::copy(&mut self.tls.reader(), &mut io::sink());
            }
            Ok(())
        };
        timeout(step, finished).await.unwrap_or_else(|_| Err(late(step)))
    }

    /// Takes in what comes next. Whether anything came.
    async fn receive(&mut self) -> Result<bool, Fault> {
        // Not within the future, of which there are many, one in the other.
        let mut buffer = vec![0; 8192];
        let length = self.connection.stream.read(&mut buffer).await.map_err(|error| broken(&error))?;
        if self.tls.is_handshaking() && self.received.len() < KEPT {
            self.received.extend_from_slice(&buffer[..length]);
        }
        let mut bytes = &buffer[..length];
        if bytes.is_empty() {
            // It learns of the end.
            let _ = self.tls.read_tls(&mut bytes);
        }
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes).map_err(|error| broken(&error))?;
            if let Err(error) = self.tls.process_new_packets() {
                if let Error::AlertReceived(alert) = error {
                    self.alert = Some(alert);
                }
                // Why it is ended; that this cannot be sent is of no interest any more.
                let _ = self.flush().await;
                return Err(fault(&error));
            }
        }
        // What it has to answer. That it cannot be sent shows in the next receive, after what the server said.
        let _ = self.flush().await;
        Ok(length > 0)
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).map_err(|error| broken(&error))?;
        }
        self.connection.stream.write_all(&records).await.map_err(|error| broken(&error))
    }
}

impl Drop for Stream {
    /// Says goodbye, as far as that needs no waiting: servers write into their logs who just goes away.
    fn drop(&mut self) {
        self.tls.send_close_notify();
        let mut records = Vec::new();
        while self.tls.wants_write() && self.tls.write_tls(&mut records).is_ok() {}
        let _ = self.connection.stream.try_write(&records);
    }
}

fn late(step: Duration) -> Fault {
    Reason::Timeout.because(format!("no answer within {step:?}"))
}

fn broken(error: &io::Error) -> Fault {
    let reason = Reason::local(error).unwrap_or(match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Reason::ConnectReset,
        ErrorKind::TimedOut => Reason::ConnectTimeout,
        _ => Reason::Closed,
    });
    match reason {
        Reason::ConnectReset => reason.because("the server reset the connection"),
        _ => reason.because(format!("the connection broke: {error}")),
    }
}

/// Why TLS failed, for people.
fn fault(error: &Error) -> Fault {
    let detail = match error {
        Error::AlertReceived(alert) => format!("the server sent the alert {}", alert_name(*alert)),
        Error::InvalidMessage(why) => format!("the server sent a message that is damaged: {}", words(why)),
        error => error.to_string(),
    };
    tls_reason(error).because(detail)
}

/// As the standard writes it: `handshake_failure`.
fn alert_name(alert: AlertDescription) -> String {
    let Some(name) = alert.as_str() else { return format!("{}", u8::from(alert)) };
    let mut written = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !written.is_empty() {
            written.push('_');
        }
        written.push(c.to_ascii_lowercase());
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_named_as_the_standard_does() {
        assert_eq!(alert_name(AlertDescription::HandshakeFailure), "handshake_failure");
        assert_eq!(alert_name(AlertDescription::from(199)), "199");
        let fault = fault(&Error::AlertReceived(AlertDescription::CertificateRequired));
        assert_eq!(fault.reason, Reason::TlsClientCertificate);
        assert_eq!(fault.detail, "the server sent the alert certificate_required");
        let fault = super::fault(&Error::InvalidMessage(rustls::InvalidMessage::HandshakePayloadTooLarge));
        assert_eq!(fault.detail, "the server sent a message that is damaged: handshake payload too large");
    }
}
