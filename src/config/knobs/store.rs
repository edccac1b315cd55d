//! `[store]`, and `[profile.NAME.store]` over it: where locks live, on this host or in etcd.

use std::path::PathBuf;

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Duration;

/// The store of shared state.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[command(next_help_heading = "Store")]
#[serde(default, deny_unknown_fields)]
pub struct StoreKnobs {
    /// etcd, as http://HOST:PORT,...; `none` is this host [default: none]
    ///
    /// The endpoints of one cluster of etcd, separated by commas, https:// for TLS. `none` is the store of this
    /// host, a directory; so it is without any endpoint.
    #[arg(long, value_name = "URL", env = "HARDY_STORE_ENDPOINTS", value_delimiter = ',')]
    pub endpoints: Option<Vec<String>>,
    /// Trust only the PEM certificates of this file, for https endpoints
    #[arg(
        id = "store_ca",
        long = "store-ca",
        value_name = "FILE",
        env = "HARDY_STORE_CA",
        hide_short_help = true
    )]
    pub ca: Option<PathBuf>,
    /// Client certificate (PEM)
    #[arg(
        id = "store_cert",
        long = "store-cert",
        value_name = "FILE",
        env = "HARDY_STORE_CERT",
        hide_short_help = true
    )]
    pub cert: Option<PathBuf>,
    /// Key of the client certificate (PEM)
    #[arg(
        id = "store_key",
        long = "store-key",
        value_name = "FILE",
        env = "HARDY_STORE_KEY",
        hide_short_help = true
    )]
    pub key: Option<PathBuf>,
    /// User of etcd; the password is in HARDY_STORE_PASSWORD or a file
    #[arg(
        id = "store_user",
        long = "store-user",
        value_name = "NAME",
        env = "HARDY_STORE_USER",
        hide_short_help = true
    )]
    pub user: Option<String>,
    /// File with the password of the user, on its first line
    #[arg(
        id = "store_password_file",
        long = "store-password-file",
        value_name = "FILE",
        env = "HARDY_STORE_PASSWORD_FILE",
        hide_short_help = true
    )]
    pub password_file: Option<PathBuf>,
    /// Longest time for one call to one endpoint
    #[arg(
        id = "store_timeout",
        long = "store-timeout",
        value_name = "D",
        env = "HARDY_STORE_TIMEOUT",
        hide_short_help = true
    )]
    pub timeout: Option<Duration>,
    /// In etcd, put this before the names of locks and breakers
    ///
    /// Without it a lock has its bare name, as etcdctl and Go's clients call it, and they exclude each other.
    #[arg(
        id = "prefix",
        long = "prefix",
        value_name = "TEXT",
        env = "HARDY_STORE_LOCK_PREFIX",
        hide_short_help = true
    )]
    pub lock_prefix: Option<String>,
    /// Directory of this host's store, and of kept handles
    ///
    /// For root /var/lib/hardy, for others $XDG_STATE_HOME/hardy or ~/.local/state/hardy. Users of one host share
    /// locks through a directory that all of them can write to.
    #[arg(
        id = "store_dir",
        long = "store-dir",
        value_name = "DIR",
        env = "HARDY_STORE_DIRECTORY",
        hide_short_help = true
    )]
    pub directory: Option<PathBuf>,
    /// Use that directory even on a network file system
    ///
    /// Its file locks may be invisible to other hosts, or be lost when the server restarts.
    #[arg(
        id = "store_allow_network",
        long = "store-allow-network",
        value_name = "BOOL",
        env = "HARDY_STORE_ALLOW_NETWORK",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true,
        hide_short_help = true
    )]
    pub allow_network: Option<bool>,
}

super::layer!(StoreKnobs {
    endpoints,
    ca,
    cert,
    key,
    user,
    password_file,
    timeout,
    lock_prefix,
    directory,
    allow_network,
});
