//! A development authority of one user on one host, and the certificates that it issues.
//!
//! - `names`  names that a certificate can be for
//! - `kept`   the authority on disk: made once, read ever after
//! - `place`  a new certificate and its key, written as files
//!
//! Refuses to replace an authority, whatever is wrong with it: others may trust it already. It is for development
//! only: nothing is revoked, and its key lies on this host.

mod kept;
mod names;
mod place;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::chain::Certificate;
use super::life::Life;

pub use names::{Name, NameError};
pub use place::{Files, PlaceError, place};

/// An authority lives for ten years.
const AUTHORITY_LIFE: Duration = Duration::from_secs(3652 * 86_400);
/// Clocks of other hosts may be behind by so much.
const BACKDATED: Duration = Duration::from_secs(60);
/// A certificate of a shorter life would be over before it is used, with clocks that differ.
pub const SHORTEST_LIFE: Duration = Duration::from_secs(600);
/// X.520's bound for a common name, in characters.
const LONGEST_COMMON_NAME: usize = 64;

/// Why there is no authority, or no certificate of it.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The operating system refused.
    #[error("cannot {what} {}", .path.display())]
    Io {
        /// What was tried: `read`, `create`.
        what: &'static str,
        /// Of what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("the authority in {} is damaged: {why}", .directory.display())]
    Damaged {
        /// Where it is kept.
        directory: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Others could have read its key, or put another one there.
    #[error("the authority in {} is not this user's alone: {why}", .directory.display())]
    Exposed {
        /// Where it is kept.
        directory: PathBuf,
        /// What others may do.
        why: String,
    },
    /// It is over.
    #[error("the authority in {} ran out at {at}", .directory.display())]
    Expired {
        /// Where it is kept.
        directory: PathBuf,
        /// Its last second.
        at: Timestamp,
    },
    /// Its first second has not come, by the clock of this host.
    #[error("the authority in {} is not valid before {at}", .directory.display())]
    NotYet {
        /// Where it is kept.
        directory: PathBuf,
        /// Its first second.
        at: Timestamp,
    },
    /// No key or certificate could be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
}

/// The authority, ready to issue.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// What it calls itself.
    pub name: String,
    /// Its certificate, as PEM.
    pub pem: String,
    /// The file with that.
    pub path: PathBuf,
    /// From when until when it can issue.
    pub life: Life,
    /// It was made just now.
    pub is_new: bool,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Servers show it.
    Server,
    /// Clients show it.
    Client,
}

/// A new certificate.
pub struct Issued {
    /// As PEM.
    pub certificate: String,
    /// Its private key, as PEM: a secret.
    pub key: String,
    /// From when until when it is valid.
    pub life: Life,
    /// SHA-256 of its DER form, in hexadecimal.
    pub sha256: String,
}

impl Authority {
    /// The authority that is kept below the directory for `state`; made if there is none yet. `maker` is who makes
    /// it: `user@host`.
    ///
    /// # Errors
    /// It cannot be read or made, or what is there cannot be used at the time `now`.
    pub fn open(state: &Path, maker: &str, now: Timestamp) -> Result<Authority, AuthorityError> {
        let authority = kept::open(state, maker, now)?;
        let directory = || authority.path.parent().unwrap_or(state).to_owned();
        if now > authority.life.not_after {
            return Err(AuthorityError::Expired { directory: directory(), at: authority.life.not_after });
        }
        if now < authority.life.not_before {
            return Err(AuthorityError::NotYet { directory: directory(), at: authority.life.not_before });
        }
        Ok(authority)
    }

    /// A certificate for these names, at least one, with a new P-256 key; it lives as long as `valid` says, at least
    /// [`SHORTEST_LIFE`], but ends with its authority.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn issue(
        &self,
        names: &[Name],
        purpose: Purpose,
        valid: Duration,
        now: Timestamp,
    ) -> Result<Issued, AuthorityError> {
        let key = KeyPair::generate()?;
        let life = life(now, valid);
        let life = Life {
            not_before: life.not_before.max(self.life.not_before),
            not_after: life.not_after.min(self.life.not_after),
        };
        let mut params = leaf(names, purpose, "hardy development certificate", life)?;
        params.use_authority_key_identifier_extension = true;
        let made = params.signed_by(&key, &self.issuer)?;
        Ok(Issued::new(&made, &key, life, now))
    }
}

impl Issued {
    fn new(made: &rcgen::Certificate, key: &KeyPair, life: Life, now: Timestamp) -> Issued {
        let sha256 = Certificate::of(made.der(), now).map(|facts| facts.sha256).unwrap_or_default();
        Issued { certificate: made.pem(), key: key.serialize_pem(), life, sha256 }
    }
}

/// A certificate of a server for these names, at least one, with a new P-256 key, which vouches for itself.
///
/// # Errors
/// When no key can be made.
pub fn self_signed(names: &[Name], valid: Duration, now: Timestamp) -> Result<Issued, AuthorityError> {
    let (key, life) = (KeyPair::generate()?, life(now, valid));
    let made = leaf(names, Purpose::Server, "hardy self-signed", life)?.self_signed(&key)?;
    Ok(Issued::new(&made, &key, life, now))
}

/// A new authority: its certificate and its key, both PEM.
fn found(maker: &str, now: Timestamp) -> Result<(String, String), AuthorityError> {
    let date = now.strftime("%Y-%m-%d").to_string();
    let room = LONGEST_COMMON_NAME - "hardy development CA  ".len() - date.len();
    let maker: String = maker.chars().take(room).collect();
    let name = format!("hardy development CA {maker} {date}");
    let mut params = params(Some(&name), "hardy development authority", life(now, AUTHORITY_LIFE));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// As long as that, both seconds included; from a little earlier, since clocks differ.
fn life(now: Timestamp, valid: Duration) -> Life {
    let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    let begin = now.as_second() - seconds(BACKDATED);
    let end = begin.saturating_add(seconds(valid) - 1);
    let at = |second| Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
    Life { not_before: at(begin), not_after: at(end) }
}

fn leaf(
    names: &[Name],
    purpose: Purpose,
    organization: &str,
    life: Life,
) -> Result<CertificateParams, AuthorityError> {
    let first = names.first().map(Name::to_string).filter(|name| name.len() <= LONGEST_COMMON_NAME);
    let mut params = params(first.as_deref(), organization, life);
    params.subject_alt_names = names.iter().map(Name::san).collect::<Result<_, _>>()?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![match purpose {
        Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
        Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    Ok(params)
}

fn params(common_name: Option<&str>, organization: &str, life: Life) -> CertificateParams {
    // Its times are those of another library, which counts seconds as well.
    let at = |time: Timestamp| {
        date_time_ymd(1970, 1, 1) + Duration::from_secs(time.as_second().max(0).unsigned_abs())
    };
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (at(life.not_before), at(life.not_after));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, organization);
    if let Some(name) = common_name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params
}

#[cfg(test)]
mod tests;
