//! HTTP as a means: the only place that builds a reqwest client, with its roots and its name look-ups.
//!
//! A client is made per call: making one is cheap, it keeps no connection, and so each call has its own
//! [`PhaseClock`]. Refuses to judge answers, to retry, and to read files or the environment (reqwest itself
//! honours the proxy variables of the environment).

use std::path::Path;
use std::sync::Arc;

use reqwest::redirect;

pub mod lookup;
mod phases;
mod proxy;
mod served;
mod trust;

pub use lookup::{Family, Overrides};
pub use phases::{Phase, PhaseClock, Phases};
pub use proxy::{Proxies, is_proxy};
pub use served::Served;
pub use trust::{
    Asked, CaError, IdentityError, NoRoots, Trust, Untrusted, read_ca, read_identity, tls_reason,
};

use lookup::Lookup;
use phases::{Forgetful, TimedConnect};

/// What a client for one call is made of.
pub struct Recipe<'a> {
    /// Which servers to believe.
    pub trust: &'a Trust,
    /// Addresses given by hand, before any look-up.
    pub overrides: Overrides,
    /// The only kind of addresses to connect to.
    pub family: Option<Family>,
    /// How many redirects to follow; with 0 the redirect itself is the answer.
    pub redirects: u32,
    /// Connect to this socket file, whatever the URL says.
    pub unix_socket: Option<&'a Path>,
    /// HTTP/2 from the first byte, without asking the server first.
    pub http2_only: bool,
    /// Keep the connection for a further request of the same call.
    pub keep: bool,
    /// Where the phases of the call are noted.
    pub clock: Arc<PhaseClock>,
    /// Where it is noted that the server asked for a client certificate.
    pub asked: Asked,
    /// Where it is noted which certificate the server showed.
    pub served: Served,
}

/// Builds a client for one call: system proxies, no pool, HTTP/2 where the server chooses it.
///
/// # Errors
/// When reqwest cannot be set up; never because of the server.
pub fn client(recipe: Recipe<'_>) -> Result<reqwest::Client, reqwest::Error> {
    let Recipe { trust, overrides, family, redirects, unix_socket, http2_only, keep, clock, asked, served } =
        recipe;
    let policy = match redirects {
        0 => redirect::Policy::none(),
        most => redirect::Policy::limited(most as usize),
    };
    let tls = trust.client_config(Arc::new(Forgetful::new(clock.clone())), asked, served);
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("hardy/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls)
        .dns_resolver(Lookup::new(overrides, family, clock.clone()))
        .connector_layer(TimedConnect::new(clock))
        .pool_max_idle_per_host(usize::from(keep))
        .redirect(policy);
    if let Some(path) = unix_socket {
        builder = builder.unix_socket(path);
    }
    if http2_only {
        builder = builder.http2_prior_knowledge();
    }
    builder.build()
}
