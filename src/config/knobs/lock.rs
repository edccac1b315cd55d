//! `[profile.NAME.lock]`: how long a lock is waited for, and how long it outlives who holds it.

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Duration, Wait};

/// Locks.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LockKnobs {
    /// The lock ends this long after its last renewal
    ///
    /// etcd grants whole seconds, and no less than its own minimum; what was granted is said. While a command runs
    /// the lock is renewed every third of it.
    #[arg(long, value_name = "D", env = "HARDY_LOCK_TTL")]
    pub ttl: Option<Duration>,
    /// Wait this long for others, or `forever`
    #[arg(long, short, value_name = "D", env = "HARDY_LOCK_WAIT")]
    pub wait: Option<Wait>,
    /// Between SIGTERM and SIGKILL, when the command has to be stopped
    ///
    /// A command whose lock cannot be renewed gets SIGTERM so long before it is killed, and is killed before the lock
    /// ends. By default at most half of the TTL.
    #[arg(long, value_name = "D", env = "HARDY_LOCK_GRACE")]
    pub grace: Option<Duration>,
}

super::layer!(LockKnobs { ttl, wait, grace });
