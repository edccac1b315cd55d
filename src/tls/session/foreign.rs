//! What a server speaks that does not speak TLS, told by its first bytes.

use crate::text::printable;

/// How much of an unknown greeting is shown.
const SHOWN: usize = 48;

/// The beginnings of greetings and of answers to what was not understood.
const BEGINNINGS: [(&[u8], &str); 13] = [
    (b"HTTP/", "HTTP"),
    (b"SSH-", "SSH"),
    (b"220 ", "SMTP or FTP"),
    (b"220-", "SMTP or FTP"),
    (b"554 ", "SMTP"),
    (b"* OK", "IMAP"),
    (b"* BYE", "IMAP"),
    (b"+OK", "POP3"),
    (b"-ERR", "the protocol of Redis, or POP3"),
    (b"<?xml", "XML, such as XMPP"),
    (b"<stream:", "XMPP"),
    (b"RFB ", "VNC"),
    (b"AMQP", "AMQP"),
];

/// What was spoken, if these first bytes cannot be TLS.
pub(super) fn spoken(first: &[u8]) -> Option<String> {
    let is_record = |bytes: &[u8]| match bytes {
        [] => true,
        [kind] => (20..=24).contains(kind),
        [kind, major, ..] => (20..=24).contains(kind) && *major == 3,
    };
    if is_record(first) {
        return None;
    }
    let known = BEGINNINGS.iter().find(|(start, _)| first.starts_with(start));
    let name =
        known.map(|(_, name)| (*name).to_owned()).or_else(|| is_html(first).then(|| "HTTP".to_owned()));
    name.or_else(|| is_mysql(first).then(|| "the protocol of MySQL".to_owned()))
        .or_else(|| Some(shown(first)))
}

/// Some servers answer without a status line.
fn is_html(first: &[u8]) -> bool {
    let start = first.get(..14).unwrap_or(first).to_ascii_lowercase();
    start.starts_with(b"<html") || start.starts_with(b"<!doctype html")
}

/// A packet, the first, of protocol version 10, or an error in its place.
fn is_mysql(first: &[u8]) -> bool {
    matches!(first, [_, _, 0, 0, 10 | 0xff, ..])
}

/// The first bytes themselves: as text where they are, else in hexadecimal.
fn shown(first: &[u8]) -> String {
    let first = &first[..first.len().min(SHOWN)];
    let is_text = first.iter().all(|byte| byte.is_ascii_graphic() || b" \r\n\t".contains(byte));
    if is_text {
        format!("{:?}", printable(String::from_utf8_lossy(first).trim_end()))
    } else {
        let hex: Vec<_> = first.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("bytes that begin with {}", hex.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spoken_is_known_by_its_beginning() {
        for (first, name) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], "HTTP"),
            (b"<HTML><body>", "HTTP"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
            (b"* OK IMAP4rev1", "IMAP"),
            (b"\x4a\0\0\0\x0a8.0.36\0", "the protocol of MySQL"),
            (b"hello?\n", "\"hello?\""),
            (b"\x00\xff\x7f", "bytes that begin with 00 ff 7f"),
        ] {
            assert_eq!(spoken(first).as_deref(), Some(name));
        }
        for first in [&b""[..], b"\x16", b"\x15\x03\x01\0\x02\x02\x28", b"\x16\x03\x03"] {
            assert_eq!(spoken(first), None);
        }
    }
}
