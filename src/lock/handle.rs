//! What a lock is given back with, in another call or on another host.

use std::fmt;
use std::str::FromStr;

use super::name::Name;

/// One acquisition: `STORE:NAME:TOKEN:ID`, such as `local-9f2c01d4:my-lock:17:5` or
/// `etcd-cdf818194e3a8c32:my-lock:1057:694d8a1b2c3d4e5f`. It is no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    /// Which store: its kind, and what tells it from others of its kind.
    pub store: String,
    /// The lock.
    pub name: Name,
    /// The fencing token.
    pub token: u64,
    /// How the store calls this holder: the lease in etcd (hexadecimal), the ticket in the local store.
    pub id: String,
}

impl Handle {
    /// The kind of its store: `local` or `etcd`.
    pub fn kind(&self) -> &str {
        self.store.split('-').next().unwrap_or_default()
    }
}

/// A text that is no handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a handle as `hardy lock acquire` prints it, STORE:NAME:TOKEN:ID")]
pub struct HandleError;

impl FromStr for Handle {
    type Err = HandleError;

    fn from_str(text: &str) -> Result<Handle, HandleError> {
        // A name may hold colons; nothing else may.
        let (store, rest) = text.trim().split_once(':').ok_or(HandleError)?;
        let (rest, id) = rest.rsplit_once(':').ok_or(HandleError)?;
        let (name, token) = rest.rsplit_once(':').ok_or(HandleError)?;
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !plain(store) || !plain(id) {
            return Err(HandleError);
        }
        let name = name.parse().map_err(|_| HandleError)?;
        Ok(Handle {
            store: store.into(),
            name,
            token: token.parse().map_err(|_| HandleError)?,
            id: id.into(),
        })
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.store, self.name, self.token, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_read_as_it_is_written() {
        for text in ["local-9f2c:my-lock:17:5", "etcd-cdf8:/a:b/c:d:1057:694d8a"] {
            assert_eq!(text.parse::<Handle>().unwrap().to_string(), text);
        }
        for text in ["", "local", "local:x:17", "local:x:y:5", "local::1:5", "lo cal:x:1:5", "local:x:1:"] {
            assert_eq!(text.parse::<Handle>(), Err(HandleError), "{text:?}");
        }
    }
}
