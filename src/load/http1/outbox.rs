//! Requests that were written in one pass over events, and go out together: by one system call, where the system
//! permits that, and else by one each.

use std::ops::Range;

use rustix::fd::AsFd;

use super::connection::Connection;
use super::ring::{Ring, TOGETHER};

/// No more wait for each other: all are said to be sent at one time, the last of them some 50 us after it.
const FULL: usize = TOGETHER;
/// Nor do more bytes, so that of large bodies only one is in memory once more.
const FULL_BYTES: usize = 64 * 1024;

/// What was written and has not gone.
pub(super) struct Outbox {
    letters: Vec<Letter>,
    /// The bytes of all.
    bytes: Vec<u8>,
}

/// A worker's request.
struct Letter {
    worker: usize,
    bytes: Range<usize>,
}

impl Outbox {
    /// An empty one.
    pub(super) fn new() -> Outbox {
        Outbox { letters: Vec::with_capacity(FULL), bytes: Vec::new() }
    }

    /// Takes a worker's request, which is sent over its stream.
    pub(super) fn put(&mut self, worker: usize, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.letters.push(Letter { worker, bytes: start..self.bytes.len() });
    }

    /// Whether it should be sent now.
    pub(super) fn is_full(&self) -> bool {
        self.letters.len() >= FULL || self.bytes.len() >= FULL_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Whose requests there are, and how long they are.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (usize, usize)> {
        self.letters.iter().map(|letter| (letter.worker, letter.bytes.len()))
    }

    /// A worker's connection is gone, and with it what should have gone over it.
    pub(super) fn forget(&mut self, worker: usize) {
        self.letters.retain(|letter| letter.worker != worker);
    }

    /// Sends all. Where that fails, the connection is broken, and `broken` hears whose.
    pub(super) fn send(
        &mut self,
        ring: Option<&mut Ring>,
        connections: &mut [Connection],
        mut broken: impl FnMut(usize),
    ) {
        let Outbox { letters, bytes } = self;
        let results = ring.filter(|_| letters.len() > 1).map_or(&[][..], |ring| {
            // Each has its stream, or would have been forgotten.
            ring.send(letters.iter().map_while(|letter| {
                let stream = connections[letter.worker].stream.as_ref()?;
                Some((stream.socket.as_fd(), &bytes[letter.bytes.clone()]))
            }))
        });
        for (place, letter) in letters.drain(..).enumerate() {
            let connection = &mut connections[letter.worker];
            let Some(stream) = &mut connection.stream else { continue };
            let bytes = &bytes[letter.bytes];
            let sent = match results.get(place) {
                Some(said) => stream.sent(bytes, *said),
                None => stream.send(bytes),
            };
            if let Err(reason) = sent {
                connection.broken = Some(reason);
                broken(letter.worker);
            }
        }
        bytes.clear();
        bytes.shrink_to(2 * FULL_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::load::http1::stream::Stream;

    fn connection() -> (Connection, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut connection = Connection::new(0);
        connection.stream = Some(Stream::new(ours.into()));
        (connection, theirs)
    }

    #[test]
    fn each_goes_to_its_own_with_a_ring_and_without() {
        for mut ring in [Ring::new().ok(), None] {
            let mut outbox = Outbox::new();
            let (mut connections, peers): (Vec<_>, Vec<_>) = (0..FULL).map(|_| connection()).unzip();
            for (worker, peer) in peers.iter().enumerate() {
                assert!(!outbox.is_full());
                outbox.put(worker, format!("to {worker}").as_bytes());
                if worker == 3 {
                    peer.shutdown(std::net::Shutdown::Both).unwrap();
                }
            }
            assert!(outbox.is_full());
            assert_eq!(outbox.sizes().nth(10), Some((10, 5)));
            let mut broken = Vec::new();
            outbox.send(ring.as_mut(), &mut connections, |worker| broken.push(worker));
            assert_eq!((broken, outbox.is_empty()), (vec![3], true));
            assert_eq!(connections[3].broken, Some(crate::reason::Reason::Closed));
            drop(connections);
            for (worker, mut peer) in peers.into_iter().enumerate().filter(|(worker, _)| *worker != 3) {
                let mut said = String::new();
                peer.read_to_string(&mut said).unwrap();
                assert_eq!(said, format!("to {worker}"));
            }
        }
    }

    #[test]
    fn what_was_for_a_lost_connection_is_sent_to_nobody() {
        let mut outbox = Outbox::new();
        let (mut connections, mut peers): (Vec<_>, Vec<_>) = (0..3).map(|_| connection()).unzip();
        (0..3).for_each(|worker| outbox.put(worker, b"x"));
        outbox.forget(1);
        // It connects anew.
        (connections[1], peers[1]) = connection();
        outbox.send(Ring::new().ok().as_mut(), &mut connections, |worker| panic!("{worker}"));
        drop(connections);
        let said: Vec<String> = peers.iter_mut().map(|peer| std::io::read_to_string(peer).unwrap()).collect();
        assert_eq!(said, ["x", "", "x"]);
    }

    #[test]
    fn large_bodies_do_not_wait_for_others() {
        let mut outbox = Outbox::new();
        outbox.put(0, &vec![0; FULL_BYTES]);
        assert!(outbox.is_full());
    }
}
