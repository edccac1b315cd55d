//! `hardy man`: the man pages, from the same grammar as the help.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap_mangen::Man;

use crate::config::nearest;
use crate::error::Error;

/// The date of the pages: that of the release, not of the build, so that they can be compared.
const RELEASED: &str = "2026-11-22";

/// The name of the overview.
const ROOT: &str = "hardy";

/// Print a man page, or write them all
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  hardy man | man -l -           # the overview
  hardy man probe | man -l -     # one command
  hardy man lock run | man -l -  # a part of one
  hardy man --dir man            # all of them, for a package")]
pub struct Args {
    /// The command whose page is wanted [default: the overview]
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write every page into this directory instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

/// The page in roff, or the names of the files that were written.
pub fn run(args: &Args, root: &clap::Command) -> Result<String, Error> {
    if let Some(dir) = &args.dir {
        return write_all(root, dir);
    }
    let (mut name, mut shown) = (root.get_name().to_owned(), root);
    for word in &args.command {
        shown = shown.find_subcommand(word).ok_or_else(|| no_command(word, shown))?;
        name += &format!("-{}", shown.get_name());
    }
    page(&name, shown)
}

fn write_all(root: &clap::Command, dir: &Path) -> Result<String, Error> {
    let failed = |e| Error::unknown(format!("cannot write man pages to {}", dir.display())).because(e);
    fs::create_dir_all(dir).map_err(failed)?;
    let mut written = String::new();
    for (name, command) in pages(root.get_name(), root) {
        let path = dir.join(format!("{name}.1"));
        fs::write(&path, page(&name, command)?).map_err(failed)?;
        written += &format!("{}\n", path.display());
    }
    Ok(written)
}

/// A command and all below it, by the names of their pages; what is hidden has none.
fn pages<'a>(name: &str, command: &'a clap::Command) -> Vec<(String, &'a clap::Command)> {
    let visible = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    let below = visible.flat_map(|sub| pages(&format!("{name}-{}", sub.get_name()), sub));
    std::iter::once((name.to_owned(), command)).chain(below).collect()
}

/// One page: a command, with the names of its own subcommands.
fn page(name: &str, command: &clap::Command) -> Result<String, Error> {
    let shown = command.clone().name(name.to_owned()).bin_name(name.replace('-', " "));
    // What every command takes stands on the first page.
    let elsewhere = |arg: clap::Arg| if name != ROOT && arg.is_global_set() { arg.hide(true) } else { arg };
    let shown = shown.mut_args(elsewhere);
    let man = Man::new(shown.clone())
        .title(name.to_uppercase())
        .date(RELEASED)
        .source(format!("hardy {}", env!("CARGO_PKG_VERSION")))
        .manual("hardy manual");
    let mut roff = Vec::new();
    render(&man, &shown, &mut roff).map_err(|e| Error::unknown("cannot write the man page").because(e))?;
    Ok(String::from_utf8_lossy(&roff).into_owned())
}

fn render(man: &Man, shown: &clap::Command, out: &mut Vec<u8>) -> io::Result<()> {
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    if shown.has_subcommands() {
        man.render_subcommands_section(out)?;
    }
    let after = shown.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    for block in after.split("\n\n") {
        // "Examples:" and "Exit codes:" as the long help has them, line by line; other text as it flows.
        let (heading, lines) = block.split_once(":\n").unwrap_or(("Notes", block));
        writeln!(out, ".SH {}\n.nf", heading.to_uppercase())?;
        lines.lines().try_for_each(|line| writeln!(out, "{}", verbatim(line)))?;
        writeln!(out, ".fi")?;
    }
    if shown.get_name() != ROOT {
        writeln!(out, ".SH SEE ALSO\n.BR hardy (1)\nhas the options that every command takes.")?;
    }
    Ok(())
}

/// A line that roff prints as it is.
fn verbatim(line: &str) -> String {
    let escaped = line.strip_prefix("  ").unwrap_or(line).trim_end().replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

fn no_command(name: &str, root: &clap::Command) -> Error {
    let names: Vec<&str> = root.get_subcommands().map(clap::Command::get_name).collect();
    let hint = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", names.join(", ")),
    };
    Error::usage(format!("no command `{name}`")).hint(hint)
}
