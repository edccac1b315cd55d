//! A call over TLS: good when the handshake is complete and the certificate is believed.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::client::TlsStream;

use super::Call;
use super::way::{Said, Way};
use crate::address::StartTls;
use crate::http::Phase;
use crate::probe::classify::stream_fault;
use crate::reason::Fault;

/// Connects, begins TLS, after what is spoken before it, and closes again.
pub(super) async fn call(way: &Way<'_>, host: &str, port: u16, before: Option<StartTls>) -> Call {
    let shaken = way.by_deadline(way.open_tls(host, port, before, &way.means.trust)).await;
    let stopped = way.clock.stop();
    let done = match shaken {
        Ok(stream) => part(way, stream).await.map(|()| Said::default()),
        Err(fault) => Err(fault),
    };
    way.end(done, stopped)
}

/// Says goodbye. With TLS 1.3 a server that wanted a client certificate says only now that it does without, or that it
/// does not believe the one it got: its answer is waited for, and a server that has none is content.
async fn part(way: &Way<'_>, mut stream: TlsStream<TcpStream>) -> Result<(), Fault> {
    let asked = way.asked.so();
    let answer = timeout_at(way.deadline, async {
        stream.shutdown().await?;
        if asked { stream.read(&mut [0; 1]).await } else { Ok(0) }
    });
    match answer.await {
        Ok(Err(error)) if asked && error.kind() != std::io::ErrorKind::UnexpectedEof => {
            Err(stream_fault(&error, Phase::Tls))
        }
        _ => Ok(()),
    }
}
