//! From names, URLs and `[targets.NAME]` to the engine's targets: expectations, request and breaker of each.
//! An error names the flag or the key that is wrong.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::{Args, ExpectArgs};
use crate::address::{Address, AddressError};
use crate::breaker;
use crate::circuit::{Circuit, Name};
use crate::cmd::breaker_config::breaker_config;
use crate::cmd::names::flag;
use crate::config::{self, BreakerKnobs, Config, Layer};
use crate::error::Error;
use crate::http::Family;
use crate::probe::expect::{self, Expect, ExpectError, HeaderMatch, JsonMatch};
use crate::probe::{Part, Password, Request, Shared, Target};
use crate::units::Duration;

/// The targets asked for, each once, or all of the config.
pub fn all(args: &Args, config: &Config) -> Result<Vec<Target>, Error> {
    let mut names: Vec<&str> = args.targets.iter().map(String::as_str).collect();
    if names.is_empty() {
        names = config.targets.keys().map(String::as_str).collect();
    }
    let mut targets = Vec::new();
    let (mut seen, mut shown, mut opened) = (HashSet::new(), HashSet::new(), None);
    for name in names {
        let target = target(name, args, config, &mut opened)?;
        if !seen.insert((target.name.clone(), target.address.clone())) {
            continue;
        }
        if !shown.insert(target.name.clone()) {
            return Err(Error::usage(format!("two different targets are called {}", target.name))
                .hint("define them as [targets.NAME] in hardy.toml to tell them apart"));
        }
        targets.push(target);
    }
    Ok(targets)
}

/// The breaker of a target without any settings of its own.
pub fn check_breaker(args: &Args, config: &Config) -> Result<(), Error> {
    Source { args, config, name: None, definition: config::Target::default() }.breaker().map(drop)
}

/// What is typed about a request must have a meaning for one of the targets.
pub fn applicable(args: &Args, targets: &[Target]) -> Result<(), Error> {
    type Takes = fn(&Address) -> bool;
    let flags: [(&str, Takes, &str); 6] = [
        ("method", is_http, "an HTTP one"),
        ("header", has_headers, "an HTTP one"),
        ("body", is_http, "an HTTP one"),
        ("send", takes_text, "a tcp or udp one"),
        ("password_file", takes_password, "a redis, postgres or mysql one"),
        ("expect_answer", |address| !is_http(address), "one of another kind than HTTP"),
    ];
    for (id, takes, what) in flags {
        if args.names.typed(id) && !targets.iter().any(|target| takes(&target.address)) {
            return Err(Error::usage(format!("{} has no meaning: no target is {what}", flag(id))));
        }
    }
    let Some(family) = args.request.family() else { return Ok(()) };
    let address = |target: &Target| target.address.host().and_then(|host| host.parse::<IpAddr>().ok());
    match targets.iter().find(|target| address(target).is_some_and(|ip| !family.has(ip))) {
        Some(target) => {
            let flag = if family == Family::Ipv4 { "--ipv4" } else { "--ipv6" };
            Err(Error::usage(format!("{flag} leaves no address of {}", target.name)))
        }
        None => Ok(()),
    }
}

fn is_http(address: &Address) -> bool {
    matches!(address, Address::Http { .. } | Address::H2c { .. })
}

fn has_headers(address: &Address) -> bool {
    is_http(address) || matches!(address, Address::WebSocket { .. })
}

fn takes_text(address: &Address) -> bool {
    matches!(address, Address::Tcp { .. } | Address::Udp { .. })
}

fn takes_password(address: &Address) -> bool {
    matches!(address, Address::Redis { .. } | Address::Postgres { .. } | Address::Mysql { .. })
}

/// Where the parts of one target come from.
struct Source<'a> {
    args: &'a Args,
    config: &'a Config,
    /// Its name in the config; `None` when it was given by its address.
    name: Option<&'a str>,
    definition: config::Target,
}

/// `opened`: a breaker in the store, once there is one.
fn target(
    name: &str,
    args: &Args,
    config: &Config,
    opened: &mut Option<Arc<Circuit>>,
) -> Result<Target, Error> {
    let configured = config.targets.get(name);
    let definition = configured.cloned();
    let definition =
        definition.unwrap_or_else(|| config::Target { url: name.to_owned(), ..Default::default() });
    let source = Source { args, config, name: configured.map(|_| name), definition };
    let address: Address = match source.definition.url.parse() {
        Ok(address) => address,
        Err(AddressError::NoScheme(_)) if configured.is_none() => return Err(no_target(name, config)),
        Err(error) if configured.is_none() => return Err(Error::usage(error.to_string())),
        Err(error) => return Err(source.wrong("url", &error)),
    };
    let breaker = source.breaker()?;
    let target = Target {
        name: configured.map_or_else(|| address.shown(), |_| name.to_owned()),
        request: source.request(&address)?,
        expect: source.expect()?,
        shared: source.shared(&breaker, opened)?,
        breaker,
        address,
    };
    target.check().map_err(|misfit| source.misfit(misfit.part, &misfit))?;
    source.in_time(&target)?;
    Ok(target)
}

fn no_target(name: &str, config: &Config) -> Error {
    let error = Error::usage(format!("`{name}` is no URL, and no target of the config"));
    if let Some((host, rest)) = name.split_once(':') {
        let port = rest.split('/').next().unwrap_or_default();
        if !host.is_empty() && port.parse::<u16>().is_ok() {
            let tcp = if rest == port { format!(" or tcp://{name}") } else { String::new() };
            return error.hint(format!("did you mean http://{name}{tcp}?"));
        }
    }
    error.hint(match config::nearest(name, config.targets.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            "give a URL such as http://HOST:PORT/PATH or tcp://HOST:PORT, or the name of a [targets.NAME]"
                .into()
        }
    })
}

impl Source<'_> {
    /// An error in a value of the config.
    fn wrong(&self, key: &str, error: &dyn std::fmt::Display) -> Error {
        Error::usage(format!("{}: {error}", self.key(key)))
    }

    fn key(&self, key: &str) -> String {
        format!("targets.{}.{key}", self.name.unwrap_or_default())
    }

    /// An expectation that this kind of target cannot meet.
    fn misfit(&self, part: Part, error: &dyn std::fmt::Display) -> Error {
        let (id, key) = match part {
            Part::Status => ("expect_status", "expect.status"),
            Part::Header => ("expect_header", "expect.header"),
            Part::Body => ("expect_body", "expect.body"),
            Part::BodyRegex => ("expect_body_regex", "expect.body_regex"),
            Part::Json => ("expect_json", "expect.json"),
            Part::CertLife => ("expect_cert_life", "expect.cert_life"),
            Part::Answer => ("expect_answer", "expect.answer"),
            Part::Send => ("send", "send"),
        };
        if self.args.names.typed(id) || self.name.is_none() {
            return Error::usage(format!("{}: {error}", flag(id)));
        }
        self.wrong(key, error)
    }

    fn request(&self, address: &Address) -> Result<Request, Error> {
        let (args, definition) = (&self.args.request, &self.definition);
        let set = [
            ("method", definition.method.is_some() && !is_http(address)),
            ("headers", !definition.headers.is_empty() && !has_headers(address)),
            ("body", definition.body.is_some() && !is_http(address)),
            ("redirects", definition.redirects.is_some() && !is_http(address)),
        ];
        if let Some((key, _)) = set.into_iter().find(|(_, set)| *set) {
            return Err(self.wrong(key, &format!("a {} target sends no request", address.kind())));
        }
        let body = args.body.clone().or_else(|| definition.body.clone());
        let configured = definition.method.as_deref().map(method).transpose();
        let configured = configured.map_err(|error| self.wrong("method", &error))?;
        let implied = if body.is_some() { Method::POST } else { Method::GET };
        let mut headers = HeaderMap::new();
        for (name, value) in &definition.headers {
            let (name, value) = header(name, value).map_err(|error| self.wrong("headers", &error))?;
            headers.insert(name, value);
        }
        for (name, value) in &args.header {
            headers.insert(name.clone(), value.clone());
        }
        let redirects = self.args.rounds.redirects.or(definition.redirects);
        let redirects = redirects.or(self.config.profile.probe.redirects).unwrap_or_default();
        Ok(Request {
            method: args.method.clone().or(configured).unwrap_or(implied),
            headers,
            body,
            redirects,
            send: match (&args.send, &definition.send) {
                (Some(bytes), _) if takes_text(address) => Some(bytes.to_vec()),
                (_, text) => text.clone().map(String::into_bytes),
            },
            password: self.password(address)?,
        })
    }

    /// Of a flag or a profile, only those take it that can.
    fn password(&self, address: &Address) -> Result<Option<Password>, Error> {
        let own = self.definition.password_file.as_ref();
        let wrong = |why: String| match own {
            Some(_) => self.wrong("password_file", &why),
            None => Error::usage(format!("{}: {why}", self.args.names.of("probe", "password_file"))),
        };
        if !takes_password(address) {
            return match own {
                Some(_) => Err(wrong(format!("a {} target takes no password", address.kind()))),
                None => Ok(None),
            };
        }
        let knobs = &self.args.rounds.password_file;
        let path = knobs.as_ref().or(own).or(self.config.profile.probe.password_file.as_ref());
        let Some(path) = path else { return Ok(None) };
        if matches!(address, Address::Postgres { user: None, .. } | Address::Mysql { user: None, .. }) {
            let form = format!("{}://USER@HOST", address.kind());
            return Err(wrong(format!("nobody logs in with it: name the user in {form}")));
        }
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| wrong(format!("cannot read {}", path.display())).because(error))?;
        Ok(Some(Password::new(text.lines().next().unwrap_or_default().to_owned())))
    }

    fn expect(&self) -> Result<Expect, Error> {
        let (args, definition): (&ExpectArgs, _) = (&self.args.expect, &self.definition.expect);
        let wrong =
            |key: &'static str| move |error: ExpectError| self.wrong(&format!("expect.{key}"), &error);
        let status = definition.status.iter().map(|status| status.0.parse());
        let mut status: Vec<_> = status.collect::<Result<_, _>>().map_err(wrong("status"))?;
        if !args.expect_status.is_empty() {
            status.clone_from(&args.expect_status);
        }
        let headers = definition.header.iter().map(|(name, value)| HeaderMatch::new(name, value));
        let mut headers: Vec<_> = headers.collect::<Result<_, _>>().map_err(wrong("header"))?;
        headers.extend(args.expect_header.iter().cloned());
        let mut json = values(&definition.json).map_err(wrong("json"))?;
        json.extend(present(&definition.json_has).map_err(wrong("json_has"))?);
        json.extend(args.expect_json.iter().cloned());
        let pattern = definition.body_regex.as_deref().map(expect::regex);
        let pattern = pattern.transpose().map_err(wrong("body_regex"))?;
        let cert_life = definition.cert_life.as_deref().map(str::parse).transpose();
        let cert_life = cert_life.map_err(|error: String| self.wrong("expect.cert_life", &error))?;
        Ok(Expect {
            status,
            headers,
            body: args.expect_body.clone().or_else(|| definition.body.clone()),
            body_regex: args.expect_body_regex.clone().or(pattern),
            json,
            answers: if args.expect_answer.is_empty() {
                definition.answer.clone()
            } else {
                args.expect_answer.clone()
            },
            within: args.within.or(definition.within).map(|within| within.0),
            cert_life: args.expect_cert_life.or(cert_life),
        })
    }

    /// The target's own timeout stands below a flag and above the profile.
    fn breaker(&self) -> Result<breaker::Config, Error> {
        let own = BreakerKnobs { timeout: self.definition.timeout, ..BreakerKnobs::default() };
        let knobs = self.args.breaker.clone().or(own).or(self.config.profile.breaker.clone());
        breaker_config(knobs, |field| match field {
            "timeout" => self.timeout_name(),
            field => self.args.names.of("breaker", field),
        })
    }

    /// The one of the flag, or the target's own.
    fn shared(
        &self,
        breaker: &breaker::Config,
        opened: &mut Option<Arc<Circuit>>,
    ) -> Result<Option<Shared>, Error> {
        let args = &self.args.shared;
        let own = self.definition.breaker.as_deref().map(str::parse::<Name>).transpose();
        let own = own.map_err(|error| self.wrong("breaker", &error))?;
        let Some(name) = args.name().or(own.as_ref()) else { return Ok(None) };
        let circuit = Arc::new(args.circuit(name, breaker.clone(), opened.as_deref(), self.config)?);
        opened.get_or_insert_with(|| circuit.clone());
        Ok(Some(Shared { circuit, without_store: args.without_store() }))
    }

    fn timeout_name(&self) -> String {
        match (self.args.breaker.timeout, self.definition.timeout) {
            (None, Some(_)) => self.key("timeout"),
            _ => self.args.names.of("breaker", "timeout"),
        }
    }

    /// No answer is late that was given up before.
    fn in_time(&self, target: &Target) -> Result<(), Error> {
        match target.expect.within {
            Some(within) if within >= target.timeout() => {
                let name = if self.args.expect.within.is_some() {
                    "--within".to_owned()
                } else {
                    self.key("expect.within")
                };
                Err(Error::usage(format!(
                    "{name} ({}) must be shorter than {} ({}), which ends a call before it could be late",
                    Duration(within),
                    self.timeout_name(),
                    Duration(target.timeout())
                )))
            }
            _ => Ok(()),
        }
    }
}

/// An HTTP method by its name, in any case.
pub fn method(name: &str) -> Result<Method, String> {
    Method::from_bytes(name.to_uppercase().as_bytes()).map_err(|_| format!("{name:?} is no HTTP method"))
}

/// A header to send. The value may be a secret, so an error does not show it.
pub fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let name: HeaderName = name.trim().parse().map_err(|_| format!("{name:?} is no header name"))?;
    let value =
        HeaderValue::from_str(value.trim()).map_err(|_| format!("header {name} has no valid value"))?;
    Ok((name, value))
}

/// A text with `\r \n \t \0 \\ \xHH` for bytes that no shell likes.
pub fn bytes(text: &str) -> Result<Bytes, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let wrong = || format!("\\{after} is none of \\r \\n \\t \\0 \\\\ \\xHH");
        let kind = after.chars().next().ok_or_else(wrong)?;
        let (byte, length) = match kind {
            'r' => (b'\r', 1),
            'n' => (b'\n', 1),
            't' => (b'\t', 1),
            '0' => (0, 1),
            '\\' => (b'\\', 1),
            'x' => {
                let digits = after.get(1..3).filter(|digits| digits.bytes().all(|d| d.is_ascii_hexdigit()));
                (digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or_else(wrong)?, 3)
            }
            _ => return Err(wrong()),
        };
        bytes.push(byte);
        rest = &after[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes.into())
}

fn values(values: &BTreeMap<String, serde_json::Value>) -> Result<Vec<JsonMatch>, ExpectError> {
    values.iter().map(|(path, value)| JsonMatch::new(path, Some(value.clone()))).collect()
}

fn present(paths: &[String]) -> Result<Vec<JsonMatch>, ExpectError> {
    paths.iter().map(|path| JsonMatch::new(path, None)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_in_c() {
        assert_eq!(bytes(r"a\r\n\x00\xfF\0\\b").unwrap()[..], *b"a\r\n\x00\xff\0\\b");
        for wrong in [r"\", r"\q", r"\x", r"\x1", r"\x+1", r"\ä"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
