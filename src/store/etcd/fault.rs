//! What an endpoint's failure means: that another one may do better, that the token has run out, or that the cluster
//! has answered, and the answer is no.

use std::error::Error as StdError;
use std::io;

use crate::store::Error;

/// Codes of gRPC, which etcd-client shows, but does not name.
const DEADLINE_EXCEEDED: i32 = 4;
const UNAVAILABLE: i32 = 14;

/// What an answer ends with.
#[derive(Debug)]
pub enum Failure {
    /// The lease is not there, or not yet.
    NoLease,
    /// Authentication is on, and this user may not.
    Denied(Error),
    /// No endpoint has answered; it may have been done all the same.
    Unreachable(Error),
    /// Anything else.
    Store(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::NoLease => Error::new("etcd does not know the lease"),
            Failure::Denied(error) | Failure::Unreachable(error) | Failure::Store(error) => error,
        }
    }
}

/// How one attempt at one endpoint failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The next endpoint may do better. `temporary`: the cluster answers, but has no leader just now.
    Elsewhere {
        why: String,
        temporary: bool,
    },
    /// The token has run out.
    Token(String),
    NoLease,
    LeaseExists,
    Denied(String),
    /// The password is wrong, or a user is wanted.
    User(String),
    /// No endpoint will say anything else.
    Final(String),
}

impl Fault {
    /// What it was, and whether the connection is of no more use.
    pub(super) fn of(error: &etcd_client::Error) -> (Fault, bool) {
        match error {
            etcd_client::Error::GRpcStatus(status) if status.source().is_some() => {
                (Fault::Elsewhere { why: root(status), temporary: false }, true)
            }
            etcd_client::Error::GRpcStatus(status) => {
                let fault = Fault::answered(i32::from(status.code()), status.message());
                let broken = matches!(fault, Fault::Token(_));
                (fault, broken)
            }
            etcd_client::Error::TransportError(error) => {
                (Fault::Elsewhere { why: root(error), temporary: false }, true)
            }
            // The library's own word for a time to live of zero.
            etcd_client::Error::LeaseKeepAliveError(why) if why == "lease not found" => {
                (Fault::NoLease, false)
            }
            etcd_client::Error::WatchError(why) | etcd_client::Error::LeaseKeepAliveError(why) => {
                (Fault::Elsewhere { why: why.clone(), temporary: false }, true)
            }
            other => (Fault::Final(other.to_string()), true),
        }
    }

    /// The server's own answers, by their texts: the codes are the same for many of them.
    fn answered(code: i32, message: &str) -> Fault {
        if let Some(why) = stranger(message) {
            return Fault::Elsewhere { why, temporary: code == UNAVAILABLE };
        }
        let text = message.strip_prefix("etcdserver: ").unwrap_or(message).to_owned();
        match text.as_str() {
            "requested lease not found" => Fault::NoLease,
            "lease already exists" => Fault::LeaseExists,
            "permission denied" => Fault::Denied(text),
            "invalid auth token" | "revision of auth store is old" => Fault::Token(text),
            "user name is empty" => Fault::Token(text),
            _ if text.starts_with("authentication failed") => Fault::User(text),
            _ if code == UNAVAILABLE || code == DEADLINE_EXCEEDED => {
                Fault::Elsewhere { why: text, temporary: true }
            }
            _ => Fault::Final(text),
        }
    }

    /// For those outside: `object` is what the call was about.
    pub(super) fn into_failure(self, url: &str, object: &str) -> Failure {
        let cannot = || Error::new(format!("etcd at {url} does not give {object}"));
        match self {
            Fault::NoLease => Failure::NoLease,
            Fault::Denied(why) => Failure::Denied(cannot().because(why).hint(
                "give a role of the user `readwrite` on the keys of the lock: etcdctl role grant-permission --prefix",
            )),
            Fault::Token(why) | Fault::User(why) => Failure::Store(
                Error::new(format!("etcd at {url} does not accept the user")).because(why).hint(
                    "authentication is on there: give the right user and password of the store",
                ),
            ),
            Fault::Final(why) if why.contains("space exceeded") => Failure::Store(
                cannot().because(why).hint("its disk quota is used up: see `etcdctl alarm list`, then compact and defragment"),
            ),
            Fault::Final(why) | Fault::Elsewhere { why, .. } => Failure::Store(cannot().because(why)),
            Fault::LeaseExists => Failure::Store(cannot().because("the lease exists already")),
        }
    }
}

/// What answers as no etcd would: with plain HTTP, where the library makes up the message, or as another server of gRPC.
fn stranger(message: &str) -> Option<String> {
    let status = ["mapped from HTTP status code ", "while receiving response with status: "]
        .iter()
        .find_map(|before| Some(message.split_once(before)?.1));
    let how = if let Some(status) = status {
        format!("it answers with HTTP status {status} and without gRPC")
    } else if message.starts_with("protocol error: ") {
        "it does not answer in gRPC".to_owned()
    } else if message.starts_with("unknown service") {
        format!("it answers: {message}")
    } else {
        return None;
    };
    Some(format!("what listens there is no etcd: {how}"))
}

/// The user was given for nothing.
pub(super) fn authentication_is_off(error: &etcd_client::Error) -> bool {
    matches!(error, etcd_client::Error::GRpcStatus(status) if status.message().ends_with("authentication is not enabled"))
}

/// The last cause of an error, which is the one that says something.
fn root(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    match last.downcast_ref::<io::Error>() {
        Some(error) if error.raw_os_error().is_some() => error.kind().to_string(),
        _ => last.to_string(),
    }
}

/// Why each endpoint failed, for when all did.
pub(super) struct Reasons<'a>(Vec<(&'a str, Option<String>)>);

impl<'a> Reasons<'a> {
    pub(super) fn new(urls: impl Iterator<Item = &'a str>) -> Reasons<'a> {
        Reasons(urls.map(|url| (url, None)).collect())
    }

    pub(super) fn note(&mut self, at: usize, why: String) {
        self.0[at].1 = Some(why);
    }

    pub(super) fn unreachable(self) -> Failure {
        let hint = hint(&self.0);
        let error = match self.0.as_slice() {
            [(url, why)] => {
                let why = why.clone().unwrap_or_else(|| "no time was left".to_owned());
                Error::new(format!("cannot reach etcd at {url}")).because(why)
            }
            all => {
                let each = |(url, why): &(&str, Option<String>)| {
                    format!("{url}: {}", why.as_deref().unwrap_or("no time was left to ask it"))
                };
                let each: Vec<String> = all.iter().map(each).collect();
                Error::new(format!("cannot reach etcd at any of its {} endpoints", all.len()))
                    .because(each.join("; "))
            }
        };
        Failure::Unreachable(error.hint(hint))
    }
}

/// What to try next: for the most telling of the reasons.
fn hint(reasons: &[(&str, Option<String>)]) -> &'static str {
    let whys = |scheme: &'static str| {
        reasons.iter().filter(move |(url, _)| url.starts_with(scheme)).filter_map(|(_, why)| why.as_deref())
    };
    let some = |text: &str| whys("").any(|why| why.contains(text));
    // What TLS has to say about a client's certificate comes after the handshake, and is lost below.
    let cut = |why: &str| ["closed", "reset", "broken pipe", "frame"].iter().any(|text| why.contains(text));
    if some("UnknownIssuer") {
        "name the authority that signed etcd's certificate: `ca` of the store"
    } else if some("NotValidForName") || some("not valid for name") {
        "use a name or address of the endpoint that its certificate is for"
    } else if some("corrupt message") || some("InvalidContentType") || some("handshake eof") {
        "it does not seem to speak TLS: write http:// instead of https://"
    } else if some("alert") || whys("https:").any(cut) {
        "etcd may want a client certificate that it trusts (`cert` and `key` of the store), or not speak TLS: then write \
         http:// instead of https://"
    } else if whys("http:").any(cut) {
        "something else may listen there, or it speaks TLS: then write https://"
    } else if some("is no etcd") {
        "see whether the endpoints of the store are right"
    } else if some("leader") || some("request timed out") {
        "most of its members have to run and to reach each other: etcdctl endpoint status --cluster"
    } else {
        "see whether etcd runs there, and whether the endpoints of the store are right"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_server_are_told_apart() {
        let elsewhere = |why: &str| Fault::Elsewhere { why: why.into(), temporary: true };
        let cases = [
            (5, "etcdserver: requested lease not found", Fault::NoLease),
            (9, "etcdserver: lease already exists", Fault::LeaseExists),
            (7, "etcdserver: permission denied", Fault::Denied("permission denied".into())),
            (16, "etcdserver: invalid auth token", Fault::Token("invalid auth token".into())),
            (
                3,
                "etcdserver: revision of auth store is old",
                Fault::Token("revision of auth store is old".into()),
            ),
            (14, "etcdserver: no leader", elsewhere("no leader")),
            (4, "context deadline exceeded", elsewhere("context deadline exceeded")),
            (11, "etcdserver: too large lease TTL", Fault::Final("too large lease TTL".into())),
        ];
        let no_etcd = |how: &str, temporary| Fault::Elsewhere {
            why: format!("what listens there is no etcd: {how}"),
            temporary,
        };
        let made_up = "grpc-status header missing, mapped from HTTP status code 503";
        let cases = cases.into_iter().chain([
            (14, made_up, no_etcd("it answers with HTTP status 503 and without gRPC", true)),
            (
                12,
                "unknown service etcdserverpb.KV",
                no_etcd("it answers: unknown service etcdserverpb.KV", false),
            ),
        ]);
        for (code, message, fault) in cases {
            assert_eq!(Fault::answered(code, message), fault);
        }
    }

    #[test]
    fn every_endpoint_has_its_own_reason() {
        let mut reasons = Reasons::new(["http://a:1", "https://b:2", "http://c:3"].into_iter());
        reasons.note(0, "connection refused".into());
        reasons.note(1, "invalid peer certificate: UnknownIssuer".into());
        let (what, why, hint) = Error::from(reasons.unreachable()).into_parts();
        assert_eq!(what, "cannot reach etcd at any of its 3 endpoints");
        assert_eq!(
            why.unwrap().to_string(),
            "http://a:1: connection refused; https://b:2: invalid peer certificate: UnknownIssuer; \
             http://c:3: no time was left to ask it"
        );
        assert!(hint.unwrap().contains("`ca`"));
    }
}
