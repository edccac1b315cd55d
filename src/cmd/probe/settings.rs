//! From what was typed and configured to the plan of a run.

use std::collections::{BTreeMap, HashSet};
use std::time;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::{Args, ExpectArgs, RequestArgs};
use crate::breaker;
use crate::config::{self, BreakerKnobs, Config, FailOn, Layer, ProbeKnobs, need};
use crate::error::Error;
use crate::http::{Proxies, Trust, read_ca};
use crate::probe::expect::{self, Expect, HeaderMatch, JsonMatch};
use crate::probe::{self, Address, AddressError, Means, Pace, Plan, Request, Retry, Streaks, Target, Until};
use crate::units::{Duration, Percent};

/// What `--until` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Goal {
    /// All targets answer as expected.
    Up,
    /// No target does.
    Down,
}

/// What the arguments and the config mean together.
pub struct Settings {
    /// What the engine does.
    pub plan: Plan,
    /// Go on until interrupted.
    pub watch: bool,
    /// What makes the verdict bad.
    pub fail_on: FailOn,
}

impl Settings {
    /// # Errors
    /// Usage errors, each naming what is wrong.
    pub fn resolve(args: Args, config: &Config) -> Result<Settings, Error> {
        let knobs = args.rounds.clone().or(config.profile.probe.clone());
        let fail_on = need(knobs.fail_on, "probe.fail_on")?;
        let until = match args.until {
            None => None,
            Some(goal) => {
                Some(Until { goal: engine_goal(goal, fail_on), wait: need(knobs.wait, "probe.wait")?.0 })
            }
        };
        let endless = args.watch || until.is_some();
        let count = if endless { args.rounds.count } else { knobs.count };
        let plan = Plan {
            targets: targets(&args, &knobs, config)?,
            means: means(&args.request, &knobs)?,
            pace: Pace { count, interval: at_least_1ms(knobs.interval, "interval")? },
            retry: Retry {
                most: need(knobs.retries, "probe.retries")?,
                backoff: at_least_1ms(knobs.retry_backoff, "retry_backoff")?,
            },
            streaks: Streaks {
                up_after: at_least_1(knobs.up_after, "up_after")?,
                down_after: at_least_1(knobs.down_after, "down_after")?,
            },
            until,
            fallback: knobs.fallback,
            breaking: !args.no_breaker,
        };
        if plan.pace.count == Some(0) {
            return Err(Error::usage("count must be at least 1"));
        }
        Ok(Settings { plan, watch: args.watch, fail_on })
    }
}

fn engine_goal(goal: Goal, fail_on: FailOn) -> probe::Goal {
    match (goal, fail_on) {
        (Goal::Down, _) => probe::Goal::Down,
        (Goal::Up, FailOn::Degraded) => probe::Goal::Up,
        (Goal::Up, FailOn::Down) => probe::Goal::Answering,
    }
}

fn at_least_1(value: Option<u64>, name: &str) -> Result<u64, Error> {
    match need(value, &format!("probe.{name}"))? {
        0 => Err(Error::usage(format!("{} must be at least 1", name.replace('_', "-")))),
        number => Ok(number),
    }
}

fn at_least_1ms(value: Option<Duration>, name: &str) -> Result<time::Duration, Error> {
    match need(value, &format!("probe.{name}"))?.0 {
        short if short < time::Duration::from_millis(1) => {
            Err(Error::usage(format!("{} must be at least 1ms", name.replace('_', "-"))))
        }
        duration => Ok(duration),
    }
}

fn means(request: &RequestArgs, knobs: &ProbeKnobs) -> Result<Means, Error> {
    let trust = match &knobs.ca {
        _ if request.insecure => Trust::anyone(),
        Some(path) => {
            Trust::roots(read_ca(path).map_err(|e| Error::usage("cannot trust the file of --ca").because(e))?)
        }
        None => Trust::roots(Vec::new()),
    };
    Ok(Means {
        trust,
        overrides: request.resolve.iter().cloned().collect(),
        proxies: Proxies::of_the_system(),
    })
}

/// The targets asked for, each once, or all of the config.
fn targets(args: &Args, knobs: &ProbeKnobs, config: &Config) -> Result<Vec<Target>, Error> {
    let mut names: Vec<&str> = args.targets.iter().map(String::as_str).collect();
    if names.is_empty() {
        names = config.targets.keys().map(String::as_str).collect();
    }
    if names.is_empty() {
        return Err(Error::usage("no target to probe").hint(
            "give one, as in `hardy probe http://127.0.0.1:8080`, or define [targets.NAME] in hardy.toml",
        ));
    }
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(*name));
    names.into_iter().map(|name| target(name, args, knobs, config)).collect()
}

fn target(name: &str, args: &Args, knobs: &ProbeKnobs, config: &Config) -> Result<Target, Error> {
    let wrong = |error: &dyn std::fmt::Display| Error::usage(format!("target {name}: {error}"));
    let (definition, configured) = match config.targets.get(name) {
        Some(definition) => (definition.clone(), true),
        None => (config::Target { url: name.to_owned(), ..Default::default() }, false),
    };
    let address: Address = match definition.url.parse() {
        Ok(address) => address,
        Err(AddressError::NoScheme(_)) if !configured => return Err(no_target(name, config)),
        Err(error) if configured => return Err(wrong(&error)),
        Err(error) => return Err(Error::usage(error.to_string())),
    };
    let target = Target {
        name: if configured { name.to_owned() } else { address.shown() },
        request: request(&definition, &args.request, args.rounds.redirects.or(definition.redirects), knobs)
            .map_err(|error| wrong(&error))?,
        expect: expect(&definition.expect, &args.expect).map_err(|error| wrong(&error))?,
        breaker: breaker(args, definition.timeout, &config.profile.breaker)?,
        address,
    };
    target.check().map_err(|error| Error::usage(error.to_string()))?;
    Ok(target)
}

fn no_target(name: &str, config: &Config) -> Error {
    let hint = match config::nearest(name, config.targets.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            "give a URL such as http://HOST:PORT/PATH or tcp://HOST:PORT, or the name of a [targets.NAME]"
                .into()
        }
    };
    Error::usage(format!("`{name}` is no URL, and no target of the config")).hint(hint)
}

fn request(
    definition: &config::Target,
    args: &RequestArgs,
    redirects: Option<u32>,
    knobs: &ProbeKnobs,
) -> Result<Request, String> {
    let body = args.body.clone().or_else(|| definition.body.clone());
    let method = args.method.as_ref().or(definition.method.as_ref());
    let method = match method {
        Some(name) => Method::from_bytes(name.to_uppercase().as_bytes())
            .map_err(|_| format!("{name:?} is no HTTP method"))?,
        None if body.is_some() => Method::POST,
        None => Method::GET,
    };
    let mut headers = HeaderMap::new();
    let configured = definition.headers.iter().map(|(name, value)| Ok((name.as_str(), value.as_str())));
    let typed = args.header.iter().map(|text| {
        text.split_once(':').ok_or_else(|| format!("{text:?} is no header: expected NAME: VALUE"))
    });
    for header in configured.chain(typed) {
        let (name, value) = header?;
        let name: HeaderName = name.trim().parse().map_err(|_| format!("{name:?} is no header name"))?;
        let value =
            HeaderValue::from_str(value.trim()).map_err(|_| format!("header {name} has no valid value"))?;
        headers.insert(name, value);
    }
    Ok(Request { method, headers, body, redirects: redirects.or(knobs.redirects).unwrap_or_default() })
}

fn expect(definition: &config::Expect, args: &ExpectArgs) -> Result<Expect, expect::ExpectError> {
    let status = definition.status.iter().map(|status| status.0.parse());
    let mut status: Vec<_> = status.collect::<Result<_, _>>()?;
    if !args.expect_status.is_empty() {
        status.clone_from(&args.expect_status);
    }
    let headers = definition.header.iter().map(|(name, value)| HeaderMatch::new(name, value));
    let mut headers: Vec<_> = headers.collect::<Result<_, _>>()?;
    headers.extend(args.expect_header.iter().cloned());
    let mut json = json(&definition.json, &definition.json_has)?;
    json.extend(args.expect_json.iter().cloned());
    let pattern = args.expect_body_regex.as_ref().or(definition.body_regex.as_ref());
    Ok(Expect {
        status,
        headers,
        body: args.expect_body.clone().or_else(|| definition.body.clone()),
        body_regex: pattern.map(|pattern| expect::regex(pattern)).transpose()?,
        json,
        within: args.within.or(definition.within).map(|within| within.0),
    })
}

fn json(
    values: &BTreeMap<String, serde_json::Value>,
    present: &[String],
) -> Result<Vec<JsonMatch>, expect::ExpectError> {
    let values = values.iter().map(|(path, value)| JsonMatch::new(path, Some(value.clone())));
    values.chain(present.iter().map(|path| JsonMatch::new(path, None))).collect()
}

/// `timeout` is the target's own: below a flag, above the profile.
fn breaker(args: &Args, timeout: Option<Duration>, profile: &BreakerKnobs) -> Result<breaker::Config, Error> {
    let own = BreakerKnobs { timeout, ..BreakerKnobs::default() };
    let knobs = args.breaker.clone().or(own).or(profile.clone());
    let BreakerKnobs { timeout, max_concurrent, error_threshold, volume, window, cooldown, slow } = knobs;
    let cooldown = need(cooldown, "breaker.cooldown")?.0;
    let rest = breaker::Config::default();
    // Who waits for a target wants to hear of it soon: no longer and longer pauses between the trials.
    let cooldown_max = if args.until.is_some() { cooldown } else { rest.cooldown_max.max(cooldown) };
    let config = breaker::Config {
        timeout: need(timeout, "breaker.timeout")?.0,
        max_concurrent: need(max_concurrent, "breaker.max_concurrent")?,
        error_threshold_percent: whole_percent(need(error_threshold, "breaker.error_threshold")?)?,
        request_volume: need(volume, "breaker.volume")?,
        window: need(window, "breaker.window")?.0,
        cooldown,
        cooldown_max,
        slow: slow.map(|slow| slow.0),
        seed: fastrand::u64(..),
        ..rest
    };
    config.validate().map_err(|error| Error::usage(error.to_string()))?;
    Ok(config)
}

fn whole_percent(percent: Percent) -> Result<u8, Error> {
    let Percent(share) = percent;
    if share.fract() != 0.0 {
        return Err(Error::usage(format!(
            "breaker error_threshold must be a whole percentage, not {percent}"
        )));
    }
    // Percent is 0 to 100.
    Ok(share as u8)
}
