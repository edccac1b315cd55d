//! `hardy tls`: is TLS as it should be, and if not, why not and what is to be done?

mod check;
mod report;

use crate::app::App;
use crate::error::Error;
use crate::exit::Exit;

/// Check certificates and TLS of endpoints and files, and make certificates for development
#[derive(clap::Args, Debug)]
#[command(disable_help_subcommand = true)]
#[command(after_long_help = "\
Examples:
  hardy tls check api.example
  hardy tls check https://api.example tls+smtp://mail.example /etc/ssl/site.pem")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
#[command(defer = true)]
enum Action {
    Check(Box<check::Args>),
}

/// Runs the chosen action.
pub async fn dispatch(args: Args, app: &App) -> Result<Exit, Error> {
    match args.action {
        Action::Check(args) => app.finish(&check::run(*args, app).await?),
    }
}
