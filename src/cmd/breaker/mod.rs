//! `hardy breaker`: a circuit breaker in front of any command, which remembers and is shared.

mod failing;
mod force;
mod hystrix;
mod list;
mod run;
mod show;
mod shown;
mod watch;

use crate::app::App;
use crate::cmd::breakers as settings;
use crate::config::Config;
use crate::error::Error;
use crate::exit::Exit;

/// Put a circuit breaker in front of any command, for all who call it
#[derive(clap::Args, Debug)]
#[command(disable_help_subcommand = true)]
#[command(after_long_help = "\
Examples:
  hardy breaker run pay --timeout 2s -- curl -fsS https://pay.example/v1/rates
  hardy breaker run pay --fallback 'cat rates.json' -- ./rates.sh      # in cron jobs, scripts and shells alike
  hardy breaker list                                       # what is open, and why
  hardy breaker open pay --for 30m --reason 'maintenance'  # nobody calls it meanwhile
  hardy breaker watch --json

A breaker is a record in the store: on this host a file, in etcd a key. It outlives the process, and all who name it share
it: its window, its cooldown, its one trial, its places for calls in flight.")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
#[command(defer = true)]
enum Action {
    Run(run::Args),
    List(list::Args),
    Show(show::Args),
    Open(force::OpenArgs),
    Close(force::CloseArgs),
    Reset(force::ResetArgs),
    Watch(watch::Args),
}

impl Args {
    /// Whether others are served while it runs.
    pub fn serves(&self) -> bool {
        matches!(&self.action, Action::Watch(args) if args.serves())
    }
}

/// Runs the chosen action.
pub async fn dispatch(args: Args, app: &App) -> Result<Exit, Error> {
    match args.action {
        Action::Run(args) => run::run(args, app).await,
        Action::List(args) => app.finish(&app.unless_interrupted(list::run(args, app)).await?),
        Action::Show(args) => app.finish(&app.unless_interrupted(show::run(args, app)).await?),
        Action::Open(args) => app.finish(&app.unless_interrupted(force::open(args, app)).await?),
        Action::Close(args) => app.finish(&app.unless_interrupted(force::close(args, app)).await?),
        Action::Reset(args) => app.finish(&app.unless_interrupted(force::reset(args, app)).await?),
        Action::Watch(args) => watch::run(args, app).await,
    }
}

/// Whether the settings of the config can be used, as a run without flags would.
///
/// # Errors
/// The first that cannot, by its key.
pub fn check(config: &Config) -> Result<(), Error> {
    crate::cmd::breaker_config::breaker_config(config.profile.breaker.clone(), |field| {
        format!("breaker.{field}")
    })
    .map(drop)
}
