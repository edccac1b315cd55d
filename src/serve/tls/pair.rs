//! A certificate and its key: read from PEM, checked against each other, or made on the spot.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, SupportedCipherSuite};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::super::error::Error;
use super::super::input;
use crate::tls::authority::{self, Name};

/// A certificate chain and the key of its leaf.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) certified: CertifiedKey,
}

const CERTIFICATE: &str = "certificate";
const KEY: &str = "private key";
/// As long as the certificates of most authorities.
const SELF_SIGNED_LIFE: Duration = Duration::from_secs(90 * 86_400);

impl Pair {
    /// Reads both files; the key must belong to the leaf.
    pub(super) fn read(certificate: &Path, key: &Path) -> Result<Pair, Error> {
        let unusable =
            |what, path: &Path, cause: String| Error::Unusable { what, path: path.to_owned(), cause };
        let pem = read(CERTIFICATE, certificate)?;
        let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let chain = chain.map_err(|e| unusable(CERTIFICATE, certificate, e.to_string()))?;
        if chain.is_empty() {
            return Err(unusable(CERTIFICATE, certificate, "it holds no certificate".into()));
        }
        let pem = read(KEY, key)?;
        let der = PrivateKeyDer::from_pem_slice(&pem).map_err(|e| unusable(KEY, key, no_key(&pem, &e)))?;
        CertifiedKey::from_der(chain, der, &provider()).map(|certified| Pair { certified }).map_err(|error| {
            match error {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    Error::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() }
                }
                rustls::Error::InvalidCertificate(_) => unusable(CERTIFICATE, certificate, error.to_string()),
                _ => unusable(KEY, key, error.to_string()),
            }
        })
    }

    /// A new key and a certificate for this host, signed by itself.
    pub(super) fn self_signed(now: Timestamp) -> Result<Pair, Error> {
        fn failed(cause: impl ToString) -> Error {
            Error::Tls(format!("cannot make a certificate: {}", cause.to_string()))
        }
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let mut names: Vec<Name> = Vec::new();
        // A host may have a name that no certificate can carry.
        for name in ["localhost", "127.0.0.1", "::1", &host].iter().filter_map(|name| name.parse().ok()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let made = authority::self_signed(&names, SELF_SIGNED_LIFE, now).map_err(failed)?;
        let leaf = CertificateDer::from_pem_slice(made.certificate.as_bytes()).map_err(failed)?;
        let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).map_err(failed)?;
        let certified = CertifiedKey::from_der(vec![leaf], key, &provider());
        certified.map(|certified| Pair { certified }).map_err(failed)
    }

    /// SHA-256 of the leaf as `openssl x509 -fingerprint -sha256` prints it.
    pub(super) fn fingerprint(&self) -> String {
        let SupportedCipherSuite::Tls13(suite) = cipher_suite::TLS13_AES_128_GCM_SHA256 else {
            return String::new();
        };
        let leaf = self.certified.cert.first().map_or(&[][..], |leaf| leaf.as_ref());
        let digest = suite.common.hash_provider.hash(leaf);
        let bytes: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        bytes.join(":")
    }
}

fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

fn no_key(pem: &[u8], error: &rustls::pki_types::pem::Error) -> String {
    if pem.windows(9).any(|window| window == b"ENCRYPTED") {
        return "it is encrypted; decrypt it with `openssl pkey -in KEY -out PLAIN`".into();
    }
    match error {
        rustls::pki_types::pem::Error::NoItemsFound => "it holds no private key".into(),
        other => other.to_string(),
    }
}

/// The subject of a certificate, such as `CN=alice, O=Example`.
pub(super) fn subject(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.subject().to_string())
}

/// Reads a PEM file.
pub(super) fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    const LARGEST: u64 = 1 << 20;
    input::read(what, path, LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_wrong_with_a_pair_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let (a, b) = (
            rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap(),
            rcgen::generate_simple_self_signed(["b".to_owned()]).unwrap(),
        );
        fs::write(path("a.pem"), a.cert.pem()).unwrap();
        fs::write(path("a.key"), a.signing_key.serialize_pem()).unwrap();
        fs::write(path("b.key"), b.signing_key.serialize_pem()).unwrap();
        fs::write(path("empty"), "").unwrap();
        fs::write(path("garbage"), "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n").unwrap();
        fs::write(
            path("locked"),
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
        )
        .unwrap();
        let error = |certificate: &str, key: &str| {
            Pair::read(&path(certificate), &path(key)).unwrap_err().to_string()
        };
        assert!(Pair::read(&path("a.pem"), &path("a.key")).is_ok());
        assert!(error("a.pem", "b.key").contains("does not belong"));
        assert!(error("missing", "a.key").contains("cannot read certificate"));
        assert!(error("a.pem", "missing").contains("cannot read private key"));
        assert!(error("empty", "a.key").contains("no certificate"));
        assert!(error("garbage", "a.key").contains("garbage is unusable"));
        assert!(error("a.pem", "a.pem").contains("no private key"));
        assert!(error("a.pem", "locked").contains("encrypted"));
    }

    #[test]
    fn a_self_signed_pair_has_a_fingerprint() {
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        let pair = Pair::self_signed(now).unwrap();
        let leaf = &pair.certified.cert[0];
        assert_eq!(subject(leaf).as_deref(), Some("O=hardy self-signed, CN=localhost"));
        assert_eq!(crate::tls::chain::days_left(leaf, now), Some(89));
        let fingerprint = pair.fingerprint();
        assert_eq!(fingerprint.len(), 32 * 3 - 1);
        assert!(fingerprint.split(':').all(|byte| u8::from_str_radix(byte, 16).is_ok()));
    }
}
