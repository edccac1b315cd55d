//! Which of several contents and identities is served: the nearest layer that chooses one decides.

use super::super::support::{hardy, run};
use super::client::Server;

/// A server in a directory with this hardy.toml and a file `a`.
fn start(file: &str, variables: &[(&str, &str)], args: &[&str]) -> (tempfile::TempDir, Server) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("hardy.toml"), file).unwrap();
    std::fs::write(directory.path().join("a"), "a file").unwrap();
    let mut command = hardy();
    command.env_remove("HARDY_CONFIG").current_dir(directory.path()).envs(variables.iter().copied());
    let server = Server::start_with(command.stdout(std::process::Stdio::piped()), args);
    (directory, server)
}

#[test]
fn the_nearest_choice_of_content_counts() {
    let dir = "[profile.default.serve]\ndir = \".\"\n[profile.echo.serve]\necho = true\n";
    let answer = |file: &str, variables: &[(&str, &str)], args: &[&str]| {
        let (_directory, server) = start(file, variables, args);
        server.get("/a").text()
    };
    assert_eq!(answer("", &[], &[]), "Hello World!\n");
    assert_eq!(answer(dir, &[], &[]), "a file");
    assert!(answer(dir, &[], &["--profile", "echo"]).contains("\"path\""));
    assert!(answer(dir, &[("HARDY_SERVE_ECHO", "true")], &[]).contains("\"path\""));
    let variables = [("HARDY_SERVE_ECHO", "true")];
    assert_eq!(answer(dir, &variables, &["--respond", "200:flag"]), "flag");
    assert_eq!(answer(dir, &variables, &["--dir", "."]), "a file");
    assert_eq!(answer("", &[("HARDY_SERVE_RESPOND", "200:variable")], &[]), "variable");
}

#[test]
fn a_flag_replaces_the_identity_of_the_environment() {
    let (_directory, server) = start(
        "",
        &[("HARDY_SERVE_TLS_CERT", "missing"), ("HARDY_SERVE_TLS_KEY", "missing")],
        &["--tls", "self-signed"],
    );
    assert!(server.urls[0].starts_with("https://"));
}

#[test]
fn a_policy_in_a_profile_waits_for_tls() {
    let (_directory, server) = start("[profile.default.serve]\ntls_min = \"1.3\"\n", &[], &[]);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_setting_is_called_as_it_was_set() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hardy.toml");
    for (knobs, says) in [
        ("tls = \"self-signed\"\ntls_min = \"1.1\"", "serve.tls_min: "),
        ("listen = [\"nowhere\"]", "serve.listen: "),
        ("fault = [\"rest@1%\"]", "serve.fault: "),
        ("max_connections = 0", "serve.max_connections: "),
        ("echo = true\ndir = \".\"", "serve.echo cannot be used with serve.dir"),
    ] {
        std::fs::write(&path, format!("[profile.default.serve]\n{knobs}\n")).unwrap();
        let run = run(&["serve", "--config", path.to_str().unwrap()]);
        assert_eq!(run.code, Some(2), "{knobs}: {run:?}");
        assert!(run.stderr.contains(says), "{knobs}: {run:?}");
    }
}

#[test]
fn the_short_help_fits_a_screen() {
    let output = hardy().env("COLUMNS", "80").args(["serve", "-h"]).output().expect("hardy runs");
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.lines().count() <= 50 && help.lines().all(|line| line.len() <= 80), "{help}");
}
