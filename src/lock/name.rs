//! What a lock may be called: as in etcd, where `foo` owns all keys below `foo/`.

use std::fmt;
use std::str::FromStr;

/// A name that every store can keep: 1 to 200 bytes without control characters, whose parts between
/// slashes are not empty (but for one leading slash), `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// The longest name in bytes: its parts must fit into file names, the whole into a path.
pub const LONGEST: usize = 200;

/// Why a text is no name of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing at all.
    #[error("a lock needs a name")]
    Empty,
    /// Longer than [`LONGEST`].
    #[error("the name of a lock has at most {LONGEST} bytes")]
    Long,
    /// A control character, or one that turns the direction of writing.
    #[error("the name of a lock has no control characters")]
    Control,
    /// An empty part, `.` or `..`.
    #[error("between the slashes of a lock's name there is text, but not `.` or `..`")]
    Part,
}

impl Name {
    /// As it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parts between its slashes; a leading slash gives an empty first one.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The names that own this one's keys too, longest first: `a/b` and `a` for `a/b/c`.
    pub fn above(&self) -> impl Iterator<Item = &str> {
        self.0.rmatch_indices('/').map(|(slash, _)| &self.0[..slash]).filter(|name| !name.is_empty())
    }

    /// Whether the other name lies below this one, as `a/b` lies below `a`.
    pub fn is_above(&self, other: &Name) -> bool {
        other.above().any(|name| name == self.0)
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Name, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > LONGEST {
            return Err(NameError::Long);
        }
        if crate::text::printable(text) != text {
            return Err(NameError::Control);
        }
        let relative = text.strip_prefix('/').unwrap_or(text);
        if relative.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(NameError::Part);
        }
        Ok(Name(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_store_could_keep_is_refused() {
        let long = "x".repeat(LONGEST + 1);
        let cases = [
            ("", NameError::Empty),
            (&long, NameError::Long),
            ("a\nb", NameError::Control),
            ("a\u{202e}b", NameError::Control),
            ("/", NameError::Part),
            ("a//b", NameError::Part),
            ("a/", NameError::Part),
            ("../a", NameError::Part),
            ("a/./b", NameError::Part),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Name>(), Err(error), "{text:?}");
        }
        for text in ["my-lock", "/my-lock", "a/b/c", "grüße", "a:b", "=x", "...", &long[1..]] {
            assert_eq!(text.parse::<Name>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn names_above_are_those_that_own_its_keys() {
        let name: Name = "/a/b/c".parse().unwrap();
        assert_eq!(name.above().collect::<Vec<_>>(), ["/a/b", "/a"]);
        assert!("/a".parse::<Name>().unwrap().is_above(&name));
        assert!(!"/a/b/c".parse::<Name>().unwrap().is_above(&name));
        assert!(!"a".parse::<Name>().unwrap().is_above(&name));
    }
}
