//! The store of one host: a directory, guarded by kernel file locks.

use std::path::PathBuf;

/// Where it is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The directory; created when it is first written to.
    pub directory: PathBuf,
    /// Use it even on a network file system, whose file locks other hosts may not see.
    pub allow_network: bool,
}
