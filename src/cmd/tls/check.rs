//! `hardy tls check`: what is wrong with it, and how is it mended?

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::watch;

use super::report::{Report, Run};
use super::settings::{self, Settings};
use super::{baseline, human};
use crate::app::App;
use crate::cmd::names::Names;
use crate::complete;
use crate::config::TlsKnobs;
use crate::error::Error;
use crate::exit::Exit;
use crate::http::lookup::Override;
use crate::tls::{self, Snapshot};

/// Check certificates and TLS policy of endpoints and files
#[derive(clap::Args, Debug, Default)]
#[command(after_long_help = "\
Examples:
  hardy tls check api.example                # every version, suite, group and reason
  hardy tls check                            # all targets of hardy.toml that have TLS
  hardy tls check tls+smtp://mail.example tls+postgres://db.example --policy modern
  hardy tls check site.pem --name www.example --key site.key --crit 15%
  hardy tls check api --fast --on-disk site.pem    # was the new certificate loaded?
  hardy tls check api --save tls.json              # and in the next run: what changed?
  hardy tls check api --baseline tls.json --report junit=tls.xml

A policy of your own (--policy FILE), all of it optional:
  base = \"intermediate\"                 # or modern, article; without it nothing is said
  versions = [\"1.2\", \"1.3\"]             # bounds; also suites, groups, keys, signatures
  require_groups = [\"X25519MLKEM768\"]   # must-haves; also _versions, _suites, _alpn
  keys = [\"ECDSA P-256\", \"RSA 3072\"]    # of the leaf; RSA of at least this size
  max_lifetime = \"90d\"
  hsts_min_age = \"365d\"
  server_order = true                   # the server's order of suites must decide
  severity = { \"kx.pq\" = \"fail\" }       # by rule: fail or warn
  [[waive]]                             # tolerated; reason and last day are mandatory
  id = \"suite.weak\"                     # rules and targets may have * and ?
  target = \"legacy.example*\"
  reason = \"old scanners, OPS-123\"
  until = \"2027-01-01\"

Status of a finding:
  fail   breaks the policy: exit 1
  error  could not be found out: exit 3
  warn   wants to be looked at: exit 0, or 1 with --fail-on warn
  skip   was not asked for; never a pass
With --baseline only what is new or worse than in that run counts, and what could
not be found out.")]
pub struct Args {
    // First, because those that follow take what it looks at.
    #[command(flatten)]
    pub(super) names: Names,
    /// HOST[:PORT], URL, file, directory, or name in the config [default: all of the config]
    ///
    /// https://HOST[:PORT], tls://HOST[:PORT], or tls+PROTOCOL://HOST[:PORT] for smtp, imap, pop3, ftp, ldap, postgres,
    /// mysql and xmpp, which begin TLS on request. A file holds PEM, DER or PKCS#12; of a directory every such file is
    /// checked.
    #[arg(value_name = "TARGET", add = complete::targets())]
    pub(super) targets: Vec<String>,
    #[command(flatten)]
    pub(super) knobs: TlsKnobs,
    #[command(flatten)]
    pub(super) judgement: Judgement,
    #[command(flatten)]
    pub(super) certificates: Certificates,
    #[command(flatten)]
    pub(super) connections: Connections,
    #[command(flatten)]
    pub(super) changes: Changes,
}

/// When, and with which exit code.
#[derive(clap::Args, Debug, Default)]
#[command(next_help_heading = "Policy")]
pub(super) struct Judgement {
    /// The same as --warn, in days
    #[arg(long, value_name = "N", conflicts_with = "warn", hide = true)]
    pub(super) warn_days: Option<u32>,
    /// The same as --crit, in days
    #[arg(long, value_name = "N", conflicts_with = "crit", hide = true)]
    pub(super) crit_days: Option<u32>,
    /// Judge as of this time: 2027-01-01, or RFC 3339
    #[arg(long, value_name = "DATE", value_parser = settings::date)]
    pub(super) at: Option<Timestamp>,
    /// Exit codes: hardy, or nagios (0 ok, 1 warning, 2 critical, 3 unknown)
    #[arg(long, value_name = "CODES", hide_possible_values = true)]
    pub(super) exit: Option<ExitCodes>,
}

/// What belongs to the certificates.
#[derive(clap::Args, Debug, Default)]
#[command(next_help_heading = "Certificates")]
pub(super) struct Certificates {
    /// Ask for this name, and match it; also for files
    #[arg(long, value_name = "NAME", value_parser = settings::server_name)]
    pub(super) name: Option<String>,
    /// The key that must belong to the leaf
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
    /// The leaf that must be served: that of this file
    #[arg(long, value_name = "FILE", visible_alias = "cert-file")]
    pub(super) on_disk: Option<PathBuf>,
    /// The password of PKCS#12 files is in this file
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
    /// Fetch the revocation lists that the certificates name
    #[arg(long)]
    pub(super) crl: bool,
    /// A revocation list (PEM or DER) [repeatable]
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(super) crl_file: Vec<PathBuf>,
    /// Fetch intermediates that are not sent, to name the missing one
    #[arg(long)]
    pub(super) aia: bool,
    /// Show a server that asks this certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "client_key", hide_short_help = true)]
    pub(super) client_cert: Option<PathBuf>,
    /// The key of --client-cert (PEM)
    #[arg(long, value_name = "FILE", requires = "client_cert", hide_short_help = true)]
    pub(super) client_key: Option<PathBuf>,
}

/// How servers are asked.
#[derive(clap::Args, Debug, Default)]
#[command(next_help_heading = "Connections")]
pub(super) struct Connections {
    /// One connection: the certificate, and what was negotiated
    #[arg(long)]
    pub(super) fast: bool,
    /// Every address of a name, not only the first that answers
    #[arg(long)]
    pub(super) all_addresses: bool,
    /// Use this address for that name and port, as curl does [repeatable]
    #[arg(long, value_name = "HOST:PORT:ADDR", hide_short_help = true)]
    pub(super) resolve: Vec<Override>,
}

/// What has changed since an earlier run.
#[derive(clap::Args, Debug, Default)]
#[command(next_help_heading = "Changes")]
pub(super) struct Changes {
    /// Compare with this earlier run; only what is new or worse counts
    #[arg(long, value_name = "FILE")]
    pub(super) baseline: Option<PathBuf>,
    /// Keep this run for a later --baseline
    #[arg(long, value_name = "FILE")]
    pub(super) save: Option<PathBuf>,
}

/// `--exit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ExitCodes {
    /// The documented ones.
    #[default]
    Hardy,
    /// Those of monitoring plugins.
    Nagios,
}

/// Checks all of them.
pub async fn run(args: Args, app: &App) -> Result<Exit, Error> {
    let settings = Settings::resolve(&args, &app.config)?;
    let begun = Instant::now();
    let plan = Arc::new(settings.plan);
    let stop = app.shutdown.token.child_token();
    let (snapshots, seen) = watch::channel(Snapshot::default());
    let found = tokio::select! {
        found = tls::check(plan.clone(), Some(snapshots), stop) => found,
        never = show(seen, app) => match never {},
    };
    let run = Run {
        policy: plan.policy.name.clone(),
        at: plan.at,
        elapsed: begun.elapsed(),
        interrupted: app.shutdown.signal().is_some(),
        verbose: app.console.is_verbose(),
        fail_on: settings.fail_on,
        codes: args.judgement.exit.unwrap_or_default(),
    };
    let report = Report::new(&found, run, settings.baseline);
    let kept = settings.save.filter(|_| app.shutdown.signal().is_none());
    let kept = kept.map(|path| baseline::save(&path, &report));
    let exit = app.finish(&report)?;
    // A full disk must not cost the report.
    kept.transpose().map(|_| exit)
}

/// Draws how far it is, where somebody sees it.
async fn show(mut seen: watch::Receiver<Snapshot>, app: &App) -> std::convert::Infallible {
    let live = app.console.live();
    let begun = Instant::now();
    while live.is_shown() && seen.changed().await.is_ok() {
        let snapshot = seen.borrow_and_update().clone();
        live.draw(|out| human::progress(out, &snapshot, begun.elapsed()));
    }
    std::future::pending().await
}
