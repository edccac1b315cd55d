//! A call of a DNS server: good when it answers with records of the type, and with those that are expected.
//!
//! The name is asked for as it is, without the system's search list: a probe must not find another name than the one that
//! it was given. No answer is cached. Of several servers each has its share of the time, until one knows.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::Name;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::tcp::connected;
use super::way::{Said, Way};
use crate::address::{Endpoint, Question};
use crate::http::Phase;
use crate::probe::classify::{io_fault, stream_fault};
use crate::reason::{Fault, Reason};

/// What a server may answer by UDP; more comes by TCP. As <https://dnsflagday.net/2020> recommends.
const PAYLOAD: u16 = 1232;

/// A datagram can be lost on its way: the question is asked again after so long.
const AGAIN: Duration = Duration::from_millis(700);

/// Asks one server after the other until one knows whether there are such records.
pub(super) async fn exchange(way: &Way<'_>, question: &Question) -> Result<Said, Fault> {
    let servers = match &question.server {
        Some(at) => vec![at.clone()],
        None => of_the_system()?,
    };
    let (addresses, mut last) = addresses(way, &servers).await;
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = way.deadline.saturating_duration_since(Instant::now()) / left;
        match timeout(share, ask(way, *address, question)).await {
            Ok(Ok(answer)) => match judge(way, question, &answer) {
                Err(fault) if !knows(&answer) => last = Some(fault),
                judged => return judged,
            },
            Ok(Err(fault)) => last = Some(fault),
            // Its share of the time is used up.
            Err(_) => {}
        }
    }
    match last {
        Some(fault) => Err(fault),
        None => std::future::pending().await,
    }
}

/// The servers that this host asks.
fn of_the_system() -> Result<Vec<Endpoint>, Fault> {
    let none = |why: String| Reason::LocalNetwork.because(format!("no DNS server in /etc/resolv.conf{why}"));
    let text = std::fs::read("/etc/resolv.conf").map_err(|error| none(format!(": {error}")))?;
    let config = resolv_conf::Config::parse(text).map_err(|error| none(format!(": {error}")))?;
    let servers: Vec<_> = config
        .nameservers
        .iter()
        // With the interface of an IPv6 address that is of this link only.
        .map(|ip| Endpoint { host: ip.to_string(), port: 53, tls: false })
        .collect();
    if servers.is_empty() { Err(none(String::new())) } else { Ok(servers) }
}

/// All addresses of the servers, and why there are none of one of them.
async fn addresses(way: &Way<'_>, servers: &[Endpoint]) -> (Vec<SocketAddr>, Option<Fault>) {
    let (mut addresses, mut none) = (Vec::new(), None);
    for server in servers {
        match way.addresses(&server.host, server.port).await {
            Ok(found) => addresses.extend(found),
            Err(fault) => none = Some(fault),
        }
    }
    (addresses, none)
}

/// Does the server say whether there are such records, and not that it could not find out or would not say?
fn knows(answer: &Message) -> bool {
    matches!(answer.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
}

async fn ask(way: &Way<'_>, server: SocketAddr, question: &Question) -> Result<Message, Fault> {
    let query = query(question)?;
    let bytes = query.to_vec().map_err(|error| Reason::Dns.because(error.to_string()))?;
    if !question.tcp {
        let answer = by_udp(way, server, &query, &bytes).await?;
        if !answer.metadata.truncation {
            return Ok(answer);
        }
    }
    by_tcp(way, server, &query, &bytes).await
}

fn query(question: &Question) -> Result<Message, Fault> {
    let mut name = Name::from_str(&question.name).map_err(|error| Reason::Dns.because(error.to_string()))?;
    name.set_fqdn(true);
    let mut query = Message::query();
    query.metadata.id = fastrand::u16(..);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(name, question.kind));
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD);
    query.set_edns(edns);
    Ok(query)
}

async fn by_udp(way: &Way<'_>, server: SocketAddr, query: &Message, bytes: &[u8]) -> Result<Message, Fault> {
    let broken = |error: std::io::Error| io_fault(&error, Phase::Connect);
    let socket = connected(server).await.map_err(broken)?;
    way.clock.enter(Phase::FirstByte);
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        socket.send(bytes).await.map_err(broken)?;
        let again = Instant::now() + AGAIN;
        while let Ok(count) = tokio::time::timeout_at(again, socket.recv(&mut buffer)).await {
            // What answers another question, such as one of earlier on this port, is not looked at.
            match Message::from_vec(&buffer[..count.map_err(broken)?]) {
                Ok(answer) if answers(&answer, query) => return Ok(answer),
                Ok(_) => {}
                Err(error) => return Err(Reason::Protocol.because(format!("what came is not DNS: {error}"))),
            }
        }
    }
}

async fn by_tcp(way: &Way<'_>, server: SocketAddr, query: &Message, bytes: &[u8]) -> Result<Message, Fault> {
    way.clock.enter(Phase::Connect);
    let stream = TcpStream::connect(server).await;
    let mut stream = stream.map_err(|error| io_fault(&error, Phase::Connect))?;
    way.clock.enter(Phase::FirstByte);
    let broken = |error: std::io::Error| stream_fault(&error, Phase::FirstByte);
    let length = u16::try_from(bytes.len()).unwrap_or_default().to_be_bytes();
    stream.write_all(&[&length, bytes].concat()).await.map_err(broken)?;
    let length = stream.read_u16().await.map_err(broken)?;
    way.clock.enter(Phase::Body);
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await.map_err(broken)?;
    let answer = Message::from_vec(&answer);
    let answer =
        answer.map_err(|error| Reason::Protocol.because(format!("what came is not DNS: {error}")))?;
    if !answers(&answer, query) {
        return Err(Reason::Protocol.because("what came answers another question"));
    }
    Ok(answer)
}

/// A server that does not understand the question may leave it out.
fn answers(answer: &Message, query: &Message) -> bool {
    answer.metadata.id == query.metadata.id
        && answer.metadata.message_type == hickory_proto::op::MessageType::Response
        && (answer.queries == query.queries || answer.queries.is_empty())
}

fn judge(way: &Way<'_>, question: &Question, answer: &Message) -> Result<Said, Fault> {
    let Question { name, kind, .. } = question;
    let code = answer.metadata.response_code;
    if code != ResponseCode::NoError {
        let what = match code {
            ResponseCode::NXDomain => "NXDOMAIN: there is no such name".to_owned(),
            ResponseCode::ServFail => "SERVFAIL: the server could not find out".to_owned(),
            ResponseCode::Refused => "REFUSED: the server does not answer such questions".to_owned(),
            other => other.to_string(),
        };
        return Err(Reason::DnsAnswer.because(format!("{name} {kind}: {what}")));
    }
    let of_kind = answer.answers.iter().filter(|record| record.record_type() == *kind);
    let found: Vec<_> = of_kind.map(|record| plain(&record.data.to_string())).collect();
    if found.is_empty() {
        return Err(Reason::DnsAnswer.because(format!("{name} has no {kind} record")));
    }
    let unmet = way.target.expect.check_answers(&found);
    Ok(Said { answer: Some(found.join(", ")), unmet: Vec::from_iter(unmet.err()) })
}

/// Names without their last dot, as people write them.
fn plain(record: &str) -> String {
    record.strip_suffix('.').unwrap_or(record).to_owned()
}
