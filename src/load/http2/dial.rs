//! Opens a connection up to the point where HTTP/2 begins.

use std::rc::Rc;

use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::super::endpoint::{Endpoint, Tls, Way};
use super::blame;
use super::wire::{Carrier, Fate, Traffic, Wire};
use crate::reason::Reason;

/// Connects, over the `turn`th of the addresses, round and round.
pub(super) async fn dial(
    endpoint: &Endpoint,
    turn: usize,
    traffic: Rc<Traffic>,
    fate: Rc<Fate>,
) -> Result<Wire, Reason> {
    let carrier = match &endpoint.way {
        Way::Tcp(addresses) => {
            let address = addresses.get(turn % addresses.len().max(1)).ok_or(Reason::Dns)?;
            let stream = TcpStream::connect(address).await.map_err(|error| blame::connect(&error))?;
            stream.set_nodelay(true).map_err(|error| blame::connect(&error))?;
            secured(stream, endpoint.tls.as_ref()).await?
        }
        Way::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(|error| blame::connect(&error))?;
            secured(stream, endpoint.tls.as_ref()).await?
        }
    };
    Ok(Wire { carrier, traffic, fate })
}

/// With TLS, where it is wanted.
async fn secured(stream: impl Carrier + 'static, tls: Option<&Tls>) -> Result<Box<dyn Carrier>, Reason> {
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let connector = TlsConnector::from(tls.config.clone());
    let stream =
        connector.connect(tls.name.clone(), stream).await.map_err(|error| blame::handshake(&error))?;
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Ok(Box::new(stream)),
        _ => Err(Reason::HttpProtocol),
    }
}
