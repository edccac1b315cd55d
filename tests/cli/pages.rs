//! Man pages and completions: the committed files are what the binary prints, they are clean,
//! and real shells complete with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::run;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn committed(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(directory)).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn man_pages_are_those_of_the_binary() {
    let fresh = tempfile::tempdir().unwrap();
    assert_eq!(run(&["man", "--dir", fresh.path().to_str().unwrap()]).code, Some(0));
    let names = committed("man");
    assert_eq!(names.len(), fs::read_dir(fresh.path()).unwrap().count(), "run `make pages`");
    for name in names {
        let printed = fs::read_to_string(fresh.path().join(&name)).unwrap_or_default();
        let page = fs::read_to_string(root().join("man").join(&name)).unwrap();
        assert!(page == printed, "man/{name} differs from the command line: run `make pages`");
    }
}

#[test]
fn man_pages_are_clean() {
    for name in committed("man") {
        let path = root().join("man").join(&name);
        let lint = Command::new("mandoc").args(["-Tlint", "-Wwarning"]).arg(&path).output().unwrap();
        assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
    }
}

#[test]
fn completions_are_those_of_the_binary() {
    for (file, shell) in [
        ("_hardy", "zsh"),
        ("_hardy.ps1", "powershell"),
        ("hardy.bash", "bash"),
        ("hardy.elv", "elvish"),
        ("hardy.fish", "fish"),
    ] {
        let script = fs::read_to_string(root().join("completions").join(file)).unwrap();
        assert!(
            script == run(&["completions", shell]).stdout,
            "completions/{file} differs: run `make pages`"
        );
    }
    assert_eq!(committed("completions").len(), 5);
}

/// Runs a shell with the binary in its PATH, in a directory whose hardy.toml names targets and profiles.
#[expect(clippy::disallowed_methods, reason = "shells are found as the user finds them")]
fn shell(program: &str, args: &[&str], script: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("hardy.toml"),
        "[targets.orders]\nurl = \"tcp://127.0.0.1:1\"\n[targets.payments]\nurl = \"tcp://127.0.0.1:2\"\n[profile.staging]\n",
    )
    .unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_hardy")).parent().unwrap();
    let path = std::env::join_paths(
        std::iter::once(bin.to_owned()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let output = Command::new(program)
        .args(args)
        .arg(script)
        .env("PATH", path.unwrap())
        .env("COMPLETIONS", root().join("completions"))
        .env("HOME", directory.path())
        .env_remove("HARDY_CONFIG")
        .env_remove("XDG_CONFIG_HOME")
        .current_dir(directory.path())
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn assert_completed(shell: &str, completed: &str) {
    for word in ["completions", "orders", "payments", "staging"] {
        assert!(completed.contains(word), "{shell} does not offer {word}: {completed}");
    }
}

#[test]
fn bash_completes() {
    let script = r#"
        source "$COMPLETIONS/hardy.bash"
        ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9
                _clap_complete_hardy hardy "${COMP_WORDS[$COMP_CWORD]}" "${COMP_WORDS[$COMP_CWORD-1]}"
                printf '%s\n' "${COMPREPLY[@]}"; }
        ask hardy compl; ask hardy probe ''; ask hardy --profile ''"#;
    assert_completed("bash", &shell("bash", &["--norc", "-c"], script));
}

#[test]
fn fish_completes() {
    let script = r#"
        source "$COMPLETIONS/hardy.fish"
        complete -C 'hardy compl'; complete -C 'hardy probe '; complete -C 'hardy --profile '"#;
    assert_completed("fish", &shell("fish", &["--no-config", "-c"], script));
}

#[test]
fn zsh_completes() {
    // A shell inside a pseudo-terminal of zsh's own, and real Tab keys: each read waits for the
    // rest of the word that Tab puts behind what was typed.
    let script = r#"
        zmodload zsh/zpty
        zpty -b shell zsh -f -i
        await() { local seen part; until [[ $seen == *$1* ]]; do zpty -r shell part && seen+=$part; done }
        tab() { zpty -w -n shell "$1"$'\t'; await "$2"; print -r -- "$3"; zpty -w -n shell $'\C-u' }
        zpty -w shell "PS1=; stty cols 200; fpath=($COMPLETIONS \$fpath)"
        zpty -w shell "autoload -Uz compinit; compinit -u -D; print REA''DY"
        await READY
        tab 'hardy compl' etions completions
        tab 'hardy probe ord' ers orders
        tab 'hardy probe pay' ments payments
        tab 'hardy --profile sta' ging staging
        zpty -d shell"#;
    assert_completed("zsh", &shell("timeout", &["--foreground", "20", "zsh", "-f", "-c"], script));
}
