//! From what was typed and configured to the plan of a check. Files that it needs are read here; nothing is connected to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};

use super::baseline::{self, Baseline};
use super::check::{Args, ExitCodes};
use super::targets;
use crate::cmd::names::Names;
use crate::config::{Config, FailFrom, Layer, need};
use crate::error::Error;
use crate::http::{read_ca, read_identity};
use crate::input;
use crate::tls::Plan;
use crate::tls::chain::Roots;
use crate::tls::files;
use crate::tls::policy::{BUILT_IN, Policy};
use crate::tls::session::Depth;
use crate::tls::target::Target;
use crate::tls::threshold::Threshold;

/// What the arguments and the config mean together.
pub struct Settings {
    /// What the engine does.
    pub plan: Plan,
    /// What makes the verdict bad.
    pub fail_on: FailFrom,
    /// The earlier run to compare with.
    pub baseline: Option<Baseline>,
    /// Where this run is kept.
    pub save: Option<std::path::PathBuf>,
}

/// Resolves the settings of a profile as a run without flags would.
pub fn check(config: &Config) -> Result<(), Error> {
    let targets = targets::all(&[], None, config)?;
    Settings::with(&Args::default(), targets, config).map(drop)
}

impl Settings {
    /// # Errors
    /// Usage errors, each naming what is wrong.
    pub fn resolve(args: &Args, config: &Config) -> Result<Settings, Error> {
        let targets = targets::all(&args.targets, args.certificates.name.as_deref(), config)?;
        if targets.is_empty() {
            return Err(Error::usage("no target to check").hint(
                "give one, as in `hardy tls check api.example`, or define [targets.NAME] with https or tls in hardy.toml",
            ));
        }
        let mut settings = Settings::with(args, targets, config)?;
        settings.plan.roots = Roots::load(settings.plan.roots.given);
        Ok(settings)
    }

    fn with(args: &Args, targets: Vec<Target>, config: &Config) -> Result<Settings, Error> {
        let names = &args.names;
        let knobs = args.knobs.clone().or(config.profile.tls.clone());
        let (warn, crit) = thresholds(args, config)?;
        let given = match &knobs.ca {
            Some(path) => {
                read_ca(path).map_err(|error| Error::usage(names.of("tls", "ca")).because(error))?
            }
            None => Vec::new(),
        };
        let certificates = &args.certificates;
        let password = certificates.password_file.as_deref().map(password).transpose()?;
        let key = certificates.key.as_deref().map(|path| key(path, password.as_deref())).transpose()?;
        let leaf = certificates.on_disk.as_deref().map(|path| leaf(path, password.as_deref())).transpose()?;
        let crls = certificates.crl_file.iter().map(|path| crls(path)).collect::<Result<Vec<_>, _>>()?;
        let plan = Plan {
            targets,
            policy: policy(&need(knobs.policy, "tls.policy")?, names)?,
            roots: Roots { given, ..Roots::default() },
            at: args.judgement.at.unwrap_or_else(Timestamp::now),
            warn,
            crit,
            depth: if args.connections.fast { Depth::Fast } else { Depth::Full },
            timeout: at_least_1ms(names, need(knobs.timeout, "tls.timeout")?.0)?,
            max_conns: at_least_1(names, need(knobs.max_conns, "tls.max_conns")?)?,
            all_addresses: args.connections.all_addresses,
            file_name: certificates.name.clone(),
            key: key.map(Arc::new),
            leaf,
            crls: crls.concat(),
            fetch_crls: certificates.crl,
            aia: certificates.aia,
            identity: identity(args)?,
            overrides: args.connections.resolve.iter().cloned().collect(),
            password,
        };
        let baseline = args.changes.baseline.as_deref().map(baseline::read).transpose()?;
        if let Some(path) = &args.changes.save {
            baseline::check_place(path)?;
        }
        let fail_on = need(knobs.fail_on, "tls.fail_on")?;
        Ok(Settings { plan, fail_on, baseline, save: args.changes.save.clone() })
    }
}

/// `--at`: a day begins at midnight in UTC.
pub(super) fn date(text: &str) -> Result<Timestamp, String> {
    let day = || text.parse::<Date>().and_then(|day| day.to_zoned(TimeZone::UTC)).map(|day| day.timestamp());
    text.parse().or_else(|_| day()).map_err(|_| "expected 2027-01-01 or 2027-01-01T12:00:00Z".to_owned())
}

/// `--name`: what a certificate can be for.
pub(super) fn server_name(text: &str) -> Result<String, String> {
    let known = ServerName::try_from(text).map(|_| text.to_owned());
    known.map_err(|_| "expected a name such as www.example, or an address".to_owned())
}

fn policy(text: &str, names: &Names) -> Result<Policy, Error> {
    if let Some(policy) = Policy::built_in(text) {
        return Ok(policy);
    }
    let path = Path::new(text);
    let read = input::read_text(path, input::LARGEST).map_err(|cause| {
        let what = format!("{}: `{text}` is no policy", names.of("tls", "policy"));
        let error = Error::usage(what).because(cause);
        let near = crate::config::nearest(text, BUILT_IN).filter(|_| !text.contains('/'));
        error.hint(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("give {} or a TOML file", BUILT_IN.join(", ")),
        })
    })?;
    Policy::parse(&read, text).map_err(|error| {
        let hint = error.hint.clone();
        let error = Error::usage(error.to_string());
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}

fn thresholds(args: &Args, config: &Config) -> Result<(Threshold, Threshold), Error> {
    let names = &args.names;
    let knobs = args.knobs.clone().or(config.profile.tls.clone());
    let days = |days: u32| Threshold::Left(Duration::from_secs(u64::from(days) * 86_400));
    let one = |typed: Option<u32>, text: Option<String>, knob: &'static str| match typed {
        Some(number) => Ok(days(number)),
        None => need(text, knob)?
            .parse()
            .map_err(|cause: String| Error::usage(names.of("tls", knob)).because(cause)),
    };
    let warn = one(args.judgement.warn_days, knobs.warn, "warn")?;
    let crit = one(args.judgement.crit_days, knobs.crit, "crit")?;
    let reversed = match (warn, crit) {
        (Threshold::Left(warn), Threshold::Left(crit)) => crit > warn,
        (Threshold::Percent(warn), Threshold::Percent(crit)) => crit > warn,
        _ => false,
    };
    // Only what both say can be meant so: a default gives way.
    if reversed {
        return Err(Error::usage(format!(
            "{} ({crit}) must not be longer than {} ({warn})",
            names.of("tls", "crit"),
            names.of("tls", "warn")
        )));
    }
    Ok((warn, crit))
}

/// Without the end of its line.
fn password(path: &Path) -> Result<String, Error> {
    let unreadable = |cause: std::io::Error| {
        Error::usage(format!("cannot read the password from {}", path.display())).because(cause)
    };
    Ok(input::read_text(path, input::LARGEST).map_err(unreadable)?.trim_end_matches(['\r', '\n']).to_owned())
}

fn bundles(path: &Path, password: Option<&str>, flag: &str) -> Result<Vec<files::Bundle>, Error> {
    let (file, password) = (path.to_owned(), password.map(str::to_owned));
    let found = input::patiently(path, move || files::read(&file, password.as_deref()));
    let found = found
        .map_err(|late| Error::usage(format!("{flag}: cannot read {}", path.display())).because(late))?;
    found.map_err(|error| Error::usage(flag).because(error))
}

fn key(path: &Path, password: Option<&str>) -> Result<PrivateKeyDer<'static>, Error> {
    let found = bundles(path, password, "--key")?;
    let key = found.iter().flat_map(|bundle| &bundle.keys).next().map(PrivateKeyDer::clone_key);
    key.ok_or_else(|| Error::usage(format!("--key: {} holds no private key", path.display())))
}

fn leaf(path: &Path, password: Option<&str>) -> Result<CertificateDer<'static>, Error> {
    let found = bundles(path, password, "--on-disk")?;
    let leaf = found.iter().flat_map(|bundle| &bundle.certificates).next().cloned();
    leaf.ok_or_else(|| Error::usage(format!("--on-disk: {} holds no certificate", path.display())))
}

/// Bytes of a revocation list that are read, as of those that are fetched.
const LARGEST_LIST: u64 = 32 << 20;

/// PEM, or else DER as it is.
fn crls(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let unreadable = |cause: std::io::Error| {
        Error::usage(format!("cannot read the revocation list {}", path.display())).because(cause)
    };
    let bytes = input::read(path, LARGEST_LIST).map_err(unreadable)?;
    let pem: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    match pem {
        Ok(lists) if !lists.is_empty() => Ok(lists),
        // A sequence, as every list in DER is.
        _ if bytes.first() == Some(&0x30) => Ok(vec![bytes.into()]),
        _ => Err(Error::usage(format!("--crl-file: {} holds no revocation list", path.display()))),
    }
}

fn identity(args: &Args) -> Result<Option<Arc<rustls::sign::CertifiedKey>>, Error> {
    match (&args.certificates.client_cert, &args.certificates.client_key) {
        (Some(certificate), Some(key)) => {
            let identity = read_identity(certificate, key);
            identity.map(Some).map_err(|error| Error::usage("--client-cert").because(error))
        }
        _ => Ok(None),
    }
}

fn at_least_1(names: &Names, number: usize) -> Result<usize, Error> {
    if number > 0 {
        return Ok(number);
    }
    Err(Error::usage(format!("{} must be at least 1, not 0", names.of("tls", "max_conns"))))
}

fn at_least_1ms(names: &Names, time: Duration) -> Result<Duration, Error> {
    if time >= Duration::from_millis(1) {
        return Ok(time);
    }
    let time = crate::units::Duration(time);
    Err(Error::usage(format!("{} must be at least 1ms, not {time}", names.of("tls", "timeout"))))
}

/// How the exit codes are chosen where nobody says so.
impl ExitCodes {
    /// Whether a monitoring system reads them.
    pub(super) fn is_nagios(self) -> bool {
        self == ExitCodes::Nagios
    }
}
