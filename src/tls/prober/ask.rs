//! One question: a connection, a hello, the first flight of the answer. Remembers what answers had in common, and when
//! nothing more is worth asking.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::reason::Fault;
use crate::tls::dial::Dial;
use crate::tls::hello::{ClientHello, Exchange, Flight, Garbled, Reader, ServerHello, alert};
use crate::tls::registry::{Group, PROTOCOLS, Suite, Version};
use crate::units;

/// So many connections may be refused before no more are tried.
const REFUSALS: usize = 2;
/// All questions together may take so many time-outs: a server could be slow with each of its suites.
const PATIENCE: u32 = 24;
/// As many chains are kept: a server could have another one for each connection.
const CHAINS: usize = 8;

/// An answer that decides nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    #[error("no answer within {0}")]
    Stalled(units::Duration),
    #[error("the server closed the connection without an answer")]
    Closed,
    #[error("the server reset the connection")]
    Reset,
    #[error("the server closed the connection in the middle of its answer")]
    BrokeOff,
    #[error("{0}")]
    Garbled(#[from] Garbled),
    #[error("the server chose {0}, which was not offered")]
    NotOffered(String),
    #[error("the server sent alert {0}")]
    Alert(u8),
    #[error("{0}")]
    Unreachable(String),
    #[error("not all was asked within {0}")]
    Exhausted(units::Duration),
}

/// Asks one server.
pub(super) struct Asker<'a> {
    dial: &'a Dial,
    /// Sent as SNI.
    pub name: Option<&'a str>,
    begun: Instant,
    seen: Mutex<Seen>,
}

/// What answers had in common.
#[derive(Default)]
pub(super) struct Seen {
    /// TLS, or SSL 2, was spoken at least once.
    pub is_tls: bool,
    /// A hello that named no protocol was turned away for that.
    wants_protocols: bool,
    /// A hello with all suites at once was answered with one of them.
    pub takes_large: bool,
    /// What was spoken where it was not TLS.
    pub not_tls: Option<&'static str>,
    /// Why nothing more is asked.
    over: Option<Trouble>,
    refusals: usize,
    /// Chains that were sent in the clear, each with another leaf.
    pub chains: Vec<Vec<Vec<u8>>>,
    /// The smallest prime of a key exchange, in bits.
    pub smallest_prime: Option<u32>,
    /// Primes of RFC 7919 in a key exchange of TLS 1.2 and older.
    pub ffdhe: Vec<Group>,
    /// Groups of TLS 1.2 and older, in the order in which they were first chosen.
    pub curves: Vec<Group>,
    /// Hellos of TLS 1.2 and older, each once, apart from suites.
    pub hellos: Vec<ServerHello>,
}

impl<'a> Asker<'a> {
    pub fn new(dial: &'a Dial, name: Option<&'a str>) -> Asker<'a> {
        // A name is absolute without its last dot too, and only so in TLS (RFC 6066).
        let name = name.map(|name| name.trim_end_matches('.'));
        Asker { dial, name, begun: Instant::now(), seen: Mutex::default() }
    }

    /// What answers had in common until now.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What answers had in common, when no more are asked for.
    pub fn into_seen(self) -> Seen {
        self.seen.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks once. A server that wants to hear a protocol hears some, then and ever after.
    pub async fn ask(&self, hello: ClientHello<'_>) -> Result<Flight, Trouble> {
        if !self.seen().wants_protocols {
            let answer = self.send(&hello.bytes()).await;
            let alert = answer.as_ref().ok().and_then(|flight| flight.alert);
            if alert != Some(alert::NO_APPLICATION_PROTOCOL) {
                return answer;
            }
            self.seen().wants_protocols = true;
        }
        self.send(&ClientHello { protocols: &PROTOCOLS, ..hello }.bytes()).await
    }

    /// Asks once, with these bytes.
    pub async fn send(&self, hello: &[u8]) -> Result<Flight, Trouble> {
        if let Some(over) = self.seen().over.clone() {
            return Err(over);
        }
        let patience = self.dial.timeout() * PATIENCE;
        if self.begun.elapsed() > patience {
            return Err(Trouble::Exhausted(units::Duration(patience)));
        }
        // Of many futures, one in the other, this is the innermost: on the heap it makes none of them larger.
        let answer = Box::pin(self.exchange(hello)).await;
        self.seen().note(&answer);
        answer
    }

    /// Asks once more where the first answer decides nothing.
    pub async fn ask_twice(&self, hello: ClientHello<'_>) -> Result<Flight, Trouble> {
        match self.ask(hello).await {
            Err(trouble) if self.is_worth_another(&trouble) => self.ask(hello).await,
            answer => answer,
        }
    }

    /// Whether asking again may help: not when nothing is asked any more, and a server that has never said a word
    /// costs each chain one time-out and not two.
    pub fn is_worth_another(&self, trouble: &Trouble) -> bool {
        let seen = self.seen();
        seen.over.is_none() && (seen.is_tls || !matches!(trouble, Trouble::Stalled(_)))
    }

    async fn exchange(&self, hello: &[u8]) -> Result<Flight, Trouble> {
        let unreachable = |fault: Fault| Trouble::Unreachable(fault.detail);
        let mut connection = self.dial.open().await.map_err(unreachable)?;
        let mut reader = Reader::default();
        let limit = self.dial.timeout();
        let end =
            match tokio::time::timeout(limit, converse(&mut connection.stream, hello, &mut reader)).await {
                Err(_) => Trouble::Stalled(units::Duration(limit)),
                Ok(end) => end?,
            };
        reader.finish()?.ok_or(end)
    }
}

/// Reads until nothing more is needed, or the peer ends it. What the end means where the answer is not complete.
async fn converse(stream: &mut TcpStream, hello: &[u8], reader: &mut Reader) -> Result<Trouble, Garbled> {
    // A server may have said all it wants to say already; what it said counts.
    let _ = stream.write_all(hello).await;
    let mut buffer = vec![0; 4096];
    let mut has_begun = false;
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) if has_begun => return Ok(Trouble::BrokeOff),
            Ok(0) => return Ok(Trouble::Closed),
            Err(_) => return Ok(Trouble::Reset),
            Ok(count) if reader.feed(&buffer[..count])? => return Ok(Trouble::BrokeOff),
            Ok(_) => has_begun = true,
        }
    }
}

impl Trouble {
    /// The server ended the connection and said nothing at all, as if it did not want to speak so.
    pub fn is_hang_up(&self) -> bool {
        matches!(self, Trouble::Closed | Trouble::Reset)
    }
}

impl Seen {
    fn note(&mut self, answer: &Result<Flight, Trouble>) {
        match answer {
            Ok(flight) => {
                self.is_tls = true;
                self.note_flight(flight);
            }
            Err(trouble @ Trouble::Garbled(Garbled::NotTls(spoken))) if !self.is_tls => {
                self.not_tls = Some(spoken);
                self.over = Some(trouble.clone());
            }
            Err(trouble @ Trouble::Unreachable(_)) => {
                self.refusals += 1;
                if self.refusals == REFUSALS {
                    self.over = Some(trouble.clone());
                }
            }
            Err(_) => {}
        }
    }

    fn note_flight(&mut self, flight: &Flight) {
        match flight.exchange {
            Some(Exchange::Prime { bits, is_ffdhe }) => {
                self.smallest_prime = Some(self.smallest_prime.map_or(bits, |smallest| smallest.min(bits)));
                let group = ffdhe(bits).filter(|group| is_ffdhe && !self.ffdhe.contains(group));
                self.ffdhe.extend(group);
            }
            Some(Exchange::Group(group)) if !self.curves.contains(&group) => self.curves.push(group),
            Some(Exchange::Group(_) | Exchange::Other) | None => {}
        }
        if let Some(hello) = flight.hello.as_ref().filter(|hello| hello.version < Version::Tls13) {
            let features = ServerHello { suite: Suite(0), ..hello.clone() };
            if !self.hellos.contains(&features) {
                self.hellos.push(features);
            }
        }
        self.note_chain(&flight.chain);
        if let Some(Some(hello)) = &flight.ssl2
            && !hello.certificate.is_empty()
        {
            self.note_chain(std::slice::from_ref(&hello.certificate));
        }
    }

    fn note_chain(&mut self, chain: &[Vec<u8>]) {
        if let Some(leaf) = chain.first()
            && self.chains.len() < CHAINS
            && self.chains.iter().all(|known| known.first() != Some(leaf))
        {
            self.chains.push(chain.to_vec());
        }
    }
}

/// The group with a prime of so many bits (RFC 7919).
fn ffdhe(bits: u32) -> Option<Group> {
    let sizes = [(2048, 0x0100), (3072, 0x0101), (4096, 0x0102), (6144, 0x0103), (8192, 0x0104)];
    sizes.iter().find(|(size, _)| *size == bits).map(|(_, number)| Group(*number))
}
