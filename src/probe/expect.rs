//! What a good answer looks like, and what is wrong with one that is not.
//!
//! Parses the short forms that flags and config files share: `2xx`, `Name: value`, `/regex/`, `PATH=VALUE`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use regex::Regex;
use reqwest::header::{HeaderMap, HeaderName};
use serde_json::Value;
use serde_json_path::JsonPath;

use crate::reason::{Fault, Reason};
use crate::tls::threshold::Threshold;
use crate::units;

/// What must come back. Empty: a status of 200 to 399, or an exit status of 0.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// Any of these.
    pub status: Vec<StatusRange>,
    /// All of these.
    pub headers: Vec<HeaderMatch>,
    /// A text that the body contains.
    pub body: Option<String>,
    /// A pattern that the body matches somewhere.
    pub body_regex: Option<Regex>,
    /// All of these.
    pub json: Vec<JsonMatch>,
    /// All of these, in any case: records, a role.
    pub answers: Vec<String>,
    /// The longest time until the answer is complete.
    pub within: Option<Duration>,
    /// How much of the certificate's life must be left.
    pub cert_life: Option<Threshold>,
}

/// A text that is not of the expected form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExpectError(String);

/// Status codes: `200`, `2xx`, `200-204`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRange(RangeInclusive<u16>);

impl FromStr for StatusRange {
    type Err = ExpectError;

    fn from_str(text: &str) -> Result<Self, ExpectError> {
        let wrong = || ExpectError(format!("{text} is no status: expected 200, 2xx or 200-204"));
        let number = |text: &str| text.parse::<u16>().ok().filter(|n| *n < 1000).ok_or_else(wrong);
        if let Some(class) = text.strip_suffix("xx") {
            let class = number(class)?;
            return match class {
                1..=5 => Ok(StatusRange(class * 100..=class * 100 + 99)),
                _ => Err(wrong()),
            };
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(wrong());
        }
        Ok(StatusRange(first..=last))
    }
}

impl StatusRange {
    /// Is this one of its codes?
    #[must_use]
    pub fn has(&self, status: u16) -> bool {
        self.0.contains(&status)
    }

    /// Are all its codes `least` to `most`?
    #[must_use]
    pub fn is_within(&self, least: u16, most: u16) -> bool {
        least <= *self.0.start() && *self.0.end() <= most
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (*self.0.start(), *self.0.end()) {
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) if first % 100 == 0 && last == first + 99 => write!(f, "{}xx", first / 100),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

/// A header that must be there: with any value, this value, or one that matches.
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    name: HeaderName,
    value: TextMatch,
}

#[derive(Clone, Debug)]
enum TextMatch {
    Any,
    Exact(String),
    Pattern(Regex),
}

impl HeaderMatch {
    /// `value` is a text, a `/regex/`, or empty for any value.
    ///
    /// # Errors
    /// When the name is no header name or the pattern no regular expression.
    pub fn new(name: &str, value: &str) -> Result<Self, ExpectError> {
        let name = name.trim();
        let name =
            HeaderName::from_str(name).map_err(|_| ExpectError(format!("{name:?} is no header name")))?;
        let value = value.trim();
        let pattern = value.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        let value = match pattern {
            Some(pattern) => TextMatch::Pattern(regex(pattern)?),
            None if value.is_empty() => TextMatch::Any,
            None => TextMatch::Exact(value.to_owned()),
        };
        Ok(HeaderMatch { name, value })
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Fault> {
        let name = &self.name;
        let mut found = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let good = |value: &str| match &self.value {
            TextMatch::Any => true,
            TextMatch::Exact(text) => value == text,
            TextMatch::Pattern(regex) => regex.is_match(value),
        };
        let Some(first) = found.next() else {
            return Err(Reason::HeaderMismatch.because(format!("no header {name}")));
        };
        if good(&first) || found.any(|value| good(&value)) {
            return Ok(());
        }
        let expected = match &self.value {
            TextMatch::Any => String::new(),
            TextMatch::Exact(text) => text.clone(),
            TextMatch::Pattern(regex) => format!("/{regex}/"),
        };
        let detail = format!("header {name}: expected {expected}, got {}", excerpt(&first));
        Err(Reason::HeaderMismatch.because(detail))
    }
}

impl FromStr for HeaderMatch {
    type Err = ExpectError;

    fn from_str(text: &str) -> Result<Self, ExpectError> {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        HeaderMatch::new(name, value)
    }
}

/// Reads a regular expression.
///
/// # Errors
/// When it is none; the message says where, on one line.
pub fn regex(pattern: &str) -> Result<Regex, ExpectError> {
    Regex::new(pattern).map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        ExpectError(format!("{pattern:?} is no regular expression: {last}"))
    })
}

/// A JSON path that must find something, or a given value.
#[derive(Clone, Debug)]
pub struct JsonMatch {
    path: JsonPath,
    value: Option<Value>,
}

impl JsonMatch {
    /// The `path` (RFC 9535) must find something equal to `value`, or anything at all.
    ///
    /// # Errors
    /// When the path is none.
    pub fn new(path: &str, value: Option<Value>) -> Result<Self, ExpectError> {
        let path = json_path(path)?;
        Ok(JsonMatch { path, value })
    }

    fn check(&self, document: &Value) -> Result<(), Fault> {
        let found = self.path.query(document).all();
        let good = match &self.value {
            None => !found.is_empty(),
            Some(value) => found.contains(&value),
        };
        if good {
            return Ok(());
        }
        let detail = match (&self.value, found.first()) {
            (Some(value), Some(other)) => {
                format!("{}: expected {value}, got {}", self.path, cut(&other.to_string()))
            }
            _ => format!("{} finds nothing", self.path),
        };
        Err(Reason::JsonMismatch.because(detail))
    }
}

impl FromStr for JsonMatch {
    type Err = ExpectError;

    /// `PATH` or `PATH=VALUE`; a filter in the path may hold `=` itself, so the shortest prefix that is a path counts.
    fn from_str(text: &str) -> Result<Self, ExpectError> {
        let ends = text.match_indices('=').map(|(at, _)| at);
        let end = ends.into_iter().find(|end| json_path(&text[..*end]).is_ok());
        match end {
            Some(end) => JsonMatch::new(&text[..end], Some(json_value(&text[end + 1..]))),
            None => JsonMatch::new(text, None),
        }
    }
}

/// A path (RFC 9535) that costs no more than the document it is applied to: parsing recurses with each
/// bracket, and each further `..` multiplies the nodes that a hostile body makes it visit.
fn json_path(text: &str) -> Result<JsonPath, ExpectError> {
    const LONGEST: usize = 1024;
    const MOST_BRACKETS: usize = 32;
    let reason = if text.len() > LONGEST {
        format!("longer than {LONGEST} bytes")
    } else if text.matches(['[', '(', '!']).count() > MOST_BRACKETS {
        format!("more than {MOST_BRACKETS} brackets")
    } else if text.matches("..").count() > 1 {
        "more than one `..`".to_owned()
    } else {
        return JsonPath::parse(text)
            .map_err(|error| ExpectError(format!("{text:?} is no JSON path: {error}")));
    };
    Err(ExpectError(format!("a JSON path with {reason} is not applied to what a server sends")))
}

/// The value as JSON, or as a string where it is none: `up` is as good as `"up"`.
fn json_value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

impl Expect {
    /// Does any expectation need the body?
    #[must_use]
    pub fn reads_body(&self) -> bool {
        self.body.is_some() || self.body_regex.is_some() || !self.json.is_empty()
    }

    /// # Errors
    /// [`Reason::HttpStatus`] when the status is none of those expected.
    pub fn check_http_status(&self, status: u16) -> Result<(), Fault> {
        self.check_status(status, &StatusRange(200..=399), Reason::HttpStatus)
    }

    /// # Errors
    /// [`Reason::ExecStatus`] when the exit status is none of those expected.
    pub fn check_exec_status(&self, status: u16) -> Result<(), Fault> {
        self.check_status(status, &StatusRange(0..=0), Reason::ExecStatus)
    }

    fn check_status(&self, status: u16, default: &StatusRange, reason: Reason) -> Result<(), Fault> {
        let expected = if self.status.is_empty() { std::slice::from_ref(default) } else { &self.status };
        if expected.iter().any(|range| range.0.contains(&status)) {
            return Ok(());
        }
        let expected: Vec<_> = expected.iter().map(StatusRange::to_string).collect();
        Err(reason.because(format!("expected {}, got {status}", expected.join(" or "))))
    }

    /// A [`Reason::HeaderMismatch`] for each header that is missing or differs.
    #[must_use]
    pub fn check_headers(&self, headers: &HeaderMap) -> Vec<Fault> {
        self.headers.iter().filter_map(|header| header.check(headers).err()).collect()
    }

    /// A [`Reason::BodyMismatch`] or [`Reason::JsonMismatch`] for each expectation that does not hold.
    #[must_use]
    pub fn check_body(&self, body: &[u8]) -> Vec<Fault> {
        let text = String::from_utf8_lossy(body);
        let mut unmet = Vec::new();
        if let Some(part) = &self.body
            && !text.contains(part.as_str())
        {
            let detail = format!("expected {part:?} in the body, got {}", excerpt(&text));
            unmet.push(Reason::BodyMismatch.because(detail));
        }
        if let Some(regex) = &self.body_regex
            && !regex.is_match(&text)
        {
            let detail = format!("expected a body matching /{regex}/, got {}", excerpt(&text));
            unmet.push(Reason::BodyMismatch.because(detail));
        }
        if self.json.is_empty() {
            return unmet;
        }
        match serde_json::from_slice::<Value>(body) {
            Ok(document) => unmet.extend(self.json.iter().filter_map(|json| json.check(&document).err())),
            Err(_) if text.trim().is_empty() => {
                unmet.push(Reason::JsonMismatch.because("the body is empty, not JSON"));
            }
            Err(_) => {
                let detail = format!("the body is not JSON: {}", excerpt(&text));
                unmet.push(Reason::JsonMismatch.because(detail));
            }
        }
        unmet
    }

    /// # Errors
    /// [`Reason::AnswerMismatch`] when an expected answer is none of those `found`.
    pub fn check_answers(&self, found: &[String]) -> Result<(), Fault> {
        let is_there = |wanted: &String| found.iter().any(|answer| answer.eq_ignore_ascii_case(wanted));
        match self.answers.iter().find(|wanted| !is_there(wanted)) {
            None => Ok(()),
            Some(wanted) => {
                let found = if found.is_empty() { "none".to_owned() } else { cut(&found.join(", ")) };
                Err(Reason::AnswerMismatch.because(format!("expected {wanted}, got {found}")))
            }
        }
    }

    /// # Errors
    /// [`Reason::Latency`] when the answer took longer than allowed.
    pub fn check_latency(&self, latency: Duration) -> Result<(), Fault> {
        match self.within {
            Some(within) if latency > within => {
                let took = latency.as_secs_f64() * 1000.0;
                let detail = format!("expected within {}, took {took:.1}ms", units::Duration(within));
                Err(Reason::Latency.because(detail))
            }
            _ => Ok(()),
        }
    }
}

/// The beginning of a text, on one line, quoted.
pub fn excerpt(text: &str) -> String {
    let short = cut(text);
    match short.strip_suffix("...").filter(|_| short != text) {
        Some(short) => format!("{short:?}..."),
        None => format!("{short:?}"),
    }
}

/// The beginning of a text.
fn cut(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(text: &str) -> Result<StatusRange, ExpectError> {
        text.parse()
    }

    #[test]
    fn statuses_are_codes_classes_and_ranges() {
        for text in ["200", "2xx", "200-204", "0"] {
            assert_eq!(status(text).unwrap().to_string(), text);
        }
        for text in ["", "xx", "6xx", "abc", "204-200", "2000", "-1", "200-"] {
            assert!(status(text).is_err(), "{text}");
        }
    }

    #[test]
    fn without_expectation_2xx_and_3xx_are_good() {
        let expect = Expect::default();
        assert!(expect.check_http_status(200).is_ok() && expect.check_http_status(399).is_ok());
        let fault = expect.check_http_status(503).unwrap_err();
        assert_eq!((fault.reason, fault.detail.as_str()), (Reason::HttpStatus, "expected 200-399, got 503"));
        assert!(expect.check_exec_status(0).is_ok());
        assert_eq!(expect.check_exec_status(2).unwrap_err().reason, Reason::ExecStatus);
    }

    #[test]
    fn headers_are_present_exact_or_matching() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "text/html; charset=utf-8".parse().unwrap());
        let check = |text: &str| text.parse::<HeaderMatch>().unwrap().check(&headers).map_err(|f| f.detail);
        assert_eq!(check("Content-Type"), Ok(()));
        assert_eq!(check("content-type: text/html; charset=utf-8"), Ok(()));
        assert_eq!(check("content-type: /^text/"), Ok(()));
        assert_eq!(check("x-id").unwrap_err(), "no header x-id");
        let differs = check("content-type: text/plain").unwrap_err();
        assert_eq!(differs, "header content-type: expected text/plain, got \"text/html; charset=utf-8\"");
        assert!("a b: c".parse::<HeaderMatch>().is_err());
        assert!("a: /(/".parse::<HeaderMatch>().is_err());
    }

    #[test]
    fn json_paths_find_something_or_a_value() {
        let body = br#"{"status":"up","n":3,"parts":[{"a":"x","b":1},{"a":"y","b":2}]}"#;
        let check = |text: &str| {
            let json = vec![text.parse::<JsonMatch>().unwrap()];
            Fault::first_of(Expect { json, ..Expect::default() }.check_body(body))
                .map_err(|fault| fault.detail)
        };
        for good in [
            "$.status",
            "$.status=up",
            "$.status=\"up\"",
            "$.n=3",
            "$.parts[*].a=y",
            "$.parts[?@.a=='y'].b=2",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        assert_eq!(check("$.status=down").unwrap_err(), "$.status: expected \"down\", got \"up\"");
        assert_eq!(check("$.none").unwrap_err(), "$.none finds nothing");
        assert!(check("$.parts[?@.a=='y'].b=3").is_err());
        assert!("status=up".parse::<JsonMatch>().is_err());
    }

    #[test]
    fn bodies_contain_and_match() {
        let expect = |body: Option<&str>, pattern: Option<&str>| Expect {
            body: body.map(str::to_owned),
            body_regex: pattern.map(|p| regex(p).unwrap()),
            ..Expect::default()
        };
        assert!(expect(Some("lo W"), Some("^Hello")).check_body(b"Hello World!").is_empty());
        assert_eq!(expect(Some("x"), None).check_body(b"")[0].reason, Reason::BodyMismatch);
        let both = expect(Some("x"), Some("^x$")).check_body(b"y");
        let both = Fault::first_of(both).unwrap_err().detail;
        assert_eq!(both, "expected \"x\" in the body, got \"y\"; expected a body matching /^x$/, got \"y\"");
        let not_json = Expect { json: vec!["$".parse().unwrap()], ..Expect::default() };
        let said = |body: &[u8]| not_json.check_body(body)[0].detail.clone();
        assert_eq!(said(b"<p>\x1b\n"), r#"the body is not JSON: "<p>\u{1b}\n""#);
        assert_eq!(said(b"\n"), "the body is empty, not JSON");
    }

    #[test]
    fn a_late_answer_is_no_good_answer() {
        let expect = Expect { within: Some(Duration::from_millis(10)), ..Expect::default() };
        assert!(expect.check_latency(Duration::from_millis(10)).is_ok());
        assert_eq!(expect.check_latency(Duration::from_millis(11)).unwrap_err().reason, Reason::Latency);
    }

    #[test]
    fn a_path_must_not_cost_more_than_the_document() {
        let nested = format!("$[?{}@.a{}]", "(".repeat(5000), ")".repeat(5000));
        let filters = "$".to_owned() + &"[?@".repeat(40);
        for path in ["$..*..*=7", "$..[?@..b==1]", &nested, &filters] {
            let error = path.parse::<JsonMatch>().unwrap_err();
            assert!(error.to_string().contains("is not applied"), "{error}");
        }
        assert!("$..status=up".parse::<JsonMatch>().is_ok());
    }
}
