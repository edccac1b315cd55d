//! Foreign text made harmless: what a server sends must not steer the terminal of who reads about it.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal_and_json_keeps_its_meaning() {
        let hostile = "a\u{9b}31m\u{7f}\u{1b}[2J\u{202e}ü\n";
        assert_eq!(printable(hostile), "a\\u{9b}31m\\u{7f}\\u{1b}[2J\\u{202e}ü\\n");
        let json = printable_json(serde_json::to_string_pretty(&[hostile]).unwrap());
        assert!(!json.contains(|c: char| c != '\n' && steers(c)), "{json:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [hostile]);
    }
}
