//! hardy: high-availability operations from one command line.
//!
//! One way through: `Args` (what was typed) -> `Settings` (what it means, no
//! `Option` left) -> `Report` (what was found) -> `Verdict` (the exit code).
//!
//! The house, from the roof down; a room uses only rooms below its own line:
//!
//! - [`run`]: parse, resolve, dispatch, emit, exit; builds the one async runtime
//! - `cmd`: one thin room per subcommand
//! - `cli`, `app`, `complete`: the grammar, what a command receives, completion candidates
//! - [`config`], [`output`], [`shutdown`]: the one loader, the only printer, signals as a token
//! - [`error`], [`exit`]: what failed and what to try next; the documented exit codes
//! - [`probe`]: calls targets through breakers, and says what is up
//! - [`tls`]: certificates and TLS of endpoints and files, every reason
//! - [`http`]: the only room that builds an HTTP client
//! - [`serve`]: the HTTP server
//! - [`load`]: requests and jobs through a pool of workers, and honest books of them
//! - [`lock`]: locks with leases and fencing tokens, and the commands that run under them
//! - [`circuit`]: breakers that outlive a process and are shared, and the commands that run through them
//! - [`store`]: where shared state lives, a directory or etcd; the only room that uses etcd-client
//! - [`breaker`], [`histogram`]: the circuit breaker and the latencies, as pure values; time comes in as an argument
//! - [`address`], [`reason`]: where a target is; why a call failed
//! - [`process`]: a command in a process group of its own, and the watchdog that ends it in time
//! - [`input`]: files that flags name, read to a bound
//! - [`limits`]: what the kernel lets this process have
//! - [`clock`]: time that goes on while the machine sleeps
//! - [`metrics`], [`units`], [`text`]: Prometheus text; durations and sizes as people write them; foreign text made harmless

pub mod address;
mod app;
pub mod breaker;
pub mod circuit;
mod cli;
pub mod clock;
mod cmd;
mod complete;
pub mod config;
pub mod error;
pub mod exit;
pub mod histogram;
pub mod http;
pub mod input;
pub mod limits;
pub mod load;
pub mod lock;
pub mod metrics;
pub mod output;
pub mod probe;
pub mod process;
pub mod reason;
pub mod serve;
pub mod shutdown;
pub mod store;
pub mod text;
pub mod tls;
pub mod units;

use std::process::ExitCode;

use app::App;
use cli::{Cli, Command};
use config::Config;
use error::Error;
use exit::Exit;
use output::Console;
use shutdown::Shutdown;

/// What `config check` resolves, so that it accepts what the commands accept.
const CHECKS: &[cmd::config::Check] = &[
    cmd::probe::check,
    cmd::serve::check,
    cmd::lock::check,
    cmd::load::check,
    cmd::tls::check,
    cmd::breaker::check,
];

/// Runs the program: from the arguments of the process to its exit code.
pub fn run() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == process::watchdog::ARGUMENT) {
        return process::watchdog::watch().map_or(Exit::UNKNOWN, |()| Exit::GOOD).into();
    }
    complete::answer_shell(cli::command);
    let failed = match cli::parse() {
        Err(usage) => output::print_usage(&usage),
        Ok(cli) => {
            let console = Console::new(&cli.global.output());
            match execute(cli, &console) {
                Ok(exit) => return exit.into(),
                Err(error) => console.fail(&error),
            }
        }
    };
    failed.of_error(std::env::args_os()).into()
}

fn execute(cli: Cli, console: &Console) -> Result<Exit, Error> {
    let Cli { global, command } = cli;
    let source = config::Source { path: global.config, profile: global.profile };
    // What these two print must not depend on a config file, even on a broken one.
    match command {
        Command::Completions(args) => return console.emit_text(&cmd::completions::run(&args)?),
        Command::Man(args) => return console.emit_text(&cmd::man::run(&args, &cli::command())?),
        _ => {}
    }
    console.check_reports(command.forms())?;
    let config = Config::load(&source)?;
    tell_about(&config, console);
    let runtime = threads(&command)
        .enable_all()
        .build()
        .map_err(|e| Error::unknown("cannot start the async runtime").because(e))?;
    let exit = runtime.block_on(async {
        // Locks and jobs must not stay behind where a terminal is closed; `serve` has another use for SIGHUP.
        let on_hangup = matches!(command, Command::Lock(_) | Command::Load(_) | Command::Breaker(_));
        let shutdown = Shutdown::install(console.clone(), on_hangup)
            .map_err(|e| Error::unknown("cannot listen for signals").because(e))?;
        let app = App { config, console: console.clone(), shutdown };
        dispatch(command, &app).await
    });
    // A blocked worker (a name lookup, a file on a dead mount) must not delay the exit.
    runtime.shutdown_background();
    exit
}

/// Servers and probes use every processor. A lock, or a call through a breaker, is one thing after another: to start threads, and to pass each
/// answer from one to the other, costs more than all the rest of it.
fn threads(command: &Command) -> tokio::runtime::Builder {
    match command {
        Command::Breaker(args) if args.serves() => tokio::runtime::Builder::new_multi_thread(),
        Command::Lock(_) | Command::Breaker(_) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    }
}

/// What the loader has to say; it does not print.
fn tell_about(config: &Config, console: &Console) {
    match &config.path {
        Some(path) => console.detail(&format!("config file: {}", path.display())),
        None => console.detail("config file: none"),
    }
    for (variable, nearest) in config::unknown_variables() {
        let near = nearest.map(|name| format!(", did you mean {name}?")).unwrap_or_default();
        console.warn(&format!("{variable} in the environment is no setting{near}"));
    }
}

async fn dispatch(command: Command, app: &App) -> Result<Exit, Error> {
    match command {
        Command::Probe(args) => app.finish(&cmd::probe::run(*args, app).await?),
        Command::Serve(args) => app.finish(&cmd::serve::run(*args, app).await?),
        Command::Load(args) => cmd::load::dispatch(*args, app).await,
        Command::Tls(args) => cmd::tls::dispatch(*args, app).await,
        Command::Lock(args) => cmd::lock::dispatch(*args, app).await,
        Command::Breaker(args) => cmd::breaker::dispatch(*args, app).await,
        Command::Config(args) => cmd::config::run(args, app, CHECKS),
        // Already answered in `execute`.
        Command::Completions(_) | Command::Man(_) => Ok(Exit::GOOD),
    }
}
