//! From what was typed and configured to the plan of a run.

use std::sync::Arc;
use std::time;

use reqwest::Url;
use rustls::sign::CertifiedKey;

use super::targets::{all, applicable};
use super::{Args, RequestArgs};
use crate::address::Address;
use crate::cmd::breakers::SharedArgs;
use crate::cmd::names::{Names, flag};
use crate::config::{Config, FailOn, Layer, ProbeKnobs, need};
use crate::error::Error;
use crate::http::{Proxies, Trust, is_proxy, read_ca, read_identity};
use crate::probe::notify::{Patience, Way};
use crate::probe::{self, FlapRule, Means, Pace, Plan, Retry, Streaks, Target, Until};
use crate::serve;
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
    /// In the words and with the exit codes of Nagios.
    pub nagios: bool,
    /// Who is told of changes.
    pub ways: Vec<Way>,
    /// How long, and how often.
    pub patience: Patience,
    /// Where metrics are served.
    pub listen: Option<serve::Address>,
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
        if targets.iter().all(|target| target.shared.is_none()) {
            SharedArgs::need_one(&args.names)?;
        }
        if args.names.typed("wait") && args.until.is_none() {
            return Err(Error::usage("--wait has no meaning without --until")
                .hint("add --until up, or say with --timeout how long one call may take"));
        }
        let of_watch = ["exec", "webhook", "listen"];
        if let Some(name) = of_watch.into_iter().find(|name| args.names.typed(name) && !args.watch) {
            return Err(Error::usage(format!("{} has no meaning without --watch", flag(name))));
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
            flapping: flap_rule(names, &knobs)?,
            fallback: knobs.fallback.clone(),
        };
        let patience = patience(names, &knobs)?;
        let (ways, listen) = (ways(names, &knobs, &plan.means)?, listen(names, &knobs)?);
        let (ways, listen) = if args.watch { (ways, listen) } else { (Vec::new(), None) };
        Ok(Settings { plan, watch: args.watch, fail_on, nagios: args.nagios, ways, patience, listen })
    }
}

/// The longest first pause before a notice is sent again.
const NOTIFY_BACKOFF: time::Duration = time::Duration::from_secs(1);

fn patience(names: &Names, knobs: &ProbeKnobs) -> Result<Patience, Error> {
    Ok(Patience {
        retry: Retry { most: need(knobs.notify_retries, "probe.notify_retries")?, backoff: NOTIFY_BACKOFF },
        timeout: at_least_1ms(names, "notify_timeout", knobs.notify_timeout)?,
    })
}

fn flap_rule(names: &Names, knobs: &ProbeKnobs) -> Result<FlapRule, Error> {
    let window = at_least_1ms(names, "flap_window", knobs.flap_window)?;
    match need(knobs.flap_changes, "probe.flap_changes")? {
        1 => {
            Err(Error::usage(format!("{} must be 0 or at least 2, not 1", names.of("probe", "flap_changes"))))
        }
        changes => Ok(FlapRule { changes, window }),
    }
}

fn ways(names: &Names, knobs: &ProbeKnobs, means: &Means) -> Result<Vec<Way>, Error> {
    let mut ways: Vec<Way> = knobs.exec.iter().cloned().map(Way::Exec).collect();
    if let Some(text) = &knobs.webhook {
        let url = text.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        // Not with its value, which may be a secret.
        let wrong = || Error::usage(format!("{} is no http or https URL", names.of("probe", "webhook")));
        let (trust, overrides) = (means.trust.clone(), means.overrides.clone());
        ways.push(Way::Webhook { url: url.ok_or_else(wrong)?, trust, overrides });
    }
    Ok(ways)
}

fn listen(names: &Names, knobs: &ProbeKnobs) -> Result<Option<serve::Address>, Error> {
    let wrong = |error| Error::usage(format!("{}: {error}", names.of("probe", "listen")));
    knobs.listen.as_deref().map(str::parse).transpose().map_err(wrong)
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

fn identity(knobs: &ProbeKnobs) -> Result<Option<Arc<CertifiedKey>>, Error> {
    match (&knobs.cert, &knobs.key) {
        (Some(certificate), Some(key)) => {
            let identity = read_identity(certificate, key);
            identity
                .map(Some)
                .map_err(|error| Error::usage("the client certificate cannot be used").because(error))
        }
        (None, None) => Ok(None),
        _ => Err(Error::usage("probe.cert and probe.key belong together: one of them is missing")
            .hint("give --cert FILE and --key FILE")),
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
    let trust = trust.with_identity(identity(knobs)?);
    Ok(Means { trust, overrides, proxies: Proxies::of_the_system(), family: request.family() })
}
