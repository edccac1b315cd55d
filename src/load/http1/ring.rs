//! Many sends by one system call: io_uring, as Linux 6.0 and later know it, where the system permits it.
//!
//! Nothing is ever under way when a call here returns: what was lent to the kernel is the caller's again. So no buffer has
//! to outlive a call, no connection waits for a completion before it is closed, and the loop around it is that of epoll.

#![allow(unsafe_code, reason = "the kernel is told addresses; all of that is in here")]

use std::io;

use io_uring::{IoUring, opcode, squeue, types};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::SendFlags;

/// A thread's own.
pub(super) struct Ring {
    ring: IoUring,
    /// What the kernel is asked for next; no more than it was made for.
    entries: Vec<squeue::Entry>,
    /// What became of it.
    results: Vec<Result<usize, Errno>>,
}

impl Ring {
    /// One for so many sends at once, if the system has rings and lets us use them.
    pub(super) fn new(count: usize) -> io::Result<Ring> {
        let entries = u32::try_from(count).map_err(io::Error::other)?;
        // Systems that know this flag know all that is used here.
        let ring = IoUring::builder().setup_single_issuer().build(entries)?;
        let mut ring = Ring { ring, entries: Vec::with_capacity(count), results: Vec::with_capacity(count) };
        // To make a ring may be permitted, and to use it not.
        ring.entries.push(opcode::Nop::new().build());
        ring.push();
        ring.ring.submit_and_wait(1)?;
        ring.call(1);
        Ok(ring)
    }

    /// Sends to each socket what it takes now, and says of each, in their order, how much that was. Those for which there
    /// is no room are left out.
    pub(super) fn send<'a>(
        &mut self,
        what: impl Iterator<Item = (BorrowedFd<'a>, &'a [u8])>,
    ) -> &[Result<usize, Errno>] {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        self.entries.clear();
        self.entries.extend(what.take(self.entries.capacity()).enumerate().map(
            |(place, (socket, bytes))| {
                let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                let send = opcode::Send::new(types::Fd(socket.as_raw_fd()), bytes.as_ptr(), size);
                send.flags(flags.bits().cast_signed()).build().user_data(place as u64)
            },
        ));
        // From here until all is done no code of others runs.
        let count = self.push();
        self.call(count);
        &self.results
    }

    /// Hands the entries over, and says how many.
    fn push(&mut self) -> usize {
        // SAFETY: the addresses in them are of slices, and the numbers of sockets, that are borrowed until `send` returns;
        // and that it does only when the kernel has answered every entry.
        let pushed = unsafe { self.ring.submission().push_multiple(&self.entries) };
        // Nothing is left of earlier calls: there is room.
        pushed.map_or(0, |()| self.entries.len())
    }

    /// Has the kernel do all of it.
    fn call(&mut self, count: usize) {
        while self.ring.completion().len() < count {
            // An error is an interruption, or a want of memory that passes: nothing is lost by it.
            let _ = self.ring.submit_and_wait(count);
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
    fn ring(count: usize) -> Option<Ring> {
        let permitted = <IoUring>::builder().setup_single_issuer().build(1).is_ok();
        permitted.then(|| Ring::new(count).unwrap())
    }

    fn pair() -> (UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (ours, theirs)
    }

    #[test]
    fn each_socket_gets_its_own_and_says_what_it_took() {
        let Some(mut ring) = ring(4) else { return };
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
        let Some(mut ring) = ring(1) else { return };
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
    fn what_has_no_room_is_left_out() {
        let Some(mut ring) = ring(2) else { return };
        let (ours, mut theirs) = pair();
        let results = ring.send([b"a", b"b", b"c"].iter().map(|bytes| (ours.as_fd(), bytes.as_slice())));
        assert_eq!(results, [Ok(1), Ok(1)]);
        assert!(ring.send(std::iter::empty()).is_empty());
        drop(ours);
        let mut heard = String::new();
        theirs.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "ab");
    }
}
