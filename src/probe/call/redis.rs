//! A call of Redis, Valkey or what speaks like them: log in where there is a password, PING, and ask for the role.
//!
//! Speaks RESP 2, as every version of the servers does. Refuses to send a command that changes anything.

use super::way::{Said, Way};
use super::wire::{Wire, words};
use crate::address::Endpoint;
use crate::reason::{Fault, Reason};

/// What a server replies.
#[derive(Debug, PartialEq)]
enum Reply {
    /// A status, a number, or a text.
    Text(String),
    /// An error, beginning with its code.
    Error(String),
    /// What was not there.
    Nothing,
    /// The beginning of a list of so many.
    List(usize),
}

/// Asks the server at `at`, as `user` where a password is given.
pub(super) async fn exchange(way: &Way<'_>, at: &Endpoint, user: Option<&str>) -> Result<Said, Fault> {
    let stream = way.open(at, &[]).await?;
    let mut wire = Wire::new(stream, "Redis", &way.clock);
    if let Some(password) = &way.target.request.password {
        let words = [Some("AUTH"), user, Some(password.text())];
        let words: Vec<&str> = words.into_iter().flatten().collect();
        ok(ask(&mut wire, &words).await?, "OK")?;
    }
    ok(ask(&mut wire, &["PING"]).await?, "PONG")?;
    // Users may be allowed nothing but PING; then there is no role to be expected.
    let roles = match ask(&mut wire, &["ROLE"]).await? {
        Reply::List(count) => role(&mut wire, count).await?,
        Reply::Error(error) if !way.target.expect.answers.is_empty() => return Err(refused(&error)),
        _ => Vec::new(),
    };
    let unmet = way.target.expect.check_answers(&roles);
    let answer = if roles.is_empty() { "PONG".to_owned() } else { words(&roles.join(", ")) };
    Ok(Said { answer: Some(answer), unmet: Vec::from_iter(unmet.err()) })
}

/// The role and, of a replica, the state of its connection to the primary.
async fn role(wire: &mut Wire, count: usize) -> Result<Vec<String>, Fault> {
    let mut said = Vec::new();
    for at in 0..count.min(4) {
        let text = match reply(wire).await? {
            Reply::Text(text) => text,
            // A primary's list of replicas; nothing of it is needed.
            _ => break,
        };
        match (at, said.first().map(String::as_str)) {
            (0, _) => said.push(text),
            (3, Some("slave")) => said.push(text),
            _ => {}
        }
    }
    Ok(said)
}

async fn ask(wire: &mut Wire, words: &[&str]) -> Result<Reply, Fault> {
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command += &format!("${}\r\n{word}\r\n", word.len());
    }
    wire.send(command.as_bytes()).await?;
    reply(wire).await
}

async fn reply(wire: &mut Wire) -> Result<Reply, Fault> {
    /// No text of these answers is longer.
    const LONGEST: i64 = 8 << 10;
    let line = wire.line().await?;
    let stray = |wire: &Wire| wire.stray(line.as_bytes());
    let Some((kind, rest)) = line.split_at_checked(1) else { return Err(stray(wire)) };
    let number = || rest.parse::<i64>().ok();
    Ok(match (kind, number()) {
        ("+", _) | (":", Some(_)) => Reply::Text(rest.to_owned()),
        ("-", _) => Reply::Error(rest.to_owned()),
        ("$" | "*", Some(-1)) => Reply::Nothing,
        ("$", Some(length @ 0..=LONGEST)) => {
            let mut text = wire.bytes(usize::try_from(length).unwrap_or_default() + 2).await?;
            if text.split_off(text.len() - 2) != b"\r\n" {
                return Err(wire.stray(&text));
            }
            Reply::Text(String::from_utf8_lossy(&text).into_owned())
        }
        ("*", Some(count @ 0..)) => Reply::List(usize::try_from(count).unwrap_or_default()),
        _ => return Err(stray(wire)),
    })
}

/// The reply that was wanted.
fn ok(reply: Reply, wanted: &str) -> Result<(), Fault> {
    match reply {
        Reply::Text(text) if text == wanted => Ok(()),
        Reply::Error(error) => Err(refused(&error)),
        other => {
            let got = words(&format!("{other:?}"));
            Err(Reason::Protocol.because(format!("expected {wanted}, got {got}")))
        }
    }
}

fn refused(error: &str) -> Fault {
    let hint =
        if error.starts_with("NOAUTH") { "; name the file of its password with password_file" } else { "" };
    Reason::RefusedByServer.because(format!("the server says {}{hint}", words(error)))
}
