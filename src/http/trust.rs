//! Which servers a client believes: the roots of the system and those given, or anyone.
//!
//! The roots of the system are read on [`Trust::prepare`], or else at the first certificate: a plain HTTP call never
//! pays for them.
//! Refuses to weaken anything else: signatures are checked even when the chain is not.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionStore, ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};

use super::served::{Noting, Served};
use crate::input;
use crate::reason::Reason;

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

/// A chain that ends in no trusted root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// The certificate says that it was issued by this.
    #[error("the certificate was issued by {0:?}, which is not trusted here")]
    Issuer(String),
    /// It was issued by nobody else.
    #[error("the certificate is self-signed and not trusted here")]
    Itself,
}

/// Why TLS with a server failed.
#[must_use]
pub fn tls_reason(error: &rustls::Error) -> Reason {
    match error {
        rustls::Error::InvalidCertificate(certificate) => certificate_reason(certificate),
        rustls::Error::Other(other) if other.0.is::<NoRoots>() => Reason::LocalRoots,
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => Reason::TlsClientCertificate,
        _ => Reason::TlsHandshake,
    }
}

fn certificate_reason(error: &CertificateError) -> Reason {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Reason::TlsCertificateExpired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Reason::TlsCertificateNotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Reason::TlsCertificateName
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Reason::TlsCertificateUntrusted,
        CertificateError::Other(other) if other.0.is::<Untrusted>() => Reason::TlsCertificateUntrusted,
        _ => Reason::TlsCertificateInvalid,
    }
}

/// Reads the PEM certificates of `path`.
///
/// # Errors
/// When the file cannot be read, or holds no certificate that can be a root.
pub fn read_ca(path: &Path) -> Result<Vec<CertificateDer<'static>>, CaError> {
    let pem = input::read(path, input::LARGEST).map_err(|error| CaError::Read(path.to_owned(), error))?;
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

/// A client's certificate and key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read, or holds no such thing in PEM.
    #[error("cannot read a {what} from {}", .path.display())]
    Read {
        /// A certificate, or a key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// They do not belong to each other, or are of an unknown kind.
    #[error("{} and {} do not make an identity", .certificate.display(), .key.display())]
    Pair {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// Reads a client's certificate chain and its key, both PEM.
///
/// # Errors
/// See [`IdentityError`].
pub fn read_identity(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, IdentityError> {
    let unread = |what, path: &Path| {
        let path = path.to_owned();
        move |source| IdentityError::Read { what, path, source }
    };
    let read = |path| input::read(path, input::LARGEST).map_err(rustls::pki_types::pem::Error::Io);
    let chain: Vec<_> = read(certificate)
        .and_then(|pem| CertificateDer::pem_slice_iter(&pem).collect())
        .map_err(unread("certificate", certificate))?;
    let secret = read(key).and_then(|pem| PrivateKeyDer::from_pem_slice(&pem)).map_err(unread("key", key))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let pair = CertifiedKey::from_der(chain, secret, &provider);
    let unfit =
        |source| IdentityError::Pair { certificate: certificate.to_owned(), key: key.to_owned(), source };
    pair.map(Arc::new).map_err(unfit)
}

/// Which servers to believe; cheap to clone.
#[derive(Clone, Debug)]
pub struct Trust {
    config: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
    /// What servers get that ask who the client is.
    identity: Option<Arc<CertifiedKey>>,
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
        let mut config =
            builder.dangerous().with_custom_certificate_verifier(verifier.clone()).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Trust { config: Arc::new(config), verifier, identity: None }
    }

    /// The same, and a certificate for servers that ask for one.
    #[must_use]
    pub fn with_identity(self, identity: Option<Arc<CertifiedKey>>) -> Self {
        Trust { identity, ..self }
    }

    /// The same certificate for servers that ask for one, and any server believed.
    #[must_use]
    pub fn of_anyone(&self) -> Self {
        Trust::anyone().with_identity(self.identity.clone())
    }

    /// Reads the roots of the system and seeds the random numbers, once; blocks for some tens of milliseconds.
    pub fn prepare(&self) {
        // Without any root, or any random number, the first call says so.
        let _ = self.verifier.chain();
        let _ = self.verifier.provider.secure_random.fill(&mut [0; 32]);
    }

    /// A configuration for many connections to one server, without resumption: each has a whole handshake. `alpn`: the
    /// protocols that are wanted, the best first.
    pub fn config_for(&self, alpn: &[&[u8]], identity: Option<Arc<CertifiedKey>>) -> ClientConfig {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::disabled();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        if let Some(identity) = identity.or_else(|| self.identity.clone()) {
            config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(identity));
        }
        config
    }

    /// A configuration of its own for one call, which has a whole handshake; what the server asked for and showed is
    /// noted.
    pub fn config_of_call(&self, asked: Asked, served: Served) -> ClientConfig {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::disabled();
        config.client_auth_cert_resolver = Arc::new(Answering { identity: self.identity.clone(), asked });
        let noting = Noting { verifier: self.verifier.clone(), served };
        config.dangerous().set_certificate_verifier(Arc::new(noting));
        config
    }

    /// The same, with sessions that go to `sessions`.
    pub(super) fn client_config(
        &self,
        sessions: Arc<dyn ClientSessionStore>,
        asked: Asked,
        served: Served,
    ) -> ClientConfig {
        let mut config = self.config_of_call(asked, served);
        config.resumption = Resumption::store(sessions);
        config
    }
}

/// Whether the server asked for a client certificate in one call, and then whether it got one.
#[derive(Clone, Debug, Default)]
pub struct Asked(Arc<OnceLock<bool>>);

impl Asked {
    /// Did it?
    #[must_use]
    pub fn so(&self) -> bool {
        self.0.get().is_some()
    }

    /// Did it, and got none?
    #[must_use]
    pub fn in_vain(&self) -> bool {
        self.0.get() == Some(&false)
    }
}

/// What a server gets that asks, and where that is noted.
#[derive(Debug)]
struct Answering {
    identity: Option<Arc<CertifiedKey>>,
    asked: Asked,
}

impl ResolvesClientCert for Answering {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // Already set by an earlier handshake of this call: it went the same way.
        let _ = self.asked.0.set(self.identity.is_some());
        self.identity.clone()
    }

    fn has_certs(&self) -> bool {
        self.identity.is_some()
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
    /// The verifier of chains, with its roots; `None` when anyone is believed.
    fn chain(&self) -> Option<&Result<Arc<WebPkiServerVerifier>, NoRoots>> {
        match &self.check {
            Check::Nothing => None,
            Check::Chain { extra, verifier } => Some(verifier.get_or_init(|| self.with_roots(extra))),
        }
    }

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

/// An unknown issuer with its name, where the certificate says one.
fn with_issuer(error: rustls::Error, leaf: &CertificateDer<'_>) -> rustls::Error {
    let rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) = error else { return error };
    let Ok((_, leaf)) = x509_parser::parse_x509_certificate(leaf) else { return error };
    let issuer = leaf.issuer();
    let untrusted = if issuer.as_raw() == leaf.subject().as_raw() {
        Untrusted::Itself
    } else {
        let name = issuer.iter_common_name().next().and_then(|name| name.as_str().ok());
        Untrusted::Issuer(name.map_or_else(|| issuer.to_string(), str::to_owned))
    };
    CertificateError::Other(OtherError(Arc::new(untrusted))).into()
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
        match self.chain() {
            None => Ok(ServerCertVerified::assertion()),
            Some(Ok(verifier)) => verifier
                .verify_server_cert(leaf, intermediates, name, ocsp, now)
                .map_err(|error| with_issuer(error, leaf)),
            Some(Err(none)) => Err(rustls::Error::Other(OtherError(Arc::new(none.clone())))),
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
