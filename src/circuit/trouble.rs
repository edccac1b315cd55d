//! What whoever calls through a breaker is told of its store, once.

use std::error::Error as _;
use std::fmt;

use super::Name;
use crate::store::Error;

/// The store is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It does not answer.
    Unavailable {
        /// Of the breaker.
        name: Name,
        /// In words.
        why: String,
        /// What to try next.
        hint: Option<String>,
        /// Whether calls are made all the same.
        allowed: bool,
    },
    /// A record cannot be read.
    Damaged(Name),
}

impl Trouble {
    /// After an error of the store.
    pub fn unavailable(name: &Name, error: &Error, allowed: bool) -> Trouble {
        let hint = error.advice().map(str::to_owned);
        Trouble::Unavailable { name: name.clone(), why: why(error), hint, allowed }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Unavailable { name, why, hint, allowed } => {
                let how = if *allowed { "is called all the same, and not counted" } else { "is not called" };
                let hint = hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
                write!(f, "the breaker's state is unavailable ({why}): {name} {how}{hint}")
            }
            Trouble::Damaged(name) => {
                write!(f, "the record of {name} was damaged and is put aside: it begins closed")
            }
        }
    }
}

/// What could not be done, and the innermost cause.
pub fn why(error: &Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.last().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
