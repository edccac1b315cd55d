//! The one loader: which file, which profile, and where every value came from.
//! For every setting: flag > environment > chosen profile > `[profile.default]` > embedded defaults.
//! It opens no connection and does not know what a setting is used for.

mod file;
mod knobs;
mod origin;
mod target;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::Error;

pub use crate::text::nearest;
pub use file::{File, Profile};
pub use knobs::{
    BreakerKnobs, FailFrom, FailOn, Layer, LoadKnobs, LockKnobs, ProbeKnobs, ServeKnobs, StoreKnobs, TlsKnobs,
};
pub use origin::{Origin, Value, variable};
pub use target::{Expect, Target};

/// The lowest layer, embedded.
pub const DEFAULTS: &str = include_str!("default.toml");

/// What the names of all variables begin with.
const PREFIX: &str = "HARDY_";

/// The only setting that no file and no flag has.
const PASSWORD: &str = "HARDY_STORE_PASSWORD";

/// What commands that run under a lock, or through a breaker, find in their environment: no settings.
const TOLD: [&str; 8] = [
    "HARDY_LOCK_NAME",
    "HARDY_LOCK_TOKEN",
    "HARDY_LOCK_DEADLINE",
    "HARDY_LOCK_HANDLE",
    "HARDY_LOCK_HOLDER",
    "HARDY_BREAKER_NAME",
    "HARDY_BREAKER_OUTCOME",
    "HARDY_BREAKER_EXIT",
];

/// The word that stands for "no file at all".
const NO_FILE: &str = "none";

/// What the command line and the environment say about the file.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// `--config` or `HARDY_CONFIG`: a path, or `none`.
    pub path: Option<PathBuf>,
    /// `--profile` or `HARDY_PROFILE`.
    pub profile: Option<String>,
}

/// The configuration of one run.
#[derive(Debug)]
pub struct Config {
    /// The file that was read, if one was found.
    pub path: Option<PathBuf>,
    /// The targets of the file, by name.
    pub targets: BTreeMap<String, Target>,
    /// All profile layers merged: what a flag or the environment may still override.
    pub profile: Profile,
    /// The names of the file's profiles.
    pub profiles: Vec<String>,
    /// The profile layers, highest first, for those who ask where a value came from.
    layers: Vec<(Origin, Profile)>,
}

impl Config {
    /// The profile that was chosen on top of `default`.
    pub fn chosen_profile(&self) -> Option<&str> {
        self.layers.iter().find_map(|(origin, _)| match origin {
            Origin::Profile(name) if name != "default" => Some(name.as_str()),
            _ => None,
        })
    }

    /// Finds and reads the file; a broken one is an error with its place, never ignored.
    pub fn load(source: &Source) -> Result<Config, Error> {
        let path = find(source)?;
        let mut file = match &path {
            Some(path) => read(path)?,
            None => File::default(),
        };
        let profiles = file.profile.keys().cloned().collect();
        let mut layers = Vec::new();
        if let Some(name) = source.profile.as_deref().filter(|&name| name != "default") {
            let profile =
                file.profile.remove(name).ok_or_else(|| no_profile(name, &file, path.as_deref()))?;
            layers.push((Origin::Profile(name.to_owned()), profile));
        }
        if let Some(profile) = file.profile.remove("default") {
            layers.push((Origin::Profile("default".to_owned()), profile));
        }
        layers.push((Origin::File, Profile { store: file.store, ..Profile::default() }));
        layers.push((Origin::Default, defaults()?));
        let profile = layers.iter().fold(Profile::default(), |upper, (_, layer)| upper.or(layer.clone()));
        Ok(Config { path, targets: file.targets, profile, profiles, layers })
    }

    /// Every setting that has a value, with its origin, by dotted name.
    pub fn values(&self) -> Result<Vec<Value>, Error> {
        origin::values(self)
    }
}

/// The settings of the environment alone, for those who come before the command line is parsed.
///
/// # Errors
/// A variable holds no value of its setting.
pub fn from_environment() -> Result<Profile, Error> {
    Profile::from_environment()
}

/// A setting that the embedded defaults always have; the error names one that they have not.
pub fn need<T>(value: Option<T>, name: &str) -> Result<T, Error> {
    value.ok_or_else(|| Error::usage(format!("the setting {name} has no value and no default")))
}

/// Parses the text of a config file; `name` is how its errors call it.
pub fn parse(text: &str, name: &str) -> Result<File, Error> {
    toml::from_str(text).map_err(|e| file::located(&e, text, name))
}

/// `HARDY_CONFIG`, for those who come before the command line is parsed.
pub fn path_from_environment() -> Option<PathBuf> {
    environment("HARDY_CONFIG").map(PathBuf::from)
}

/// Whether a variable is set, and not empty.
pub fn is_in_environment(name: &str) -> bool {
    environment(name).is_some()
}

/// Where what must outlive a run is kept: `/var/lib/hardy` for root, else `$XDG_STATE_HOME/hardy`.
///
/// # Errors
/// There is no home directory.
pub fn state_directory() -> Result<PathBuf, Error> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/hardy"));
    }
    let given = environment("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let usual = || environment("HOME").map(|home| Path::new(&home).join(".local/state"));
    given.or_else(usual).map(|state| state.join("hardy")).ok_or_else(|| {
        Error::usage("there is no directory for state: neither XDG_STATE_HOME nor HOME is set")
            .hint("set one of them, or HARDY_STORE_DIRECTORY")
    })
}

/// Who runs this, as the environment has it.
pub fn user() -> Option<String> {
    ["USER", "LOGNAME"].iter().find_map(|name| environment(name)?.into_string().ok())
}

/// The password of the store's user, if the environment has one.
pub fn store_password() -> Option<String> {
    environment(PASSWORD).and_then(|value| value.into_string().ok())
}

/// What a command under a lock finds in its environment: its name and its token, if this is one.
pub fn lock_from_environment() -> (Option<String>, Option<String>) {
    let value = |name| environment(name).and_then(|value| value.into_string().ok());
    (value("HARDY_LOCK_NAME"), value("HARDY_LOCK_TOKEN"))
}

/// The handle of the lock under which this process runs, if it does.
pub fn handle_from_environment() -> Option<String> {
    environment("HARDY_LOCK_HANDLE").and_then(|value| value.into_string().ok())
}

/// The knobs of a section as variables, for a process of our own that is to have the same settings.
pub fn as_variables(section: &str, knobs: &impl serde::Serialize) -> Vec<(String, String)> {
    let Ok(toml::Value::Table(knobs)) = toml::Value::try_from(knobs) else { return Vec::new() };
    knobs.iter().map(|(knob, value)| (variable(section, knob), plain(value))).collect()
}

/// The variables that name proxies, and what they hold; the HTTP client reads them itself.
pub fn proxy_variables() -> Vec<(&'static str, String)> {
    let names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    let value = |name| Some((name, environment(name)?.to_string_lossy().into_owned()));
    names.into_iter().filter_map(value).collect()
}

/// The directories in which programs are looked up; without any setting, those of a bare system.
pub fn search_path() -> std::ffi::OsString {
    environment("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
}

/// The names that the files found have, for completion; errors mean none.
pub fn names(source: &Source) -> (Vec<String>, Vec<String>) {
    let file = find(source).ok().flatten().and_then(|path| read(&path).ok()).unwrap_or_default();
    (file.targets.into_keys().collect(), file.profile.into_keys().collect())
}

/// `--config` > `HARDY_CONFIG` > `./hardy.toml` > `$XDG_CONFIG_HOME/hardy/config.toml`; the first wins.
fn find(source: &Source) -> Result<Option<PathBuf>, Error> {
    if let Some(path) = &source.path {
        if path.as_os_str() == NO_FILE {
            return Ok(None);
        }
        if !path.exists() {
            return Err(Error::usage(format!("no config file at {}", path.display()))
                .hint("give the path of a file, or `none` to use no file at all"));
        }
        return Ok(Some(path.clone()));
    }
    let here = Some(PathBuf::from("hardy.toml"));
    Ok([here, in_config_home()].into_iter().flatten().find(|path| path.is_file()))
}

fn in_config_home() -> Option<PathBuf> {
    let home = environment("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| environment("HOME").map(|home| Path::new(&home).join(".config")))?;
    Some(home.join("hardy/config.toml"))
}

fn read(path: &Path) -> Result<File, Error> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        Error::usage(format!("cannot read the config file {}", path.display()))
            .because(e)
            .hint("make it readable UTF-8, or pass --config none")
    })?;
    parse(&text, &path.display().to_string())
}

fn defaults() -> Result<Profile, Error> {
    toml::from_str(DEFAULTS).map_err(|e| file::located(&e, DEFAULTS, "the embedded defaults"))
}

fn no_profile(name: &str, file: &File, path: Option<&Path>) -> Error {
    let Some(path) = path else {
        return Error::usage(format!("no profile `{name}`: there is no config file"))
            .hint("create hardy.toml with a [profile.NAME] table, or drop --profile");
    };
    let names: Vec<&str> = file.profile.keys().map(String::as_str).collect();
    let hint = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "the file has no [profile.NAME] table".to_owned(),
        None => format!("it has {}", names.join(", ")),
    };
    Error::usage(format!("no profile `{name}` in {}", path.display())).hint(hint)
}

/// The embedded defaults as text, by the variable that overrides them; for the help.
pub fn default_texts() -> BTreeMap<String, String> {
    let sections: toml::Table = toml::from_str(DEFAULTS).unwrap_or_default();
    let mut texts = BTreeMap::new();
    for (section, knobs) in &sections {
        for (knob, value) in knobs.as_table().into_iter().flatten() {
            texts.insert(variable(section, knob), plain(value));
        }
    }
    texts
}

/// A TOML value as one would type it after a flag.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.trim_end().to_owned(),
        toml::Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Variables that look like settings and are none, each with the nearest one that is.
pub fn unknown_variables() -> Vec<(String, Option<String>)> {
    let mut names = environment_names();
    names.retain(|name| name.starts_with(PREFIX) && name != PASSWORD && !TOLD.contains(&name.as_str()));
    if names.is_empty() {
        return Vec::new();
    }
    let sections = origin::knobs();
    names.retain(|name| {
        let of_section = |section: &str| name.starts_with(&variable(section, ""));
        let known =
            |section: &str, knobs: &[String]| knobs.iter().any(|knob| variable(section, knob) == *name);
        sections.iter().any(|(section, knobs)| of_section(section) && !known(section, knobs))
    });
    if names.is_empty() {
        return Vec::new();
    }
    let known = |(section, knobs): &(String, Vec<String>)| -> Vec<String> {
        knobs.iter().map(|knob| variable(section, knob)).collect()
    };
    let known: Vec<String> = sections.iter().flat_map(known).chain([PASSWORD.to_owned()]).collect();
    let nearest = |name: String| {
        let near = nearest(&name, known.iter().map(String::as_str)).map(str::to_owned);
        (name, near)
    };
    names.into_iter().map(nearest).collect()
}

fn environment_names() -> Vec<String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
}

/// The one place that reads the environment for settings.
#[expect(clippy::disallowed_methods, reason = "this is the loader")]
fn environment(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_is_near() {
        assert_eq!(nearest("tiemout", ["timeout", "trials"]), Some("timeout"));
        assert_eq!(nearest("xyz", ["timeout", "trials"]), None);
    }

    #[test]
    fn defaults_are_read_without_any_file() {
        let source = Source { path: Some(NO_FILE.into()), profile: None };
        assert!(Config::load(&source).is_ok());
    }
}
