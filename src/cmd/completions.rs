//! `hardy completions`: the few lines that a shell sources; it then asks the binary itself.

use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};

use crate::complete;
use crate::error::Error;

/// Print the completion script of a shell
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  source <(hardy completions bash)                                    # in ~/.bashrc
  source <(hardy completions zsh)                                     # in ~/.zshrc, after compinit
  hardy completions fish > ~/.config/fish/completions/hardy.fish")]
pub struct Args {
    /// bash, zsh, fish, elvish or powershell
    #[arg(value_name = "SHELL", hide_possible_values = true)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Elvish,
    Powershell,
}

/// From a directory of `fpath`, zsh runs the script at the first Tab: that one wants an answer too.
const AUTOLOADED: &str = "[[ $funcstack[1] == _hardy ]] && _clap_dynamic_completer_hardy \"$@\"\n";

/// The script; it calls whatever `hardy` is in the PATH.
pub fn run(args: &Args) -> Result<String, Error> {
    let completer: &dyn EnvCompleter = match args.shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
        Shell::Elvish => &Elvish,
        Shell::Powershell => &Powershell,
    };
    let mut script = Vec::new();
    completer
        .write_registration(complete::VARIABLE, "hardy", "hardy", "hardy", &mut script)
        .map_err(|e| Error::unknown("cannot write the completion script").because(e))?;
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if let Shell::Zsh = args.shell {
        script += AUTOLOADED;
    }
    Ok(script)
}
