//! Which store the breakers are in, and their names for a shell that completes one.

use std::time::Duration;

use clap_complete::engine::ArgValueCandidates;

use crate::circuit::{Circuit, Name, Panel, Terms};
use crate::cmd::store::{failed, store};
use crate::complete;
use crate::config::{self, Config, Layer, StoreKnobs};
use crate::error::Error;
use crate::store::Settings;

/// A shell that completes waits no longer than this for names.
const PATIENCE: Duration = Duration::from_millis(250);

/// The flags of every breaker command.
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
