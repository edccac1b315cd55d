//! What is probed: an address, what is sent there, and what is expected back.
//!
//! Refuses to expect what an answer of that kind never has.

use std::time::Duration;

use reqwest::header::HeaderMap;

use super::expect::Expect;
use super::front::Shared;
use crate::address::{Address, Encryption};
use crate::breaker;

/// One target of a probe.
#[derive(Clone, Debug)]
pub struct Target {
    /// How reports call it.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// What is sent there.
    pub request: Request,
    /// What must come back.
    pub expect: Expect,
    /// The breaker that its calls pass through, and with it the timeout of each call.
    pub breaker: breaker::Config,
    /// The breaker of a store that they pass through in its place.
    pub shared: Option<Shared>,
}

impl Target {
    /// The timeout of one call, whole: look-up, connection, answer.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.breaker.timeout
    }

    /// May a call need to verify a certificate? A redirect can lead anywhere.
    #[must_use]
    pub fn may_use_tls(&self) -> bool {
        match &self.address {
            Address::Tls { .. } => true,
            Address::Http { url, .. } | Address::H2c { url } => {
                url.scheme() == "https" || self.request.redirects > 0
            }
            Address::WebSocket { url } => url.scheme() == "https",
            Address::Grpc { at, .. } | Address::Etcd { at } | Address::Redis { at, .. } => at.tls,
            Address::Postgres { encryption, .. } | Address::Mysql { encryption, .. } => {
                *encryption != Encryption::Off
            }
            _ => false,
        }
    }

    /// # Errors
    /// When something is expected that an answer of this kind never has, or nothing is sent where something must be.
    pub fn check(&self) -> Result<(), Misfit> {
        let misfit = |part, why: String| Err(Misfit { part, name: self.name.clone(), why });
        let kind = self.address.kind();
        if let Some((part, what)) = self.expected().find(|(part, _)| !self.has(*part)) {
            return misfit(part, format!("a {kind} target has no {what}"));
        }
        let (least, most, what) = match self.address {
            Address::Exec { .. } => (0, 255, "an exit status"),
            _ => (100, 599, "an HTTP status"),
        };
        if let Some(off) = self.expect.status.iter().find(|status| !status.is_within(least, most)) {
            return misfit(Part::Status, format!("{what} is {least} to {most}, never {off}"));
        }
        let request = &self.request;
        match self.address {
            Address::Udp { .. } if request.send.is_none() => {
                misfit(Part::Send, "a udp target answers only to what is sent".to_owned())
            }
            Address::Tcp { .. } | Address::Udp { .. } => Ok(()),
            _ if request.send.is_some() => misfit(Part::Send, format!("a {kind} target has its own words")),
            _ => Ok(()),
        }
    }

    /// What is expected of the answer, and how a person calls it.
    fn expected(&self) -> impl Iterator<Item = (Part, &'static str)> {
        let expect = &self.expect;
        let parts = [
            (Part::Header, "headers", !expect.headers.is_empty()),
            (Part::Status, "status", !expect.status.is_empty()),
            (Part::Body, "body", expect.body.is_some()),
            (Part::BodyRegex, "body", expect.body_regex.is_some()),
            (Part::Json, "body", !expect.json.is_empty()),
            (Part::CertLife, "certificate", expect.cert_life.is_some()),
            (Part::Answer, "answers that could be told apart", !expect.answers.is_empty()),
        ];
        parts.into_iter().filter(|(_, _, expected)| *expected).map(|(part, what, _)| (part, what))
    }

    /// Does an answer of this kind have it?
    fn has(&self, part: Part) -> bool {
        match &self.address {
            _ if part == Part::CertLife => self.may_use_tls(),
            Address::Http { .. } | Address::H2c { .. } => part != Part::Answer,
            Address::Exec { .. } => !matches!(part, Part::Answer | Part::Header),
            Address::Tcp { .. } | Address::Udp { .. } | Address::Etcd { .. } => {
                matches!(part, Part::Body | Part::BodyRegex | Part::Json)
            }
            Address::WebSocket { .. } => part == Part::Header,
            Address::Dns(_) | Address::Redis { .. } | Address::Postgres { .. } => part == Part::Answer,
            Address::Tls { .. } | Address::Grpc { .. } | Address::Mysql { .. } | Address::Icmp { .. } => {
                false
            }
        }
    }
}

/// What is expected of an answer, or sent for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the expectations")]
pub enum Part {
    Status,
    Header,
    Body,
    BodyRegex,
    Json,
    CertLife,
    Answer,
    Send,
}

/// Something is expected of a target that never has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} cannot be as expected: {why}")]
pub struct Misfit {
    /// What is expected.
    pub part: Part,
    name: String,
    why: String,
}

/// A password, which nothing shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Keeps it.
    #[must_use]
    pub fn new(text: String) -> Self {
        Password(text)
    }

    /// For the one who proves it to a server.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(crate::text::REDACTED)
    }
}

/// What a call sends.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The method; GET by default.
    pub method: reqwest::Method,
    /// Headers beside those that HTTP itself needs.
    pub headers: HeaderMap,
    /// The body.
    pub body: Option<String>,
    /// How many redirects are followed; with 0 the redirect itself is the answer.
    pub redirects: u32,
    /// What is sent over TCP or UDP.
    pub send: Option<Vec<u8>>,
    /// What redis, postgres and mysql targets log in with.
    pub password: Option<Password>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_target_has_no_body() {
        let mut target = Target {
            name: "db".into(),
            address: "redis://db".parse().unwrap(),
            request: Request::default(),
            expect: Expect::default(),
            breaker: breaker::Config::default(),
            shared: None,
        };
        assert_eq!(target.check(), Ok(()));
        target.expect.body = Some("x".into());
        let text = target.check().unwrap_err().to_string();
        assert_eq!(text, "db cannot be as expected: a redis target has no body");
    }

    #[test]
    fn only_what_speaks_tls_has_a_certificate_and_it_has_nothing_else() {
        let check = |address: &str, redirects, expect| {
            let (address, breaker) = (address.parse().unwrap(), breaker::Config::default());
            let request = Request { redirects, ..Request::default() };
            let target = Target { name: "t".into(), address, request, expect, breaker, shared: None };
            target.check().map_err(|misfit| misfit.part)
        };
        let life = || Expect { cert_life: "14d".parse().ok(), ..Expect::default() };
        for (address, redirects) in [
            ("https://h", 0),
            ("tls://h", 0),
            ("tls+smtp://h", 0),
            ("http://h", 1),
            ("wss://h", 0),
            ("grpcs://h:1", 0),
        ] {
            assert_eq!(check(address, redirects, life()), Ok(()), "{address}");
        }
        for address in ["http://h", "tcp://h:1", "exec:x", "unix+http:///s", "ws://h", "redis://h"] {
            assert_eq!(check(address, 0, life()), Err(Part::CertLife), "{address}");
        }
        let body = Expect { body: Some("x".into()), ..Expect::default() };
        assert_eq!(check("tls://h", 0, body), Err(Part::Body));
    }

    #[test]
    fn a_status_that_never_comes_is_refused() {
        let check = |address: &str, status: &str| {
            let expect = Expect { status: vec![status.parse().unwrap()], ..Expect::default() };
            let breaker = breaker::Config::default();
            let (address, request) = (address.parse().unwrap(), Request::default());
            let target = Target { name: "t".into(), address, request, expect, breaker, shared: None };
            target.check().map_err(|e| e.to_string())
        };
        assert_eq!((check("http://h", "100-599"), check("exec:x", "255")), (Ok(()), Ok(())));
        let text = check("http://h", "700").unwrap_err();
        assert_eq!(text, "t cannot be as expected: an HTTP status is 100 to 599, never 700");
        assert!(check("http://h", "0").is_err() && check("exec:x", "2xx").is_err());
    }
}
