//! What is spoken where the first bytes are not TLS. Refuses to guess beyond well-known greetings.

/// Greetings as they begin, and what speaks so.
const GREETINGS: &[(&[u8], &str)] = &[
    (b"HTTP/", "HTTP"),
    (b"<!DOCTYPE", "HTTP"),
    (b"<html", "HTTP"),
    (b"SSH-", "SSH"),
    (b"220 ", "SMTP or FTP"),
    (b"220-", "SMTP or FTP"),
    (b"421 ", "SMTP or FTP"),
    (b"554 ", "SMTP"),
    (b"+OK", "POP3"),
    (b"* OK", "IMAP"),
    (b"RFB ", "VNC"),
    (b"-ERR", "Redis or POP3"),
    (b"<?xml", "XMPP"),
    (b"<stream:", "XMPP"),
    // A frame of settings on stream 0.
    (b"\x00\x00\x06\x04\x00\x00\x00\x00\x00", "HTTP/2"),
    (b"\x00\x00\x0c\x04\x00\x00\x00\x00\x00", "HTTP/2"),
    (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", "HTTP/2"),
];

/// What speaks like this; `bytes` are the first, and there is at least one.
pub(super) fn spoken(bytes: &[u8]) -> &'static str {
    if let Some((_, name)) = GREETINGS.iter().find(|(start, _)| bytes.starts_with(start)) {
        return name;
    }
    match bytes {
        // A packet 0 of less than 64 KiB that begins with version 10 of the protocol, or an error.
        [_, _, 0, 0, 10 | 0xff, ..] => "MySQL",
        _ if bytes.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t')) => "plain text",
        _ => "something that is not TLS",
    }
}
