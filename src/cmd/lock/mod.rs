//! `hardy lock`: who may do it, on one host or on twenty, and proof of it.

mod acquire;
mod breaking;
mod fence;
mod found;
mod keep;
mod put_back;
mod refused;
mod renew;
mod run;
mod settings;
mod status;
mod verify;
mod waiting;
mod watch;

use crate::app::App;
use crate::config::Config;
use crate::error::Error;
use crate::exit::Exit;

/// Let only one, or only N, do it: on this host, or in an etcd cluster
#[derive(clap::Args, Debug)]
#[command(disable_help_subcommand = true)]
#[command(after_long_help = "\
Examples:
  hardy lock run nightly --wait 10m -- ./backup.sh      # on twenty hosts: one at a time
  hardy lock acquire deploy && { ./deploy.sh; hardy lock release deploy; }
  hardy lock status                                     # who holds what, and who waits
  hardy lock run nightly --endpoints http://etcd1:2379,http://etcd2:2379 -- ./backup.sh

Guarantees:
  A lease ends by itself, so that a dead host blocks nobody. `run` renews it, and stops its command before it ends.
  A process that is paused longer than its lease still believes that it holds: only the fencing token tells. It grows
  with every acquisition; let the resource refuse a lower one than it has seen, or ask `lock verify`, `lock fence`.")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
#[command(defer = true)]
enum Action {
    Run(run::Args),
    Acquire(acquire::Args),
    Release(put_back::Args),
    Renew(renew::Args),
    Status(status::Args),
    Watch(watch::Args),
    Break(breaking::Args),
    Verify(verify::Args),
    Fence(fence::Args),
    #[command(hide = true)]
    Keep(keep::Args),
}

/// Runs the chosen action.
pub async fn dispatch(args: Args, app: &App) -> Result<Exit, Error> {
    match args.action {
        Action::Run(args) => run::run(args, app).await,
        Action::Acquire(args) => acquire::run(args, app).await,
        Action::Release(args) => app.finish(&app.unless_interrupted(put_back::run(args, app)).await?),
        Action::Renew(args) => app.finish(&app.unless_interrupted(renew::run(args, app)).await?),
        Action::Status(args) => app.finish(&app.unless_interrupted(status::run(args, app)).await?),
        Action::Watch(args) => watch::run(args, app).await,
        Action::Break(args) => app.finish(&app.unless_interrupted(breaking::run(args, app)).await?),
        Action::Verify(args) => app.finish(&app.unless_interrupted(verify::run(args, app)).await?),
        Action::Fence(args) => app.finish(&fence::run(&args)?),
        Action::Keep(args) => keep::run(args, app).await,
    }
}

/// Whether the settings of the config can be used, as a run without flags would.
///
/// # Errors
/// The first that cannot, by its key.
pub fn check(config: &Config) -> Result<(), Error> {
    crate::cmd::store::store(config.profile.store.clone()).map(drop)?;
    settings::ttl(config.profile.lock.ttl).map(drop)
}
