//! Versions, groups and their order, as a rustls configuration.
//!
//! rustls follows the client's order of groups. Where ours shall count, each group gets a configuration of
//! its own, and the ClientHello decides which one is used.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, Ticketer, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ProducesTickets, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{NamedGroup, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::super::error::Error;
use super::Settings;
use super::pair::{Pair, read};

/// A TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Version, String> {
        match text {
            "1.2" => Ok(Version::Tls12),
            "1.3" => Ok(Version::Tls13),
            _ => Err(format!("`{text}` is no TLS version that is spoken here; there are 1.2 and 1.3")),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::Tls12 => "1.2",
            Version::Tls13 => "1.3",
        })
    }
}

/// A key exchange group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// X25519 and ML-KEM-768 together: safe against a quantum computer of later years.
    X25519MlKem768,
    /// Curve25519.
    X25519,
    /// NIST P-256, secp256r1.
    P256,
    /// NIST P-384, secp384r1.
    P384,
}

const GROUPS: [(Group, &str, &[&str]); 4] = [
    (Group::X25519MlKem768, "X25519MLKEM768", &[]),
    (Group::X25519, "X25519", &[]),
    (Group::P256, "P-256", &["P256", "secp256r1", "prime256v1"]),
    (Group::P384, "P-384", &["P384", "secp384r1"]),
];

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Group, String> {
        let same = |name: &str| name.eq_ignore_ascii_case(text);
        let found =
            GROUPS.iter().find(|(_, name, aliases)| same(name) || aliases.iter().any(|alias| same(alias)));
        found.map(|(group, ..)| *group).ok_or_else(|| {
            let names: Vec<&str> = GROUPS.iter().map(|(_, name, _)| *name).collect();
            format!("`{text}` is no group; there are {}", names.join(", "))
        })
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = GROUPS.iter().find(|(group, ..)| group == self).map_or("", |(_, name, _)| name);
        f.write_str(name)
    }
}

impl Group {
    fn exchange(self) -> &'static dyn SupportedKxGroup {
        match self {
            Group::X25519MlKem768 => kx_group::X25519MLKEM768,
            Group::X25519 => kx_group::X25519,
            Group::P256 => kx_group::SECP256R1,
            Group::P384 => kx_group::SECP384R1,
        }
    }
}

/// A negotiated group by the name that people use.
pub(super) fn group_name(name: NamedGroup) -> String {
    let known = GROUPS.iter().find(|(group, ..)| group.exchange().name() == name);
    known.map_or_else(|| format!("{name:?}"), |(_, name, _)| (*name).to_owned())
}

/// Whose order of groups counts.
#[derive(Debug)]
pub(super) enum Choice {
    /// The client's.
    Client(Arc<ServerConfig>),
    /// Ours.
    Server(Ordered),
}

/// One configuration for each group, best first, and one for all of them.
#[derive(Debug)]
pub(super) struct Ordered {
    groups: Vec<(NamedGroup, Arc<ServerConfig>)>,
    any: Arc<ServerConfig>,
}

impl Ordered {
    /// The configuration with the first of our groups that the client has.
    pub(super) fn choose(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        let speaks_1_3 = hello.cipher_suites().iter().any(|suite| u16::from(*suite) >> 8 == 0x13);
        let offered = hello.named_groups().unwrap_or_default();
        let usable = |group: NamedGroup| {
            offered.contains(&group) && (speaks_1_3 || group != NamedGroup::X25519MLKEM768)
        };
        let best = self.groups.iter().find(|(group, _)| usable(*group));
        Arc::clone(best.map_or(&self.any, |(_, config)| config))
    }
}

static ONLY_1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The rustls configurations for these settings and this certificate.
pub(super) fn choice(settings: &Settings, pair: Pair) -> Result<Choice, Error> {
    let maker = Maker {
        versions: match settings.min_version {
            Version::Tls12 => rustls::ALL_VERSIONS,
            Version::Tls13 => ONLY_1_3,
        },
        server_order: settings.prefer_server_order,
        clients: settings.client_ca.as_deref().map(client_verifier).transpose()?,
        certificate: Arc::new(SingleCertAndKey::from(pair.certified)),
        tickets: Ticketer::new().map_err(tls)?,
    };
    let any = maker.config(&settings.groups)?;
    if !settings.prefer_server_order || settings.groups.len() < 2 {
        return Ok(Choice::Client(any));
    }
    let mut groups = Vec::new();
    for &group in &settings.groups {
        // TLS 1.2 cannot use the hybrid group, but a client that offers it may still have to be told so.
        if let Ok(config) = maker.config(&[group]) {
            groups.push((group.exchange().name(), config));
        }
    }
    Ok(Choice::Server(Ordered { groups, any }))
}

struct Maker {
    versions: &'static [&'static SupportedProtocolVersion],
    server_order: bool,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    certificate: Arc<SingleCertAndKey>,
    tickets: Arc<dyn ProducesTickets>,
}

impl Maker {
    fn config(&self, groups: &[Group]) -> Result<Arc<ServerConfig>, Error> {
        let provider = CryptoProvider {
            kx_groups: groups.iter().map(|group| group.exchange()).collect(),
            ..aws_lc_rs::default_provider()
        };
        let builder = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(self.versions)
            .map_err(tls)?;
        let builder = match &self.clients {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&self.certificate) as _);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ignore_client_order = self.server_order;
        config.ticketer = Arc::clone(&self.tickets);
        Ok(Arc::new(config))
    }
}

fn tls(error: rustls::Error) -> Error {
    Error::Tls(error.to_string())
}

/// Clients must show a certificate issued by one of the authorities in this file.
fn client_verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    const WHAT: &str = "client CA file";
    let unusable = |cause: String| Error::Unusable { what: WHAT, path: path.to_owned(), cause };
    let pem = read(WHAT, path)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| unusable(e.to_string()))?;
        roots.add(certificate).map_err(|e| unusable(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it holds no certificate".into()));
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|e| unusable(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_people_write_them() {
        for (text, shown) in [
            ("x25519mlkem768", "X25519MLKEM768"),
            ("X25519", "X25519"),
            ("secp256r1", "P-256"),
            ("p-256", "P-256"),
            ("P-384", "P-384"),
        ] {
            assert_eq!(text.parse::<Group>().unwrap().to_string(), shown);
        }
        assert!("P-521".parse::<Group>().unwrap_err().contains("X25519MLKEM768"));
        assert_eq!("1.3".parse(), Ok(Version::Tls13));
        assert!("1.1".parse::<Version>().unwrap_err().contains("1.2"));
    }
}
