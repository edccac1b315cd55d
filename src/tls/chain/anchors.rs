//! Who is trusted by themselves: reading the store of this host, and finding who signed a certificate.
//!
//! Refuses to take an empty store for one that trusts nobody: that is an error of this host.

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

impl Roots {
    /// The roots of this host's store, and those that are given. Where there are none at all, no chain can be tested,
    /// and each is told to be an error of this host. Blocks for some tens of milliseconds.
    #[must_use]
    pub fn load(given: Vec<CertificateDer<'static>>) -> Roots {
        let found = rustls_native_certs::load_native_certs();
        let why = match (found.certs.is_empty(), found.errors.first()) {
            (false, _) => String::new(),
            (true, None) => ", which is empty".to_owned(),
            (true, Some(error)) => format!(", which cannot be read: {error}"),
        };
        Roots { system: found.certs, given, store: format!("{}{why}", store()) }
    }
}

/// Where this system keeps its roots, as the library that reads them finds out.
fn store() -> String {
    let places = openssl_probe::probe();
    let place = places.cert_file.or_else(|| places.cert_dir.into_iter().next());
    place.map_or_else(|| "the store of this system".to_owned(), |place| place.display().to_string())
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
