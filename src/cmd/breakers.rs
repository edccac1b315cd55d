//! The breakers of the store, for whoever calls through one: which store, which breaker, and their names for a shell that
//! completes one.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::time::Duration;

use clap::ValueEnum as _;
use clap_complete::engine::ArgValueCandidates;

use crate::breaker::{self, Refusal};
use crate::circuit::{Circuit, Name, Panel, Terms};
use crate::cmd::names::{Names, flag};
use crate::cmd::store::{failed, store};
use crate::complete;
use crate::config::{self, Config, Layer, StoreKnobs};
use crate::error::Error;
use crate::store::Settings;
use crate::units::{self, brief};

/// A shell that completes waits no longer than this for names.
const PATIENCE: Duration = Duration::from_millis(250);

/// Where the breakers are.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct StoreArgs {
    #[command(flatten)]
    knobs: StoreKnobs,
}

impl StoreArgs {
    /// One breaker, for calls.
    pub fn circuit(&self, name: Name, terms: Terms, config: &Config) -> Result<Circuit, Error> {
        let (settings, prefix) = self.settings(config)?;
        Circuit::open(&settings, &prefix, name, terms).map_err(failed)
    }

    /// All of them, for operators.
    pub fn panel(&self, config: &Config) -> Result<Panel, Error> {
        let (settings, prefix) = self.settings(config)?;
        Panel::open(&settings, &prefix).map_err(failed)
    }

    /// Where they are, for people.
    pub fn place(&self, config: &Config) -> Result<String, Error> {
        Ok(match self.settings(config)?.0 {
            Settings::Local(local) => format!("on this host ({})", local.directory.display()),
            Settings::Etcd(etcd) => format!("in etcd ({})", etcd.endpoints.join(", ")),
        })
    }

    fn settings(&self, config: &Config) -> Result<(Settings, String), Error> {
        store(self.knobs.clone().or(config.profile.store.clone()))
    }
}

/// What to do without an answer of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Unavailable {
    /// Call, uncounted.
    #[default]
    Allow,
    /// Do not.
    Deny,
}

/// What is held open without an end is told so.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Why a call is not made, for people.
pub fn refused(name: &Name, refusal: Refusal) -> String {
    match refusal {
        Refusal::ShortCircuited { retry_after } if retry_after >= FOR_EVER => {
            format!("{name} is held open: not called")
        }
        Refusal::ShortCircuited { retry_after } => {
            format!("{name} is open: not called, next trial in {}", brief(retry_after))
        }
        Refusal::Rejected { in_flight, limit } => {
            format!("{name}: not called, {in_flight} of at most {limit} calls are in flight")
        }
    }
}

/// `--breaker NAME` of those who send calls of their own.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(mut_arg("endpoints", |arg| arg.hide_short_help(true)))]
pub struct SharedArgs {
    /// Use this breaker, shared with all who name it
    ///
    /// It is that of `hardy breaker run NAME`: in the store, on this host or with --endpoints in etcd. It decides which
    /// calls are made, and counts them; `hardy breaker show NAME` has its counts.
    #[arg(long, value_name = "NAME", help_heading = "Circuit breaker", add = names())]
    breaker: Option<Name>,
    /// Trip the shared breaker only when so many hosts see it failing [default: 1]
    #[arg(long, value_name = "K", help_heading = "Circuit breaker", hide_short_help = true)]
    quorum: Option<NonZeroU32>,
    /// Without an answer of its store: allow calls, or deny them [default: allow]
    #[arg(
        long,
        value_name = "HOW",
        help_heading = "Circuit breaker",
        hide_possible_values = true,
        hide_short_help = true
    )]
    state_unavailable: Option<Unavailable>,
    /// Wait no longer for its store, before a call and after it [default: 1s, on this host 5s]
    #[arg(long, value_name = "D", help_heading = "Circuit breaker", hide_short_help = true)]
    state_within: Option<units::Duration>,
    #[command(flatten)]
    store: StoreArgs,
}

impl SharedArgs {
    /// Which breaker was named.
    pub fn name(&self) -> Option<&Name> {
        self.breaker.as_ref()
    }

    /// Whether calls are made without an answer of the store.
    pub fn without_store(&self) -> bool {
        self.state_unavailable.unwrap_or_default() == Unavailable::Allow
    }

    /// The breaker, for calls that are bounded as `breaker` says; over the connection of one `beside` it, if there is one.
    pub fn circuit(
        &self,
        name: &Name,
        breaker: breaker::Config,
        beside: Option<&Circuit>,
        config: &Config,
    ) -> Result<Circuit, Error> {
        let quorum = self.quorum.map_or(1, NonZeroU32::get);
        let patience = self.state_within.map(|units::Duration(time)| time);
        let terms = Terms { quorum, patience, ..Terms::of(breaker) };
        match beside {
            Some(other) => Ok(other.beside(name.clone(), terms)),
            None => self.store.circuit(name.clone(), terms, config),
        }
    }

    /// How `hardy breaker run` is told the same; the store is told it by variables.
    pub fn words(&self) -> Vec<OsString> {
        let word = |how: &Unavailable| how.to_possible_value().map(|value| value.get_name().to_owned());
        let all = [
            ("--quorum", self.quorum.map(|quorum| quorum.to_string())),
            ("--state-unavailable", self.state_unavailable.as_ref().and_then(word)),
            ("--state-within", self.state_within.map(|time| time.to_string())),
        ];
        let told = all.into_iter().filter_map(|(flag, value)| Some([flag.into(), value?.into()]));
        told.flatten().collect()
    }

    /// What begins a command that is to use the same store.
    pub fn variables(&self) -> Vec<OsString> {
        let variables = config::as_variables("store", &self.store.knobs);
        if variables.is_empty() {
            return Vec::new();
        }
        let set = variables.into_iter().map(|(name, value)| format!("{name}={value}").into());
        std::iter::once("env".into()).chain(set).collect()
    }

    /// Whether an argument is one of these.
    pub fn has(id: &str) -> bool {
        let own = <SharedArgs as clap::Args>::augment_args(clap::Command::new("shared"));
        own.get_arguments().any(|argument| argument.get_id() == id)
    }

    /// Whoever says something about a shared breaker expects one.
    pub fn need_one(names: &Names) -> Result<(), Error> {
        match names.all_typed().find(|id| SharedArgs::has(id)) {
            None => Ok(()),
            Some(id) => Err(Error::usage(format!("{} has no meaning without --breaker NAME", flag(id)))),
        }
    }
}

/// The names of the breakers in the configured store, for a shell that completes one.
pub fn names() -> ArgValueCandidates {
    complete::found(|source| {
        let config = Config::load(source).ok()?;
        let mut knobs = config::from_environment().ok()?.store;
        if let Some(endpoints) = complete::typed("--endpoints") {
            knobs.endpoints = Some(endpoints.to_str()?.split(',').map(str::to_owned).collect());
        }
        let panel = StoreArgs { knobs }.panel(&config).ok()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let listed = async { tokio::time::timeout(PATIENCE, panel.names()).await.ok()?.ok() };
        let names = runtime.block_on(listed);
        runtime.shutdown_background();
        Some(names?.iter().map(ToString::to_string).collect())
    })
}
