//! PostgreSQL (Frontend/Backend Protocol, "SSL Session Encryption") and MySQL (Client/Server Protocol, "Connection
//! Phase"), MariaDB's too.

use super::talk::{Talk, refused, said};
use crate::reason::Fault;

/// Its length, and the code 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// More than any error of a server that has not heard of users and tables.
const LONGEST_ERROR: usize = 4096;

pub(super) async fn postgres(talk: &mut Talk<'_>) -> Result<(), Fault> {
    talk.say(&SSL_REQUEST, "the answer to SSLRequest").await?;
    match talk.exactly(1).await?[..] {
        [b'S'] => Ok(()),
        [b'N'] => Err(refused("the server does not offer TLS")),
        [b'E'] => {
            let length = talk.exactly(4).await?;
            let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            let fields = talk.exactly(length.saturating_sub(4).min(LONGEST_ERROR)).await?;
            Err(refused(format!("the server refuses: {}", said(postgres_message(&fields)))))
        }
        ref other => Err(talk.refusal(other)),
    }
}

/// The field `M` of an error; all of it where there is none.
fn postgres_message(fields: &[u8]) -> &[u8] {
    fields.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"M")).unwrap_or(fields)
}

/// What the client says that it can: the protocol of 4.1, TLS, and the authentication that goes with both.
const CAPABILITIES: u32 = 0x0000_0001 | 0x0000_0200 | CLIENT_SSL as u32 | 0x0000_8000;
const CLIENT_SSL: u16 = 0x0800;
const LARGEST_PACKET: u32 = 1 << 24;
const UTF8: u8 = 33;

pub(super) async fn mysql(talk: &mut Talk<'_>) -> Result<(), Fault> {
    let head = talk.exactly(4).await?;
    let length = head[..3].iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let greeting = talk.exactly(length).await?;
    match greeting[..] {
        [10, ref rest @ ..] => {
            let offered = capabilities(rest).ok_or_else(|| talk.refusal(&greeting))?;
            if offered & CLIENT_SSL == 0 {
                return Err(refused("the server does not offer TLS"));
            }
        }
        // A code of two bytes, and why.
        [0xff, _, _, ref why @ ..] => {
            return Err(refused(format!("the server refuses: {}", said(why))));
        }
        _ => return Err(talk.refusal(&greeting)),
    }
    talk.say(&ssl_request(), "the TLS handshake").await
}

/// The lower half of the capabilities, after the version, a number and eight bytes for the password.
fn capabilities(greeting: &[u8]) -> Option<u16> {
    let version = greeting.iter().position(|byte| *byte == 0)?;
    let at = version + 1 + 4 + 8 + 1;
    greeting.get(at..at + 2).map(|two| u16::from_le_bytes([two[0], two[1]]))
}

/// The second packet of the connection: 32 bytes.
fn ssl_request() -> Vec<u8> {
    let mut packet = vec![32, 0, 0, 1];
    packet.extend_from_slice(&CAPABILITIES.to_le_bytes());
    packet.extend_from_slice(&LARGEST_PACKET.to_le_bytes());
    packet.push(UTF8);
    packet.extend_from_slice(&[0; 23]);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_stand_after_the_version() {
        let greeting = b"8.0.36\0\x01\x00\x00\x00saltsalt\0\xff\xf7\x21";
        assert_eq!(capabilities(greeting), Some(0xf7ff));
        assert_eq!(capabilities(&greeting[..20]), None);
        assert_eq!(capabilities(b"8.0"), None);
        assert_eq!(ssl_request().len(), 36);
    }

    #[test]
    fn an_error_says_its_message() {
        assert_eq!(postgres_message(b"SFATAL\0C57P03\0Mstarting up\0\0"), b"starting up");
        assert_eq!(postgres_message(b"old style"), b"old style");
    }
}
