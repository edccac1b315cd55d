//! Who is trusted by themselves: reading the store of this host, and finding who signed a certificate.
//!
//! Refuses to take an empty store for one that trusts nobody: that is an error of this host.

use std::path::Path;

use rustls::pki_types::{CertificateDer, TrustAnchor};
use x509_parser::asn1_rs::{Any, FromDer};

use super::link::{Link, Signed};

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

/// The store of this host holds no root, which is no fault of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no trusted root certificate found on this host in {store}{why}")]
pub struct RootsError {
    store: String,
    why: String,
}

impl Roots {
    /// The roots of this host's store, and those that are given. Blocks for some tens of milliseconds.
    ///
    /// # Errors
    /// When there is no root in the store, whatever is given.
    pub fn load(given: Vec<CertificateDer<'static>>) -> Result<Roots, RootsError> {
        let found = rustls_native_certs::load_native_certs();
        let store = store();
        if found.certs.is_empty() {
            let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
            return Err(RootsError { store, why });
        }
        Ok(Roots { system: found.certs, given, store })
    }
}

/// Where this system keeps its roots. The library that reads them does not say; it looks at the same places.
fn store() -> String {
    const PLACES: [&str; 5] = [
        "/etc/ssl/certs",
        "/etc/pki/tls/certs",
        "/etc/ssl/cert.pem",
        "/etc/pki/ca-trust/extracted/pem",
        "/usr/local/share/certs",
    ];
    let found = PLACES.iter().find(|place| Path::new(place).exists());
    found.map_or("the store of this system", |place| place).to_owned()
}

/// A root that a chain ends in.
pub(super) struct Root<'a> {
    pub(super) link: Link<'a>,
    /// It is one of the system's.
    pub(super) is_public: bool,
}

/// The roots, made ready to look issuers up in.
pub(super) struct Anchors<'a> {
    pub(super) list: Vec<TrustAnchor<'a>>,
    certificates: Vec<(&'a CertificateDer<'static>, bool)>,
}

impl<'a> Anchors<'a> {
    pub(super) fn new(roots: &'a Roots) -> Anchors<'a> {
        // A root that is in both is public; so those of the system come first.
        let all =
            roots.system.iter().map(|der| (der, true)).chain(roots.given.iter().map(|der| (der, false)));
        let fit = |(der, is_public)| {
            webpki::anchor_from_trusted_cert(der).ok().map(|anchor| (anchor, (der, is_public)))
        };
        let (list, certificates) = all.filter_map(fit).unzip();
        Anchors { list, certificates }
    }

    /// The root that signed it, if any did; and whether there is one of that name that did not.
    pub(super) fn signer_of(&self, link: &Link<'_>) -> (Option<Root<'a>>, bool) {
        let Ok((_, issuer)) = Any::from_der(link.x509.issuer().as_raw()) else { return (None, false) };
        let mut is_namesake = false;
        for (anchor, (der, is_public)) in self.list.iter().zip(&self.certificates) {
            if anchor.subject.as_ref() != issuer.data {
                continue;
            }
            let Some(mut root) = Link::alone(der) else { continue };
            root.label = format!("root {:?}", root.called());
            match link.signed_by(&root.x509) {
                Signed::Yes | Signed::Unknown => {
                    return (Some(Root { link: root, is_public: *is_public }), false);
                }
                Signed::No => is_namesake = true,
            }
        }
        (None, is_namesake)
    }
}
