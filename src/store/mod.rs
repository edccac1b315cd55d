//! Where shared state lives: a directory of this host, or a cluster of etcd. One enum, two arms, the same
//! behaviour. It knows connections, files and permissions; what is kept there is the matter of the rooms above.
//! The only room that uses etcd-client.

mod error;
pub mod etcd;
pub mod local;
mod records;

pub use error::Error;
pub use records::{Changes, Known, Records, Step};

/// Which store, and how to reach it.
#[derive(Clone, Debug)]
pub enum Settings {
    /// A directory of this host.
    Local(local::Settings),
    /// A cluster of etcd.
    Etcd(etcd::Settings),
}
