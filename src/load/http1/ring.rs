//! Many sends or receives by one system call: io_uring, as Linux 6.0 and later know it, where the system permits it.
//!
//! Nothing is ever under way when a call here returns: what was lent to the kernel is the caller's again. So no buffer has
//! to outlive a call, no connection waits for a completion before it is closed, and the loop around it is that of epoll.

#![allow(unsafe_code, reason = "the kernel is told addresses; all of that is in here")]

use std::io;

use io_uring::{IoUring, opcode, squeue, types};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// So many sends or receives are one call: with more of them it gets no cheaper.
pub(super) const TOGETHER: usize = 16;

/// A thread's own.
pub(super) struct Ring {
    ring: IoUring,
    /// What the kernel is asked for next.
    entries: Vec<squeue::Entry>,
    /// What became of it.
    results: Vec<Result<usize, Errno>>,
}

impl Ring {
    /// One, if the system has rings and lets us use them.
    pub(super) fn new() -> io::Result<Ring> {
        // Systems that know this flag know all that is used here.
        let ring = IoUring::builder().setup_single_issuer().build(TOGETHER as u32)?;
        let (entries, results) = (Vec::with_capacity(TOGETHER), Vec::with_capacity(TOGETHER));
        let mut ring = Ring { ring, entries, results };
        // To make a ring may be permitted, and to use it not.
        ring.entries.push(opcode::Nop::new().build());
        ring.push();
        ring.ring.submit_and_wait(1)?;
        ring.call(1);
        Ok(ring)
    }

    /// Sends to each socket what it takes now, and says of each, in their order, how much that was. Those beyond
    /// `TOGETHER` are left out.
    pub(super) fn send<'a>(
        &mut self,
        what: impl Iterator<Item = (BorrowedFd<'a>, &'a [u8])>,
    ) -> &[Result<usize, Errno>] {
        let flags = (SendFlags::NOSIGNAL | SendFlags::DONTWAIT).bits().cast_signed();
        self.run(what.map(|(socket, bytes)| {
            let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            opcode::Send::new(types::Fd(socket.as_raw_fd()), bytes.as_ptr(), size).flags(flags).build()
        }))
    }

    /// Receives from each socket what is there now, likewise.
    pub(super) fn receive<'a>(
        &mut self,
        into: impl Iterator<Item = (BorrowedFd<'a>, &'a mut [u8])>,
    ) -> &[Result<usize, Errno>] {
        let flags = RecvFlags::DONTWAIT.bits().cast_signed();
        self.run(into.map(|(socket, room)| {
            let size = u32::try_from(room.len()).unwrap_or(u32::MAX);
            opcode::Recv::new(types::Fd(socket.as_raw_fd()), room.as_mut_ptr(), size).flags(flags).build()
        }))
    }

    fn run(&mut self, entries: impl Iterator<Item = squeue::Entry>) -> &[Result<usize, Errno>] {
        self.entries.clear();
        let numbered = entries.zip(0..).map(|(entry, place)| entry.user_data(place));
        self.entries.extend(numbered.take(TOGETHER));
        // From here until all is done no code of others runs.
        let count = self.push();
        self.call(count);
        &self.results
    }

    /// Hands the entries over, and says how many.
    fn push(&mut self) -> usize {
        // SAFETY: the addresses in them are of slices, and the numbers of sockets, that are borrowed until `send` or `receive` returns;
        // and that it does only when the kernel has answered every entry.
        let pushed = unsafe { self.ring.submission().push_multiple(&self.entries) };
        // Nothing is left of earlier calls: there is room.
        pushed.map_or(0, |()| self.entries.len())
    }

    /// Has the kernel do all of it.
    fn call(&mut self, count: usize) {
        while self.ring.completion().len() < count {
            // An error is an interruption, or a want of memory that has to pass: what was lent must come back.
            if self.ring.submit_and_wait(count).is_err() {
                std::thread::yield_now();
            }
        }
        self.results.clear();
        self.results.resize(count, Ok(0));
        for entry in self.ring.completion() {
            let result = usize::try_from(entry.result());
            let result = result.map_err(|_| Errno::from_raw_os_error(-entry.result()));
            if let Some(place) = self.results.get_mut(entry.user_data() as usize) {
                *place = result;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use rustix::fd::AsFd;

    use super::*;

    /// Where rings are forbidden, as in many containers, there is nothing to be tested.
    fn ring() -> Option<Ring> {
        let permitted = <IoUring>::builder().setup_single_issuer().build(1).is_ok();
        permitted.then(|| Ring::new().unwrap())
    }

    fn pair() -> (UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (ours, theirs)
    }

    #[test]
    fn each_socket_gets_its_own_and_says_what_it_took() {
        let Some(mut ring) = ring() else { return };
        let ((first, mut heard), (gone, _), (mut full, _kept)) = (pair(), pair(), pair());
        while full.write(&[0; 4096]).is_ok() {}
        for round in 0..3 {
            let what = [(&first, "one".as_bytes()), (&gone, b"two"), (&full, b"three")];
            let results = ring.send(what.iter().map(|(socket, bytes)| (socket.as_fd(), *bytes)));
            assert_eq!(results, [Ok(3), Err(Errno::PIPE), Err(Errno::AGAIN)], "{round}");
            let mut said = [0; 3];
            heard.read_exact(&mut said).unwrap();
            assert_eq!(&said, b"one");
        }
    }

    #[test]
    fn a_part_is_said_to_be_a_part() {
        let Some(mut ring) = ring() else { return };
        let (ours, mut theirs) = pair();
        let long = vec![7; 16 << 20];
        let taken = ring.send([(ours.as_fd(), long.as_slice())].into_iter())[0].unwrap();
        assert!((1..long.len()).contains(&taken), "{taken}");
        drop(ours);
        let mut heard = Vec::new();
        theirs.read_to_end(&mut heard).unwrap();
        assert!(heard == long[..taken]);
    }

    #[test]
    fn each_socket_gives_what_it_has() {
        let Some(mut ring) = ring() else { return };
        let ((first, mut one), (ended, gone), (silent, _kept), (long, mut many)) =
            (pair(), pair(), pair(), pair());
        drop(gone);
        for round in 0..3 {
            one.write_all(b"one").unwrap();
            many.write_all(b"too many").unwrap();
            let mut rooms = [[0; 4]; 4];
            let sockets = [&first, &ended, &silent, &long].map(|socket| socket.as_fd());
            let results = ring.receive(sockets.into_iter().zip(rooms.iter_mut().map(|room| &mut room[..])));
            assert_eq!(results, [Ok(3), Ok(0), Err(Errno::AGAIN), Ok(4)], "{round}");
            assert_eq!((&rooms[0][..3], &rooms[3]), (&b"one"[..], b"too "));
            (&long).read_exact(&mut [0; 4]).unwrap();
        }
    }

    #[test]
    fn what_is_too_much_at_once_is_left_out() {
        let Some(mut ring) = ring() else { return };
        let (ours, mut theirs) = pair();
        let bytes: Vec<[u8; 1]> = (0..20).map(|byte| [byte]).collect();
        let results = ring.send(bytes.iter().map(|byte| (ours.as_fd(), byte.as_slice())));
        assert_eq!(results, [Ok(1); TOGETHER]);
        assert!(ring.send(std::iter::empty()).is_empty());
        drop(ours);
        let mut heard = Vec::new();
        theirs.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, bytes[..TOGETHER].concat());
    }
}
