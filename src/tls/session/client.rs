//! Connections of one check: each is made with what it is to offer, and its handshake is tried once.
//!
//! Refuses to call off a handshake for what the server shows; see `witness`.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ALL_VERSIONS, ClientConfig, SupportedProtocolVersion};

use super::stream::Stream;
use super::witness::{Asked, Witness};
use crate::reason::{Fault, Reason};
use crate::tls::dial::Dial;
use crate::tls::target::Endpoint;

/// The way to speak with one address.
#[derive(Debug)]
pub(super) struct Client<'a> {
    dial: &'a Dial,
    name: ServerName<'static>,
    provider: Arc<CryptoProvider>,
    identity: Option<Arc<CertifiedKey>>,
}

/// What a handshake offers, and what it leaves behind. For a second connection of the same client.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    config: Arc<ClientConfig>,
    witness: Arc<Witness>,
    asked: Arc<Asked>,
}

/// A connection whose handshake has ended, one way or the other.
#[derive(Debug)]
pub(super) struct Attempt {
    pub stream: Stream,
    pub witness: Arc<Witness>,
    pub asked: Arc<Asked>,
    pub shaken: Result<(), Fault>,
}

impl<'a> Client<'a> {
    pub(super) fn new(
        dial: &'a Dial,
        endpoint: &Endpoint,
        identity: Option<Arc<CertifiedKey>>,
    ) -> Result<Client<'a>, Fault> {
        let name = endpoint.name();
        let unfit = |_| Reason::Dns.because(format!("{name:?} is no name of a server"));
        let name = ServerName::try_from(name.to_owned()).map_err(unfit)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Ok(Client { dial, name, provider, identity })
    }

    /// There is a certificate for servers that ask for one.
    pub(super) fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    /// An offer of these protocols, with the name of the server where that can be sent.
    pub(super) fn offer(&self, protocols: &[&str]) -> Offer {
        self.offer_of(ALL_VERSIONS, protocols)
    }

    /// The same, of these versions only.
    pub(super) fn offer_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
    ) -> Offer {
        let (witness, asked) =
            (Arc::new(Witness::new(self.provider.clone())), Arc::new(Asked::new(self.identity.clone())));
        let builder =
            ClientConfig::builder_with_provider(self.provider.clone()).with_protocol_versions(versions);
        #[expect(clippy::expect_used, reason = "the provider is a constant and has suites for both versions")]
        let builder = builder.expect("aws-lc-rs supports TLS 1.2 and 1.3");
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(witness.clone())
            .with_client_cert_resolver(asked.clone());
        config.resumption = Resumption::disabled();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Offer { config: Arc::new(config), witness, asked }
    }

    /// A connection, and the handshake on it.
    ///
    /// # Errors
    /// When there is no connection; a handshake that fails is an [`Attempt`].
    pub(super) async fn attempt(&self, offer: &Offer) -> Result<Attempt, Fault> {
        // Of many futures, one in the other, these are the innermost: on the heap they make none of them larger.
        let connection = Box::pin(self.dial.open()).await?;
        let Offer { config, witness, asked } = offer.clone();
        let mut stream = Stream::new(connection, config, self.name.clone(), self.dial.timeout())?;
        let shaken = Box::pin(stream.shake_hands()).await;
        Ok(Attempt { stream, witness, asked, shaken })
    }
}

impl Attempt {
    /// Itself where the handshake succeeded.
    pub(super) fn done(self) -> Result<Attempt, Fault> {
        self.shaken.clone().map(|()| self)
    }
}

impl Offer {
    /// The same with other settings.
    pub(super) fn with(mut self, change: impl FnOnce(&mut ClientConfig)) -> Offer {
        change(Arc::make_mut(&mut self.config));
        self
    }
}
