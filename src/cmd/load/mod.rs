//! `hardy load`: what does it bear, and how long do its users wait?

mod asked;
pub mod compare;
mod each;
pub mod find;
mod forms;
mod html;
mod human;
mod jobs;
mod live;
mod parts;
mod report;
mod request;
pub mod run;
mod save;
mod settings;
mod shared;
mod stages;
#[cfg(test)]
mod tests;
mod warnings;

use crate::app::App;
use crate::config::Config;
use crate::error::Error;
use crate::exit::Exit;

/// Send requests, or run jobs, through a pool of workers, and say what users would feel
#[derive(clap::Args, Debug)]
#[command(disable_help_subcommand = true)]
#[command(after_long_help = "\
Examples:
  hardy load run http://127.0.0.1:8080 -c 64 -d 10s
  hardy load run api --rate 500/s -d 1m --fail-if 'p99>200ms' --fail-if 'error_rate>=1%'
  seq 5 | hardy load run -w 3 --jobs - -- sh -c 'sleep 1; echo $(( {} * 2 ))'
  hardy load compare before-*.json -- after-*.json
  hardy load find api --slo 'p99<50ms' --slo 'error_rate<0.1%'")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
#[command(defer = true)]
enum Action {
    Run(Box<run::Args>),
    Compare(Box<compare::Args>),
    Find(Box<find::Args>),
}

impl Args {
    /// Whether the report of the chosen action has a form for browsers.
    pub fn has_page(&self) -> bool {
        matches!(&self.action, Action::Run(args) if !args.runs_jobs())
    }
}

/// Runs the chosen action.
pub async fn dispatch(args: Args, app: &App) -> Result<Exit, Error> {
    match args.action {
        Action::Run(args) => run::run(*args, app).await,
        Action::Compare(args) => app.finish(&compare::run(*args, app).await?),
        Action::Find(args) => app.finish(&find::run(*args, app).await?),
    }
}

/// Whether the settings of the config can be used, as a run without flags would.
///
/// # Errors
/// The first that cannot, by its key.
pub fn check(config: &Config) -> Result<(), Error> {
    settings::check(config)
}
