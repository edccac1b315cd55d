//! What can go wrong with a store: which one, why, and what to try next.

use std::error::Error as StdError;
use std::fmt;

/// A store that cannot be reached, that refuses, or that is damaged: in any case, nobody knows the answer.
#[derive(Debug)]
pub struct Error {
    /// What could not be done, with the name of the object: a path, an endpoint.
    what: String,
    cause: Option<Box<dyn StdError + Send + Sync>>,
    hint: Option<String>,
}

impl Error {
    /// `what`: a sentence without a capital or full stop that names the object, such as
    /// `cannot reach etcd at http://127.0.0.1:2379`.
    pub fn new(what: impl Into<String>) -> Error {
        Error { what: what.into(), cause: None, hint: None }
    }

    /// Adds why it failed.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        self.cause = Some(cause.into());
        self
    }

    /// Adds the next thing to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// What to try next.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Takes it apart: what, why, what to try next.
    pub fn into_parts(self) -> (String, Option<Box<dyn StdError + Send + Sync>>, Option<String>) {
        (self.what, self.cause, self.hint)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as &dyn StdError)
    }
}
