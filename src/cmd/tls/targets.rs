//! What was typed, or stands in the config, as targets: endpoints and files.

use std::path::{Path, PathBuf};

use crate::address::{self, Address, AddressError, Encryption, StartTls};
use crate::config::{self, Config};
use crate::error::Error;
use crate::text::{printable, without_secrets};
use crate::tls::target::{Endpoint, Place, Target};

/// What a file with certificates is called, so that one that is not there is not taken for a host.
const EXTENSIONS: [&str; 9] = ["pem", "crt", "cer", "cert", "der", "p12", "pfx", "key", "p7b"];
/// Where HTTP is expected without being named.
const HTTPS: [u16; 2] = [443, 8443];

/// The targets asked for, each once, or all of the config that have TLS.
///
/// # Errors
/// One that is none, or has no TLS.
pub fn all(typed: &[String], name: Option<&str>, config: &Config) -> Result<Vec<Target>, Error> {
    let mut targets: Vec<Target> = Vec::new();
    for text in typed {
        let target = one(text, name, config)?;
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    if typed.is_empty() {
        for known in config.targets.keys() {
            let target = configured(known, name, config).transpose()?;
            targets.extend(target);
        }
    }
    Ok(targets)
}

fn one(text: &str, name: Option<&str>, config: &Config) -> Result<Target, Error> {
    if config.targets.contains_key(text) {
        let found = configured(text, name, config).transpose()?;
        return found.ok_or_else(|| Error::usage(format!("targets.{text}.url has no TLS to check")));
    }
    let target = |place| Target { shown: text.to_owned(), place };
    if is_file(text) {
        return Ok(target(Place::File(PathBuf::from(text))));
    }
    match text.parse::<Address>() {
        Ok(address) => {
            let shown = without_secrets(text);
            let kind = address.kind();
            let found = endpoint(address, name).map(|endpoint| Target { shown, place: endpoint });
            found.ok_or_else(|| {
                Error::usage(format!("{text}: {kind} has no TLS to check"))
                    .hint("https://, tls:// and tls+PROTOCOL:// have")
            })
        }
        Err(AddressError::NoScheme(_)) => bare(text, name, config).map(target),
        Err(error) => Err(Error::usage(error.to_string())),
    }
}

/// A target of the config; none where it has no TLS.
fn configured(known: &str, name: Option<&str>, config: &Config) -> Option<Result<Target, Error>> {
    let url = &config.targets.get(known)?.url;
    let wrong = |error: AddressError| Error::usage(format!("targets.{known}.url: {error}"));
    match url.parse::<Address>() {
        Err(error) => Some(Err(wrong(error))),
        Ok(address) => endpoint(address, name).map(|place| Ok(Target { shown: known.to_owned(), place })),
    }
}

fn endpoint(address: Address, name: Option<&str>) -> Option<Place> {
    let server_name = name.map(str::to_owned);
    match address {
        Address::Tls { host, port, starttls } => {
            Some(Place::Endpoint(Endpoint { host, port, server_name, starttls, http_path: None }))
        }
        Address::Http { url, socket: None } if url.scheme() == "https" => {
            let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
            let port = url.port_or_known_default()?;
            let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
            let http_path = Some(format!("{}{query}", url.path()));
            Some(Place::Endpoint(Endpoint { host, port, server_name, starttls: None, http_path }))
        }
        Address::WebSocket { url } if url.scheme() == "https" => {
            let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
            let port = url.port_or_known_default()?;
            Some(Place::Endpoint(Endpoint { host, port, server_name, starttls: None, http_path: None }))
        }
        Address::Grpc { at, .. } | Address::Etcd { at } | Address::Redis { at, .. } if at.tls => {
            Some(server(at, server_name, None))
        }
        Address::Postgres { at, encryption, .. } if encryption != Encryption::Off => {
            Some(server(at, server_name, Some(StartTls::Postgres)))
        }
        Address::Mysql { at, encryption, .. } if encryption != Encryption::Off => {
            Some(server(at, server_name, Some(StartTls::Mysql)))
        }
        _ => None,
    }
}

/// One that speaks no HTTP, with TLS from the first byte or on request.
fn server(at: address::Endpoint, server_name: Option<String>, starttls: Option<StartTls>) -> Place {
    Place::Endpoint(Endpoint { host: at.host, port: at.port, server_name, starttls, http_path: None })
}

/// What is there as a file is one; so is what can only be a path.
fn is_file(text: &str) -> bool {
    let path = Path::new(text);
    let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_lowercase);
    let named_so = extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()));
    !text.contains("://") && (text.contains('/') || text.starts_with('.') || named_so || path.exists())
}

/// `HOST`, `HOST:PORT`, `[V6]:PORT` or an address.
fn bare(text: &str, name: Option<&str>, config: &Config) -> Result<Place, Error> {
    let (host, port) = match text.rsplit_once(':') {
        _ if text.parse::<std::net::IpAddr>().is_ok() => (text, None),
        Some((host, port)) => (host.trim_matches(['[', ']']), Some(port)),
        None => (text, None),
    };
    let near = config::nearest(text, config.targets.keys().map(String::as_str));
    if let (Some(near), None, false) = (near, port, host.contains('.')) {
        return Err(Error::usage(format!("`{text}` is no target of the config"))
            .hint(format!("did you mean `{near}`? A host of this name: {text}:443")));
    }
    let port: u16 = match port.map(str::parse) {
        None => 443,
        Some(Ok(port)) if port > 0 => port,
        Some(_) => return Err(not_a_target(text)),
    };
    if host.is_empty() || !host.chars().all(|c| c.is_alphanumeric() || "-_.:".contains(c)) {
        return Err(not_a_target(text));
    }
    let http_path = HTTPS.contains(&port).then(|| "/".to_owned());
    let server_name = name.map(str::to_owned);
    Ok(Place::Endpoint(Endpoint { host: host.to_owned(), port, server_name, starttls: None, http_path }))
}

fn not_a_target(text: &str) -> Error {
    let text = printable(text);
    Error::usage(format!("`{text}` is neither a host, a URL, a file, nor a target of the config"))
        .hint("give HOST, HOST:PORT, https://HOST, tls+smtp://HOST, or the path of a file or directory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    fn config(text: &str) -> Config {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::load(&Source { path: Some(file.path().to_owned()), profile: None }).unwrap()
    }

    const CONFIG: &str = "[targets.api]\nurl = \"https://api.example:8443/health?a=b\"\n\
                          [targets.mail]\nurl = \"tls+smtp://mail.example\"\n\
                          [targets.db]\nurl = \"tcp://db:5432\"";

    fn parsed(text: &str) -> Result<Target, String> {
        one(text, None, &config(CONFIG)).map_err(|error| error.to_string())
    }

    fn endpoint_of(text: &str) -> (String, u16, Option<String>) {
        match parsed(text).unwrap().place {
            Place::Endpoint(endpoint) => (endpoint.host, endpoint.port, endpoint.http_path),
            Place::File(path) => panic!("{text} is taken for the file {}", path.display()),
        }
    }

    #[test]
    fn hosts_urls_and_names() {
        let root = || Some("/".to_owned());
        assert_eq!(endpoint_of("api.example"), ("api.example".into(), 443, root()));
        assert_eq!(endpoint_of("mail.example:993"), ("mail.example".into(), 993, None));
        assert_eq!(endpoint_of("[::1]:8443"), ("::1".into(), 8443, root()));
        assert_eq!(endpoint_of("::1"), ("::1".into(), 443, root()));
        assert_eq!(endpoint_of("https://h/x"), ("h".into(), 443, Some("/x".into())));
        assert_eq!(endpoint_of("tls+imap://h"), ("h".into(), 143, None));
        assert_eq!(endpoint_of("api"), ("api.example".into(), 8443, Some("/health?a=b".into())));
    }

    #[test]
    fn files_are_what_can_only_be_files() {
        for text in ["/etc/ssl", "./api", "site.pem", "missing.P12", "."] {
            assert!(matches!(parsed(text).unwrap().place, Place::File(_)), "{text}");
        }
    }

    #[test]
    fn whatever_a_probe_speaks_tls_with_can_be_checked() {
        let wanted = |text: &str| match parsed(text).unwrap().place {
            Place::Endpoint(endpoint) => {
                (endpoint.host, endpoint.port, endpoint.starttls, endpoint.http_path)
            }
            Place::File(path) => panic!("{text} is taken for the file {}", path.display()),
        };
        for (text, port, starttls) in [
            ("rediss://h", 6379, None),
            ("etcds://h", 2379, None),
            ("grpcs://h:50051/service", 50051, None),
            ("wss://h/path", 443, None),
            ("wss://h:8443/path", 8443, None),
            ("postgres://h/db?sslmode=require", 5432, Some(StartTls::Postgres)),
            ("mysql://me@h?ssl-mode=VERIFY_IDENTITY", 3306, Some(StartTls::Mysql)),
        ] {
            assert_eq!(wanted(text), ("h".to_owned(), port, starttls, None), "{text}");
        }
        for text in ["redis://h", "etcd://h", "grpc://h:1", "ws://h", "postgres://h/db", "mysql://h"] {
            assert!(parsed(text).unwrap_err().contains("has no TLS to check"), "{text}");
        }
        let config = config("[targets.cache]\nurl = \"rediss://h\"\n[targets.plain]\nurl = \"redis://h\"");
        let found = all(&[], None, &config).unwrap();
        assert_eq!(found.iter().map(|t| t.shown.as_str()).collect::<Vec<_>>(), ["cache"]);
    }

    #[test]
    fn what_has_no_tls_is_refused() {
        for (text, part) in [
            ("http://h", "http has no TLS"),
            ("tcp://h:1", "tcp has no TLS"),
            ("db", "targets.db.url has no TLS"),
            ("ap", "`ap` is no target of the config"),
            ("h:0", "neither a host"),
            ("h:https", "neither a host"),
            ("a b", "neither a host"),
            ("tls+gopher://h", "after tls+ is none of"),
            ("a\u{1b}[2J", "`a\\u{1b}[2J` is neither a host"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn without_any_all_of_the_config_that_have_tls() {
        let found = all(&[], None, &config(CONFIG)).unwrap();
        assert_eq!(found.iter().map(|t| t.shown.as_str()).collect::<Vec<_>>(), ["api", "mail"]);
        let typed = ["api.example".to_owned(), "api.example".to_owned()];
        assert_eq!(all(&typed, None, &config("")).unwrap().len(), 1, "each once");
    }
}
