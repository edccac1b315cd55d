//! SMTP (RFC 3207), FTP (RFC 4217), IMAP (RFC 9051, section 6.2.1) and POP3 (RFC 2595, section 4): lines of text.

use std::net::IpAddr;

use super::talk::{Talk, refused};
use crate::reason::{Fault, Reason};

pub(super) async fn smtp(talk: &mut Talk<'_>) -> Result<(), Fault> {
    reply(talk).await?.expect(talk, "220")?;
    let address = talk.stream.local_addr().map_err(|error| Reason::Closed.because(error.to_string()))?;
    // A client that has no name says its address (RFC 5321, section 4.1.3).
    let name = match address.ip() {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    };
    talk.say(format!("EHLO {name}\r\n").as_bytes(), "the answer to EHLO").await?;
    let offered = reply(talk).await?;
    offered.expect(talk, "250")?;
    if !offered
        .lines
        .iter()
        .any(|line| line.get(4..).is_some_and(|word| word.eq_ignore_ascii_case("STARTTLS")))
    {
        return Err(refused("the server does not offer STARTTLS"));
    }
    talk.say(b"STARTTLS\r\n", "the answer to STARTTLS").await?;
    reply(talk).await?.expect(talk, "220")
}

pub(super) async fn ftp(talk: &mut Talk<'_>) -> Result<(), Fault> {
    reply(talk).await?.expect(talk, "220")?;
    talk.say(b"AUTH TLS\r\n", "the answer to AUTH TLS").await?;
    reply(talk).await?.expect(talk, "234")
}

pub(super) async fn imap(talk: &mut Talk<'_>) -> Result<(), Fault> {
    let greeting = talk.line().await?;
    if !starts(&greeting, "* OK") {
        return Err(talk.refusal(greeting.as_bytes()));
    }
    talk.say(b"a STARTTLS\r\n", "the answer to STARTTLS").await?;
    loop {
        let line = talk.line().await?;
        if starts(&line, "a OK") {
            return Ok(());
        }
        // It may have something to say besides.
        if !line.starts_with('*') || starts(&line, "* BYE") {
            return Err(talk.refusal(line.as_bytes()));
        }
    }
}

pub(super) async fn pop3(talk: &mut Talk<'_>) -> Result<(), Fault> {
    ok(talk).await?;
    talk.say(b"STLS\r\n", "the answer to STLS").await?;
    ok(talk).await
}

async fn ok(talk: &mut Talk<'_>) -> Result<(), Fault> {
    let line = talk.line().await?;
    if starts(&line, "+OK") { Ok(()) } else { Err(talk.refusal(line.as_bytes())) }
}

fn starts(line: &str, with: &str) -> bool {
    line.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
}

/// A reply of SMTP or FTP: a code before each line, or at least before the first and the last.
struct Reply {
    lines: Vec<String>,
}

async fn reply(talk: &mut Talk<'_>) -> Result<Reply, Fault> {
    let mut lines = vec![talk.line().await?];
    let first = lines[0].as_bytes();
    if let [a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', b'-', ..] = *first {
        loop {
            let line = talk.line().await?;
            let is_last = line.as_bytes().starts_with(&[a, b, c])
                && matches!(line.as_bytes().get(3), None | Some(b' '));
            lines.push(line);
            if is_last {
                break;
            }
        }
    }
    Ok(Reply { lines })
}

impl Reply {
    fn expect(&self, talk: &Talk<'_>, code: &str) -> Result<(), Fault> {
        if self.lines[0].starts_with(code) {
            return Ok(());
        }
        Err(talk.refusal(self.lines.join(" ").as_bytes()))
    }
}
