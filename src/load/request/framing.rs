//! Methods and headers as users give them, and those that every request has.
//!
//! Refuses headers that say where a message ends or what becomes of its connection: hardy writes these itself, and a
//! wrong one would make one request of two. An error never shows a value, which may be a secret.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::Method;
use hyper::header::{ACCEPT, HOST, HeaderName, HeaderValue, USER_AGENT};

use crate::text::{names_secret, printable};

/// One header.
pub type Header = (HeaderName, HeaderValue);

/// Headers that users do not send, and why.
const OWN: &[(&str, &str)] = &[
    ("content-length", "the length of the body is counted"),
    ("transfer-encoding", "bodies are sent whole, with their length"),
    ("connection", "connections are kept alive unless --no-keep-alive says otherwise"),
    ("keep-alive", "connections are kept alive unless --no-keep-alive says otherwise"),
    ("proxy-connection", "no proxy is used"),
    ("upgrade", "connections stay HTTP"),
    ("trailer", "no trailer is sent"),
];

/// A text that is no method or header to send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// No token.
    #[error("{0:?} is no HTTP method")]
    Method(String),
    /// A tunnel is no request.
    #[error("CONNECT asks for a tunnel, which is not what a load is made of")]
    Tunnel,
    /// No colon.
    #[error("expected NAME: VALUE")]
    Form,
    /// No token.
    #[error("{0:?} is no header name")]
    Name(String),
    /// Control characters.
    #[error("header {0} has no valid value")]
    Value(HeaderName),
    /// Framing is not for users.
    #[error("header {name} is hardy's own: {why}")]
    Own {
        /// Which one.
        name: HeaderName,
        /// What is done instead.
        why: &'static str,
    },
    /// No colon.
    #[error("the first line is not of the form USER:PASSWORD")]
    User,
}

/// A method by its name, in any case.
///
/// # Errors
/// No token, or CONNECT.
pub fn method(name: &str) -> Result<Method, FramingError> {
    match Method::from_bytes(name.to_uppercase().as_bytes()) {
        Ok(Method::CONNECT) => Err(FramingError::Tunnel),
        Ok(method) => Ok(method),
        Err(_) => Err(FramingError::Method(printable(name))),
    }
}

/// A header as it is typed: `NAME: VALUE`.
///
/// # Errors
/// Not of this form, or not for users.
pub fn typed_header(text: &str) -> Result<Header, FramingError> {
    let (name, value) = text.split_once(':').ok_or(FramingError::Form)?;
    header(name, value)
}

/// A header to send.
///
/// # Errors
/// None can be like that, or it is not for users.
pub fn header(name: &str, value: &str) -> Result<Header, FramingError> {
    let name: HeaderName = name.trim().parse().map_err(|_| FramingError::Name(printable(name.trim())))?;
    if let Some((_, why)) = OWN.iter().find(|(own, _)| name == *own) {
        return Err(FramingError::Own { name, why });
    }
    let value = HeaderValue::from_bytes(value.trim().as_bytes());
    let mut value = value.map_err(|_| FramingError::Value(name.clone()))?;
    value.set_sensitive(names_secret(name.as_str()));
    Ok((name, value))
}

/// What every request has, unless something else is asked for.
pub fn defaults(host: HeaderValue) -> Vec<Header> {
    let agent = HeaderValue::from_static(concat!("hardy/", env!("CARGO_PKG_VERSION")));
    vec![(HOST, host), (USER_AGENT, agent), (ACCEPT, HeaderValue::from_static("*/*"))]
}

/// Puts headers over others: a name on top replaces all of that name below. Several of one name stay in their order.
pub fn over(below: Vec<Header>, on_top: &[Header]) -> Vec<Header> {
    let kept = below.into_iter().filter(|(name, _)| on_top.iter().all(|(other, _)| name != other));
    kept.chain(on_top.iter().cloned()).collect()
}

/// The value of `authorization` (RFC 7617) for the first line of a file: `USER:PASSWORD`.
///
/// # Errors
/// Not of this form.
pub fn basic(file: &str) -> Result<HeaderValue, FramingError> {
    let line = file.lines().next().filter(|line| line.contains(':')).ok_or(FramingError::User)?;
    let value = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(line)));
    let mut value = value.map_err(|_| FramingError::User)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(texts: &[&str]) -> Vec<Header> {
        texts.iter().map(|text| typed_header(text).unwrap()).collect()
    }

    fn shown(headers: &[Header]) -> Vec<String> {
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn what_is_given_replaces_the_default_and_keeps_its_order() {
        let defaults = defaults(HeaderValue::from_static("h:8080"));
        let agent = concat!("user-agent: hardy/", env!("CARGO_PKG_VERSION"));
        assert_eq!(shown(&defaults), ["host: h:8080", agent, "accept: */*"]);
        let given = headers(&["X-A: 1", "Accept: text/html", "x-a:2", "host: other", "x-empty:"]);
        let all = over(defaults, &given);
        let expected = [agent, "x-a: 1", "accept: text/html", "x-a: 2", "host: other", "x-empty: "];
        assert_eq!(shown(&all), expected);
        assert_eq!(shown(&over(all, &headers(&["x-a: 3"])))[3..], ["x-empty: ", "x-a: 3"]);
    }

    #[test]
    fn what_cannot_be_sent_says_why() {
        for (text, error) in [
            ("x-a", "expected NAME: VALUE"),
            ("name;", "expected NAME: VALUE"),
            ("a b: 1", "\"a b\" is no header name"),
            (": 1", "\"\" is no header name"),
            ("x-a: s3cret\r\nx-b: 1", "header x-a has no valid value"),
            ("Content-Length: 3", "header content-length is hardy's own: the length of the body is counted"),
            ("Transfer-Encoding: chunked", "header transfer-encoding is hardy's own: bodies are sent whole"),
            ("Connection: close", "header connection is hardy's own: connections are kept alive unless --no"),
        ] {
            let found = typed_header(text).unwrap_err().to_string();
            assert!(found.starts_with(error), "{text}: {found}");
        }
        assert_eq!(method("purge").unwrap().as_str(), "PURGE");
        assert_eq!(method("connect"), Err(FramingError::Tunnel));
        assert_eq!(method("a b").unwrap_err().to_string(), "\"a b\" is no HTTP method");
    }

    #[test]
    fn user_and_password_are_sent_and_never_shown() {
        // The example of RFC 7617, section 2.
        let value = basic("Aladdin:open sesame\nmore\n").unwrap();
        assert_eq!(value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(format!("{value:?}"), "Sensitive");
        assert_eq!(format!("{:?}", headers(&["X-Api-Key: k"])[0].1), "Sensitive");
        for bad in ["", "\nme:pw", "me"] {
            assert_eq!(basic(bad), Err(FramingError::User));
        }
    }
}
