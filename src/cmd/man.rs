//! `hardy man`: the man pages, from the same grammar as the help.

use clap_mangen::Man;

use crate::cli;
use crate::config::nearest;
use crate::error::Error;

/// Print a man page
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  hardy man | man -l -           # the overview
  hardy man probe | man -l -     # one command")]
pub struct Args {
    /// The command whose page is wanted [default: the overview]
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

/// The page in roff.
pub fn run(args: &Args) -> Result<String, Error> {
    let mut root = cli::command();
    root.build();
    let page = match &args.command {
        None => root.clone().subcommand_required(true),
        Some(name) => root.find_subcommand(name).cloned().ok_or_else(|| no_command(name, &root))?,
    };
    let name = args.command.as_ref().map_or("hardy".to_owned(), |sub| format!("hardy-{sub}"));
    let mut roff = Vec::new();
    let man = Man::new(page.name(name)).title("hardy").manual("hardy manual").date("");
    man.render(&mut roff).map_err(|e| Error::unknown("cannot write the man page").because(e))?;
    Ok(String::from_utf8_lossy(&roff).into_owned())
}

fn no_command(name: &str, root: &clap::Command) -> Error {
    let names: Vec<&str> = root.get_subcommands().map(clap::Command::get_name).collect();
    let hint = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", names.join(", ")),
    };
    Error::usage(format!("no command `{name}`")).hint(hint)
}
