//! One certificate of a chain: parsed, with the name that a finding blames it by, and who signed it.
//!
//! Refuses to judge; it only tells what is so.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{BitString, Oid, oid};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{DistributionPointName, X509Certificate};
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use super::facts::{self, Key};

/// A certificate of a chain.
pub(super) struct Link<'a> {
    pub(super) der: &'a CertificateDer<'static>,
    pub(super) x509: X509Certificate<'a>,
    /// `leaf`, `intermediate "R11"`, `root "X1"`.
    pub(super) label: String,
}

/// What a signature is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Signed {
    /// Made by that key.
    Yes,
    /// Of a kind that is not verified here.
    Unknown,
    /// Not made by that key.
    No,
}

/// Where a certificate says that more can be fetched, over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Its issuer.
    pub issuers: Vec<String>,
    /// Lists of what its issuer revoked.
    pub crls: Vec<String>,
    /// Who answers whether it is revoked.
    pub ocsp: Vec<String>,
}

impl<'a> Link<'a> {
    /// `position` counts from the leaf, which is 0.
    pub(super) fn new(der: &'a CertificateDer<'static>, position: usize) -> Option<Link<'a>> {
        let x509 = facts::parse(der)?;
        let role = if x509.subject().as_raw() == x509.issuer().as_raw() { "root" } else { "intermediate" };
        let label = match position {
            0 => "leaf".to_owned(),
            _ => format!("{role} {:?}", facts::called(x509.subject())),
        };
        Some(Link { der, x509, label })
    }

    /// As one that is not part of a chain.
    pub(super) fn alone(der: &'a CertificateDer<'static>) -> Option<Link<'a>> {
        Link::new(der, usize::MAX)
    }

    /// It names itself as its issuer.
    pub(super) fn is_self_issued(&self) -> bool {
        self.x509.subject().as_raw() == self.x509.issuer().as_raw()
    }

    /// It names the other as its issuer.
    pub(super) fn names(&self, issuer: &X509Certificate<'_>) -> bool {
        self.x509.issuer().as_raw() == issuer.subject().as_raw()
    }

    /// Whether the other's key signed it.
    pub(super) fn signed_by(&self, issuer: &X509Certificate<'_>) -> Signed {
        let x509 = &self.x509;
        let message = x509.tbs_certificate.as_ref();
        verify(issuer.public_key(), &x509.signature_algorithm, &x509.signature_value, message)
    }

    /// Whether the time lies between its dates.
    pub(super) fn is_valid_at(&self, at: Timestamp) -> bool {
        let validity = self.x509.validity();
        (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&at.as_second())
    }

    /// The name of the authority that it says issued it.
    pub(super) fn issuer(&self) -> String {
        facts::called(self.x509.issuer())
    }

    /// Its own name.
    pub(super) fn called(&self) -> String {
        facts::called(self.x509.subject())
    }

    /// Whether it holds an extension that only some programs know.
    pub(super) fn extension(&self, oid: &Oid<'_>) -> Option<&[u8]> {
        self.x509.extensions().iter().find(|extension| extension.oid == *oid).map(|found| found.value)
    }

    pub(super) fn sources(&self) -> Sources {
        let mut sources = Sources::default();
        for extension in self.x509.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::AuthorityInfoAccess(access) => {
                    for description in access.iter() {
                        let Some(url) = http_url(&description.access_location) else { continue };
                        if description.access_method == oid!(1.3.6.1.5.5.7.48.2) {
                            sources.issuers.push(url);
                        } else if description.access_method == oid!(1.3.6.1.5.5.7.48.1) {
                            sources.ocsp.push(url);
                        }
                    }
                }
                ParsedExtension::CRLDistributionPoints(points) => {
                    for point in points.iter() {
                        if let Some(DistributionPointName::FullName(names)) = &point.distribution_point {
                            sources.crls.extend(names.iter().filter_map(http_url));
                        }
                    }
                }
                _ => {}
            }
        }
        sources
    }
}

/// Where a certificate in DER says that more can be fetched.
#[must_use]
pub fn sources(der: &CertificateDer<'static>) -> Sources {
    Link::alone(der).map(|link| link.sources()).unwrap_or_default()
}

fn http_url(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::URI(url) if url.get(..7).is_some_and(|s| s.eq_ignore_ascii_case("http://")) => {
            Some((*url).to_owned())
        }
        _ => None,
    }
}

/// Whether a key signed a message. Knows weak algorithms too: what they sign has its own finding.
pub(super) fn verify(
    key: &SubjectPublicKeyInfo<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
    made: &BitString<'_>,
    message: &[u8],
) -> Signed {
    let kind = Key::of(key);
    // A key of one kind makes no signature of another.
    if let (Some(of_key), Some(of_signature)) = (family(&kind), family_of(algorithm))
        && of_key != of_signature
    {
        return Signed::No;
    }
    let Some(algorithm) = verification(&kind, algorithm) else { return Signed::Unknown };
    match UnparsedPublicKey::new(algorithm, &key.subject_public_key.data).verify(message, &made.data) {
        Ok(()) => Signed::Yes,
        Err(_) => Signed::No,
    }
}

/// The kind of signatures that a key makes, as the beginning of their numbers; none where that is not known here.
fn family(key: &Key) -> Option<Oid<'static>> {
    match key {
        Key::Rsa { .. } => Some(oid!(1.2.840.113549.1.1)),
        Key::Curve(..) => Some(oid!(1.2.840.10045.4)),
        Key::Other(name) if name == "Ed25519" => Some(oid!(1.3.101.112)),
        Key::Other(name) if name == "Ed448" => Some(oid!(1.3.101.113)),
        Key::Dsa | Key::Other(_) => None,
    }
}

fn family_of(algorithm: &AlgorithmIdentifier<'_>) -> Option<Oid<'static>> {
    let all = [oid!(1.2.840.113549.1.1), oid!(1.2.840.10045.4), oid!(1.3.101.112), oid!(1.3.101.113)];
    all.into_iter().find(|family| algorithm.algorithm.starts_with(family))
}

fn verification(
    key: &Key,
    algorithm: &AlgorithmIdentifier<'_>,
) -> Option<&'static dyn VerificationAlgorithm> {
    let kind = &algorithm.algorithm;
    match key {
        Key::Rsa { bits } => rsa(*bits, algorithm),
        Key::Curve(name, _) => {
            let sha = [
                (oid!(1.2.840.10045.4.1), 1),
                (oid!(1.2.840.10045.4.3.2), 256),
                (oid!(1.2.840.10045.4.3.3), 384),
                (oid!(1.2.840.10045.4.3.4), 512),
            ];
            let (_, sha) = sha.into_iter().find(|(known, _)| known == kind)?;
            ecdsa(name, sha)
        }
        Key::Other(name) if name == "Ed25519" && *kind == oid!(1.3.101.112) => Some(&signature::ED25519),
        Key::Dsa | Key::Other(_) => None,
    }
}

fn rsa(bits: usize, algorithm: &AlgorithmIdentifier<'_>) -> Option<&'static dyn VerificationAlgorithm> {
    let kind = &algorithm.algorithm;
    // The library refuses other sizes, which would look like a wrong signature.
    let sized = |least: usize, found: &'static dyn VerificationAlgorithm| {
        (least..=8192).contains(&bits).then_some(found)
    };
    if *kind == oid!(1.2.840.113549.1.1.5) {
        sized(1024, &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY)
    } else if *kind == oid!(1.2.840.113549.1.1.11) {
        sized(1024, &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY)
    } else if *kind == oid!(1.2.840.113549.1.1.12) {
        sized(2048, &signature::RSA_PKCS1_2048_8192_SHA384)
    } else if *kind == oid!(1.2.840.113549.1.1.13) {
        sized(1024, &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY)
    } else if *kind == oid!(1.2.840.113549.1.1.10) {
        let hash = pss_hash(algorithm)?;
        if hash == oid!(2.16.840.1.101.3.4.2.1) {
            sized(2048, &signature::RSA_PSS_2048_8192_SHA256)
        } else if hash == oid!(2.16.840.1.101.3.4.2.2) {
            sized(2048, &signature::RSA_PSS_2048_8192_SHA384)
        } else if hash == oid!(2.16.840.1.101.3.4.2.3) {
            sized(2048, &signature::RSA_PSS_2048_8192_SHA512)
        } else {
            None
        }
    } else {
        None
    }
}

/// The hash of an RSA-PSS signature.
pub(super) fn pss_hash(algorithm: &AlgorithmIdentifier<'_>) -> Option<Oid<'static>> {
    let parameters = RsaSsaPssParams::try_from(algorithm.parameters.as_ref()?).ok()?;
    Some(parameters.hash_algorithm_oid().to_owned())
}

fn ecdsa(curve: &str, sha: u16) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (curve, sha) {
        ("P-256", 1) => &signature::ECDSA_P256_SHA1_ASN1,
        ("P-256", 256) => &signature::ECDSA_P256_SHA256_ASN1,
        ("P-256", 384) => &signature::ECDSA_P256_SHA384_ASN1,
        ("P-256", 512) => &signature::ECDSA_P256_SHA512_ASN1,
        ("P-384", 256) => &signature::ECDSA_P384_SHA256_ASN1,
        ("P-384", 384) => &signature::ECDSA_P384_SHA384_ASN1,
        ("P-384", 512) => &signature::ECDSA_P384_SHA512_ASN1,
        ("P-521", 1) => &signature::ECDSA_P521_SHA1_ASN1,
        ("P-521", 256) => &signature::ECDSA_P521_SHA256_ASN1,
        ("P-521", 384) => &signature::ECDSA_P521_SHA384_ASN1,
        ("P-521", 512) => &signature::ECDSA_P521_SHA512_ASN1,
        _ => return None,
    })
}
