//! The grammar of the command line. Help, man pages and completions all come from [`command`].

#![allow(rustdoc::broken_intra_doc_links, reason = "the comments on arguments are their help")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Args, CommandFactory, Parser, Subcommand};

use crate::output::{Format, Forms, ReportFile, Settings, When};
use crate::{cmd, complete, config, exit};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// High-availability operations: serve, lock, probe, load, check TLS, and a circuit breaker in front of every call.
#[derive(Debug, Parser)]
#[command(name = "hardy", version, styles = STYLES, infer_subcommands = false, arg_required_else_help = true)]
#[command(disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// One concern each.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    Serve(Box<cmd::serve::Args>),
    Lock(Box<cmd::lock::Args>),
    Probe(Box<cmd::probe::Args>),
    Breaker(Box<cmd::breaker::Args>),
    Load(Box<cmd::load::Args>),
    Tls(Box<cmd::tls::Args>),
    Config(cmd::config::Args),
    Completions(cmd::completions::Args),
    Man(cmd::man::Args),
}

impl Command {
    /// The forms of its report that only some have.
    pub fn forms(&self) -> Forms {
        match self {
            Command::Load(args) => Forms { html: args.has_page(), sarif: false },
            Command::Tls(args) => Forms { html: false, sarif: args.has_findings() },
            _ => Forms::default(),
        }
    }
}

/// Accepted before and after the subcommand.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Form of the result on stdout: human or json
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORM",
        env = "HARDY_OUTPUT",
        hide_possible_values = true
    )]
    output: Option<Format>,
    /// Short for --output json
    #[arg(long, global = true, conflicts_with = "output")]
    json: bool,
    /// Also into a file: json, junit, prometheus, html or sarif [repeatable]
    #[arg(long, global = true, value_name = "FORMAT=FILE")]
    report: Vec<ReportFile>,
    /// Config file, or `none`
    ///
    /// Without it ./hardy.toml, then $XDG_CONFIG_HOME/hardy/config.toml; the first found is read.
    #[arg(long, global = true, value_name = "FILE", env = "HARDY_CONFIG")]
    pub config: Option<PathBuf>,
    /// Profile of the config file, on top of `default`
    #[arg(long, global = true, value_name = "NAME", env = "HARDY_PROFILE", add = complete::profiles())]
    pub profile: Option<String>,
    /// Colour: auto, always or never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        env = "HARDY_COLOR",
        hide_possible_values = true,
        hide_short_help = true
    )]
    color: Option<When>,
    /// Bars and live tables on stderr: auto, always or never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        env = "HARDY_PROGRESS",
        hide_possible_values = true,
        hide_short_help = true
    )]
    progress: Option<When>,
    /// Only the result and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", hide_short_help = true)]
    quiet: bool,
    /// Say more about what is done
    #[arg(short, long, global = true, hide_short_help = true)]
    verbose: bool,
}

impl GlobalArgs {
    /// What they mean for output.
    pub fn output(&self) -> Settings {
        let format = if self.json { Format::Json } else { self.output.unwrap_or(Format::Human) };
        Settings {
            format,
            reports: self.report.clone(),
            color: self.color.unwrap_or(When::Auto),
            progress: self.progress.unwrap_or(When::Auto),
            quiet: self.quiet,
            verbose: self.verbose,
        }
    }
}

/// Parses the arguments of the process. The texts that only help shows are added only when it is asked
/// for: they cost more than all parsing.
pub fn parse() -> Result<Cli, clap::Error> {
    let parsed = Cli::try_parse();
    parsed.map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            command().try_get_matches().err().unwrap_or(error)
        }
        ErrorKind::DisplayVersion => error,
        _ => with_variable(error, &grammar()),
    })
}

/// The parser speaks of flags; who set a variable wants to read its name.
fn with_variable(mut error: clap::Error, grammar: &clap::Command) -> clap::Error {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return error };
    let long = flag.trim_start_matches("--").split([' ', '[', '=']).next().unwrap_or_default().to_owned();
    let typed = |word: std::ffi::OsString| word.to_string_lossy().starts_with(&format!("--{long}"));
    let variable = variable_of(grammar, &long).filter(|name| config::is_in_environment(name));
    if let Some(name) = variable
        && !std::env::args_os().any(typed)
    {
        let tip = format!("the value is that of {name} in the environment");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

fn variable_of(command: &clap::Command, long: &str) -> Option<String> {
    let own = command.get_arguments().find(|arg| arg.get_long() == Some(long)).and_then(Arg::get_env);
    let own = own.map(|name| name.to_string_lossy().into_owned());
    own.or_else(|| command.get_subcommands().find_map(|sub| variable_of(sub, long)))
}

/// The grammar with what is said everywhere: defaults, variables, exit codes.
pub fn command() -> clap::Command {
    let defaults = config::default_texts();
    complete_help(grammar(), &defaults)
}

/// The grammar of every command. Parsing defines only that of the command which is called.
fn grammar() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    command
}

fn complete_help(command: clap::Command, defaults: &BTreeMap<String, String>) -> clap::Command {
    let examples = command.get_after_long_help().map(|text| format!("{text}\n\n")).unwrap_or_default();
    command
        .after_long_help(format!("{examples}Exit codes:\n{}", exit::TABLE))
        .mut_args(|arg| with_origin(arg, defaults))
        .mut_subcommands(|sub| complete_help(sub, defaults))
}

/// Adds default and variable to the help of an argument; the short help keeps to one line.
fn with_origin(arg: Arg, defaults: &BTreeMap<String, String>) -> Arg {
    let Some(variable) = arg.get_env().map(|v| v.to_string_lossy().into_owned()) else {
        // The man pages know only the long form.
        return match (arg.get_help().cloned(), arg.get_long_help()) {
            (Some(help), None) => arg.long_help(help),
            _ => arg,
        };
    };
    let default = defaults.get(&variable).map(|text| format!(" [default: {text}]")).unwrap_or_default();
    let short = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let long = arg.get_long_help().map_or_else(|| short.clone(), ToString::to_string);
    let repeatable = matches!(arg.get_action(), ArgAction::Append);
    let repeatable = if repeatable && !short.contains("[repeatable]") { " [repeatable]" } else { "" };
    arg.hide_env(true)
        .help(format!("{short}{repeatable}{default}"))
        .long_help(format!("{long}{repeatable}{default} [env: {variable}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_default_has_a_flag() {
        fn variables(command: &clap::Command, into: &mut Vec<String>) {
            into.extend(
                command.get_arguments().filter_map(|a| Some(a.get_env()?.to_string_lossy().into_owned())),
            );
            command.get_subcommands().for_each(|sub| variables(sub, into));
        }
        let mut found = Vec::new();
        variables(&command(), &mut found);
        for variable in config::default_texts().keys() {
            assert!(found.contains(variable), "{variable} has a default, but no command has it");
        }
    }
}
