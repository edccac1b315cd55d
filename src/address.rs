//! Where a target is, as people write it: a URL with one of the known schemes, or a command.
//!
//! Refuses what is none of them, with the form that it expects; and to connect anywhere.

use std::path::PathBuf;
use std::str::FromStr;

use reqwest::Url;

use crate::text::without_secrets;

/// Where a target is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `http://`, `https://`, and `unix+http://SOCKET:PATH` with the socket file.
    Http {
        /// What is asked for.
        url: Url,
        /// The socket file to connect to instead of the URL's host.
        socket: Option<PathBuf>,
    },
    /// `tcp://HOST:PORT`
    Tcp {
        /// A name or an address, an IPv6 one without brackets.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
    /// `exec:COMMAND`
    Exec {
        /// A text for `sh -c`.
        command: String,
    },
}

/// A text that is no address of a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No scheme at all: perhaps meant as a name.
    #[error("{0} has no scheme: expected a URL such as http://HOST:PORT/PATH or tcp://HOST:PORT")]
    NoScheme(String),
    /// A scheme that probe does not speak.
    #[error("{0}: is none of the schemes http, https, tcp, unix+http, exec")]
    Scheme(String),
    /// A known scheme, and then not its form.
    #[error("{text} is not of the form {form}")]
    Form {
        /// What was given.
        text: String,
        /// What was expected.
        form: &'static str,
    },
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once(':').ok_or_else(|| AddressError::NoScheme(text.to_owned()))?;
        match (scheme.to_ascii_lowercase().as_str(), rest.strip_prefix("//")) {
            ("http" | "https", Some(_)) => http(text),
            ("unix+http", Some(rest)) => unix(text, rest),
            ("tcp", Some(_)) => tcp(text),
            ("exec", _) if !rest.trim().is_empty() => Ok(Address::Exec { command: rest.to_owned() }),
            ("exec", _) => Err(form(text, "exec:COMMAND")),
            ("http" | "https" | "unix+http" | "tcp", None) => Err(form(text, "SCHEME://HOST:PORT")),
            // "localhost:8080" splits like a scheme, and was not meant as one.
            _ if !rest.starts_with("//") => Err(AddressError::NoScheme(text.to_owned())),
            _ => Err(AddressError::Scheme(scheme.to_owned())),
        }
    }
}

fn form(text: &str, form: &'static str) -> AddressError {
    AddressError::Form { text: without_secrets(text), form }
}

fn http(text: &str) -> Result<Address, AddressError> {
    let url = Url::parse(text).map_err(|_| form(text, "http://HOST[:PORT][/PATH]"))?;
    Ok(Address::Http { url, socket: None })
}

fn unix(text: &str, rest: &str) -> Result<Address, AddressError> {
    let wrong = || form(text, "unix+http:///SOCKET[:/PATH]");
    let (socket, path) = match rest.find(":/") {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, "/"),
    };
    if !socket.starts_with('/') {
        return Err(wrong());
    }
    let url = Url::parse(&format!("http://localhost{path}")).map_err(|_| wrong())?;
    Ok(Address::Http { url, socket: Some(PathBuf::from(socket)) })
}

fn tcp(text: &str) -> Result<Address, AddressError> {
    let wrong = || form(text, "tcp://HOST:PORT");
    let url = Url::parse(text).map_err(|_| wrong())?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
    let port = url.port().filter(|port| *port > 0).ok_or_else(wrong)?;
    let extra = !matches!(url.path(), "" | "/") || url.query().is_some() || !url.username().is_empty();
    if extra {
        return Err(wrong());
    }
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Address::Tcp { host, port })
}

impl Address {
    /// `http`, `https`, `unix+http`, `tcp` or `exec`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Address::Http { socket: Some(_), .. } => "unix+http",
            Address::Http { url, .. } if url.scheme() == "https" => "https",
            Address::Http { .. } => "http",
            Address::Tcp { .. } => "tcp",
            Address::Exec { .. } => "exec",
        }
    }

    /// The address for people, reports and environments: without secrets.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Address::Http { url, socket: Some(socket) } => {
                let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
                format!("unix+http://{}:{}{query}", socket.display(), url.path())
            }
            Address::Http { url, .. } => without_secrets(url.as_str()),
            Address::Tcp { host, port } if host.contains(':') => format!("tcp://[{host}]:{port}"),
            Address::Tcp { host, port } => format!("tcp://{host}:{port}"),
            Address::Exec { command } => format!("exec:{command}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        let cases = [
            ("http://127.0.0.1:8080", "http", "http://127.0.0.1:8080/"),
            ("https://api.example/health?x=1", "https", "https://api.example/health?x=1"),
            ("https://me:secret@api.example/", "https", "https://me:(redacted)@api.example/"),
            ("tcp://db:5432", "tcp", "tcp://db:5432"),
            ("tcp://[::1]:5432", "tcp", "tcp://[::1]:5432"),
            ("unix+http:///run/app.sock:/health?deep", "unix+http", "unix+http:///run/app.sock:/health?deep"),
            ("unix+http:///run/app.sock", "unix+http", "unix+http:///run/app.sock:/"),
            ("exec:test -f /x: y", "exec", "exec:test -f /x: y"),
            ("HTTPS://API.example", "https", "https://api.example/"),
            ("TCP://db:5432", "tcp", "tcp://db:5432"),
            ("Unix+HTTP:///run/App.sock", "unix+http", "unix+http:///run/App.sock:/"),
            ("EXEC:True", "exec", "exec:True"),
        ];
        for (text, kind, shown) in cases {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.kind(), address.shown().as_str()), (kind, shown));
        }
    }

    #[test]
    fn what_is_no_address_says_so() {
        let error = |text: &str| text.parse::<Address>().unwrap_err();
        for text in ["", "api", "localhost:8080"] {
            assert!(matches!(error(text), AddressError::NoScheme(_)), "{text}");
        }
        assert_eq!(error("ftp://x"), AddressError::Scheme("ftp".into()));
        let bad =
            ["http://", "http:x", "tcp://db", "tcp://:5", "tcp://db:0", "tcp://db:99999", "tcp://db:1/x"];
        for text in bad.into_iter().chain(["unix+http://run/app.sock", "exec:", "exec: "]) {
            assert!(matches!(error(text), AddressError::Form { .. }), "{text}");
        }
    }
}
