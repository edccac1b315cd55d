//! How an error calls a setting: by the flag that was typed, by its variable, or by its key in the config.
//! Nobody is to read of a flag that nobody typed.

use std::collections::BTreeMap;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, Id};

use crate::config::variable;

/// Where each argument of the command line came from. It adds none of its own.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeMap<String, ValueSource>);

impl Names {
    /// Was the argument typed, and not only set by a variable?
    pub fn typed(&self, id: &str) -> bool {
        self.0.get(id) == Some(&ValueSource::CommandLine)
    }

    /// All that were typed; groups of arguments have names with capitals.
    pub fn all_typed(&self) -> impl Iterator<Item = &str> {
        let typed = self.0.iter().filter(|(_, source)| **source == ValueSource::CommandLine);
        typed.map(|(id, _)| id.as_str()).filter(|id| !id.contains(char::is_uppercase))
    }

    /// The setting's name as the user knows it.
    pub fn of(&self, section: &str, knob: &str) -> String {
        match self.0.get(knob) {
            Some(ValueSource::CommandLine) => flag(knob),
            Some(ValueSource::EnvVariable) => variable(section, knob),
            _ => format!("{section}.{knob}"),
        }
    }
}

/// The flag of an argument.
pub fn flag(id: &str) -> String {
    format!("--{}", id.replace('_', "-"))
}

impl clap::FromArgMatches for Names {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let source = |id: &Id| Some((id.to_string(), matches.value_source(id.as_str())?));
        Ok(Names(matches.ids().filter_map(source).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Names::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Names {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}
