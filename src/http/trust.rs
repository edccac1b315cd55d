//! Which servers a client believes: the roots of the system and those given, or anyone.
//!
//! The roots of the system are read at the first certificate, not before: a plain HTTP call never pays for them.
//! Refuses to weaken anything else: signatures are checked even when the chain is not.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionStore, Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

/// A file of certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// It cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// It is not PEM, or holds no certificate.
    #[error("{} holds no PEM certificate", .0.display())]
    Empty(PathBuf),
    /// A certificate in it is none.
    #[error("{} holds a certificate that cannot be a root", .0.display())]
    Bad(PathBuf, #[source] rustls::Error),
}

/// No root to trust was found on this host, which is no fault of the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no trusted root certificate found on this host{0}")]
pub struct NoRoots(String);

/// Reads the PEM certificates of `path`.
///
/// # Errors
/// When the file cannot be read, or holds no certificate that can be a root.
pub fn read_ca(path: &Path) -> Result<Vec<CertificateDer<'static>>, CaError> {
    let pem = std::fs::read(path).map_err(|error| CaError::Read(path.to_owned(), error))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|_| CaError::Empty(path.to_owned()))?;
    if certificates.is_empty() {
        return Err(CaError::Empty(path.to_owned()));
    }
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        store.add(certificate.clone()).map_err(|error| CaError::Bad(path.to_owned(), error))?;
    }
    Ok(certificates)
}

/// Which servers to believe; cheap to clone.
#[derive(Clone, Debug)]
pub struct Trust {
    config: Arc<ClientConfig>,
}

impl Trust {
    /// The roots of the system and `extra`.
    pub fn roots(extra: Vec<CertificateDer<'static>>) -> Self {
        Trust::new(Check::Chain { extra, verifier: OnceLock::new() })
    }

    /// Any certificate at all: the connection is private to whoever answered it.
    pub fn anyone() -> Self {
        Trust::new(Check::Nothing)
    }

    fn new(check: Check) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = Arc::new(Verifier { provider: provider.clone(), check });
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        #[expect(clippy::expect_used, reason = "the provider is a constant and has suites for both versions")]
        let builder = builder.expect("aws-lc-rs supports TLS 1.2 and 1.3");
        let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Trust { config: Arc::new(config) }
    }

    /// A configuration of its own for one call, whose sessions go to `sessions`.
    pub(super) fn client_config(&self, sessions: Arc<dyn ClientSessionStore>) -> ClientConfig {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::store(sessions);
        config
    }
}

#[derive(Debug)]
enum Check {
    Chain {
        extra: Vec<CertificateDer<'static>>,
        verifier: OnceLock<Result<Arc<WebPkiServerVerifier>, NoRoots>>,
    },
    Nothing,
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    check: Check,
}

impl Verifier {
    fn with_roots(&self, extra: &[CertificateDer<'static>]) -> Result<Arc<WebPkiServerVerifier>, NoRoots> {
        let found = rustls_native_certs::load_native_certs();
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs.into_iter().chain(extra.iter().cloned()));
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|_| NoRoots(why))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.check {
            Check::Nothing => Ok(ServerCertVerified::assertion()),
            Check::Chain { extra, verifier } => match verifier.get_or_init(|| self.with_roots(extra)) {
                Ok(verifier) => verifier.verify_server_cert(leaf, intermediates, name, ocsp, now),
                Err(none) => Err(rustls::Error::Other(OtherError(Arc::new(none.clone())))),
            },
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
