//! The first of what came over several connections, received by one system call.

use rustix::fd::BorrowedFd;
use rustix::io::Errno;

use super::ring::{Ring, TOGETHER};

/// What one of them can bring; the rest is received from its socket.
const ROOM: usize = 4096;

/// What was received and has not been read.
pub(super) struct Inbox {
    rooms: Vec<u8>,
    /// Whose each room is, until it is read, and what the system said of it.
    letters: Vec<(Option<usize>, Result<usize, Errno>)>,
}

impl Inbox {
    /// With room for as many as a ring takes.
    pub(super) fn new() -> Inbox {
        Inbox { rooms: vec![0; TOGETHER * ROOM], letters: Vec::with_capacity(TOGETHER) }
    }

    /// Receives from the sockets of these workers.
    pub(super) fn receive<'a>(
        &mut self,
        ring: &mut Ring,
        sockets: impl Iterator<Item = (usize, BorrowedFd<'a>)>,
    ) {
        let Inbox { rooms, letters } = self;
        letters.clear();
        let results =
            ring.receive(sockets.zip(rooms.chunks_exact_mut(ROOM)).map(|((worker, socket), room)| {
                letters.push((Some(worker), Ok(0)));
                (socket, room)
            }));
        letters.truncate(results.len());
        letters.iter_mut().zip(results).for_each(|((_, said), result)| *said = *result);
    }

    /// What came for this worker, if it was received and is not read: how much of the room it fills.
    pub(super) fn read(&mut self, worker: usize) -> Option<(Result<usize, Errno>, &[u8])> {
        let place = self.letters.iter().position(|(whose, _)| *whose == Some(worker))?;
        let (whose, said) = &mut self.letters[place];
        *whose = None;
        Some((*said, &self.rooms[place * ROOM..][..ROOM]))
    }

    /// A worker's connection is gone, and what came over it is of no interest.
    pub(super) fn forget(&mut self, worker: usize) {
        let _ = self.read(worker);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use rustix::fd::AsFd;

    use super::*;

    #[test]
    fn each_reads_its_own_once() {
        // Where rings are forbidden there is nothing to be tested.
        let Ok(mut ring) = Ring::new() else { return };
        let mut inbox = Inbox::new();
        let pairs: Vec<_> = (0..3).map(|_| UnixStream::pair().unwrap()).collect();
        for round in 0..3 {
            (&pairs[0].1).write_all(b"zero").unwrap();
            (&pairs[1].1).write_all(&[7; ROOM + 1]).unwrap();
            inbox.receive(
                &mut ring,
                [0, 1, 2].into_iter().map(|worker| (10 * worker, pairs[worker].0.as_fd())),
            );
            assert_eq!(inbox.read(1), None);
            assert_eq!(inbox.read(10), Some((Ok(ROOM), &[7; ROOM][..])), "{round}");
            let (said, room) = inbox.read(0).unwrap();
            assert_eq!((said, &room[..4]), (Ok(4), &b"zero"[..]));
            assert_eq!(inbox.read(0), None);
            assert_eq!(inbox.read(10), None);
            if round == 0 {
                inbox.forget(20);
                assert_eq!(inbox.read(20), None);
            }
            // What is not read is not there the next time.
            rustix::net::recv(&pairs[1].0, &mut [0; 2], rustix::net::RecvFlags::DONTWAIT).unwrap();
        }
        inbox.receive(&mut ring, std::iter::empty());
        assert_eq!(inbox.read(20), None);
    }
}
