//! TLS of the listener: the policy, the certificate in use, and its replacement while serving.
//!
//! rustls with the aws-lc-rs provider, built here and never installed for the whole process.

mod files;
mod pair;
mod policy;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::server::Acceptor;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use self::files::Watch;
use self::pair::Pair;
use self::policy::Choice;
use super::error::Error;
use super::event::{Event, Events};
use super::io::Watched;
use crate::tls::chain::days_left;
use crate::tls::life::Life;

pub use self::policy::{Group, Version};

/// How TLS is spoken.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who the server claims to be.
    pub identity: Identity,
    /// The oldest version that is spoken.
    pub min_version: Version,
    /// Key exchange groups, best first; at least one.
    pub groups: Vec<Group>,
    /// Suites and groups by our order, not by the client's.
    pub prefer_server_order: bool,
    /// Clients must show a certificate issued by one of these (PEM).
    pub client_ca: Option<PathBuf>,
}

/// Where certificate and key come from.
#[derive(Clone, Debug)]
pub enum Identity {
    /// PEM files, read again when they change.
    Files {
        /// The chain, leaf first.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// Made at the start and never written to disk: for development.
    SelfSigned,
}

/// What was negotiated on one connection.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) version: &'static str,
    pub(super) suite: String,
    pub(super) group: Option<String>,
    pub(super) alpn: Option<String>,
    pub(super) sni: Option<String>,
    pub(super) client_subject: Option<String>,
}

/// The listener's TLS.
#[derive(Debug)]
pub(super) struct Tls {
    settings: Settings,
    /// The files as they were before they were read.
    watch: Option<Watch>,
    current: ArcSwap<Current>,
}

#[derive(Debug)]
struct Current {
    choice: Choice,
    fingerprint: String,
    leaf: Option<CertificateDer<'static>>,
}

impl Tls {
    /// Loads everything; whatever is wrong shows here.
    pub(super) fn load(settings: Settings) -> Result<Tls, Error> {
        let watch = watch(&settings);
        let current = build(&settings)?;
        Ok(Tls { settings, watch, current: ArcSwap::from_pointee(current) })
    }

    /// Negotiates TLS with one client. The caller limits the time.
    pub(super) async fn accept(&self, socket: Watched) -> io::Result<TlsStream<Watched>> {
        let current = self.current.load_full();
        match &current.choice {
            Choice::Client(config) => TlsAcceptor::from(Arc::clone(config)).accept(socket).await,
            Choice::Server(ordered) => {
                let hello = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
                let config = ordered.choose(&hello.client_hello());
                hello.into_stream(config).await
            }
        }
    }

    /// SHA-256 of the leaf in use, as openssl prints it.
    pub(super) fn fingerprint(&self) -> String {
        self.current.load().fingerprint.clone()
    }

    /// When the leaf in use ends, in seconds since 1970, and the whole days until then.
    pub(super) fn end(&self, now: Timestamp) -> Option<(i64, i64)> {
        let current = self.current.load();
        let leaf = current.leaf.as_deref()?;
        Some((Life::of(leaf)?.not_after.as_second(), days_left(leaf, now)?))
    }

    pub(super) fn self_signed(&self) -> bool {
        matches!(self.settings.identity, Identity::SelfSigned)
    }

    /// The files to watch; `None` if there are none.
    pub(super) fn watch(&self) -> Option<Watch> {
        self.watch.clone()
    }

    /// Reads the files again; a pair that is unusable leaves the old one in use. Blocks on the disk.
    pub(super) fn reload(&self, events: &Events) {
        let Identity::Files { certificate, .. } = &self.settings.identity else { return };
        match build(&self.settings) {
            Ok(current) => {
                let fingerprint = current.fingerprint.clone();
                self.current.store(Arc::new(current));
                events.send(Event::CertificateReloaded { path: certificate.clone(), fingerprint });
            }
            Err(error) => events.send(Event::CertificateKept { reason: error.to_string() }),
        }
    }
}

fn watch(settings: &Settings) -> Option<Watch> {
    let Identity::Files { certificate, key } = &settings.identity else { return None };
    let paths = [Some(certificate), Some(key), settings.client_ca.as_ref()];
    Some(Watch::new(paths.into_iter().flatten().cloned().collect()))
}

fn build(settings: &Settings) -> Result<Current, Error> {
    let pair = match &settings.identity {
        Identity::Files { certificate, key } => Pair::read(certificate, key)?,
        Identity::SelfSigned => Pair::self_signed(Timestamp::now())?,
    };
    Ok(Current {
        fingerprint: pair.fingerprint(),
        leaf: pair.certified.cert.first().cloned(),
        choice: policy::choice(settings, pair)?,
    })
}

impl Facts {
    /// What was negotiated on this connection.
    pub(super) fn of(stream: &TlsStream<Watched>) -> Facts {
        let session = stream.get_ref().1;
        let version = match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "unknown",
        };
        Facts {
            version,
            suite: session
                .negotiated_cipher_suite()
                .map_or_else(|| "unknown".into(), |suite| format!("{:?}", suite.suite())),
            group: session.negotiated_key_exchange_group().map(|group| policy::group_name(group.name())),
            alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            sni: session.server_name().map(str::to_owned),
            client_subject: session
                .peer_certificates()
                .and_then(|chain| chain.first())
                .and_then(|leaf| pair::subject(leaf)),
        }
    }

    /// ALPN chose HTTP/2.
    pub(super) fn http2(&self) -> bool {
        self.alpn.as_deref() == Some("h2")
    }
}
