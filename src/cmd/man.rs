//! `hardy man`: the man pages, from the same grammar as the help.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap_mangen::Man;

use crate::config::nearest;
use crate::error::Error;

/// The date of the pages: that of the release, not of the build, so that they can be compared.
const RELEASED: &str = "2026-11-22";

/// Print a man page, or write them all
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  hardy man | man -l -           # the overview
  hardy man probe | man -l -     # one command
  hardy man --dir man            # all of them, for a package")]
pub struct Args {
    /// The command whose page is wanted [default: the overview]
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
    /// Write every page into this directory instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

/// The page in roff, or the names of the files that were written.
pub fn run(args: &Args, root: &clap::Command) -> Result<String, Error> {
    match (&args.dir, &args.command) {
        (Some(dir), _) => write_all(root, dir),
        (None, None) => page(root, None),
        (None, Some(name)) => {
            let sub = root.find_subcommand(name).ok_or_else(|| no_command(name, root))?;
            page(root, Some(sub))
        }
    }
}

fn write_all(root: &clap::Command, dir: &Path) -> Result<String, Error> {
    let failed = |e| Error::unknown(format!("cannot write man pages to {}", dir.display())).because(e);
    fs::create_dir_all(dir).map_err(failed)?;
    let mut written = String::new();
    for sub in std::iter::once(None).chain(root.get_subcommands().map(Some)) {
        let path = dir.join(format!("{}.1", page_name(sub)));
        fs::write(&path, page(root, sub)?).map_err(failed)?;
        written += &format!("{}\n", path.display());
    }
    Ok(written)
}

/// One page: the overview, or a command together with its own subcommands.
fn page(root: &clap::Command, sub: Option<&clap::Command>) -> Result<String, Error> {
    let name = page_name(sub);
    let shown = sub.unwrap_or(root).clone().name(name.clone()).bin_name(name.replacen('-', " ", 1));
    let man = Man::new(shown.clone())
        .title(name.to_uppercase())
        .date(RELEASED)
        .source(format!("hardy {}", env!("CARGO_PKG_VERSION")))
        .manual("hardy manual");
    let mut roff = Vec::new();
    render(&man, &shown, sub.is_none(), &mut roff)
        .map_err(|e| Error::unknown("cannot write the man page").because(e))?;
    Ok(String::from_utf8_lossy(&roff).into_owned())
}

fn render(man: &Man, shown: &clap::Command, overview: bool, out: &mut Vec<u8>) -> io::Result<()> {
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    if overview {
        man.render_subcommands_section(out)?;
    } else {
        for nested in shown.get_subcommands() {
            let name = format!("{} {}", shown.get_bin_name().unwrap_or_default(), nested.get_name());
            let man = Man::new(nested.clone().name(name.clone()).bin_name(name.clone()));
            writeln!(out, ".SH {}", name.to_uppercase())?;
            let mut section = Vec::new();
            man.render_description_section(&mut section)?;
            man.render_options_section(&mut section)?;
            out.extend(
                String::from_utf8_lossy(&section)
                    .replace(".SH DESCRIPTION\n", "")
                    .replace(".SH ", ".SS ")
                    .bytes(),
            );
        }
    }
    let after = shown.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    for block in after.split("\n\n") {
        // "Examples:" and "Exit codes:" as the long help has them, line by line.
        let (heading, lines) = block.split_once('\n').unwrap_or((block, ""));
        writeln!(out, ".SH {}\n.nf", heading.trim_end_matches(':').to_uppercase())?;
        lines.lines().try_for_each(|line| writeln!(out, "{}", verbatim(line)))?;
        writeln!(out, ".fi")?;
    }
    if !overview {
        writeln!(out, ".SH SEE ALSO\n.BR hardy (1)\nhas the options that every command takes.")?;
    }
    Ok(())
}

/// A line that roff prints as it is.
fn verbatim(line: &str) -> String {
    let escaped = line.strip_prefix("  ").unwrap_or(line).trim_end().replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

fn page_name(sub: Option<&clap::Command>) -> String {
    sub.map_or_else(|| "hardy".to_owned(), |sub| format!("hardy-{}", sub.get_name()))
}

fn no_command(name: &str, root: &clap::Command) -> Error {
    let names: Vec<&str> = root.get_subcommands().map(clap::Command::get_name).collect();
    let hint = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", names.join(", ")),
    };
    Error::usage(format!("no command `{name}`")).hint(hint)
}
