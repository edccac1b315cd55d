//! From what was typed and configured to the plan of a run.

use std::time;

use super::targets::{all, applicable};
use super::{Args, RequestArgs};
use crate::address::Address;
use crate::cmd::names::Names;
use crate::config::{Config, FailOn, Layer, ProbeKnobs, need};
use crate::error::Error;
use crate::http::{Proxies, Trust, is_proxy, read_ca};
use crate::probe::{self, Means, Pace, Plan, Retry, Streaks, Target, Until};
use crate::units::Duration;

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
        let targets = all(&args, config)?;
        if targets.is_empty() {
            return Err(Error::usage("no target to probe").hint(
                "give one, as in `hardy probe http://127.0.0.1:8080`, or define [targets.NAME] in hardy.toml",
            ));
        }
        applicable(&args, &targets)?;
        if args.names.typed("wait") && args.until.is_none() {
            return Err(Error::usage("--wait has no meaning without --until")
                .hint("add --until up, or say with --timeout how long one call may take"));
        }
        Settings::with(args, targets, config)
    }

    /// Everything but the choice of the targets.
    pub fn with(args: Args, targets: Vec<Target>, config: &Config) -> Result<Settings, Error> {
        let names = &args.names;
        let knobs = args.rounds.clone().or(config.profile.probe.clone());
        let fail_on = need(knobs.fail_on, "probe.fail_on")?;
        let wait = need(knobs.wait, "probe.wait")?.0;
        let until = args.until.map(|goal| Until { goal: engine_goal(goal, fail_on), wait });
        let endless = args.watch || until.is_some();
        at_least_1(names, "count", knobs.count)?;
        let plan = Plan {
            targets,
            means: means(&args.request, names, &knobs)?,
            pace: Pace {
                count: if endless { args.rounds.count } else { knobs.count },
                interval: at_least_1ms(names, "interval", knobs.interval)?,
            },
            retry: Retry {
                most: need(knobs.retries, "probe.retries")?,
                backoff: at_least_1ms(names, "retry_backoff", knobs.retry_backoff)?,
            },
            streaks: Streaks {
                up_after: at_least_1(names, "up_after", knobs.up_after)?,
                down_after: at_least_1(names, "down_after", knobs.down_after)?,
            },
            // Who waits for a target wants to hear of it at once, not at the next trial.
            breaking: !args.no_breaker && until.is_none(),
            until,
            fallback: knobs.fallback,
        };
        Ok(Settings { plan, watch: args.watch, fail_on })
    }
}

/// Refuses variables that reqwest would silently ignore, when any target goes by them.
pub fn check_proxies(targets: &[Target], variables: &[(&str, String)]) -> Result<(), Error> {
    if !targets.iter().any(|target| matches!(target.address, Address::Http { socket: None, .. })) {
        return Ok(());
    }
    match variables.iter().find(|(_, value)| !is_proxy(value)) {
        None => Ok(()),
        // Not with its value, which may hold a password.
        Some((name, _)) => Err(Error::usage(format!("the variable {name} holds no address of a proxy"))
            .hint("set it to http://HOST:PORT or socks5://HOST:PORT, or unset it")),
    }
}

fn engine_goal(goal: Goal, fail_on: FailOn) -> probe::Goal {
    match (goal, fail_on) {
        (Goal::Down, _) => probe::Goal::Down,
        (Goal::Up, FailOn::Degraded) => probe::Goal::Up,
        (Goal::Up, FailOn::Down) => probe::Goal::Answering,
    }
}

fn at_least_1(names: &Names, knob: &str, value: Option<u64>) -> Result<u64, Error> {
    match need(value, &format!("probe.{knob}"))? {
        0 => Err(Error::usage(format!("{} must be at least 1, not 0", names.of("probe", knob)))),
        number => Ok(number),
    }
}

fn at_least_1ms(names: &Names, knob: &str, value: Option<Duration>) -> Result<time::Duration, Error> {
    match need(value, &format!("probe.{knob}"))? {
        Duration(short) if short < time::Duration::from_millis(1) => Err(Error::usage(format!(
            "{} must be at least 1ms, not {}",
            names.of("probe", knob),
            Duration(short)
        ))),
        Duration(long) => Ok(long),
    }
}

fn means(request: &RequestArgs, names: &Names, knobs: &ProbeKnobs) -> Result<Means, Error> {
    let trust = match &knobs.ca {
        _ if request.insecure => Trust::anyone(),
        Some(path) => {
            let certificates = read_ca(path);
            let wrong = |error| Error::usage(names.of("probe", "ca")).because(error);
            Trust::roots(certificates.map_err(wrong)?)
        }
        None => Trust::roots(Vec::new()),
    };
    let overrides = request.resolve.iter().cloned().collect();
    Ok(Means { trust, overrides, proxies: Proxies::of_the_system() })
}
