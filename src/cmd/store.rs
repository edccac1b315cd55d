//! What the store's settings mean: which store, and what begins the keys of one of many.

use std::path::PathBuf;

use crate::config::{self, StoreKnobs, need};
use crate::error::Error;
use crate::store::{self, Settings, etcd, local};

/// The word that stands for the store of this host.
const NO_ENDPOINTS: &str = "none";

/// The store's own error, in which nothing was found out.
pub fn failed(error: store::Error) -> Error {
    let (what, cause, hint) = error.into_parts();
    let error = Error::unknown(what);
    let error = match cause {
        Some(cause) => error.because(cause),
        None => error,
    };
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The store, and what is put before names in it.
///
/// # Errors
/// What cannot be meant, by its key.
pub fn store(knobs: StoreKnobs) -> Result<(Settings, String), Error> {
    let endpoints = knobs.endpoints.unwrap_or_default();
    let endpoints: Vec<&str> =
        endpoints.iter().map(|endpoint| endpoint.trim().trim_end_matches('/')).collect();
    if matches!(endpoints.as_slice(), [] | [NO_ENDPOINTS]) {
        let directory = knobs.directory.map_or_else(config::state_directory, Ok)?;
        let allow_network = need(knobs.allow_network, "store.allow_network")?;
        return Ok((Settings::Local(local::Settings { directory, allow_network }), String::new()));
    }
    let endpoints = endpoints.into_iter().map(checked).collect::<Result<_, _>>()?;
    if knobs.cert.is_some() != knobs.key.is_some() {
        return Err(Error::usage("store.cert and store.key belong together: one of them is missing"));
    }
    let user = knobs.user.map(|name| password(knobs.password_file).map(|password| (name, password)));
    let settings = etcd::Settings {
        endpoints,
        ca: knobs.ca,
        cert: knobs.cert,
        key: knobs.key,
        user: user.transpose()?,
        timeout: need(knobs.timeout, "store.timeout")?.0,
    };
    Ok((Settings::Etcd(settings), knobs.lock_prefix.unwrap_or_default()))
}

/// An endpoint is nothing but scheme, host and port. An empty one is an unset variable in a script, and must not turn
/// the lock of a fleet into one of this host.
fn checked(endpoint: &str) -> Result<String, Error> {
    let rest = ["http://", "https://"].iter().find_map(|scheme| endpoint.strip_prefix(scheme));
    let good = rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '@', '?', '#', ' ']));
    if good {
        return Ok(endpoint.to_owned());
    }
    let shown = crate::text::without_secrets(endpoint);
    let error = Error::usage(format!("{shown:?} is no endpoint of etcd"));
    Err(error.hint("give http://HOST:PORT or https://HOST:PORT, or only `none` for the locks of this host"))
}

fn password(file: Option<PathBuf>) -> Result<String, Error> {
    if let Some(path) = file {
        let wrong =
            |e| Error::usage(format!("cannot read store.password_file {}", path.display())).because(e);
        let text = std::fs::read_to_string(&path).map_err(wrong)?;
        return Ok(text.lines().next().unwrap_or_default().to_owned());
    }
    let missing = || {
        Error::usage("store.user is set, and no password for it")
            .hint("set HARDY_STORE_PASSWORD, or store.password_file")
    };
    config::store_password().ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Layer};

    fn of(text: &str) -> Result<(Settings, String), String> {
        let defaults = Config::load(&config::Source { path: Some("none".into()), profile: None }).unwrap();
        let knobs: StoreKnobs = toml::from_str(text).unwrap();
        store(knobs.or(defaults.profile.store)).map_err(|error| error.to_string())
    }

    #[test]
    fn without_endpoints_it_is_this_host() {
        for text in ["", "endpoints = []", "endpoints = [\"none\"]", "endpoints = [\" none\"]"] {
            let text = format!("{text}\ndirectory = \"/d\"");
            assert!(matches!(of(&text), Ok((Settings::Local(s), _)) if s.directory.as_os_str() == "/d"));
        }
        let (settings, prefix) = of("endpoints = [\"https://h:1\"]\nlock_prefix = \"p/\"").unwrap();
        assert!(matches!(settings, Settings::Etcd(s) if s.endpoints == ["https://h:1"]) && prefix == "p/");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for endpoint in ["", "h:1", "ftp://h", "http://", "http://u:p@h:1", "http://h:1/x"] {
            let error = of(&format!("endpoints = [{endpoint:?}]")).unwrap_err();
            assert!(error.ends_with("is no endpoint of etcd") && !error.contains(":p@"), "{error}");
        }
        assert!(of("endpoints = [\"http://h:1\"]\ncert = \"c\"").unwrap_err().contains("store.key"));
        assert!(of("endpoints = [\"http://h:1\"]\nuser = \"u\"").unwrap_err().contains("password"));
    }
}
