//! A call over TCP or UDP: good when a connection stands; where something is sent or expected, when the answer is
//! as expected.
//!
//! A stream has no end that a probe could wait for: it is read until all expectations hold. Of UDP the first answer counts.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

use super::Call;
use super::way::{Said, Way};
use crate::http::Phase;
use crate::probe::classify::{io_fault, stream_fault};
use crate::probe::expect::excerpt;
use crate::reason::{Fault, Reason};

/// Expectations are checked against so much.
const MOST: usize = 64 << 10;

/// Connects, and asks if there is anything to ask or to wait for.
pub(super) async fn call(way: &Way<'_>, host: &str, port: u16) -> Call {
    let mut got = Vec::new();
    let mut call = way.within(converse(way, host, port, &mut got)).await;
    // What came in time was not as expected, which tells more than that the time was over.
    if let Err(Fault { reason: Reason::Timeout, .. }) = call.result
        && !got.is_empty()
    {
        call.result = Fault::first_of(way.target.expect.check_body(&got));
    }
    call
}

async fn converse(way: &Way<'_>, host: &str, port: u16, got: &mut Vec<u8>) -> Result<Said, Fault> {
    let mut stream = way.connect(host, port).await?;
    let (send, expect) = (&way.target.request.send, &way.target.expect);
    if send.is_none() && !expect.reads_body() {
        return Ok(Said::default());
    }
    way.clock.enter(Phase::FirstByte);
    let broken = |error: std::io::Error| stream_fault(&error, Phase::FirstByte);
    if let Some(text) = send {
        stream.write_all(text).await.map_err(broken)?;
    }
    loop {
        let count = stream.read_buf(got).await.map_err(broken)?;
        way.clock.enter(Phase::Body);
        let unmet = expect.check_body(got);
        let over = count == 0 || got.len() >= MOST;
        if got.is_empty() {
            return Err(Reason::Closed.because("closed without an answer"));
        }
        if unmet.is_empty() || over {
            return Ok(said(got, unmet));
        }
    }
}

/// Sends one datagram and takes the first answer.
pub(super) async fn datagram(way: &Way<'_>, host: &str, port: u16) -> Result<Said, Fault> {
    // The target was checked to have one; an empty one is a datagram, too.
    let text = way.target.request.send.as_deref().unwrap_or_default();
    let addresses = way.addresses(host, port).await?;
    let broken = |error: std::io::Error| io_fault(&error, Phase::Connect);
    let mut last = None;
    for address in addresses {
        match connected(address).await {
            Ok(socket) => {
                way.clock.enter(Phase::FirstByte);
                socket.send(text).await.map_err(broken)?;
                let mut got = vec![0; MOST];
                let count = socket.recv(&mut got).await.map_err(broken)?;
                got.truncate(count);
                let unmet = way.target.expect.check_body(&got);
                return Ok(said(&got, unmet));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| Reason::Dns.because("no address"), broken))
}

/// A socket that hears of nobody else, and of a port where nobody listens.
pub(super) async fn connected(address: std::net::SocketAddr) -> std::io::Result<UdpSocket> {
    let any: std::net::IpAddr = match address {
        std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    Ok(socket)
}

fn said(got: &[u8], unmet: Vec<Fault>) -> Said {
    Said { answer: Some(excerpt(&String::from_utf8_lossy(got))), unmet }
}
