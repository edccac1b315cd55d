//! Several requests from a file, in the form that vegeta made known, with weights:
//!
//! ```text
//! # a comment
//! 9 GET /products?page=1
//! 1 POST http://127.0.0.1:8080/cart
//! content-type: application/json
//! @cart.json
//! /health
//! ```
//!
//! A request is a line `[WEIGHT] [METHOD] URL-or-/PATH`; lines `NAME: VALUE` below it are its headers, a line `@FILE` is
//! its body. Empty lines mean nothing. Refuses to read the files of bodies, and to look at where URLs lead.

use hyper::Method;

use super::choice::{Choice, Weights};
use super::framing::{self, FramingError, Header};
use crate::text::printable;

/// One request of the file, as far as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The number of its line, from 1.
    pub line: usize,
    /// How often it is sent, in proportion to the others; at least 1.
    pub weight: Option<u32>,
    /// The method.
    pub method: Option<Method>,
    /// A URL, or a path with its query: begins with `/`.
    pub place: String,
    /// Its own headers.
    pub headers: Vec<Header>,
    /// The file of its body, and the number of that line.
    pub body: Option<(usize, String)>,
}

/// A line that is none of a file of targets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}: {cause}")]
pub struct TargetsError {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub cause: Cause,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// Neither request nor header nor body.
    #[error("`{0}` is not of the form [WEIGHT] [METHOD] URL-or-/PATH")]
    Form(String),
    /// 0, or too large.
    #[error("the weight {0} is not between 1 and 4294967295")]
    Weight(String),
    /// No token, or not for users.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// Headers and bodies belong to a request.
    #[error("there is no request above this line")]
    NoRequest,
    /// There can be only one.
    #[error("this request has a body already")]
    SecondBody,
    /// `@` alone.
    #[error("there is no file name after @")]
    NoFile,
    /// Nothing at all.
    #[error("there is no request in the file")]
    Empty,
}

/// Reads all requests; at least one.
///
/// # Errors
/// The first line that is wrong.
pub fn parse(text: &str) -> Result<Vec<Target>, TargetsError> {
    let mut targets: Vec<Target> = Vec::new();
    for (line, content) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let content = content.trim();
        if !content.is_empty() && !content.starts_with('#') {
            add(&mut targets, line, content).map_err(|cause| TargetsError { line, cause })?;
        }
    }
    if targets.is_empty() { Err(TargetsError { line: 1, cause: Cause::Empty }) } else { Ok(targets) }
}

/// How they are chosen: by weight where one has any, 1 being that of the others; else in turn.
pub fn choice(targets: &[Target]) -> Choice {
    if targets.iter().all(|target| target.weight.is_none()) {
        return Choice::Turn;
    }
    Choice::Weights(Weights::new(targets.iter().map(|target| target.weight.unwrap_or(1))))
}

fn add(targets: &mut Vec<Target>, line: usize, content: &str) -> Result<(), Cause> {
    if let Some(file) = content.strip_prefix('@') {
        let target = targets.last_mut().ok_or(Cause::NoRequest)?;
        return match target.body {
            Some(_) => Err(Cause::SecondBody),
            None if file.is_empty() => Err(Cause::NoFile),
            None => {
                target.body = Some((line, file.to_owned()));
                Ok(())
            }
        };
    }
    if is_header(content) {
        let header = framing::typed_header(content)?;
        targets.last_mut().ok_or(Cause::NoRequest)?.headers.push(header);
        return Ok(());
    }
    targets.push(request(line, content)?);
    Ok(())
}

/// Its first word has a colon, and is no URL and no path.
fn is_header(content: &str) -> bool {
    !is_place(content) && first_word(content).contains(':')
}

fn is_place(content: &str) -> bool {
    content.starts_with('/') || first_word(content).contains("://")
}

fn first_word(content: &str) -> &str {
    content.split_whitespace().next().unwrap_or_default()
}

fn request(line: usize, content: &str) -> Result<Target, Cause> {
    let (mut place, mut weight, mut method) = (content, None, None);
    let split = |text: &'_ str| text.len() - text.trim_start_matches(|c: char| !c.is_whitespace()).len();
    if first_word(place).bytes().all(|byte| byte.is_ascii_digit()) {
        let (word, rest) = place.split_at(split(place));
        weight = Some(word.parse().ok().filter(|n| *n > 0).ok_or_else(|| Cause::Weight(word.to_owned()))?);
        place = rest.trim_start();
    }
    if !is_place(place) {
        let (word, rest) = place.split_at(split(place));
        method = Some(framing::method(word)?);
        place = rest.trim_start();
    }
    // Only the name of a column may have a space in it.
    if !is_place(place) || place.contains(char::is_whitespace) && !place.contains('{') {
        return Err(Cause::Form(printable(&content.chars().take(80).collect::<String>())));
    }
    Ok(Target { line, weight, method, place: place.to_owned(), headers: Vec::new(), body: None })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "\u{feff}# shop
9 GET /products?page=1
x-a: 1
  X-A:2

1 post http://127.0.0.1:8080/cart
content-type: application/json
@cart.json
/{csv:first name}
";

    #[test]
    fn a_file_is_read() {
        let targets = parse(FILE).unwrap();
        let told: Vec<_> = targets
            .iter()
            .map(|t| {
                (t.line, t.weight, t.method.as_ref().map(Method::as_str), t.place.as_str(), t.headers.len())
            })
            .collect();
        let expected = [
            (2, Some(9), Some("GET"), "/products?page=1", 2),
            (6, Some(1), Some("POST"), "http://127.0.0.1:8080/cart", 1),
            (9, None, None, "/{csv:first name}", 0),
        ];
        assert_eq!(told, expected);
        assert_eq!(targets[1].body, Some((8, "cart.json".into())));
        assert!(matches!(choice(&targets), Choice::Weights(_)));
        assert!(matches!(choice(&targets[2..]), Choice::Turn));
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, error) in [
            ("", "1: there is no request in the file"),
            ("# a\n\n", "1: there is no request in the file"),
            ("GET", "1: `GET` is not of the form [WEIGHT] [METHOD] URL-or-/PATH"),
            ("5", "1: "),
            ("/a\nGET / HTTP/1.1", "2: `GET / HTTP/1.1` is not of the form"),
            ("0 /a", "1: the weight 0 is not between 1 and 4294967295"),
            ("4294967296 /a", "1: the weight 4294967296"),
            ("x-a: 1\n/a", "1: there is no request above this line"),
            ("@a\n/a", "1: there is no request above this line"),
            ("/a\n@b\n@c", "3: this request has a body already"),
            ("/a\n@", "2: there is no file name after @"),
            ("/a\ncontent-length: 3", "2: header content-length is hardy's own"),
            ("CONNECT /a", "1: CONNECT asks for a tunnel"),
            ("G(T /a", "1: \"G(T\" is no HTTP method"),
        ] {
            let found = parse(text).unwrap_err().to_string();
            assert!(found.starts_with(error), "{text:?}: {found}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "([0-9]{0,11} ?[A-Z@/:#]{0,3}\\PC{0,9}\n){0,6}") {
            if let Ok(targets) = parse(&text) {
                prop_assert!(targets.iter().all(|target| is_place(&target.place)));
            }
        }
    }
}
