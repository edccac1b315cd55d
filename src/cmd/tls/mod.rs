//! `hardy tls`: is TLS as it should be, and if not, why not and what is to be done?

mod baseline;
mod cert;
mod check;
mod forms;
mod human;
mod report;
mod settings;
mod targets;
#[cfg(test)]
mod tests;

use crate::app::App;
use crate::config::Config;
use crate::error::Error;
use crate::exit::Exit;

/// Check certificates and TLS of endpoints and files
#[derive(clap::Args, Debug)]
#[command(disable_help_subcommand = true)]
#[command(after_long_help = "\
Examples:
  hardy tls check api.example
  hardy tls check https://api.example tls+smtp://mail.example /etc/ssl/site.pem
  hardy tls check --baseline tls.json --report junit=tls.xml    # all of hardy.toml: what got worse?
  hardy tls cert localhost 127.0.0.1")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
#[command(defer = true)]
enum Action {
    Check(Box<check::Args>),
    Cert(cert::Args),
}

impl Args {
    /// Whether the report of the chosen action is a list of findings.
    pub fn has_findings(&self) -> bool {
        matches!(self.action, Action::Check(_))
    }
}

/// Runs the chosen action.
pub async fn dispatch(args: Args, app: &App) -> Result<Exit, Error> {
    match args.action {
        Action::Check(args) => check::run(*args, app).await,
        Action::Cert(args) => cert::dispatch(&args, app),
    }
}

/// Whether every target and all settings of the config can be used, as a run without flags would.
///
/// # Errors
/// The first that cannot, by its key.
pub fn check(config: &Config) -> Result<(), Error> {
    settings::check(config)
}
