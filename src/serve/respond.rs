//! The fixed answer: `STATUS:TEXT` or `STATUS:@FILE`. Prepared once, so that a request costs no allocation.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderValue;

use super::error::Error;
use super::input;

/// It is held in memory.
const LARGEST_FILE: u64 = 64 << 20;

/// A fixed answer as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200 to 599.
    pub status: u16,
    /// Where the body comes from.
    pub body: Source,
}

/// Where a fixed answer's body comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The text itself.
    Text(String),
    /// A file, read once at the start.
    File(PathBuf),
}

impl FromStr for Answer {
    type Err = String;

    fn from_str(text: &str) -> Result<Answer, String> {
        let wrong =
            |why: &str| format!("`{text}` is not an answer ({why}); the forms are 200:TEXT and 200:@FILE");
        let (status, body) = text.split_once(':').ok_or_else(|| wrong("it lacks a colon"))?;
        let status = match status.parse() {
            Ok(status @ 200..=599) => status,
            _ => return Err(wrong("the status must be between 200 and 599")),
        };
        let body = match body.strip_prefix('@') {
            Some("") => return Err(wrong("the file has no name")),
            Some(path) => Source::File(path.into()),
            None => Source::Text(body.into()),
        };
        Ok(Answer { status, body })
    }
}

/// A fixed answer, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) status: StatusCode,
    pub(super) content_type: HeaderValue,
    pub(super) body: Bytes,
}

impl Answer {
    /// Reads the file, if the body is one.
    pub(super) fn prepare(&self) -> Result<Prepared, Error> {
        let (body, content_type) = match &self.body {
            Source::Text(text) => (text.clone().into_bytes(), HeaderValue::from_static(TEXT)),
            Source::File(path) => (input::read("the response body", path, LARGEST_FILE)?, content_type(path)),
        };
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        Ok(Prepared { status, content_type, body: body.into() })
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

/// The media type of a file, by the end of its name.
pub(super) fn content_type(path: &Path) -> HeaderValue {
    let Some(mime) = mime_guess::from_path(path).first() else {
        return HeaderValue::from_static("application/octet-stream");
    };
    let textual = mime.type_() == "text" || mime.subtype() == "javascript";
    let text = if textual && mime.get_param("charset").is_none() {
        format!("{mime}; charset=utf-8")
    } else {
        mime.to_string()
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let text = |status, text: &str| Ok(Answer { status, body: Source::Text(text.into()) });
        assert_eq!("200:ok".parse(), text(200, "ok"));
        assert_eq!("503:a:b".parse(), text(503, "a:b"));
        assert_eq!("204:".parse(), text(204, ""));
        assert_eq!("200:@/x".parse(), Ok(Answer { status: 200, body: Source::File("/x".into()) }));
        for bad in ["", "200", "ok", "99:x", "101:x", "600:x", "200:@", "-1:x"] {
            let error = bad.parse::<Answer>().unwrap_err();
            assert!(error.contains("200:TEXT"), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let answer: Answer = "200:@/nonexistent/x".parse().unwrap();
        assert!(answer.prepare().unwrap_err().to_string().contains("/nonexistent/x"));
    }

    #[test]
    fn media_types() {
        let of = |name: &str| content_type(Path::new(name)).to_str().unwrap().to_owned();
        assert_eq!(of("a.html"), "text/html; charset=utf-8");
        assert_eq!(of("a.json"), "application/json");
        assert_eq!(of("a.js"), "text/javascript; charset=utf-8");
        assert_eq!(of("a"), "application/octet-stream");
    }
}
