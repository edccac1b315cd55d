//! How the addresses of servers with a protocol of their own are written, beyond `HOST:PORT`.
//!
//! Refuses a password in a URL: it would stand in the process list and in shell histories.

use std::str::FromStr;

use hickory_proto::rr::{Name, RecordType};
use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::{Address, AddressError, bracketed, form};

/// A server that is reached over TCP, and perhaps TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A name or an address, an IPv6 one without brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
    /// TLS from the first byte.
    pub tls: bool,
}

impl Endpoint {
    /// `HOST:PORT`, as in a URL.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", bracketed(&self.host), self.port)
    }
}

/// Whether a client of a database goes over to TLS before it logs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encryption {
    /// No.
    #[default]
    Off,
    /// Yes, with any server.
    Required,
    /// Yes, with a server whose certificate is believed.
    Verified,
}

impl Encryption {
    const ALL: [Encryption; 3] = [Encryption::Off, Encryption::Required, Encryption::Verified];

    /// As libpq calls it.
    const fn sslmode(self) -> &'static str {
        match self {
            Encryption::Off => "disable",
            Encryption::Required => "require",
            Encryption::Verified => "verify-full",
        }
    }

    /// As the clients of MySQL call it.
    const fn ssl_mode(self) -> &'static str {
        match self {
            Encryption::Off => "DISABLED",
            Encryption::Required => "REQUIRED",
            Encryption::Verified => "VERIFY_IDENTITY",
        }
    }
}

/// What a DNS server is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The server, or those of the system.
    pub server: Option<Endpoint>,
    /// Absolute, whether or not it ends with a dot.
    pub name: String,
    /// The type of the records.
    pub kind: RecordType,
    /// Over TCP from the first question.
    pub tcp: bool,
}

/// The parts that such URLs have.
struct Parts {
    host: String,
    port: Option<u16>,
    user: Option<String>,
    /// Without the first slash.
    path: String,
    query: Vec<(String, String)>,
}

impl Parts {
    fn read(text: &str) -> Option<Result<Parts, AddressError>> {
        let url = Url::parse(text).ok().filter(|url| url.port() != Some(0) && url.fragment().is_none())?;
        if url.password().is_some() {
            return Some(Err(AddressError::Password(crate::text::without_secrets(text))));
        }
        let plain = |text: &str| percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned());
        let host = url.host_str().unwrap_or_default();
        Some(Ok(Parts {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port(),
            user: Some(plain(url.username())?).filter(|user| !user.is_empty()),
            path: plain(url.path().strip_prefix('/').unwrap_or_default())?,
            query: url.query_pairs().into_owned().collect(),
        }))
    }

    fn endpoint(&self, port: Option<u16>, tls: bool) -> Option<Endpoint> {
        let port = self.port.or(port)?;
        (!self.host.is_empty()).then(|| Endpoint { host: self.host.clone(), port, tls })
    }

    /// What the query asks for by `key`, in any case; `None` where that is no name of it.
    fn encryption(&self, key: &str, name: fn(Encryption) -> &'static str) -> Option<Encryption> {
        let Some((_, asked)) = self.query.iter().find(|(known, _)| known == key) else {
            return Some(Encryption::Off);
        };
        Encryption::ALL.into_iter().find(|encryption| name(*encryption).eq_ignore_ascii_case(asked))
    }

    /// Is there nothing but host, port and what is named?
    fn only(&self, user: bool, path: bool, query: &[&str]) -> bool {
        (user || self.user.is_none())
            && (path || self.path.is_empty())
            && self.query.iter().all(|(key, _)| query.contains(&key.as_str()))
    }
}

/// The address in `text`, if `scheme` is one of those that are told apart here.
pub(super) fn parse(scheme: &str, text: &str) -> Option<Result<Address, AddressError>> {
    let (form, read): (_, fn(&str, &Parts) -> Option<Address>) = match scheme {
        "grpc" | "grpcs" => ("grpc[s]://HOST:PORT[/SERVICE][?watch]", grpc),
        "etcd" | "etcds" => ("etcd[s]://HOST[:PORT]", etcd),
        "redis" | "rediss" => ("redis[s]://[USER@]HOST[:PORT]", redis),
        "postgres" | "postgresql" => {
            ("postgres://[USER@]HOST[:PORT][/DATABASE][?sslmode=disable|require|verify-full]", postgres)
        }
        "mysql" => ("mysql://[USER@]HOST[:PORT][?ssl-mode=DISABLED|REQUIRED|VERIFY_IDENTITY]", mysql),
        "dns" => ("dns://[SERVER[:PORT]]/NAME[?type=TYPE][&transport=tcp]", dns),
        "udp" => ("udp://HOST:PORT", udp),
        "icmp" => ("icmp://HOST", icmp),
        "ws" | "wss" | "h2c" => return Some(over_http(scheme, text)),
        _ => return None,
    };
    let wrong = || self::form(text, form);
    Some(match Parts::read(text) {
        Some(Ok(parts)) => read(scheme, &parts).ok_or_else(wrong),
        Some(Err(error)) => Err(error),
        None => Err(wrong()),
    })
}

/// What begins as HTTP keeps the URL of HTTP.
fn over_http(scheme: &str, text: &str) -> Result<Address, AddressError> {
    let (http, what) = match scheme {
        "ws" => ("http", "ws://HOST[:PORT][/PATH]"),
        "wss" => ("https", "wss://HOST[:PORT][/PATH]"),
        _ => ("http", "h2c://HOST[:PORT][/PATH]"),
    };
    let url = text.split_once(':').and_then(|(_, rest)| Url::parse(&format!("{http}:{rest}")).ok());
    // HTTP can carry a password; as in `http://`, reports do not show it.
    let url = url.filter(|url| url.port() != Some(0)).ok_or_else(|| form(text, what))?;
    Ok(if scheme == "h2c" { Address::H2c { url } } else { Address::WebSocket { url } })
}

fn grpc(scheme: &str, parts: &Parts) -> Option<Address> {
    let at = parts.endpoint(None, scheme == "grpcs")?;
    let watch = !parts.query.is_empty();
    parts.only(false, true, &["watch"]).then(|| Address::Grpc { at, service: parts.path.clone(), watch })
}

fn etcd(scheme: &str, parts: &Parts) -> Option<Address> {
    let at = parts.endpoint(Some(2379), scheme == "etcds")?;
    parts.only(false, false, &[]).then_some(Address::Etcd { at })
}

fn redis(scheme: &str, parts: &Parts) -> Option<Address> {
    let at = parts.endpoint(Some(6379), scheme == "rediss")?;
    parts.only(true, false, &[]).then(|| Address::Redis { at, user: parts.user.clone() })
}

fn postgres(_: &str, parts: &Parts) -> Option<Address> {
    let at = parts.endpoint(Some(5432), false)?;
    let database = Some(parts.path.clone()).filter(|name| !name.is_empty());
    let text_is_plain = [&parts.user, &database].into_iter().flatten().all(|text| !text.contains('\0'));
    let encryption = parts.encryption("sslmode", Encryption::sslmode)?;
    (text_is_plain && parts.only(true, true, &["sslmode"])).then(|| Address::Postgres {
        at,
        user: parts.user.clone(),
        database,
        encryption,
    })
}

fn mysql(_: &str, parts: &Parts) -> Option<Address> {
    let at = parts.endpoint(Some(3306), false)?;
    let user = parts.user.clone().filter(|user| !user.contains('\0'));
    let encryption = parts.encryption("ssl-mode", Encryption::ssl_mode)?;
    parts.only(true, false, &["ssl-mode"]).then_some(Address::Mysql { at, user, encryption })
}

fn udp(_: &str, parts: &Parts) -> Option<Address> {
    let at = parts.endpoint(None, false)?;
    parts.only(false, false, &[]).then_some(Address::Udp { host: at.host, port: at.port })
}

fn icmp(_: &str, parts: &Parts) -> Option<Address> {
    let named = !parts.host.is_empty() && parts.port.is_none();
    (named && parts.only(false, false, &[])).then(|| Address::Icmp { host: parts.host.clone() })
}

fn dns(_: &str, parts: &Parts) -> Option<Address> {
    let value = |key: &str| {
        parts.query.iter().find(|(known, _)| known == key).map(|(_, value)| value.to_ascii_uppercase())
    };
    let kind = RecordType::from_str(value("type").as_deref().unwrap_or("A")).ok()?;
    // Questions to which no record of their own type is the answer.
    if matches!(kind, RecordType::ANY | RecordType::AXFR | RecordType::TSIG) {
        return None;
    }
    let tcp = match value("transport").as_deref() {
        None | Some("UDP") => false,
        Some("TCP") => true,
        Some(_) => return None,
    };
    let server = parts.endpoint(Some(53), false);
    // A port alone is no server.
    let fits = parts.only(false, true, &["type", "transport"]) && (server.is_some() || parts.port.is_none());
    let name = Some(parts.path.clone()).filter(|name| !name.is_empty() && Name::from_str(name).is_ok())?;
    fits.then_some(Address::Dns(Question { server, name, kind, tcp }))
}

/// The address for people, of the kinds that are told apart here.
pub(super) fn shown(address: &Address) -> Option<String> {
    let kind = address.kind();
    let of = |user: &Option<String>, at: &Endpoint| {
        let user = user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        format!("{kind}://{user}{}", at.authority())
    };
    let path = |path: &str| if path.is_empty() { String::new() } else { format!("/{path}") };
    let encrypted = |key: &str, encryption: Encryption, name: &str| match encryption {
        Encryption::Off => String::new(),
        _ => format!("?{key}={name}"),
    };
    Some(match address {
        Address::Grpc { at, service, watch } => {
            format!("{}{}{}", of(&None, at), path(service), if *watch { "?watch" } else { "" })
        }
        Address::Etcd { at } => of(&None, at),
        Address::Redis { at, user } => of(user, at),
        Address::Mysql { at, user, encryption } => {
            of(user, at) + &encrypted("ssl-mode", *encryption, encryption.ssl_mode())
        }
        Address::Postgres { at, user, database, encryption } => {
            of(user, at)
                + &path(database.as_deref().unwrap_or_default())
                + &encrypted("sslmode", *encryption, encryption.sslmode())
        }
        Address::Udp { host, port } => format!("udp://{}:{port}", bracketed(host)),
        Address::Icmp { host } => format!("icmp://{}", bracketed(host)),
        Address::Dns(Question { server, name, kind, tcp }) => {
            let server = server.as_ref().map(Endpoint::authority).unwrap_or_default();
            format!("dns://{server}/{name}?type={kind}{}", if *tcp { "&transport=tcp" } else { "" })
        }
        Address::H2c { url } | Address::WebSocket { url } => {
            let rest = crate::text::without_secrets(url.as_str());
            format!("{kind}:{}", rest.split_once(':').map_or("", |(_, rest)| rest))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_and_shown() {
        let cases = [
            ("grpc://h:50051", "grpc", "grpc://h:50051"),
            ("grpcs://[::1]:50051/my.Service?watch", "grpcs", "grpcs://[::1]:50051/my.Service?watch"),
            ("etcd://h", "etcd", "etcd://h:2379"),
            ("ETCDS://h:1/", "etcds", "etcds://h:1"),
            ("redis://h", "redis", "redis://h:6379"),
            ("rediss://app@h:1", "rediss", "rediss://app@h:1"),
            ("postgresql://h", "postgres", "postgres://h:5432"),
            ("postgres://me@h:1/shop", "postgres", "postgres://me@h:1/shop"),
            ("postgres://h/a?sslmode=verify-full", "postgres", "postgres://h:5432/a?sslmode=verify-full"),
            ("postgres://h?sslmode=disable", "postgres", "postgres://h:5432"),
            ("mysql://h", "mysql", "mysql://h:3306"),
            ("mysql://me@h/?ssl-mode=required", "mysql", "mysql://me@h:3306?ssl-mode=REQUIRED"),
            ("udp://h:7", "udp", "udp://h:7"),
            ("icmp://[::1]", "icmp", "icmp://[::1]"),
            ("dns:///a.example", "dns", "dns:///a.example?type=A"),
            (
                "dns://9.9.9.9/a.example?type=mx&transport=tcp",
                "dns",
                "dns://9.9.9.9:53/a.example?type=MX&transport=tcp",
            ),
            ("ws://h/chat?x=1", "ws", "ws://h/chat?x=1"),
            ("wss://me:secret@h", "wss", "wss://me:(redacted)@h/"),
            ("h2c://h:81/x", "h2c", "h2c://h:81/x"),
        ];
        for (text, kind, shown) in cases {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.kind(), address.shown().as_str()), (kind, shown));
            assert!(shown.contains("redacted") || shown.parse() == Ok(address), "{shown}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        let forms = [
            "grpc://h",
            "grpc://h:1?other",
            "etcd://h/x",
            "etcd://",
            "redis://h/0",
            "mysql://h/db",
            "mysql://h?ssl-mode=PREFERRED",
            "postgres://h?sslmode=prefer",
            "postgres://h?ssl-mode=require",
            "dns:///a?type=ANY",
            "udp://h",
            "udp://h:0",
            "icmp://h:1",
            "icmp://",
            "dns://h",
            "dns://h/",
            "dns:///a?type=NOPE",
            "dns:///a..b",
            "dns:///a?transport=tls",
            "dns://h/a?class=CH",
            "ws://",
            "h2c://h:0",
            "redis:h",
            "postgres://h/a%00b",
        ];
        for text in forms {
            let found = text.parse::<Address>();
            assert!(matches!(found, Err(AddressError::Form { .. })), "{text}: {found:?}");
        }
        let error = "redis://app:secret@h".parse::<Address>().unwrap_err();
        assert!(
            matches!(error, AddressError::Password(_)) && !error.to_string().contains("secret"),
            "{error}"
        );
    }
}
