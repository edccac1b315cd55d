//! Text that is shown to others: what a server sends must not steer their terminal, and what is secret
//! must not be in it; what is for a shell must be read by it as it is. And text that others wrote: what they may have
//! meant, and where it stands.

use std::fmt::Write as _;

/// Control characters (C0, DEL, C1) and those that turn the direction of writing.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text for people, with what would steer a terminal as visible escapes.
pub fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if steers(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    })
}

/// A JSON text that means the same and that a terminal can show: JSON itself requires escapes below
/// U+0020 only. Such characters can stand nowhere but in its strings.
pub fn printable_json(json: String) -> String {
    let needs_escape = |c: char| c != '\n' && steers(c);
    if !json.contains(needs_escape) {
        return json;
    }
    json.chars().fold(String::with_capacity(json.len()), |mut out, c| {
        if needs_escape(c) {
            // Writing to a String cannot fail; all of these are below U+10000.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
        out
    })
}

/// What stands where a secret was.
pub const REDACTED: &str = "(redacted)";

/// Whether people keep under this name what nobody else should read.
pub fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    ["authorization", "cookie", "password", "secret", "token", "api-key", "apikey", "signature"]
        .iter()
        .any(|word| name.contains(word))
}

/// A URL without its password, without a user that may be a token, and without values of its query that
/// have a secret's name. Works on text, so that a URL that cannot be parsed is not shown whole either.
pub fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let authority = match authority.rsplit_once('@') {
        None => authority.to_owned(),
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:{REDACTED}@{host}"),
            None => format!("{REDACTED}@{host}"),
        },
    };
    let path = path.split_inclusive(['?', '&']).map(|part| match part.split_once('=') {
        Some((name, value)) if names_secret(name) => {
            format!("{name}={REDACTED}{}", if value.ends_with('&') { "&" } else { "" })
        }
        _ => part.to_owned(),
    });
    format!("{scheme}://{authority}{}", path.collect::<String>())
}

/// What a library calls something in its code, such as `MissingEnd { line: 3 }`, as words: `missing end`. Whatever it
/// holds is left out.
pub fn words(name: &impl std::fmt::Debug) -> String {
    let name = format!("{name:?}");
    let name = name.split([' ', '(', '{']).next().unwrap_or_default();
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

/// The nearest of the known names, if one is near enough to have been meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Line and column of a byte offset, both from 1; columns count characters.
pub fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

/// For a shell: as it is where nothing in it means anything to a shell, else in single quotes.
pub fn quoted(text: &[u8]) -> Vec<u8> {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"_./:@%+,-".contains(byte);
    if !text.is_empty() && text.iter().all(harmless) {
        return text.to_vec();
    }
    let mut quoted = vec![b'\''];
    for byte in text {
        match byte {
            b'\'' => quoted.extend_from_slice(br"'\''"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_of_urls() {
        for (url, shown) in [
            ("https://me:pa:ss@host/p@th?x", "https://me:(redacted)@host/p@th?x"),
            ("http://TOKEN@host/", "http://(redacted)@host/"),
            ("http://me:pw@host:bad/", "http://me:(redacted)@host:bad/"),
            ("http://host/a?token=1&b=2&api_key=3", "http://host/a?token=(redacted)&b=2&api_key=(redacted)"),
            ("exec:echo a=b", "exec:echo a=b"),
            ("http://host/?q=1", "http://host/?q=1"),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }

    #[test]
    fn names_of_code_become_words() {
        #[derive(Debug)]
        #[expect(dead_code, reason = "only its name is of interest")]
        enum Error {
            Plain,
            MissingEnd { line: usize },
            TrailingData(Vec<u8>),
        }
        let all = [Error::Plain, Error::MissingEnd { line: 3 }, Error::TrailingData(vec![6, 8])];
        assert_eq!(all.map(|error| words(&error)), ["plain", "missing end", "trailing data"]);
    }

    #[test]
    fn nothing_steers_a_terminal_and_json_keeps_its_meaning() {
        let hostile = "a\u{9b}31m\u{7f}\u{1b}[2J\u{202e}ü\n";
        assert_eq!(printable(hostile), "a\\u{9b}31m\\u{7f}\\u{1b}[2J\\u{202e}ü\\n");
        let json = printable_json(serde_json::to_string_pretty(&[hostile]).unwrap());
        assert!(!json.contains(|c: char| c != '\n' && steers(c)), "{json:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [hostile]);
    }
}
