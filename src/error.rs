//! One error for the whole program: what failed, why, and the next command to try.
//! Engines have small typed errors of their own; only this room turns them into exit codes.

use std::error::Error as StdError;
use std::fmt;

use crate::exit::Exit;

/// What ends a command without a report.
#[derive(Debug)]
pub struct Error {
    what: String,
    cause: Option<Box<dyn StdError + Send + Sync>>,
    hint: Option<String>,
    exit: Exit,
}

impl Error {
    /// The command line or the configuration is wrong; nothing was done (exit 2).
    pub fn usage(what: impl Into<String>) -> Error {
        Error { what: what.into(), cause: None, hint: None, exit: Exit::USAGE }
    }

    /// The answer could not be found out (exit 3).
    pub fn unknown(what: impl Into<String>) -> Error {
        Error { exit: Exit::UNKNOWN, ..Error::usage(what) }
    }

    /// Others hold it for now (exit 75).
    pub fn refused(what: impl Into<String>) -> Error {
        Error { exit: Exit::REFUSED, ..Error::usage(what) }
    }

    /// A lock is ours no more (exit 76).
    pub fn lost(what: impl Into<String>) -> Error {
        Error { exit: Exit::LOST, ..Error::usage(what) }
    }

    /// Ends with another exit code.
    #[must_use]
    pub fn with_exit(mut self, exit: Exit) -> Error {
        self.exit = exit;
        self
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

    /// Puts a place before what failed.
    #[must_use]
    pub fn within(mut self, place: &str) -> Error {
        self.what = format!("{place}: {}", self.what);
        self
    }

    /// The exit code that this error leads to.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The next thing to try, if there is one.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The causes, outermost first, without repetitions of what an outer one says already.
    pub fn causes(&self) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        let mut next: Option<&dyn StdError> = self.cause.as_deref().map(|c| c as &dyn StdError);
        while let Some(error) = next {
            let text = error.to_string();
            if !texts.last().is_some_and(|outer| outer.contains(&text)) {
                texts.push(text);
            }
            next = error.source();
        }
        texts
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|c| c as &dyn StdError)
    }
}
