//! From what was typed and configured to a run that can be started.

use std::sync::Arc;
use std::time;

use reqwest::Url;
use rustls::pki_types::ServerName;

use super::request;
use super::run::{Args, ConnectionArgs, WhenOpenArg};
use crate::address::{Address, AddressError};
use crate::breaker;
use crate::circuit::Circuit;
use crate::cmd::breaker_config::breaker_config;
use crate::cmd::breakers::SharedArgs;
use crate::cmd::names::Names;
use crate::config::{self, Config, Layer, LoadKnobs, need};
use crate::error::Error;
use crate::http::{Trust, lookup, read_ca, read_identity};
use crate::load::endpoint::{Endpoint, Tls, Way};
use crate::load::guard::WhenOpen;
use crate::load::http1::Http1;
use crate::load::http2::Http2;
use crate::load::plan::{Expected, Pace, Plan, Stop};
use crate::load::request::Requests;
use crate::load::run::{Seat, Transport};
use crate::load::schedule::{Schedule, Stage};
use crate::units::Duration;

/// A run, ready to be started, again and again.
#[derive(Clone)]
pub struct Prepared {
    /// How reports call the target: without secrets.
    pub target: String,
    /// What is done.
    pub plan: Plan,
    /// Over what.
    pub wire: Wire,
}

/// A transport.
#[derive(Clone)]
pub enum Wire {
    /// HTTP/1.1.
    Http1(Arc<Http1>),
    /// HTTP/2.
    Http2(Arc<Http2>),
}

impl Transport for Wire {
    fn work(&self, seat: Seat) {
        match self {
            Wire::Http1(http1) => http1.work(seat),
            Wire::Http2(http2) => http2.work(seat),
        }
    }
}

/// A breaker in front of a run.
pub enum Breaker {
    /// None.
    None,
    /// Of the run alone.
    Own(breaker::Config, WhenOpen),
    /// Of a store; last whether requests are sent without an answer of it.
    Shared(Circuit, WhenOpen, bool),
}

/// What the arguments and the config mean together.
pub struct Settings {
    /// The run.
    pub run: Prepared,
    /// What stands in front of it.
    pub breaker: Breaker,
    /// What people should know of what is sent.
    pub warnings: Vec<String>,
}

impl Settings {
    /// # Errors
    /// Usage errors, each naming what is wrong; a name that cannot be looked up.
    pub async fn resolve(args: &Args, config: &Config) -> Result<Settings, Error> {
        let knobs = args.knobs.clone().or(config.profile.load.clone());
        let target = Target::find(args, config)?;
        let sent = request::resolve(&args.request, &target.origin(args))?;
        let plan = plan(args, &knobs, &target, sent.schedule)?;
        let breaker = breaker(args, config, plan.timeout)?;
        let wire = wire(args, &knobs, &target, sent.requests).await?;
        Ok(Settings { run: Prepared { target: target.name, plan, wire }, breaker, warnings: sent.warnings })
    }
}

/// The settings of the config that can be wrong by themselves.
///
/// # Errors
/// The first that is.
pub fn check(config: &Config) -> Result<(), Error> {
    let knobs = &config.profile.load;
    connections(&Names::default(), knobs)?;
    timeout(&Names::default(), knobs).map(drop)
}

/// What was pointed at.
struct Target {
    name: String,
    url: Url,
    socket: Option<std::path::PathBuf>,
    definition: config::Target,
}

impl Target {
    fn find(args: &Args, config: &Config) -> Result<Target, Error> {
        let Some(text) = &args.target else {
            return Err(Error::usage("no target to load")
                .hint("give one, as in `hardy load run http://127.0.0.1:8080`: no address is guessed"));
        };
        let configured = config.targets.get(text);
        let definition =
            configured.cloned().unwrap_or_else(|| config::Target { url: text.clone(), ..Default::default() });
        let address: Address = definition.url.parse().map_err(|error| match error {
            AddressError::NoScheme(_) if configured.is_none() => no_target(text, config),
            error => Error::usage(error.to_string()),
        })?;
        let name = if configured.is_some() { text.clone() } else { address.shown() };
        match address {
            Address::Http { url, socket } => Ok(Target { name, url, socket, definition }),
            other => {
                Err(Error::usage(format!("{name} cannot be loaded: it is a target of kind {}", other.kind()))
                    .hint("give a URL of http, https or unix+http; commands are run with --jobs"))
            }
        }
    }

    fn origin(&self, args: &Args) -> request::Origin<'_> {
        request::Origin {
            name: &self.name,
            url: &self.url,
            definition: &self.definition,
            keep_alive: !args.connection.no_keep_alive,
        }
    }

    fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }
}

fn no_target(name: &str, config: &Config) -> Error {
    let error = Error::usage(format!("`{name}` is no URL, and no target of the config"));
    let near = config::nearest(name, config.targets.keys().map(String::as_str));
    let port = name.split_once(':').is_some_and(|(host, rest)| {
        !host.is_empty() && rest.split('/').next().is_some_and(|port| port.parse::<u16>().is_ok())
    });
    error.hint(match near {
        _ if port => format!("did you mean http://{name}?"),
        Some(near) => format!("did you mean `{near}`?"),
        None => "give a URL such as http://HOST:PORT/PATH, or the name of a [targets.NAME]".into(),
    })
}

fn plan(args: &Args, knobs: &LoadKnobs, target: &Target, schedule: Option<Schedule>) -> Result<Plan, Error> {
    let workers = connections(&args.names, knobs)?;
    let needed = |value: Option<Duration>, name| Ok::<_, Error>(need(value, name)?.0);
    if args.requests == Some(0) {
        return Err(Error::usage("--requests must be at least 1, not 0"));
    }
    let requests = match &schedule {
        Some(Schedule::Times(times)) => Some(args.requests.unwrap_or(u64::MAX).min(times.len() as u64)),
        _ => args.requests,
    };
    let ends = requests.is_some() || args.stages.is_some();
    let pace = match schedule {
        Some(schedule) => Pace::Open(Arc::new(schedule)),
        None => pace(args)?,
    };
    let typed = args.knobs.duration;
    let duration = if ends { typed } else { knobs.duration };
    if duration.is_some_and(|d| d.0.is_zero()) {
        return Err(Error::usage(format!("{} must not be 0s", args.names.of("load", "duration"))));
    }
    let warm_up = needed(knobs.warm_up, "load.warm_up")?;
    if duration.is_some_and(|duration| duration.0 <= warm_up) {
        return Err(Error::usage(format!(
            "{} ({}) must be shorter than the run",
            args.names.of("load", "warm_up"),
            Duration(warm_up)
        )));
    }
    let ramp_up = needed(knobs.ramp_up, "load.ramp_up")?;
    if duration.is_some_and(|duration| duration.0 < ramp_up) {
        return Err(Error::usage(format!(
            "{} ({}) must not be longer than the run",
            args.names.of("load", "ramp_up"),
            Duration(ramp_up)
        )));
    }
    let expected = match (&args.expect_status[..], &target.definition.expect.status[..]) {
        ([], []) => Expected::default(),
        ([], configured) => {
            let ranges = configured.iter().map(|status| {
                status
                    .0
                    .parse::<crate::probe::expect::StatusRange>()
                    .map_err(|error| Error::usage(format!("targets.{}.expect.status: {error}", target.name)))
            });
            expected(&ranges.collect::<Result<Vec<_>, _>>()?)
        }
        (typed, _) => expected(typed),
    };
    Ok(Plan {
        pace,
        stop: Stop { requests, duration: duration.map(|d| d.0) },
        workers,
        threads: threads(need(knobs.threads, "load.threads")?, workers),
        warm_up,
        ramp_up,
        timeout: timeout(&args.names, knobs)?,
        grace: needed(knobs.grace, "load.grace")?,
        expected,
    })
}

fn expected(ranges: &[crate::probe::expect::StatusRange]) -> Expected {
    Expected::new(|status| ranges.iter().any(|range| range.has(status)))
}

/// More than any machine sends; due times are counted one by one.
pub(super) const HIGHEST: f64 = 10_000_000.0;

pub(super) fn pace(args: &Args) -> Result<Pace, Error> {
    let stages = match (&args.rate, &args.stages) {
        (None, None) if args.arrivals.is_some() => {
            return Err(Error::usage("--arrivals has no meaning without --rate or --stages"));
        }
        (None, None) => return Ok(Pace::Closed),
        (Some(rate), _) if rate.0 <= 0.0 => return Err(Error::usage("--rate must be more than 0/s")),
        (Some(rate), _) if rate.0 > HIGHEST => {
            return Err(Error::usage(format!("--rate must be at most {HIGHEST}/s")));
        }
        (Some(rate), _) => vec![Stage::for_ever(rate.0)],
        (None, Some(stages)) => stages.0.clone(),
    };
    let arrivals = args.arrivals.map(super::run::ArrivalsArg::engine).unwrap_or_default();
    Ok(Pace::Open(Arc::new(Schedule::Stages(stages, arrivals))))
}

fn connections(names: &Names, knobs: &LoadKnobs) -> Result<usize, Error> {
    match need(knobs.connections, "load.connections")? {
        0 => Err(Error::usage(format!("{} must be at least 1, not 0", names.of("load", "connections")))),
        number => Ok(number),
    }
}

fn timeout(names: &Names, knobs: &LoadKnobs) -> Result<time::Duration, Error> {
    match need(knobs.timeout, "load.timeout")?.0 {
        short if short < time::Duration::from_millis(1) => Err(Error::usage(format!(
            "{} must be at least 1ms, not {}",
            names.of("load", "timeout"),
            Duration(short)
        ))),
        long => Ok(long),
    }
}

/// A server on the same machine needs processors as well.
fn threads(wanted: usize, workers: usize) -> usize {
    let half = || (std::thread::available_parallelism().map_or(1, usize::from) / 2).max(1);
    let threads = if wanted == 0 { half() } else { wanted };
    threads.min(workers)
}

fn breaker(args: &Args, config: &Config, timeout: time::Duration) -> Result<Breaker, Error> {
    let when_open = args.when_open.map_or(WhenOpen::Abort, WhenOpenArg::engine);
    let numbers = || breaker_config(config.profile.breaker.clone(), |field| format!("breaker.{field}"));
    let Some(name) = args.shared.name() else {
        SharedArgs::need_one(&args.names)?;
        return match (args.own_breaker, args.when_open) {
            (true, _) => Ok(Breaker::Own(numbers()?, when_open)),
            (false, None) => Ok(Breaker::None),
            (false, Some(_)) => {
                Err(Error::usage("--when-open has no meaning without --breaker NAME or --own-breaker"))
            }
        };
    };
    // A request is given up by the load's own timeout.
    let numbers = breaker::Config { timeout, ..numbers()? };
    let circuit = args.shared.circuit(name, numbers, None, config)?;
    Ok(Breaker::Shared(circuit, when_open, args.shared.without_store()))
}

async fn wire(args: &Args, knobs: &LoadKnobs, target: &Target, requests: Requests) -> Result<Wire, Error> {
    let ways = &args.connection;
    let two = ways.http2 || ways.http2_prior_knowledge;
    if ways.http2 && !target.is_tls() {
        return Err(Error::usage("--http2 is agreed on by TLS, and this target has none")
            .hint("use --http2-prior-knowledge for HTTP/2 without TLS"));
    }
    if ways.cert.is_some() && !target.is_tls() {
        return Err(Error::usage("--cert has no meaning here: this target has no TLS"));
    }
    if ways.streams.is_some() && !two {
        return Err(Error::usage("--streams has no meaning without --http2"));
    }
    let endpoint = Endpoint {
        way: way(ways, target).await?,
        tls: target.is_tls().then(|| tls(ways, knobs, target, two)).transpose()?,
    };
    Ok(if two {
        Wire::Http2(Arc::new(Http2 { endpoint, requests, streams: ways.streams.unwrap_or(1).max(1) }))
    } else {
        Wire::Http1(Arc::new(Http1 { endpoint, requests, keep_alive: !ways.no_keep_alive }))
    })
}

async fn way(ways: &ConnectionArgs, target: &Target) -> Result<Way, Error> {
    if let Some(socket) = &target.socket {
        return Ok(Way::Unix(socket.clone()));
    }
    let host = target.url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = target.url.port_or_known_default().unwrap_or(80);
    let overrides: crate::http::Overrides = ways.resolve.iter().cloned().collect();
    let found = lookup::lookup(host, port, &overrides.seen_from(host, port)).await;
    found.map(Way::Tcp).map_err(|error| {
        Error::unknown(format!("cannot look up {host}"))
            .because(error.source)
            .hint(format!("check the name, or give its address with --resolve {host}:{port}:ADDRESS"))
    })
}

fn tls(ways: &ConnectionArgs, knobs: &LoadKnobs, target: &Target, two: bool) -> Result<Tls, Error> {
    let trust = match &knobs.ca {
        _ if ways.insecure => Trust::anyone(),
        Some(path) => Trust::roots(read_ca(path).map_err(|error| Error::usage("--ca").because(error))?),
        None => Trust::roots(Vec::new()),
    };
    trust.prepare();
    let identity = match (&ways.cert, &ways.key) {
        (Some(cert), Some(key)) => {
            Some(read_identity(cert, key).map_err(|error| Error::usage("--cert and --key").because(error))?)
        }
        _ => None,
    };
    let host =
        target.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let name =
        ServerName::try_from(host).map_err(|e| Error::usage("the host is no name for TLS").because(e))?;
    let alpn: &[u8] = if two { b"h2" } else { b"http/1.1" };
    Ok(Tls { config: Arc::new(trust.config_for(&[alpn], identity)), name })
}
