//! Whether a certificate is the one that it should be: that of a key, and that of a file.
//!
//! Refuses to take "cannot tell" for a yes.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::dates;
use super::facts;
use super::link::Link;
use super::{Presented, Rules};
use crate::tls::finding::{Finding, Status};

pub(super) fn judge(leaf: &Link<'_>, presented: &Presented<'_>, rules: &Rules<'_>) -> Vec<Finding> {
    let key = match presented.key {
        Some(key) => Some(key_match(leaf, key)),
        None if presented.is_served => None,
        None => Some(
            Finding::new("key.match", Status::Skip, "key").actual("no key is beside the certificate (--key)"),
        ),
    };
    let on_disk = rules.leaf.map(|other| same(leaf, other));
    key.into_iter().chain(on_disk).collect()
}

fn key_match(leaf: &Link<'_>, key: &PrivateKeyDer<'static>) -> Finding {
    let finding = |status| Finding::new("key.match", status, "key").expected("the key of the leaf");
    match belongs(leaf.der, key) {
        Ok(()) => finding(Status::Pass).actual("it is"),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => finding(Status::Fail)
            .actual("the key of another certificate")
            .fix("find the key that was made for this certificate, or have a new one issued for this key"),
        Err(error) => finding(Status::Error).actual(format!("not tested: {error}")),
    }
}

/// Whether the key belongs to the certificate.
///
/// # Errors
/// When it does not, or that cannot be told.
pub fn belongs(certificate: &CertificateDer<'static>, key: &PrivateKeyDer<'static>) -> Result<(), Error> {
    let key = any_supported_type(key)?;
    CertifiedKey { cert: vec![certificate.clone()], key: Arc::clone(&key), ocsp: None }.keys_match()
}

fn same(leaf: &Link<'_>, other: &CertificateDer<'static>) -> Finding {
    let shown = |link: &Link<'_>| {
        let serial = facts::short(&facts::hex(link.x509.raw_serial()));
        format!("serial {serial}, until {}", dates::until(link))
    };
    let expected = Link::alone(other).map_or_else(|| "another certificate".to_owned(), |other| shown(&other));
    let finding = |status| Finding::new("cert.on_disk", status, "leaf").expected(&*expected);
    if leaf.der == other {
        return finding(Status::Pass).actual("served as it is on disk");
    }
    finding(Status::Fail)
        .actual(shown(leaf))
        .fix("reload the server, so that it serves the certificate on disk")
}
