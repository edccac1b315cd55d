//! A cluster of etcd: one client per endpoint with our own rotation, a deadline on every call.

use std::path::PathBuf;
use std::time::Duration;

/// How to reach it.
#[derive(Clone)]
pub struct Settings {
    /// `http://HOST:PORT` or `https://HOST:PORT`, in the order in which they are tried.
    pub endpoints: Vec<String>,
    /// Trust the PEM certificates of this file, and no others.
    pub ca: Option<PathBuf>,
    /// Client certificate, with its chain, in PEM.
    pub cert: Option<PathBuf>,
    /// Its key, in PEM.
    pub key: Option<PathBuf>,
    /// The name and the password of a user, where authentication is on.
    pub user: Option<(String, String)>,
    /// The longest time for one call to one endpoint.
    pub timeout: Duration,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the password.
        f.debug_struct("Settings").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}
