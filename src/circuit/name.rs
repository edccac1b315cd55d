//! What a breaker may be called.

use std::fmt;
use std::str::FromStr;

/// A name that every store can keep: 1 to 100 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// The longest name in bytes, a slash or a percent sign counted as three: it is part of a file's name.
const LONGEST: usize = 200;

/// Why a text is no name of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing at all.
    #[error("a breaker needs a name")]
    Empty,
    /// Longer than [`LONGEST`].
    #[error("the name of a breaker has at most {LONGEST} bytes, with three for each slash or percent sign")]
    Long,
    /// A control character, or one that turns the direction of writing.
    #[error("the name of a breaker has no control characters")]
    Control,
}

impl Name {
    /// As it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Name, NameError> {
        let wide = text.bytes().filter(|byte| matches!(byte, b'/' | b'%')).count();
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() + 2 * wide > LONGEST {
            return Err(NameError::Long);
        }
        if crate::text::printable(text) != text {
            return Err(NameError::Control);
        }
        Ok(Name(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_name_says_why() {
        let error = |text: &str| text.parse::<Name>().unwrap_err();
        assert_eq!((error(""), error("a\nb")), (NameError::Empty, NameError::Control));
        assert_eq!((error(&"a".repeat(201)), error(&"/".repeat(67))), (NameError::Long, NameError::Long));
        for name in ["pay", "..", "a/b", "50%", "größe"] {
            assert_eq!(name.parse::<Name>().unwrap().as_str(), name);
        }
    }
}
