//! Several keys watched on one stream. It ends with its endpoint: who watches opens it again, from the same revision.

use etcd_client::{Client, KeyValue, WatchFilterType, WatchOptions, WatchStream};
use tokio::sync::watch as cell;

use super::{Effort, Etcd, Failure};

/// What to watch.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The keys; the first one can stand for all that begin so.
    pub keys: Vec<String>,
    /// Whether it does.
    pub prefix: bool,
    /// Whether new values count as well as deletions.
    pub puts: bool,
    /// Whether it matters what the keys were before.
    pub before: bool,
    /// From this revision on, inclusively.
    pub from: i64,
}

/// What happened to a key.
#[derive(Clone, Debug)]
pub struct Change {
    /// What it is now; of one that was deleted, nothing but the key is left.
    pub now: KeyValue,
    /// What it was, if that was asked for and the cluster still knows.
    pub before: Option<KeyValue>,
}

impl Change {
    /// The key, if it is text.
    pub fn key(&self) -> &str {
        self.now.key_str().unwrap_or_default()
    }

    /// Whether it is gone.
    pub fn is_deletion(&self) -> bool {
        self.now.create_revision() == 0
    }
}

/// Why a watch has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its endpoint is gone, or another one is used now: open it again.
    Endpoint,
    /// The cluster has forgotten that revision: read again.
    Compacted,
}

/// An open watch.
pub struct Watch<'a> {
    store: &'a Etcd,
    stream: WatchStream,
    at: usize,
    current: cell::Receiver<usize>,
}

impl Etcd {
    /// Begins to watch.
    pub async fn watch(&self, watched: &Watched, effort: Effort) -> Result<Watch<'_>, Failure> {
        let op = |mut client: Client| {
            let watched = watched.clone();
            async move {
                let mut stream: Option<WatchStream> = None;
                for key in watched.keys {
                    let mut options = WatchOptions::new().with_start_revision(watched.from);
                    if watched.before {
                        options = options.with_prev_key();
                    }
                    if !watched.puts {
                        options = options.with_filters([WatchFilterType::NoPut]);
                    }
                    match &mut stream {
                        Some(stream) => stream.watch(key, Some(options)).await?,
                        None if watched.prefix => {
                            stream = Some(client.watch(key, Some(options.with_prefix())).await?)
                        }
                        None => stream = Some(client.watch(key, Some(options)).await?),
                    }
                }
                stream.ok_or_else(|| etcd_client::Error::InvalidArgs("nothing to watch".to_owned()))
            }
        };
        let object = watched.keys.first().map_or("nothing", String::as_str);
        let answer = self.call(object, effort, op).await?;
        Ok(Watch { store: self, stream: answer.value, at: answer.at, current: self.current.subscribe() })
    }
}

impl Watch<'_> {
    /// The next changes.
    ///
    /// # Errors
    /// When there will be no more.
    pub async fn next(&mut self) -> Result<Vec<Change>, Ended> {
        loop {
            let message = tokio::select! {
                biased;
                message = self.stream.message() => message,
                // An endpoint that others had to leave may be silent for good.
                _ = self.current.wait_for(|current| *current != self.at) => return Err(Ended::Endpoint),
            };
            match message {
                Ok(Some(answer)) if answer.compact_revision() > 0 => return Err(Ended::Compacted),
                Ok(Some(answer)) if !answer.canceled() => {
                    let changes: Vec<_> = answer.events().iter().filter_map(change).collect();
                    if !changes.is_empty() {
                        return Ok(changes);
                    }
                }
                // A watch is refused when its token has run out, with the same words as for a user who may not: a new
                // connection brings a new token.
                _ => {
                    self.store.endpoints[self.at].hang_up(None);
                    self.store.move_on(self.at);
                    return Err(Ended::Endpoint);
                }
            }
        }
    }
}

fn change(event: &etcd_client::Event) -> Option<Change> {
    Some(Change { now: event.kv()?.clone(), before: event.prev_kv().cloned() })
}
