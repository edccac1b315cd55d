//! A call of PostgreSQL: up when it accepts log-ins, and with a password when the log-in and `SELECT 1` succeed.
//!
//! Protocol 3.0, <https://www.postgresql.org/docs/current/protocol.html>. Refuses to send a password itself: only proofs of
//! it, by SCRAM-SHA-256.

use super::scram;
use super::way::{Said, Stream, Way};
use super::wire::{Wire, words};
use crate::address::{Encryption, Endpoint, StartTls};
use crate::http::Phase;
use crate::reason::{Fault, Reason};

/// No message that is read here is longer.
const LONGEST: usize = 64 << 10;

/// A message of the server.
struct Message {
    kind: u8,
    body: Vec<u8>,
}

/// Begins a session as `user`; without one as somebody whom the server need not know.
pub(super) async fn exchange(
    way: &Way<'_>,
    at: &Endpoint,
    user: Option<&str>,
    database: Option<&str>,
    encryption: Encryption,
) -> Result<Said, Fault> {
    let mut wire = Wire::new(open(way, at, encryption).await?, "PostgreSQL", &way.clock);
    wire.send(&startup(user.unwrap_or("hardy"), database)).await?;
    let mut session = Session { wire, way, anyone: user.is_none(), standby: None };
    match session.log_in().await? {
        LogIn::Wanted => session.said("it asks for a password"),
        LogIn::Denied => session.said("it accepts log-ins"),
        LogIn::Done if way.target.request.password.is_none() => {
            session.wire.send(&frame(b'X', &[])).await?;
            session.said("ready for queries")
        }
        LogIn::Done => {
            session.select_1().await?;
            session.said("SELECT 1 succeeds")
        }
    }
}

async fn open(way: &Way<'_>, at: &Endpoint, encryption: Encryption) -> Result<Box<dyn Stream>, Fault> {
    if encryption == Encryption::Off {
        return way.open(at, &[]).await;
    }
    let trust = way.trust(encryption);
    let stream = way.open_tls(&at.host, at.port, Some(StartTls::Postgres), &trust).await?;
    way.clock.enter(Phase::FirstByte);
    Ok(Box::new(stream))
}

enum LogIn {
    /// Ready for queries.
    Done,
    /// It wants a password that was not given.
    Wanted,
    /// It does not want the user that nobody chose.
    Denied,
}

struct Session<'a> {
    wire: Wire,
    way: &'a Way<'a>,
    /// No user was chosen.
    anyone: bool,
    /// Whether it is a standby, as it says from version 14 on.
    standby: Option<bool>,
}

impl Session<'_> {
    async fn log_in(&mut self) -> Result<LogIn, Fault> {
        loop {
            let message = self.message().await?;
            match message.kind {
                b'R' if self.authenticated(&message.body).await? => {}
                b'R' => return Ok(LogIn::Wanted),
                b'E' if self.anyone && is_about_the_user(&message.body) => return Ok(LogIn::Denied),
                b'Z' => return Ok(LogIn::Done),
                _ => {}
            }
        }
    }

    /// Answers a request to authenticate; false when there is nothing to answer it with.
    async fn authenticated(&mut self, request: &[u8]) -> Result<bool, Fault> {
        let Some((kind, rest)) = request.split_first_chunk() else { return Err(self.wire.stray(request)) };
        let password = &self.way.target.request.password;
        match (u32::from_be_bytes(*kind), password) {
            (0, _) => Ok(true),
            (_, None) => Ok(false),
            (10, Some(password)) if rest.split(|byte| *byte == 0).any(|name| name == scram::NAME) => {
                let password = password.text().to_owned();
                self.scram(password).await.map(|()| true)
            }
            (kind, _) => {
                let how = match kind {
                    3 => "in clear text".to_owned(),
                    5 => "hashed by MD5".to_owned(),
                    other => format!("by method {other}"),
                };
                let detail = format!("it wants the password {how}; only SCRAM-SHA-256 is spoken here");
                Err(Reason::RefusedByServer.because(detail))
            }
        }
    }

    async fn scram(&mut self, password: String) -> Result<(), Fault> {
        let none = || Reason::LocalResources.because("this host has no random bytes");
        let client = scram::Client::new().ok_or_else(none)?;
        let first = client.first();
        let length = u32::try_from(first.len()).unwrap_or_default().to_be_bytes();
        let body = [scram::NAME, b"\0", &length, first.as_bytes()].concat();
        self.wire.send(&frame(b'p', &body)).await?;
        let challenge = self.sasl(11).await?;
        let proof = tokio::task::spawn_blocking(move || client.prove(&password, &challenge)).await;
        let proof = proof.ok().flatten();
        let wrong = || Reason::Protocol.because("what came is not SCRAM-SHA-256");
        let (last, expected) = proof.ok_or_else(wrong)?;
        self.wire.send(&frame(b'p', last.as_bytes())).await?;
        if self.sasl(12).await? != expected {
            return Err(Reason::RefusedByServer.because("the server does not know the password itself"));
        }
        Ok(())
    }

    /// The text of the next step of a log-in.
    async fn sasl(&mut self, step: u32) -> Result<String, Fault> {
        let message = self.message().await?;
        let text = message.body.strip_prefix(&step.to_be_bytes()).filter(|_| message.kind == b'R');
        let text = text.and_then(|text| std::str::from_utf8(text).ok()).map(str::to_owned);
        text.ok_or_else(|| self.wire.stray(&message.body))
    }

    async fn select_1(&mut self) -> Result<(), Fault> {
        self.wire.send(&frame(b'Q', b"SELECT 1\0")).await?;
        let mut rows = 0;
        loop {
            match self.message().await?.kind {
                b'D' => rows += 1,
                b'Z' if rows == 1 => return self.wire.send(&frame(b'X', &[])).await,
                b'Z' => return Err(Reason::Protocol.because(format!("SELECT 1 gave {rows} rows"))),
                _ => {}
            }
        }
    }

    /// The next message; an error that is the server's last word is one here, too.
    async fn message(&mut self) -> Result<Message, Fault> {
        let head: [u8; 5] = self.wire.array().await?;
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(length) as usize;
        if !kind.is_ascii_alphabetic() || !(4..=LONGEST).contains(&length) {
            return Err(self.wire.stray(&head));
        }
        let body = self.wire.bytes(length - 4).await?;
        match kind {
            b'E' if !(self.anyone && is_about_the_user(&body)) => {
                let code = field(&body, b'C').unwrap_or_default();
                let message = words(&field(&body, b'M').unwrap_or_default());
                return Err(Reason::RefusedByServer.because(format!("the server says {code}: {message}")));
            }
            b'S' => {
                if let Some(value) = body.strip_prefix(b"in_hot_standby\0") {
                    self.standby = Some(value == b"on\0");
                }
            }
            _ => {}
        }
        Ok(Message { kind, body })
    }

    fn said(&self, what: &str) -> Result<Said, Fault> {
        let role = self.standby.map(|standby| if standby { "standby" } else { "primary" });
        let roles: Vec<String> = role.into_iter().map(str::to_owned).collect();
        let unmet = self.way.target.expect.check_answers(&roles);
        let answer = role.map_or(what.to_owned(), |role| format!("{role}, {what}"));
        Ok(Said { answer: Some(answer), unmet: Vec::from_iter(unmet.err()) })
    }
}

fn startup(user: &str, database: Option<&str>) -> Vec<u8> {
    const VERSION_3_0: u32 = 3 << 16;
    let mut body = VERSION_3_0.to_be_bytes().to_vec();
    let pairs =
        [Some(("user", user)), database.map(|name| ("database", name)), Some(("application_name", "hardy"))];
    for (name, value) in pairs.into_iter().flatten() {
        body.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
    }
    body.push(0);
    frame_length(&body).into_iter().chain(body).collect()
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &frame_length(body)[..], body].concat()
}

/// The length counts itself.
fn frame_length(body: &[u8]) -> [u8; 4] {
    u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes()
}

/// One field of an error: `C` is its SQLSTATE, `M` its message.
fn field(error: &[u8], kind: u8) -> Option<String> {
    let mut fields = error.split(|byte| *byte == 0);
    let text = fields.find_map(|field| field.strip_prefix(&[kind]))?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Unknown, or not allowed from here (28...), or without a database of its own (3D000): the server accepts log-ins.
fn is_about_the_user(error: &[u8]) -> bool {
    field(error, b'C').is_some_and(|code| code.starts_with("28") || code == "3D000")
}
