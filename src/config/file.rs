//! The shape of hardy.toml, and errors that show the place and the nearest name.

use std::collections::BTreeMap;
use std::error::Error as _;

use clap::error::ContextKind;
use clap::{Args, Command};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::knobs::{BreakerKnobs, Layer, LoadKnobs, LockKnobs, ProbeKnobs, ServeKnobs, StoreKnobs, TlsKnobs};
use super::target::Target;
use crate::error::Error;
use crate::text::{nearest, place};

/// A config file.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// Where shared state lives; without it, on this host.
    pub store: StoreKnobs,
    /// What probe, load and tls can be pointed at by name.
    pub targets: BTreeMap<String, Target>,
    /// Settings by profile; `default` applies always, another one when it is chosen.
    pub profile: BTreeMap<String, Profile>,
}

/// The settings of one profile, by command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Where shared state lives, over the `[store]` of the file.
    pub store: StoreKnobs,
    /// Circuit breakers.
    pub breaker: BreakerKnobs,
    /// Loads.
    pub load: LoadKnobs,
    /// Locks.
    pub lock: LockKnobs,
    /// The rounds of a probe.
    pub probe: ProbeKnobs,
    /// The HTTP server.
    pub serve: ServeKnobs,
    /// Checks of TLS.
    pub tls: TlsKnobs,
}

impl Layer for Profile {
    fn or(self, lower: Profile) -> Profile {
        let Profile { store, breaker, load, lock, probe, serve, tls } = self;
        Profile {
            store: store.or(lower.store),
            breaker: breaker.or(lower.breaker),
            load: load.or(lower.load),
            lock: lock.or(lower.lock),
            probe: probe.or(lower.probe),
            serve: serve.or(lower.serve),
            tls: tls.or(lower.tls),
        }
    }
}

impl Profile {
    /// The settings that the environment has, read by the same definitions as the flags.
    pub(super) fn from_environment() -> Result<Profile, Error> {
        Ok(Profile {
            store: section()?,
            breaker: section()?,
            load: section()?,
            lock: section()?,
            probe: section()?,
            serve: section()?,
            tls: section()?,
        })
    }
}

/// Reads one section's knobs from the environment alone.
fn section<T: Args>() -> Result<T, Error> {
    let command = T::augment_args(Command::new("environment")).no_binary_name(true);
    let knobs = command.clone().try_get_matches_from([""; 0]).and_then(|m| T::from_arg_matches(&m));
    knobs.map_err(|e| invalid_variable(&e, &command))
}

/// The parser speaks of flags; who set a variable wants to read its name.
fn invalid_variable(error: &clap::Error, command: &Command) -> Error {
    let flag = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
    let long = flag.trim_start_matches("--").split(' ').next();
    let arg = command.get_arguments().find(|arg| arg.get_long() == long);
    let variable = arg.and_then(clap::Arg::get_env).map(|name| name.to_string_lossy());
    let cause = error.source().map(ToString::to_string).unwrap_or_else(|| error.kind().to_string());
    Error::usage(format!("{} in the environment is not valid", variable.unwrap_or("a setting".into())))
        .because(cause)
}

/// A TOML error with file, line, column and, for an unknown key, the nearest known one.
pub(super) fn located(error: &toml::de::Error, text: &str, name: &str) -> Error {
    let (line, column) = place(text, error.span().map_or(0, |span| span.start));
    let at = format!("{name}:{line}:{column}");
    // serde names the unknown key first and the known ones after it, each between backticks.
    let quoted: Vec<&str> = error.message().split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((unknown, known)) if error.message().starts_with("unknown field") => {
            let hint = match nearest(unknown, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            Error::usage(format!("{at}: unknown key `{unknown}`")).hint(hint)
        }
        _ => Error::usage(format!("{at}: {}", error.message().trim_end().replace('\n', "; ")))
            .hint("`hardy config schema` prints what a config file may hold"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(text: &str) -> (String, Option<String>) {
        let error = super::super::parse(text, "hardy.toml").unwrap_err();
        (error.to_string(), error.advice().map(str::to_owned))
    }

    #[test]
    fn an_unknown_key_has_a_place_and_the_nearest_name() {
        let (what, hint) = failure("[profile.ci.breaker]\nerror_treshold = \"5%\"\n");
        assert_eq!(what, "hardy.toml:2:1: unknown key `error_treshold`");
        assert_eq!(hint.unwrap(), "did you mean `error_threshold`?");
        let (what, hint) = failure("[zebra]\n");
        assert_eq!(what, "hardy.toml:1:2: unknown key `zebra`");
        assert!(hint.unwrap().starts_with("known here: "));
    }

    #[test]
    fn a_wrong_value_has_a_place_and_the_form() {
        let (what, _) = failure("[profile.ci.breaker]\n  timeout = \"5 sec\"\n");
        assert!(what.starts_with("hardy.toml:2:13: invalid value \"5 sec\": expected a duration"), "{what}");
        let (what, _) = failure("[profile.ci.breaker]\nvolume = \"many\"\n");
        assert!(what.starts_with("hardy.toml:2:10: invalid type"), "{what}");
        let (what, _) = failure("[targets.api]\nurl = \n");
        assert!(what.starts_with("hardy.toml:2:"), "{what}");
    }

    #[test]
    fn a_layer_covers_only_what_it_sets() {
        let upper: Profile = toml::from_str("breaker.volume = 5").unwrap();
        let lower: Profile = toml::from_str("breaker.volume = 7\nbreaker.timeout = \"2s\"").unwrap();
        let merged = upper.or(lower);
        assert_eq!(merged.breaker.volume, Some(5));
        assert_eq!(merged.breaker.timeout.unwrap().to_string(), "2s");
    }
}
