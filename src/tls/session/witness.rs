//! What a server shows in the handshake: its certificates, its signature, and whether it wants to see ours.
//!
//! Refuses nothing, so that the handshake goes on: a signature that is wrong is noted, and so is one that cannot be
//! checked here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use crate::tls::fact::Fact;

/// Offered so that such a server goes on and shows its chain; their signatures cannot be checked here.
const UNCHECKED: [SignatureScheme; 3] =
    [SignatureScheme::ED448, SignatureScheme::RSA_PKCS1_SHA1, SignatureScheme::ECDSA_SHA1_Legacy];

/// RSA keys shorter than this are not used for checking.
const RSA_BITS: usize = 2048;

/// What was shown.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// As it was sent, leaf first; empty: no certificate came.
    pub chain: Vec<CertificateDer<'static>>,
    /// As DER.
    pub staple: Option<Vec<u8>>,
    /// Whether the signature of the handshake is by the key of the leaf.
    pub has_key: Fact<bool>,
}

/// Looks at a server's certificates. It is for one connection.
#[derive(Debug)]
pub(super) struct Witness {
    provider: Arc<CryptoProvider>,
    shown: Mutex<Shown>,
}

impl Witness {
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Witness {
        let has_key = Fact::unknown("the handshake ended before the server's signature");
        Witness { provider, shown: Mutex::new(Shown { chain: Vec::new(), staple: None, has_key }) }
    }

    /// What was shown until now.
    pub(super) fn shown(&self) -> Shown {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.provider.signature_verification_algorithms
    }

    /// Notes how the check of a signature came out, and lets the handshake go on.
    fn note(
        &self,
        leaf: &CertificateDer<'_>,
        checked: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        let has_key = match checked {
            Ok(_) => Fact::Known(true),
            Err(error) => match rsa_bits(leaf) {
                Some(bits) if bits < RSA_BITS => {
                    Fact::unknown(format!("signatures of an RSA key of {bits} bits are not checked"))
                }
                _ if error == Error::InvalidCertificate(CertificateError::BadSignature) => Fact::Known(false),
                _ => Fact::unknown(error.to_string()),
            },
        };
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).has_key = has_key;
        Ok(HandshakeSignatureValid::assertion())
    }
}

/// The length of the key, if it is RSA.
fn rsa_bits(leaf: &CertificateDer<'_>) -> Option<usize> {
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf).ok()?;
    match leaf.public_key().parsed().ok()? {
        x509_parser::public_key::PublicKey::RSA(key) => Some(key.key_size()),
        _ => None,
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        staple: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.chain =
            std::iter::once(leaf).chain(intermediates).map(|one| one.clone().into_owned()).collect();
        shown.staple = Some(staple.to_vec()).filter(|staple| !staple.is_empty());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.note(leaf, verify_tls12_signature(message, leaf, signed, self.algorithms()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.note(leaf, verify_tls13_signature(message, leaf, signed, self.algorithms()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.algorithms().supported_schemes();
        schemes.extend(UNCHECKED);
        schemes
    }
}

/// Notes whether the server asks for a client certificate, and gives it one where there is one.
#[derive(Debug)]
pub(super) struct Asked {
    identity: Option<Arc<CertifiedKey>>,
    so: AtomicBool,
}

impl Asked {
    pub(super) fn new(identity: Option<Arc<CertifiedKey>>) -> Asked {
        Asked { identity, so: AtomicBool::new(false) }
    }

    /// Did it?
    pub(super) fn so(&self) -> bool {
        self.so.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.so.store(true, Ordering::Relaxed);
        self.identity.clone()
    }

    fn has_certs(&self) -> bool {
        self.identity.is_some()
    }
}
