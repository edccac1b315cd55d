//! An answer without an end: all who listen are sent the same parts, as they come. A client that does not take its parts
//! is let go, and holds nobody up. What the parts say is not its matter.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::body::Kind;
use super::service::{Draft, refuse_method};

/// Parts that wait for a client, at most.
const BEHIND: usize = 16;

/// Everything that is sent, and to whom. Clones are of the same.
#[derive(Clone)]
pub struct Feed(Arc<Inner>);

struct Inner {
    paths: BTreeSet<&'static str>,
    media: &'static str,
    most: usize,
    clients: Mutex<Vec<Sender<Bytes>>>,
}

impl Feed {
    /// Served on these paths, as this type, to at most so many at once.
    pub fn new(paths: &[&'static str], media: &'static str, most: usize) -> Feed {
        let paths = paths.iter().copied().collect();
        Feed(Arc::new(Inner { paths, media, most, clients: Mutex::default() }))
    }

    /// Sends a part to all who listen.
    pub fn send(&self, part: &Bytes) {
        self.clients().retain(|client| client.try_send(part.clone()).is_ok());
    }

    /// Whether anybody listens.
    pub fn is_heard(&self) -> bool {
        let mut clients = self.clients();
        clients.retain(|client| !client.is_closed());
        !clients.is_empty()
    }

    pub(super) fn answer(&self, parts: &Parts) -> Draft {
        let feed = &self.0;
        if !feed.paths.contains(parts.uri.path()) {
            let paths = feed.paths.iter().copied().collect::<Vec<_>>().join(" and ");
            return Draft::text(StatusCode::NOT_FOUND, format!("the stream is at {paths}\n"));
        }
        let body = match parts.method {
            Method::GET => self.listen(),
            Method::HEAD => Some(Kind::Done),
            _ => return refuse_method("GET, HEAD"),
        };
        let Some(body) = body else {
            let text = format!("{} clients listen already\n", feed.most);
            return Draft::text(StatusCode::SERVICE_UNAVAILABLE, text);
        };
        let mut draft = Draft { kind: body, ..Draft::new(StatusCode::OK, feed.media, Bytes::new()) };
        draft.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // It is for dashboards, and they come from elsewhere.
        draft.headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        draft
    }

    /// None if there are as many as may be.
    fn listen(&self) -> Option<Kind> {
        let mut clients = self.clients();
        clients.retain(|client| !client.is_closed());
        if clients.len() >= self.0.most {
            return None;
        }
        let (sender, parts) = channel(BEHIND);
        clients.push(sender);
        Some(Kind::Feed(Listening(parts)))
    }

    fn clients(&self) -> MutexGuard<'_, Vec<Sender<Bytes>>> {
        // Nothing that can panic runs under the lock.
        self.0.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feed")
    }
}

/// The parts that one client has not taken.
pub(super) struct Listening(pub(super) Receiver<Bytes>);

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> Bytes {
        Bytes::from(text.to_owned())
    }

    fn listen(feed: &Feed) -> Option<Receiver<Bytes>> {
        match feed.listen()? {
            Kind::Feed(Listening(parts)) => Some(parts),
            _ => None,
        }
    }

    #[tokio::test]
    async fn who_takes_nothing_is_let_go_and_holds_nobody_up() {
        let feed = Feed::new(&["/"], "text/plain", 10);
        let (mut quick, mut slow) = (listen(&feed).unwrap(), listen(&feed).unwrap());
        for number in 0..100 {
            feed.send(&part(&number.to_string()));
            assert_eq!(quick.recv().await, Some(part(&number.to_string())));
        }
        let mut taken = 0;
        while slow.recv().await.is_some() {
            taken += 1;
        }
        assert_eq!((taken, feed.clients().len()), (BEHIND, 1));
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let feed = Feed::new(&["/"], "text/plain", 2);
        assert!(!feed.is_heard());
        let (first, _second) = (listen(&feed), listen(&feed));
        assert!(first.is_some() && listen(&feed).is_none());
        drop(first);
        assert!(listen(&feed).is_some() && feed.is_heard());
    }
}
