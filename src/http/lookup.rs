//! From a host name to addresses: by hand (`HOST:PORT:ADDR`), or by the system's resolver.
//!
//! An address that is already one never waits for the resolver's threads. Refuses to cache.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::phases::{Phase, PhaseClock};

/// One answer given by hand, in curl's form `HOST:PORT:ADDR[,ADDR...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    host: String,
    port: u16,
    addresses: Vec<IpAddr>,
}

/// The text is not of the form `HOST:PORT:ADDR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected HOST:PORT:ADDR such as api.example:443:127.0.0.1")]
pub struct OverrideError;

impl FromStr for Override {
    type Err = OverrideError;

    fn from_str(text: &str) -> Result<Self, OverrideError> {
        let mut parts = text.splitn(3, ':');
        let (Some(host), Some(port), Some(list)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(OverrideError);
        };
        if host.is_empty() || host.parse::<IpAddr>().is_ok() {
            return Err(OverrideError);
        }
        let port = port.parse().map_err(|_| OverrideError)?;
        let addresses = list
            .split(',')
            .map(|address| address.trim_start_matches('[').trim_end_matches(']').parse())
            .collect::<Result<_, _>>()
            .map_err(|_| OverrideError)?;
        Ok(Override { host: host.to_ascii_lowercase(), port, addresses })
    }
}

/// All answers given by hand.
#[derive(Clone, Debug, Default)]
pub struct Overrides(Arc<[Override]>);

impl FromIterator<Override> for Overrides {
    fn from_iter<I: IntoIterator<Item = Override>>(all: I) -> Self {
        Overrides(all.into_iter().collect())
    }
}

impl Overrides {
    /// Those that a client for `host:port` may use: of the host itself those for this port, and those of all other
    /// hosts, since a redirect may lead there and a resolver is never told the port.
    #[must_use]
    pub fn seen_from(&self, host: &str, port: u16) -> Self {
        let host = host.to_ascii_lowercase();
        let fits = |o: &&Override| o.host != host || o.port == port;
        Overrides(self.0.iter().filter(fits).cloned().collect())
    }

    /// The addresses that were given for a host, with their port.
    #[must_use]
    pub fn find(&self, host: &str) -> Option<Vec<SocketAddr>> {
        let found = self.0.iter().find(|o| o.host.eq_ignore_ascii_case(host))?;
        Some(found.addresses.iter().map(|ip| SocketAddr::new(*ip, found.port)).collect())
    }
}

/// A name that could not be turned into an address.
#[derive(Debug, thiserror::Error)]
#[error("{host}: {}", reason(.source))]
pub struct LookupError {
    /// The name that was asked for.
    pub host: String,
    /// What the resolver said.
    pub source: io::Error,
}

/// getaddrinfo's own words, without what std puts before them.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ").map_or(text.clone(), str::to_owned)
}

/// The addresses of `host`, at least one, each with `port`.
///
/// # Errors
/// When the resolver knows none.
pub async fn lookup(host: &str, port: u16, overrides: &Overrides) -> Result<Vec<SocketAddr>, LookupError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if let Some(mut addresses) = overrides.find(host) {
        addresses.iter_mut().for_each(|address| address.set_port(port));
        return Ok(addresses);
    }
    let failed = |source| LookupError { host: host.to_owned(), source };
    let addresses = ask_the_system(host, port).await.map_err(failed)?;
    if addresses.is_empty() {
        return Err(failed(io::Error::other("the name has no address")));
    }
    Ok(addresses)
}

/// One of the two kinds of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "there is nothing more to say")]
pub enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    /// Is it one of these?
    #[must_use]
    pub fn has(self, ip: IpAddr) -> bool {
        ip.is_ipv4() == (self == Family::Ipv4)
    }
}

/// Those of a host's addresses that are of the family.
///
/// # Errors
/// When there is none.
pub fn of_family(
    host: &str,
    mut addresses: Vec<SocketAddr>,
    family: Option<Family>,
) -> Result<Vec<SocketAddr>, LookupError> {
    let Some(family) = family else { return Ok(addresses) };
    addresses.retain(|address| family.has(address.ip()));
    if addresses.is_empty() {
        let source = io::Error::other(format!("the name has no address of {family:?}"));
        return Err(LookupError { host: host.to_owned(), source });
    }
    Ok(addresses)
}

/// getaddrinfo blocks a thread, and goes on after its caller has given up. A caller waits for a free thread here, where
/// giving up leaves nothing behind, and not in the runtime's queue, which would grow for as long as the resolver is dead.
async fn ask_the_system(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    /// Most of the threads that the runtime has for blocking calls.
    static THREADS: Semaphore = Semaphore::const_new(480);
    let thread = THREADS.acquire().await.map_err(io::Error::other)?;
    let host = host.to_owned();
    let asking = spawn_blocking(move || {
        let _thread = thread;
        (host.as_str(), port).to_socket_addrs().map(Iterator::collect)
    });
    asking.await.map_err(io::Error::other)?
}

/// The resolver that reqwest is given: [`lookup`], timed.
pub(super) struct Lookup {
    overrides: Overrides,
    family: Option<Family>,
    clock: Arc<PhaseClock>,
}

impl Lookup {
    pub(super) fn new(overrides: Overrides, family: Option<Family>, clock: Arc<PhaseClock>) -> Self {
        Lookup { overrides, family, clock }
    }
}

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        let (overrides, family, clock) = (self.overrides.clone(), self.family, self.clock.clone());
        Box::pin(async move {
            clock.enter(Phase::Dns);
            // Port 0 lets the connector put in the URL's own.
            let addresses = lookup(name.as_str(), 0, &overrides).await?;
            let mut addresses = of_family(name.as_str(), addresses, family)?;
            addresses.iter_mut().for_each(|address| address.set_port(0));
            clock.enter(Phase::Connect);
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_is_read_in_curls_form() {
        let one: Override = "API.example:8443:127.0.0.1".parse().unwrap();
        let all: Overrides = [one].into_iter().collect();
        assert_eq!(all.find("api.EXAMPLE"), Some(vec!["127.0.0.1:8443".parse().unwrap()]));
        let two: Override = "a:1:[::1],10.0.0.1".parse().unwrap();
        assert_eq!(two.addresses.len(), 2);
        for bad in ["", "a", "a:1", "a:x:127.0.0.1", "a:1:", "a:1:b", ":1:127.0.0.1", "10.0.0.1:1:127.0.0.1"]
        {
            assert_eq!(bad.parse::<Override>(), Err(OverrideError), "{bad}");
        }
    }

    #[test]
    fn an_override_holds_for_its_port_only() {
        let all: Overrides =
            ["a:80:127.0.0.1", "b:90:127.0.0.2"].iter().map(|t| t.parse().unwrap()).collect();
        assert_eq!(all.seen_from("a", 81).find("a"), None);
        assert!(all.seen_from("A", 80).find("a").is_some());
        assert!(all.seen_from("a", 81).find("b").is_some());
    }
}
