//! Where a target is, as people write it: a URL with one of the known schemes, or a command.
//!
//! Refuses what is none of them, with the form that it expects; and to connect anywhere.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use reqwest::Url;

use crate::text::without_secrets;

mod kinds;

pub use kinds::{Encryption, Endpoint, Question};

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
    /// `tls://HOST[:PORT]`, or `tls+PROTOCOL://HOST[:PORT]` for one that begins TLS on request.
    Tls {
        /// A name or an address, an IPv6 one without brackets.
        host: String,
        /// 1 to 65535; without one that of the protocol, or 443.
        port: u16,
        /// What is spoken before TLS.
        starttls: Option<StartTls>,
    },
    /// `h2c://HOST[:PORT][/PATH]`: HTTP/2 from the first byte, without TLS.
    H2c {
        /// What is asked for, as `http://`.
        url: Url,
    },
    /// `ws://`, `wss://`
    WebSocket {
        /// What is asked to become a WebSocket, as `http://` or `https://`.
        url: Url,
    },
    /// `grpc://HOST:PORT[/SERVICE][?watch]`, `grpcs://`: the standard health service.
    Grpc {
        /// The server.
        at: Endpoint,
        /// The service asked after; empty for the server as a whole.
        service: String,
        /// Ask with Watch instead of Check.
        watch: bool,
    },
    /// `etcd://HOST[:PORT]`, `etcds://`
    Etcd {
        /// One member.
        at: Endpoint,
    },
    /// `redis://[USER@]HOST[:PORT]`, `rediss://`
    Redis {
        /// The server.
        at: Endpoint,
        /// Who logs in, where there is a password; `default` otherwise.
        user: Option<String>,
    },
    /// `postgres://[USER@]HOST[:PORT][/DATABASE][?sslmode=MODE]`
    Postgres {
        /// The server.
        at: Endpoint,
        /// Who logs in.
        user: Option<String>,
        /// Where to; by default what is called like the user.
        database: Option<String>,
        /// Whether TLS begins before that.
        encryption: Encryption,
    },
    /// `mysql://[USER@]HOST[:PORT][?ssl-mode=MODE]`; MariaDB too.
    Mysql {
        /// The server.
        at: Endpoint,
        /// Who logs in.
        user: Option<String>,
        /// Whether TLS begins before that.
        encryption: Encryption,
    },
    /// `dns://[SERVER[:PORT]]/NAME`
    Dns(Question),
    /// `udp://HOST:PORT`
    Udp {
        /// A name or an address, an IPv6 one without brackets.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
    /// `icmp://HOST`
    Icmp {
        /// A name or an address, an IPv6 one without brackets.
        host: String,
    },
    /// `exec:COMMAND`
    Exec {
        /// A text for `sh -c`.
        command: String,
    },
}

/// A protocol that begins TLS on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StartTls {
    /// RFC 3207.
    Smtp,
    /// RFC 2595.
    Imap,
    /// RFC 2595.
    Pop3,
    /// RFC 4217.
    Ftp,
    /// RFC 4511, section 4.14.
    Ldap,
    /// The SSLRequest of its wire protocol.
    Postgres,
    /// The SSLRequest of its wire protocol; MariaDB's too.
    Mysql,
    /// RFC 6120, section 5.
    Xmpp,
}

impl StartTls {
    /// All of them.
    pub const ALL: [StartTls; 8] = [
        StartTls::Smtp,
        StartTls::Imap,
        StartTls::Pop3,
        StartTls::Ftp,
        StartTls::Ldap,
        StartTls::Postgres,
        StartTls::Mysql,
        StartTls::Xmpp,
    ];

    /// The name, as in `tls+smtp://`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            StartTls::Smtp => "smtp",
            StartTls::Imap => "imap",
            StartTls::Pop3 => "pop3",
            StartTls::Ftp => "ftp",
            StartTls::Ldap => "ldap",
            StartTls::Postgres => "postgres",
            StartTls::Mysql => "mysql",
            StartTls::Xmpp => "xmpp",
        }
    }

    /// The port of the protocol.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            StartTls::Smtp => 25,
            StartTls::Imap => 143,
            StartTls::Pop3 => 110,
            StartTls::Ftp => 21,
            StartTls::Ldap => 389,
            StartTls::Postgres => 5432,
            StartTls::Mysql => 3306,
            StartTls::Xmpp => 5222,
        }
    }
}

impl fmt::Display for StartTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// All schemes, `tls+PROTOCOL` beside them.
const SCHEMES: &str = "http, https, h2c, unix+http, ws, wss, grpc, grpcs, tcp, udp, tls, dns, icmp, etcd, etcds, redis, \
                       rediss, postgres, mysql, exec";

/// A text that is no address of a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No scheme at all: perhaps meant as a name.
    #[error("{0} has no scheme: expected a URL such as http://HOST:PORT/PATH or tcp://HOST:PORT")]
    NoScheme(String),
    /// A scheme that probe does not speak.
    #[error("{0}: is none of the schemes {SCHEMES}")]
    Scheme(String),
    /// A password where others can read it.
    #[error("{0}: a password does not belong in this URL: name its file with password_file")]
    Password(String),
    /// `tls+` and no protocol that begins TLS on request.
    #[error("{0}: after tls+ is none of smtp, imap, pop3, ftp, ldap, postgres, mysql, xmpp")]
    StartTls(String),
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
        let scheme = scheme.to_ascii_lowercase();
        if let Some(address) = kinds::parse(&scheme, text) {
            // What has no slashes is no URL; "redis:6379" was perhaps meant as a host and a port.
            let form = || form(text, "SCHEME://HOST:PORT");
            return if rest.starts_with("//") { address } else { Err(form()) };
        }
        match (scheme.as_str(), rest.strip_prefix("//")) {
            ("http" | "https", Some(_)) => http(text),
            ("unix+http", Some(rest)) => unix(text, rest),
            ("tcp", Some(_)) => tcp(text),
            ("tls", Some(_)) => tls(text, None),
            (scheme, Some(_)) if scheme.starts_with("tls+") => {
                let kind =
                    StartTls::ALL.into_iter().find(|kind| scheme.strip_prefix("tls+") == Some(kind.name()));
                kind.map_or_else(
                    || Err(AddressError::StartTls(scheme.to_owned())),
                    |kind| tls(text, Some(kind)),
                )
            }
            ("exec", _) if !rest.trim().is_empty() => Ok(Address::Exec { command: rest.to_owned() }),
            ("exec", _) => Err(form(text, "exec:COMMAND")),
            ("http" | "https" | "unix+http" | "tcp" | "tls", None) => Err(form(text, "SCHEME://HOST:PORT")),
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
    let (host, port) = host_and_port(text).ok_or_else(wrong)?;
    let port = port.ok_or_else(wrong)?;
    Ok(Address::Tcp { host, port })
}

fn tls(text: &str, starttls: Option<StartTls>) -> Result<Address, AddressError> {
    let (host, port) = host_and_port(text).ok_or_else(|| form(text, "tls[+PROTOCOL]://HOST[:PORT]"))?;
    let port = port.unwrap_or(starttls.map_or(443, StartTls::port));
    Ok(Address::Tls { host, port, starttls })
}

/// Both of `SCHEME://HOST[:PORT]`, where there is nothing else.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let url = Url::parse(text).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let extra = !matches!(url.path(), "" | "/") || url.query().is_some() || !url.username().is_empty();
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    (!extra && url.port() != Some(0)).then_some((host, url.port()))
}

impl Address {
    /// The scheme, in its usual spelling.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Address::Http { socket: Some(_), .. } => "unix+http",
            Address::Http { url, .. } if url.scheme() == "https" => "https",
            Address::Http { .. } => "http",
            Address::Tcp { .. } => "tcp",
            Address::Tls { .. } => "tls",
            Address::H2c { .. } => "h2c",
            Address::WebSocket { url } if url.scheme() == "https" => "wss",
            Address::WebSocket { .. } => "ws",
            Address::Grpc { at, .. } => of_tls(at, "grpc", "grpcs"),
            Address::Etcd { at } => of_tls(at, "etcd", "etcds"),
            Address::Redis { at, .. } => of_tls(at, "redis", "rediss"),
            Address::Postgres { .. } => "postgres",
            Address::Mysql { .. } => "mysql",
            Address::Dns(_) => "dns",
            Address::Udp { .. } => "udp",
            Address::Icmp { .. } => "icmp",
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
            Address::Tcp { host, port } => format!("tcp://{}:{port}", bracketed(host)),
            Address::Tls { host, port, starttls } => {
                let protocol = starttls.map(|kind| format!("+{kind}")).unwrap_or_default();
                format!("tls{protocol}://{}:{port}", bracketed(host))
            }
            Address::Exec { command } => format!("exec:{command}"),
            other => kinds::shown(other).unwrap_or_default(),
        }
    }

    /// The name or the address of its server; `None` where a socket file or a command stands for it, or the system
    /// chooses one.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Address::Http { socket: Some(_), .. } | Address::Exec { .. } => None,
            Address::Http { url, .. } | Address::H2c { url } | Address::WebSocket { url } => {
                url.host_str().map(|host| host.trim_start_matches('[').trim_end_matches(']'))
            }
            Address::Tcp { host, .. }
            | Address::Tls { host, .. }
            | Address::Udp { host, .. }
            | Address::Icmp { host } => Some(host),
            Address::Dns(question) => question.server.as_ref().map(|at| at.host.as_str()),
            Address::Grpc { at, .. }
            | Address::Etcd { at }
            | Address::Redis { at, .. }
            | Address::Postgres { at, .. }
            | Address::Mysql { at, .. } => Some(&at.host),
        }
    }
}

fn of_tls(at: &Endpoint, plain: &'static str, tls: &'static str) -> &'static str {
    if at.tls { tls } else { plain }
}

/// The host as it stands before a port.
fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
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
            ("tls://h:8443", "tls", "tls://h:8443"),
            ("tls://[::1]", "tls", "tls://[::1]:443"),
            ("TLS+SMTP://mail.example", "tls", "tls+smtp://mail.example:25"),
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
        assert_eq!(error("tls+gopher://x"), AddressError::StartTls("tls+gopher".into()));
        let bad = [
            "tls://",
            "tls://h:0",
            "tls:h",
            "tls://h/x",
            "http://",
            "http:x",
            "tcp://db",
            "tcp://:5",
            "tcp://db:0",
            "tcp://db:99999",
            "tcp://db:1/x",
        ];
        for text in bad.into_iter().chain(["unix+http://run/app.sock", "exec:", "exec: "]) {
            assert!(matches!(error(text), AddressError::Form { .. }), "{text}");
        }
    }
}
