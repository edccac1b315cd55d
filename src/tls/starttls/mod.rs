//! What must be said before TLS begins, by protocol.
//!
//! Refuses more than 16 KiB from the server, and anything after its go-ahead: bytes that are not protected by TLS and
//! would be taken for what is (CVE-2011-0411).

mod database;
mod ldap;
mod lines;
mod talk;
mod xmpp;

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use self::talk::Talk;
use crate::address::StartTls;
use crate::reason::{Fault, Reason};

/// Asks the server to begin TLS, as a client of this protocol would. `host` is the name by which it is called.
///
/// # Errors
/// When it does not agree, says something else, or all of it takes longer than `step`.
pub async fn upgrade(
    kind: StartTls,
    stream: &mut TcpStream,
    host: &str,
    step: Duration,
) -> Result<(), Fault> {
    let mut talk = Talk::new(stream);
    let asked = timeout(step, ask(kind, &mut talk, host)).await;
    let asked = asked.unwrap_or_else(|_| {
        Err(Reason::Timeout.because(format!("{} did not come within {step:?}", talk.awaited)))
    });
    asked.map_err(|fault| fault.reason.because(format!("{kind}: {}", fault.detail)))
}

async fn ask(kind: StartTls, talk: &mut Talk<'_>, host: &str) -> Result<(), Fault> {
    match kind {
        StartTls::Smtp => lines::smtp(talk).await,
        StartTls::Imap => lines::imap(talk).await,
        StartTls::Pop3 => lines::pop3(talk).await,
        StartTls::Ftp => lines::ftp(talk).await,
        StartTls::Ldap => ldap::ask(talk).await,
        StartTls::Postgres => database::postgres(talk).await,
        StartTls::Mysql => database::mysql(talk).await,
        StartTls::Xmpp => xmpp::ask(talk, host).await,
    }?;
    talk.nothing_more()
}
