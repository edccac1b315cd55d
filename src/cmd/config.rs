//! `hardy config`: which settings are in force, why, and what a config file may hold.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use crate::app::App;
use crate::config::{Config, File, Source, Value};
use crate::error::Error;
use crate::exit::{Exit, Verdict};
use crate::output::{self, Human, Table};
use crate::units::counted;

/// Show, check and describe the configuration
#[derive(clap::Args, Debug)]
#[command(disable_help_subcommand = true)]
#[command(after_long_help = "\
Examples:
  hardy config show                          # every setting, and where it comes from
  hardy config show --profile ci --json
  hardy config check --config hardy.toml     # in a pipeline: exit 2 names file, line and column
  hardy config schema > hardy.schema.json    # for an editor")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Print every setting with its origin
    Show,
    /// Validate the config file
    Check,
    /// Print the JSON Schema of the config file
    Schema,
}

/// Runs the chosen action.
///
/// `checks` resolve the settings of the other commands, without doing anything.
pub fn run(args: Args, app: &App, checks: &[Check]) -> Result<Exit, Error> {
    match args.action {
        Action::Show => app.console.emit(&show(app)?),
        Action::Check => app.console.emit(&check(app, checks)?),
        Action::Schema => {
            let schema = serde_json::to_string_pretty(&schemars::schema_for!(File))
                .map_err(|e| Error::unknown("cannot write the schema").because(e))?;
            app.console.emit_text(&(schema + "\n"))
        }
    }
}

/// Every setting with its origin.
#[derive(Serialize, JsonSchema)]
struct Show {
    /// The file that was read.
    path: Option<String>,
    settings: Vec<Setting>,
}

#[derive(Serialize, JsonSchema)]
struct Setting {
    name: String,
    value: serde_json::Value,
    origin: String,
}

fn show(app: &App) -> Result<Show, Error> {
    let settings = app.config.values()?.into_iter();
    let settings = settings
        .map(|Value { name, value, origin }| Setting { name, value, origin: origin.to_string() })
        .collect();
    Ok(Show { path: path(app), settings })
}

impl output::Report for Show {
    const SCHEMA: &'static str = "hardy.config.show/v1";

    fn verdict(&self) -> Verdict {
        Verdict::Good
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        let mut table = Table::new(&["SETTING", "ORIGIN", "VALUE"]);
        for setting in &self.settings {
            let value = match &setting.value {
                serde_json::Value::Null => String::new(),
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            table.row([setting.name.clone(), setting.origin.clone(), value]);
        }
        out.table(table)?;
        out.line(format!("\nfile: {}", self.path.as_deref().unwrap_or("none found")))
    }
}

/// Resolves the settings of one command as a run without flags would.
pub type Check = fn(&Config) -> Result<(), Error>;

/// What a valid file holds; an invalid one is an error.
#[derive(Serialize, JsonSchema)]
struct Valid {
    path: Option<String>,
    targets: usize,
    profiles: usize,
}

fn check(app: &App, checks: &[Check]) -> Result<Valid, Error> {
    app.config.values()?;
    checks.iter().try_for_each(|check| check(&app.config))?;
    for name in &app.config.profiles {
        let config = Config::load(&Source { path: app.config.path.clone(), profile: Some(name.clone()) })?;
        let checked = checks.iter().try_for_each(|check| check(&config));
        checked.map_err(|error| error.within(&format!("profile `{name}`")))?;
    }
    Ok(Valid { path: path(app), targets: app.config.targets.len(), profiles: app.config.profiles.len() })
}

impl output::Report for Valid {
    const SCHEMA: &'static str = "hardy.config.check/v1";

    fn verdict(&self) -> Verdict {
        Verdict::Good
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        match &self.path {
            Some(path) => {
                let (targets, profiles) =
                    (counted(self.targets, "target"), counted(self.profiles, "profile"));
                out.line(format!("{path}: valid, {targets}, {profiles}"))
            }
            None => out.line("no config file found; the embedded defaults are in force"),
        }
    }
}

fn path(app: &App) -> Option<String> {
    app.config.path.as_ref().map(|path| path.display().to_string())
}
