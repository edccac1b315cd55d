//! A call of MySQL or MariaDB: its greeting, and a log-in that may fail.
//!
//! The log-in is there because both servers count connections that end before it as errors, and in the end block the
//! host that makes them (`max_connect_errors`). Refuses to send a password.

use super::way::{Said, Way};
use super::wire::{Wire, words};
use crate::address::Endpoint;
use crate::reason::{Fault, Reason};

/// "Access denied": who says so, serves.
const DENIED: [u16; 4] = [1044, 1045, 1698, 1049];

/// No packet of a log-in is longer.
const LONGEST: usize = 64 << 10;

/// CLIENT_LONG_PASSWORD, PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH.
const CAPABILITIES: u32 = 0x1 | 0x200 | 0x8000 | 0x8_0000;

/// Reads the greeting, and logs in as `user`, or as nobody that the server knows.
pub(super) async fn exchange(way: &Way<'_>, at: &Endpoint, user: Option<&str>) -> Result<Said, Fault> {
    let stream = way.open(at, &[]).await?;
    let mut wire = Wire::new(stream, "MySQL", &way.clock);
    let (number, greeting) = packet(&mut wire).await?;
    if let Some((code, message)) = error(&greeting) {
        return Err(refused(code, &message));
    }
    let Some(version) = version(&greeting).filter(|_| number == 0) else { return Err(wire.stray(&greeting)) };
    send(&mut wire, 1, &log_in(user.unwrap_or("hardy"))).await?;
    // At most: another way to prove oneself, and the verdict.
    for _ in 0..3 {
        let (number, packet) = packet(&mut wire).await?;
        match (error(&packet), packet.first()) {
            (Some((code, _)), _) if user.is_none() && DENIED.contains(&code) => break,
            (Some((code, message)), _) => return Err(refused(code, &message)),
            (None, Some(0x00)) => break,
            // Whatever way it wants: there is nothing to prove.
            (None, Some(0xfe | 0x01)) => send(&mut wire, number.wrapping_add(1), &[]).await?,
            _ => return Err(wire.stray(&packet)),
        }
    }
    // A polite end, which the server does not count as an error; it may have hung up by now.
    let _ = send(&mut wire, 0, &[0x01]).await;
    Ok(Said { answer: Some(version), unmet: Vec::new() })
}

async fn packet(wire: &mut Wire) -> Result<(u8, Vec<u8>), Fault> {
    let head: [u8; 4] = wire.array().await?;
    let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
    if !(1..=LONGEST).contains(&length) {
        return Err(wire.stray(&head));
    }
    Ok((head[3], wire.bytes(length).await?))
}

async fn send(wire: &mut Wire, number: u8, payload: &[u8]) -> Result<(), Fault> {
    // A log-in is much shorter than 16 MiB.
    let length = u32::try_from(payload.len()).unwrap_or_default().to_le_bytes();
    let head = [length[0], length[1], length[2], number];
    wire.send(&[&head, payload].concat()).await
}

/// Code and message of an error.
fn error(packet: &[u8]) -> Option<(u16, String)> {
    let [0xff, low, high, message @ ..] = packet else { return None };
    let message = String::from_utf8_lossy(message).into_owned();
    // After the log-in, and of newer servers before it, a state stands in front of the message.
    let plain = message.strip_prefix('#').and_then(|rest| rest.get(5..)).map(str::to_owned);
    Some((u16::from_le_bytes([*low, *high]), plain.unwrap_or(message)))
}

/// The server's version, if this is the greeting of protocol 10, which all have had since 1998.
fn version(greeting: &[u8]) -> Option<String> {
    let [10, rest @ ..] = greeting else { return None };
    let end = rest.iter().position(|byte| *byte == 0)?;
    let text = std::str::from_utf8(&rest[..end]).ok()?;
    // MariaDB puts this before its own for clients that know no version above 5.
    Some(text.strip_prefix("5.5.5-").unwrap_or(text).to_owned())
}

fn log_in(user: &str) -> Vec<u8> {
    const UTF8: u8 = 33;
    let mut packet = CAPABILITIES.to_le_bytes().to_vec();
    packet.extend_from_slice(&(1_u32 << 24).to_le_bytes());
    packet.push(UTF8);
    packet.extend_from_slice(&[0; 23]);
    packet.extend_from_slice(user.as_bytes());
    // The end of the name, and an empty proof.
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(b"mysql_native_password\0");
    packet
}

fn refused(code: u16, message: &str) -> Fault {
    Reason::RefusedByServer.because(format!("the server says error {code}: {}", words(message)))
}
