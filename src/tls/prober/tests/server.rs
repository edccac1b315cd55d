//! Scripted servers: one that speaks what it is told to, and whatever else a test wants to hear.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::tls::dial::Dial;
use crate::tls::hello::heard::{self, Heard};
use crate::tls::prober::{Protocol, enumerate};
use crate::tls::registry::{Group, Suite, Version};

/// What a server does when it has heard a hello.
pub enum Act {
    Say(Vec<u8>),
    SayLate(Vec<u8>, Duration),
    Reset,
    Stall,
}

/// Says this and closes the connection.
pub fn refuse(alert: u8) -> Act {
    Act::Say(heard::alert(alert))
}

/// Speaks these suites and groups, and nothing else, as the standards want it.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub versions: BTreeMap<Version, Vec<Suite>>,
    pub groups: Vec<Group>,
    pub prefers: bool,
}

impl Model {
    pub fn new(versions: &[(Version, &[u32])], groups: &[u16], prefers: bool) -> Model {
        let suites = |suites: &[u32]| suites.iter().copied().map(Suite).collect();
        Model {
            versions: versions.iter().map(|(version, list)| (*version, suites(list))).collect(),
            groups: groups.iter().copied().map(Group).collect(),
            prefers,
        }
    }

    pub fn answer(&self, heard: &Heard) -> Act {
        let newest = self.versions.keys().max();
        let spoken = match heard.version {
            exactly @ (Version::Ssl2 | Version::Tls13) => self.versions.get_key_value(&exactly),
            highest => self.versions.range(Version::Ssl3..=highest).next_back(),
        };
        let Some((version, suites)) = spoken else { return refuse(70) };
        if *version == Version::Ssl2 {
            return Act::Say(heard::ssl2_server_hello(suites, b"certificate"));
        }
        if heard.suites.contains(&Suite(0x5600)) && Some(version) < newest {
            return refuse(86);
        }
        let group = self.choose(&self.groups, &heard.groups);
        // Before there were extensions, a server took a group as it liked.
        let can = |suite: &Suite| group.is_some() || *version == Version::Ssl3 || !needs_group(*suite);
        let usable: Vec<Suite> = suites.iter().copied().filter(can).collect();
        let Some(suite) = self.choose(&usable, &heard.suites) else { return refuse(40) };
        Act::Say(flight(*version, suite, group))
    }

    fn choose<T: Copy + PartialEq>(&self, mine: &[T], theirs: &[T]) -> Option<T> {
        let (first, second) = if self.prefers { (mine, theirs) } else { (theirs, mine) };
        first.iter().find(|one| second.contains(one)).copied()
    }
}

fn needs_group(suite: Suite) -> bool {
    suite.to_string().contains("_ECDHE_") || suite.0 >> 8 == 0x13
}

/// A first flight; a prime has 1024 bits.
pub fn flight(version: Version, suite: Suite, group: Option<Group>) -> Vec<u8> {
    if version == Version::Tls13 {
        return heard::record(22, &heard::server_hello(version, suite, group, &[]));
    }
    let name = suite.to_string();
    let exchange = match group {
        Some(group) if name.contains("_ECDHE_") => [&[3][..], &group.0.to_be_bytes()].concat(),
        _ if name.contains("_DHE_") => [&[0, 128, 0xc9][..], &[1; 127]].concat(),
        _ => Vec::new(),
    };
    let extensions: &[u16] = if version == Version::Ssl3 { &[] } else { &[0xff01, 23] };
    let mut messages = heard::server_hello(version, suite, None, extensions);
    messages.extend(heard::message(11, &[0, 0, 7, 0, 0, 4, b'l', b'e', b'a', b'f']));
    if !exchange.is_empty() {
        messages.extend(heard::message(12, &exchange));
    }
    messages.extend(heard::message(14, &[]));
    heard::record(22, &messages)
}

/// Asks a server that does this with the hello of each connection; the number of connections that it saw.
pub async fn ask(act: impl Fn(usize, &Heard) -> Act + Send + Sync + 'static) -> (Protocol, usize) {
    ask_within(Duration::from_secs(2), act).await
}

/// The same with another time-out.
pub async fn ask_within(
    timeout: Duration,
    act: impl Fn(usize, &Heard) -> Act + Send + Sync + 'static,
) -> (Protocol, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (act, count) = (Arc::new(act), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream, number, act.clone()));
        }
    });
    let dial = dial(address, timeout);
    let protocol = enumerate(&dial, Some("app.test")).await;
    server.abort();
    let count = count.load(Ordering::SeqCst);
    assert_eq!(dial.opened(), u64::try_from(count).unwrap());
    (protocol, count)
}

pub fn dial(address: SocketAddr, timeout: Duration) -> Dial {
    Dial::new((address, "app.test"), None, timeout, (8, Arc::new(Semaphore::new(100))))
}

pub async fn serve(mut stream: TcpStream, number: usize, act: Arc<impl Fn(usize, &Heard) -> Act>) {
    let mut bytes = Vec::new();
    let heard = loop {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        if let Some(heard) = Heard::read(&bytes) {
            break heard;
        }
    };
    match act(number, &heard) {
        Act::Say(answer) => {
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
            // Closing with something unread would be a reset.
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
        Act::SayLate(answer, delay) => {
            // Late, unless the client hangs up before.
            if tokio::time::timeout(delay, stream.read_buf(&mut bytes)).await.is_err() {
                let _ = stream.write_all(&answer).await;
            }
        }
        Act::Reset => {
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        Act::Stall => {
            let _ = stream.read_buf(&mut bytes).await;
        }
    }
}
