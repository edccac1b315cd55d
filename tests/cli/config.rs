//! `hardy config`: precedence with origins, errors with places, a schema that fits.

use std::fs;

use super::support::{hardy, run, run_in};

const FILE: &str = r#"
[targets.api]
url = "http://127.0.0.1:8080"

[profile.default.breaker]
volume = 7
cooldown = "2s"

[profile.ci.breaker]
cooldown = "3s"
"#;

fn directory(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("hardy.toml"), text).expect("a file");
    directory
}

fn origin(document: &serde_json::Value, name: &str) -> (String, String) {
    let settings = document["data"]["settings"].as_array().expect("settings");
    let setting = settings.iter().find(|s| s["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    (setting["value"].to_string(), setting["origin"].as_str().expect("an origin").to_owned())
}

#[test]
fn each_layer_beats_the_one_below() {
    let directory = directory(FILE);
    let mut command = hardy();
    command.env_remove("HARDY_CONFIG").current_dir(directory.path()).env("HARDY_BREAKER_WINDOW", "20s");
    let output = command.args(["config", "show", "--profile", "ci", "--json"]).output().expect("hardy runs");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let expect = |name: &str, value: &str, from: &str| {
        assert_eq!(origin(&document, name), (value.to_owned(), from.to_owned()), "{name}");
    };
    expect("breaker.window", "\"20s\"", "HARDY_BREAKER_WINDOW");
    expect("breaker.cooldown", "\"3s\"", "profile.ci");
    expect("breaker.volume", "7", "profile.default");
    expect("breaker.timeout", "\"1s\"", "default");
    expect("breaker.slow", "null", "not set");
}

#[test]
fn a_wrong_variable_is_named() {
    let output =
        hardy().env("HARDY_BREAKER_WINDOW", "20").args(["config", "check"]).output().expect("hardy runs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("HARDY_BREAKER_WINDOW") && stderr.contains("such as 250ms"), "{stderr}");
}

#[test]
fn a_wrong_variable_is_named_by_the_command_that_reads_it() {
    let output = hardy().env("HARDY_PROBE_COUNT", "abc").args(["probe", "exec:true"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("HARDY_PROBE_COUNT"), "{stderr}");
}

#[test]
fn a_variable_that_is_no_setting_is_said_with_the_nearest_one() {
    let output = hardy().env("HARDY_PROBE_CONUT", "3").args(["config", "check"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stderr
            .contains("HARDY_PROBE_CONUT in the environment is no setting, did you mean HARDY_PROBE_COUNT?")
    );
}

#[test]
fn a_broken_file_is_never_ignored() {
    let directory = directory("[profile.ci.breaker]\nvolum = 3\n");
    for args in [&["config", "check"][..], &["config", "show"]] {
        let run = run_in(directory.path(), args);
        assert_eq!(run.code, Some(2));
        assert!(run.stderr.contains("hardy.toml:2:1: unknown key `volum`"), "{run:?}");
        assert!(run.stderr.contains("did you mean `volume`?"), "{run:?}");
    }
}

#[test]
fn files_and_profiles_that_do_not_exist() {
    let run_missing = run(&["--config", "/nowhere.toml", "config", "check"]);
    assert_eq!(run_missing.code, Some(2), "{run_missing:?}");
    let directory = directory(FILE);
    let run_profile = run_in(directory.path(), &["config", "show", "--profile", "cii"]);
    assert_eq!(run_profile.code, Some(2));
    assert!(run_profile.stderr.contains("did you mean `ci`?"), "{run_profile:?}");
}

#[test]
fn the_file_of_the_user_is_found_after_the_local_one() {
    let home = tempfile::tempdir().expect("a directory");
    fs::create_dir(home.path().join("hardy")).expect("a directory");
    fs::write(home.path().join("hardy/config.toml"), FILE).expect("a file");
    let elsewhere = tempfile::tempdir().expect("a directory");
    let mut command = hardy();
    command.env_remove("HARDY_CONFIG").env("XDG_CONFIG_HOME", home.path()).current_dir(elsewhere.path());
    let output = command.args(["config", "check"]).output().expect("hardy runs");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 target, 2 profiles"), "{output:?}");
}

#[test]
fn the_schema_accepts_what_check_accepts() {
    let schema: serde_json::Value = run(&["config", "schema"]).json();
    let validator = jsonschema::validator_for(&schema).expect("a JSON Schema");
    let good: serde_json::Value =
        toml::from_str::<toml::Table>(FILE).map(|t| serde_json::json!(t)).expect("TOML");
    assert!(validator.is_valid(&good), "{:?}", validator.iter_errors(&good).collect::<Vec<_>>());
    let bad = serde_json::json!({ "profile": { "ci": { "breaker": { "volum": 3 } } } });
    assert!(!validator.is_valid(&bad));
}
