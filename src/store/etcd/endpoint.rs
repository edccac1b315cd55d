//! One endpoint: its connection, which is made when it is first needed and thrown away when it fails.

use std::path::Path;
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, TlsOptions};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::Mutex;

use super::Settings;
use super::fault::{self, Fault};
use crate::store::Error;

/// HTTP/2 pings find a connection whose other end is gone without a word; etcd allows one in five seconds.
const PING: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(2));

/// A member that does not even take the connection is soon given up for the next; one that has taken it may be busy.
const LONGEST_CONNECT: Duration = Duration::from_secs(2);

/// Whom to trust and who we are, as read from the files.
pub(super) struct Identity(TlsOptions);

impl Identity {
    pub(super) fn read(settings: &Settings) -> Result<Identity, Error> {
        let mut tls = TlsOptions::new();
        tls = match &settings.ca {
            Some(ca) => tls.ca_certificate(Certificate::from_pem(certificates(ca)?)),
            // They are read when the first connection needs them.
            None => tls.with_native_roots(),
        };
        match (&settings.cert, &settings.key) {
            (Some(cert), Some(key)) => {
                let (cert, pem) = (certificates(cert)?, read(key)?);
                PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
                    Error::new(format!("{} holds no PEM key", key.display())).because(error)
                })?;
                tls = tls.identity(etcd_client::Identity::from_pem(cert, pem));
            }
            (None, None) => {}
            (Some(file), None) | (None, Some(file)) => {
                let what = format!("{} is of no use alone", file.display());
                return Err(Error::new(what).hint("a client certificate needs both `cert` and `key`"));
            }
        }
        Ok(Identity(tls))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| Error::new(format!("cannot read {}", path.display())).because(error))
}

fn certificates(path: &Path) -> Result<Vec<u8>, Error> {
    let pem = read(path)?;
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    if found.is_ok_and(|found| !found.is_empty()) {
        Ok(pem)
    } else {
        Err(Error::new(format!("{} holds no PEM certificate", path.display())))
    }
}

/// One member of the cluster, as it is reached.
pub(super) struct Endpoint {
    pub(super) url: String,
    options: ConnectOptions,
    user: Option<(String, String)>,
    client: Mutex<Connection>,
}

/// The connection and how many were made before, so that a failure of an old one does not end the new one.
#[derive(Default)]
struct Connection {
    number: u64,
    client: Option<Client>,
}

impl Endpoint {
    pub(super) fn new(url: &str, settings: &Settings, identity: &Identity) -> Endpoint {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(settings.timeout.min(LONGEST_CONNECT))
            .with_keep_alive(PING.0, PING.1)
            .with_keep_alive_while_idle(false)
            // A member that lost the others says so, instead of waiting for them.
            .with_require_leader(true);
        if url.starts_with("https://") {
            options = options.with_tls(identity.0.clone());
        }
        Endpoint { url: url.to_owned(), options, user: settings.user.clone(), client: Mutex::default() }
    }

    /// Runs `op` here, at most that long; a second time when only the token had run out.
    pub(super) async fn attempt<T, F>(&self, limit: Duration, op: &impl Fn(Client) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let both = async {
            match self.once(op).await {
                Err(Fault::Token(_)) if self.user.is_some() => self.once(op).await,
                other => other,
            }
        };
        match tokio::time::timeout(limit, both).await {
            Ok(result) => result,
            Err(_) => {
                self.hang_up(None);
                let limit = whole(limit);
                Err(Fault::Elsewhere { why: format!("no answer within {limit:?}"), temporary: false })
            }
        }
    }

    async fn once<T, F>(&self, op: &impl Fn(Client) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let (number, client) = self.connected().await?;
        op(client).await.map_err(|error| {
            let (fault, broken) = Fault::of(&error);
            if broken {
                self.hang_up(Some(number));
            }
            fault
        })
    }

    async fn connected(&self) -> Result<(u64, Client), Fault> {
        let mut connection = self.client.lock().await;
        if let Some(client) = &connection.client {
            return Ok((connection.number, client.clone()));
        }
        let client = self.connect().await.map_err(|error| Fault::of(&error).0)?;
        connection.number += 1;
        connection.client = Some(client.clone());
        Ok((connection.number, client))
    }

    /// Where authentication is off, a user is no use; etcd's own client takes it so, too.
    async fn connect(&self) -> Result<Client, etcd_client::Error> {
        let url = std::slice::from_ref(&self.url);
        if let Some((name, password)) = &self.user {
            let options = self.options.clone().with_user(name, password);
            match Client::connect(url, Some(options)).await {
                Err(error) if fault::authentication_is_off(&error) => {}
                other => return other,
            }
        }
        Client::connect(url, Some(self.options.clone())).await
    }

    /// The next call makes a new connection; with a number, only if it is still that one.
    pub(super) fn hang_up(&self, number: Option<u64>) {
        // Whoever holds it is making a new one.
        if let Ok(mut connection) = self.client.try_lock()
            && number.is_none_or(|number| connection.number == number)
        {
            connection.client = None;
        }
    }
}

/// What is left of a time is a little less than the time: to the next millisecond.
fn whole(limit: Duration) -> Duration {
    let more = limit.saturating_add(Duration::from_micros(500));
    more.saturating_sub(Duration::from_nanos((more.subsec_nanos() % 1_000_000).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_milliseconds() {
        for (nanos, told) in
            [(1_999_986_099, "2s"), (333_333_333, "333ms"), (1_250_000_000, "1.25s"), (1, "0ns")]
        {
            assert_eq!(format!("{:?}", whole(Duration::from_nanos(nanos))), told);
        }
    }
}
