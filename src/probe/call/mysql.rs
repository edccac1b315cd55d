//! A call of MySQL or MariaDB: its greeting, TLS where that is wanted, and a log-in, which may fail where no user was chosen.
//!
//! The log-in is there because both servers count connections that end before it as errors, and in the end block the
//! host that makes them (`max_connect_errors`). Refuses to send a password to a server whose certificate is not believed:
//! that gets proofs of it.

use super::scramble::{Method, NONCE};
use super::way::{Said, Way};
use super::wire::{Wire, words};
use crate::address::{Encryption, Endpoint};
use crate::reason::{Fault, Reason};

/// "Access denied": who says so, serves.
const DENIED: [u16; 4] = [1044, 1045, 1698, 1049];

/// No packet of a log-in is longer.
const LONGEST: usize = 64 << 10;

/// What a server says in a log-in, at most: another way to prove a password, what that leads to, and the verdict.
const MOST_PACKETS: usize = 4;

/// CLIENT_LONG_PASSWORD, PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH.
const CAPABILITIES: u32 = 0x1 | 0x200 | 0x8000 | 0x8_0000;

/// CLIENT_SSL.
const TLS: u32 = 0x800;

/// Reads the greeting, and logs in as `user`, or as nobody that the server knows.
pub(super) async fn exchange(
    way: &Way<'_>,
    at: &Endpoint,
    user: Option<&str>,
    encryption: Encryption,
) -> Result<Said, Fault> {
    let stream = way.open(at, &[]).await?;
    let mut wire = Wire::new(stream, "MySQL", &way.clock);
    let (number, packet) = packet(&mut wire).await?;
    if let Some((code, message)) = error(&packet) {
        return Err(refused(code, &message));
    }
    let Some(greeting) = Greeting::read(&packet).filter(|_| number == 0) else {
        return Err(wire.stray(&packet));
    };
    let (mut number, mut capabilities) = (1, CAPABILITIES);
    if encryption != Encryption::Off {
        if greeting.capabilities & TLS == 0 {
            return Err(Reason::TlsHandshake.because("the server does not offer TLS"));
        }
        capabilities |= TLS;
        send(&mut wire, number, &opening(capabilities)).await?;
        wire = wire.secure(way, &at.host, &way.trust(encryption)).await?;
        number += 1;
    }
    let password = way.target.request.password.as_ref().map(|password| password.text());
    let proven = password.map(|text| (greeting.method, greeting.method.prove(text, &greeting.nonce)));
    send(&mut wire, number, &log_in(capabilities, user.unwrap_or("hardy"), proven)).await?;
    verdict(&mut wire, user, password, encryption).await?;
    // A polite end, which the server does not count as an error; it may have hung up by now.
    let _ = send(&mut wire, 0, &[0x01]).await;
    let done = if password.is_some() { ", the log-in succeeds" } else { "" };
    Ok(Said { answer: Some(words(&greeting.version) + done), unmet: Vec::new() })
}

/// The end of a log-in, good where the server serves.
async fn verdict(
    wire: &mut Wire,
    user: Option<&str>,
    password: Option<&str>,
    encryption: Encryption,
) -> Result<(), Fault> {
    for _ in 0..MOST_PACKETS {
        let (number, packet) = packet(wire).await?;
        let answer = match (&packet[..], password) {
            ([0xff, ..], _) => {
                return match error(&packet) {
                    Some((code, _)) if user.is_none() && DENIED.contains(&code) => Ok(()),
                    Some((code, message)) => Err(refused(code, &message)),
                    None => Err(wire.stray(&packet)),
                };
            }
            ([0x00, ..], _) => return Ok(()),
            // Whatever way it wants: there is nothing to prove.
            ([0xfe | 0x01, ..], None) => Vec::new(),
            ([0xfe, rest @ ..], Some(password)) => another_way(rest, password)?,
            // It knows the proof.
            ([0x01, 0x03], Some(_)) => continue,
            ([0x01, 0x04], Some(password)) => whole(password, encryption)?,
            _ => return Err(wire.stray(&packet)),
        };
        send(wire, number.wrapping_add(1), &answer).await?;
    }
    // It serves, if in a roundabout way; whether a password is right it did not say.
    match password {
        None => Ok(()),
        Some(_) => Err(Reason::Protocol.because("the log-in has no end")),
    }
}

/// The proof in the way that the server asks for: its name, and random bytes.
fn another_way(asked: &[u8], password: &str) -> Result<Vec<u8>, Fault> {
    let mut parts = asked.split(|byte| *byte == 0);
    let name = parts.next().unwrap_or_default();
    let nonce = asked.get(name.len() + 1..).unwrap_or_default();
    let Some(method) = Method::named(name) else {
        let how = match words(&String::from_utf8_lossy(name)) {
            name if name.is_empty() => "in the way of MySQL 3".to_owned(),
            name => format!("by {name}"),
        };
        let (one, other) = (Method::Native.name(), Method::CachingSha2.name());
        let detail = format!("it wants the password {how}; only {one} and {other} are spoken here");
        return Err(Reason::RefusedByServer.because(detail));
    };
    Ok(method.prove(password, nonce.get(..NONCE).unwrap_or(nonce)))
}

/// The password itself, which a server wants that has not seen it since its start.
fn whole(password: &str, encryption: Encryption) -> Result<Vec<u8>, Fault> {
    match encryption {
        Encryption::Verified => Ok([password.as_bytes(), b"\0"].concat()),
        _ => Err(Reason::RefusedByServer.because(
            "it wants the password itself, which is only sent over TLS with ssl-mode=VERIFY_IDENTITY",
        )),
    }
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

/// What a server says first, in protocol 10, which all have had since 1998.
struct Greeting {
    version: String,
    capabilities: u32,
    nonce: Vec<u8>,
    /// How most of its users prove their passwords, as far as it can be done here.
    method: Method,
}

impl Greeting {
    /// What is left out of it counts as nothing.
    fn read(packet: &[u8]) -> Option<Greeting> {
        let [10, rest @ ..] = packet else { return None };
        let end = rest.iter().position(|byte| *byte == 0)?;
        let version = std::str::from_utf8(&rest[..end]).ok()?;
        // A number of four bytes, then eight random ones and a zero.
        let rest = rest.get(end + 5..).unwrap_or_default();
        let two = |at: usize| rest.get(at..at + 2).map_or(0, |two| u16::from_le_bytes([two[0], two[1]]));
        let after = rest.get(27..).unwrap_or_default();
        let more = after.get(..NONCE - 8).unwrap_or(after);
        let name = after.get(NONCE - 8 + 1..).unwrap_or_default().split(|byte| *byte == 0).next();
        Some(Greeting {
            // MariaDB puts this before its own for clients that know no version above 5.
            version: version.strip_prefix("5.5.5-").unwrap_or(version).to_owned(),
            // In two halves, with a character set and a state between them.
            capabilities: u32::from(two(9)) | u32::from(two(14)) << 16,
            nonce: [rest.get(..8).unwrap_or_default(), more].concat(),
            method: name.and_then(Method::named).unwrap_or(Method::Native),
        })
    }
}

/// How every log-in begins, and all that is said before TLS.
fn opening(capabilities: u32) -> Vec<u8> {
    const UTF8: u8 = 33;
    let mut packet = capabilities.to_le_bytes().to_vec();
    packet.extend_from_slice(&(1_u32 << 24).to_le_bytes());
    packet.push(UTF8);
    packet.extend_from_slice(&[0; 23]);
    packet
}

/// With the proof of a password, or an empty one.
fn log_in(capabilities: u32, user: &str, proven: Option<(Method, Vec<u8>)>) -> Vec<u8> {
    let (method, proof) = proven.unwrap_or((Method::Native, Vec::new()));
    let mut packet = opening(capabilities);
    packet.extend_from_slice(user.as_bytes());
    packet.push(0);
    // No proof is longer than 32 bytes.
    packet.push(proof.len() as u8);
    packet.extend_from_slice(&proof);
    packet.extend_from_slice(method.name().as_bytes());
    packet.push(0);
    packet
}

fn refused(code: u16, message: &str) -> Fault {
    Reason::RefusedByServer.because(format!("the server says error {code}: {}", words(message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That of MySQL 8.0, and shorter ones.
    #[test]
    fn greetings_are_read_as_far_as_they_go() {
        let mut packet = b"\x0a8.0.36\0\x01\0\0\0".to_vec();
        packet.extend_from_slice(b"12345678\0\xff\xff\xff\x02\0\xff\xdf\x15");
        packet.extend_from_slice(&[0; 10]);
        packet.extend_from_slice(b"90abcdefghij\0caching_sha2_password\0");
        let greeting = Greeting::read(&packet).unwrap();
        assert_eq!((greeting.version.as_str(), greeting.capabilities), ("8.0.36", 0xdfff_ffff));
        assert_eq!(
            (&greeting.nonce[..], greeting.method),
            (&b"1234567890abcdefghij"[..], Method::CachingSha2)
        );
        for end in 8..packet.len() {
            assert_eq!(Greeting::read(&packet[..end]).unwrap().version, "8.0.36", "{end}");
        }
        for other in [&b""[..], b"\x0a", b"\x0a8.0", b"\x098.0\0", b"\x0a\xff\0"] {
            assert!(Greeting::read(other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn other_ways_to_prove_a_password_are_refused_by_name() {
        let proof = another_way(b"caching_sha2_password\x0012345678901234567890\0", "secret").unwrap();
        assert_eq!(proof, Method::CachingSha2.prove("secret", b"12345678901234567890"));
        let refused = |asked: &[u8]| another_way(asked, "secret").unwrap_err().detail;
        assert!(refused(b"client_ed25519\0x").starts_with("it wants the password by client_ed25519; only "));
        assert!(refused(b"").starts_with("it wants the password in the way of MySQL 3; only "));
    }

    #[test]
    fn only_a_believed_server_gets_the_password() {
        assert_eq!(whole("secret", Encryption::Verified).unwrap(), b"secret\0");
        for encryption in [Encryption::Off, Encryption::Required] {
            assert_eq!(whole("secret", encryption).unwrap_err().reason, Reason::RefusedByServer);
        }
    }
}
