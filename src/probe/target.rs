//! What is probed: an address, what is sent there, and what is expected back.
//!
//! Refuses to expect what an answer of that kind never has.

use std::time::Duration;

use reqwest::header::HeaderMap;

use super::expect::Expect;
use crate::address::Address;
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
        let Address::Http { url, .. } = &self.address else { return false };
        url.scheme() == "https" || self.request.redirects > 0
    }

    /// # Errors
    /// When something is expected that an answer of this kind never has.
    pub fn check(&self) -> Result<(), Misfit> {
        let misfit = |part, why: String| Err(Misfit { part, name: self.name.clone(), why });
        let has_no = |part, what| misfit(part, format!("a {} target has no {what}", self.address.kind()));
        let expect = &self.expect;
        let (least, most, what) = match self.address {
            Address::Http { .. } => (100, 599, "an HTTP status"),
            Address::Exec { .. } | Address::Tcp { .. } | Address::Tls { .. } => (0, 255, "an exit status"),
        };
        let off = expect.status.iter().find(|status| !status.is_within(least, most));
        match self.address {
            Address::Exec { .. } if !expect.headers.is_empty() => has_no(Part::Header, "headers"),
            Address::Tcp { .. } if !expect.headers.is_empty() => has_no(Part::Header, "headers"),
            Address::Tcp { .. } if !expect.status.is_empty() => has_no(Part::Status, "status"),
            Address::Tcp { .. } if expect.body.is_some() => has_no(Part::Body, "body"),
            Address::Tcp { .. } if expect.body_regex.is_some() => has_no(Part::BodyRegex, "body"),
            Address::Tcp { .. } if !expect.json.is_empty() => has_no(Part::Json, "body"),
            _ => match off {
                Some(off) => misfit(Part::Status, format!("{what} is {least} to {most}, never {off}")),
                None => Ok(()),
            },
        }
    }
}

/// What is expected of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the expectations")]
pub enum Part {
    Status,
    Header,
    Body,
    BodyRegex,
    Json,
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

/// What an HTTP call sends.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tcp_target_has_no_body() {
        let mut target = Target {
            name: "db".into(),
            address: "tcp://db:1".parse().unwrap(),
            request: Request::default(),
            expect: Expect::default(),
            breaker: breaker::Config::default(),
        };
        assert_eq!(target.check(), Ok(()));
        target.expect.body = Some("x".into());
        let text = target.check().unwrap_err().to_string();
        assert_eq!(text, "db cannot be as expected: a tcp target has no body");
    }

    #[test]
    fn a_status_that_never_comes_is_refused() {
        let check = |address: &str, status: &str| {
            let expect = Expect { status: vec![status.parse().unwrap()], ..Expect::default() };
            let breaker = breaker::Config::default();
            let (address, request) = (address.parse().unwrap(), Request::default());
            Target { name: "t".into(), address, request, expect, breaker }.check().map_err(|e| e.to_string())
        };
        assert_eq!((check("http://h", "100-599"), check("exec:x", "255")), (Ok(()), Ok(())));
        let text = check("http://h", "700").unwrap_err();
        assert_eq!(text, "t cannot be as expected: an HTTP status is 100 to 599, never 700");
        assert!(check("http://h", "0").is_err() && check("exec:x", "2xx").is_err());
    }
}
