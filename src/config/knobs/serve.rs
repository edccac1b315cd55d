//! `[profile.NAME.serve]`: where a server listens, what it allows, what goes wrong, how it ends.

use std::path::PathBuf;

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Duration, Size};

/// The HTTP server.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServeKnobs {
    /// Always this answer: STATUS:TEXT or STATUS:@FILE
    ///
    /// STATUS:TEXT, or STATUS:@FILE with a file of at most 64 MiB.
    #[arg(long, value_name = "ANSWER", env = "HARDY_SERVE_RESPOND")]
    pub respond: Option<String>,
    /// The request, told back as JSON
    #[arg(
        long,
        value_name = "BOOL",
        env = "HARDY_SERVE_ECHO",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true
    )]
    pub echo: Option<bool>,
    /// Files below this directory
    #[arg(long, value_name = "PATH", env = "HARDY_SERVE_DIR", value_hint = clap::ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// Address, or unix:PATH [default: 127.0.0.1:8080, with TLS :8443]
    ///
    /// HOST:PORT with a numeric host or `localhost`, :PORT for every address, or unix:PATH.
    /// Port 0 takes a free one. By default 127.0.0.1:8080, and 127.0.0.1:8443 with TLS.
    #[arg(short, long, value_name = "ADDR", env = "HARDY_SERVE_LISTEN", value_delimiter = ',')]
    pub listen: Option<Vec<String>>,
    /// Serve /healthz, /readyz and /metrics on an address of their own too
    #[arg(long, value_name = "ADDR", env = "HARDY_SERVE_ADMIN")]
    pub admin: Option<String>,
    /// Let a second server share the port, for a restart without a gap
    #[arg(
        long,
        value_name = "BOOL",
        env = "HARDY_SERVE_REUSE_PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true,
        hide_short_help = true
    )]
    pub reuse_port: Option<bool>,
    /// Fail on purpose: status=503@10%, latency=50ms@20%, first=20:503, ...
    ///
    /// status=503@10%, latency=50ms@20%, latency=p50:5ms,p99:200ms, reset@1%, close@1%, truncate@1%,
    /// drip=1KiB/s, first=20:503 (the first 20 requests), window=10s..20s:503 (since the start) or stall=10s..12s
    /// (nothing is answered before its end).
    /// Several in one are separated by `;`. Without a percentage every request is hit. Between two quantiles
    /// latency grows by equal factors: p50:5ms,p99:200ms has its p75 at 33 ms.
    #[arg(long, value_name = "SPEC", env = "HARDY_SERVE_FAULT", value_delimiter = ';')]
    pub fault: Option<Vec<String>>,
    /// The same seed fails the same requests
    #[arg(long, value_name = "N", env = "HARDY_SERVE_SEED")]
    pub seed: Option<u64>,
    /// One JSON line per request into a file, or `-` for stdout
    #[arg(long, value_name = "FILE", env = "HARDY_SERVE_ACCESS_LOG")]
    pub access_log: Option<PathBuf>,
    /// Not ready, but still serving, for this long after SIGTERM
    #[arg(long, value_name = "D", env = "HARDY_SERVE_DRAIN_DELAY")]
    pub drain_delay: Option<Duration>,
    /// After that, finish what is in flight within this time
    #[arg(long, value_name = "D", env = "HARDY_SERVE_DRAIN_TIMEOUT")]
    pub drain_timeout: Option<Duration>,
    /// `self-signed` for a certificate made on the spot, or `off`
    ///
    /// `self-signed` for a certificate that is made on the spot, for 90 days, or `off`.
    #[arg(long, value_name = "HOW", env = "HARDY_SERVE_TLS", help_heading = "TLS")]
    pub tls: Option<String>,
    /// Certificate chain (PEM); read again when it changes, and on SIGHUP
    #[arg(long, value_name = "FILE", env = "HARDY_SERVE_TLS_CERT", help_heading = "TLS")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", env = "HARDY_SERVE_TLS_KEY", help_heading = "TLS")]
    pub tls_key: Option<PathBuf>,
    /// Oldest version: 1.2 or 1.3
    #[arg(long, value_name = "VERSION", env = "HARDY_SERVE_TLS_MIN", help_heading = "TLS")]
    pub tls_min: Option<String>,
    /// Key exchange groups, best first
    ///
    /// X25519MLKEM768, X25519, P-256 and P-384, best first.
    #[arg(
        long,
        value_name = "LIST",
        env = "HARDY_SERVE_TLS_GROUPS",
        value_delimiter = ',',
        help_heading = "TLS"
    )]
    pub tls_groups: Option<Vec<String>>,
    /// Suites and groups by this server's order, not by the client's
    #[arg(
        long,
        value_name = "BOOL",
        env = "HARDY_SERVE_TLS_PREFER_SERVER_ORDER",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true,
        help_heading = "TLS"
    )]
    pub tls_prefer_server_order: Option<bool>,
    /// Clients must show a certificate issued by one of these (PEM)
    #[arg(long, value_name = "FILE", env = "HARDY_SERVE_TLS_CLIENT_CA", help_heading = "TLS")]
    pub tls_client_ca: Option<PathBuf>,
    /// Open connections; above it new ones wait
    #[arg(
        long,
        value_name = "N",
        env = "HARDY_SERVE_MAX_CONNECTIONS",
        help_heading = "Limits",
        hide_short_help = true
    )]
    pub max_connections: Option<usize>,
    /// Time for a request's header
    #[arg(
        long,
        value_name = "D",
        env = "HARDY_SERVE_HEADER_TIMEOUT",
        help_heading = "Limits",
        hide_short_help = true
    )]
    pub header_timeout: Option<Duration>,
    /// Size of a request's header
    #[arg(
        long,
        value_name = "SIZE",
        env = "HARDY_SERVE_HEADER_LIMIT",
        help_heading = "Limits",
        hide_short_help = true
    )]
    pub header_limit: Option<Size>,
    /// Time for a request's body
    #[arg(
        long,
        value_name = "D",
        env = "HARDY_SERVE_BODY_TIMEOUT",
        help_heading = "Limits",
        hide_short_help = true
    )]
    pub body_timeout: Option<Duration>,
    /// Size of a request's body
    #[arg(
        long,
        value_name = "SIZE",
        env = "HARDY_SERVE_BODY_LIMIT",
        help_heading = "Limits",
        hide_short_help = true
    )]
    pub body_limit: Option<Size>,
    /// Time without a request on an open connection
    #[arg(
        long,
        value_name = "D",
        env = "HARDY_SERVE_KEEP_ALIVE",
        help_heading = "Limits",
        hide_short_help = true
    )]
    pub keep_alive: Option<Duration>,
    /// Time for a TLS handshake
    #[arg(
        long,
        value_name = "D",
        env = "HARDY_SERVE_HANDSHAKE_TIMEOUT",
        help_heading = "Limits",
        hide_short_help = true
    )]
    pub handshake_timeout: Option<Duration>,
    /// Time without a client taking a byte of its answer
    #[arg(
        long,
        value_name = "D",
        env = "HARDY_SERVE_WRITE_TIMEOUT",
        help_heading = "Limits",
        hide_short_help = true
    )]
    pub write_timeout: Option<Duration>,
}

impl ServeKnobs {
    /// Contents exclude each other, and so do ways to an identity: who chooses one in a higher layer chooses
    /// against all that a lower layer chose.
    fn hide_in(&self, mut lower: ServeKnobs) -> ServeKnobs {
        if self.respond.is_some() || self.echo == Some(true) || self.dir.is_some() {
            (lower.respond, lower.echo, lower.dir) = (None, None, None);
        }
        if self.tls.is_some() {
            (lower.tls_cert, lower.tls_key) = (None, None);
        }
        if self.tls_cert.is_some() || self.tls_key.is_some() {
            lower.tls = None;
        }
        lower
    }
}

super::layer!(ServeKnobs hiding ServeKnobs::hide_in {
    respond,
    echo,
    dir,
    listen,
    admin,
    reuse_port,
    fault,
    seed,
    access_log,
    drain_delay,
    drain_timeout,
    tls,
    tls_cert,
    tls_key,
    tls_min,
    tls_groups,
    tls_prefer_server_order,
    tls_client_ca,
    max_connections,
    header_timeout,
    header_limit,
    body_timeout,
    body_limit,
    keep_alive,
    handshake_timeout,
    write_timeout,
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layer;

    fn merged(upper: &str, lower: &str) -> ServeKnobs {
        let knobs = |text: &str| toml::from_str::<ServeKnobs>(text).unwrap();
        knobs(upper).or(knobs(lower))
    }

    #[test]
    fn one_choice_of_content_hides_the_ones_below() {
        let all = "respond = '200:x'\necho = true\ndir = '/'\nseed = 1";
        let contents = |knobs: &ServeKnobs| (knobs.respond.is_some(), knobs.echo, knobs.dir.is_some());
        assert_eq!(contents(&merged("respond = '200:y'", all)), (true, None, false));
        assert_eq!(contents(&merged("echo = true", all)), (false, Some(true), false));
        assert_eq!(contents(&merged("dir = '.'", all)), (false, None, true));
        assert_eq!(contents(&merged("echo = false", all)), (true, Some(false), true));
        assert_eq!(contents(&merged("seed = 2", all)), (true, Some(true), true));
        assert_eq!(merged("echo = true", all).seed, Some(1));
    }

    #[test]
    fn one_identity_hides_the_other_below() {
        let identity = |upper: &str, lower: &str| {
            let knobs = merged(upper, lower);
            (knobs.tls, knobs.tls_cert.is_some(), knobs.tls_key.is_some())
        };
        let files = "tls_cert = 'c'\ntls_key = 'k'";
        assert_eq!(identity("tls = 'self-signed'", files), (Some("self-signed".into()), false, false));
        assert_eq!(identity(files, "tls = 'self-signed'"), (None, true, true));
        assert_eq!(identity("tls_key = 'other'", files), (None, true, true));
        assert_eq!(identity("tls = 'off'", files), (Some("off".into()), false, false));
    }
}
