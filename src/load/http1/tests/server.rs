//! A scripted server: a thread for each connection does what the test says, and requests are counted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What came to the server.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    connections: Arc<AtomicU64>,
    requests: Arc<AtomicU64>,
}

impl Counts {
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

/// One connection at the server.
pub struct Visit<S> {
    pub stream: S,
    counts: Counts,
    unread: Vec<u8>,
}

impl<S: Read + Write> Visit<S> {
    pub fn new(stream: S, counts: &Counts) -> Visit<S> {
        counts.connections.fetch_add(1, Ordering::SeqCst);
        Visit { stream, counts: counts.clone(), unread: Vec::new() }
    }

    /// Reads the head of a request; its number from 1 over all connections, `None` at the end.
    pub fn request(&mut self) -> Option<u64> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                self.unread.drain(..end + 4);
                return Some(self.counts.requests.fetch_add(1, Ordering::SeqCst) + 1);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(size) => self.unread.extend_from_slice(&buffer[..size]),
            }
        }
    }

    /// Reads so much of a body.
    pub fn body(&mut self, length: usize) {
        let mut rest = vec![0; length - self.unread.len()];
        self.unread.clear();
        self.stream.read_exact(&mut rest).unwrap();
    }

    /// Whether the client still takes it.
    pub fn say(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Answers everything in the same way.
    pub fn always(mut self, bytes: &[u8]) {
        while self.request().is_some() && self.say(bytes) {}
    }

    /// Waits until the client has closed.
    pub fn until_closed(mut self) {
        while self.stream.read(&mut [0; 4096]).is_ok_and(|size| size > 0) {}
    }
}

/// Listens on a free port.
pub fn tcp(script: impl Fn(Visit<TcpStream>) + Send + Sync + 'static) -> (SocketAddr, Counts) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (counts, script) = (Counts::default(), Arc::new(script));
    let seen = counts.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            stream.set_nodelay(true).unwrap();
            let (visit, script) = (Visit::new(stream, &seen), script.clone());
            std::thread::spawn(move || script(visit));
        }
    });
    (address, counts)
}

/// Listens on a socket file.
pub fn unix(path: &Path, script: impl Fn(Visit<UnixStream>) + Send + Sync + 'static) -> Counts {
    let listener = UnixListener::bind(path).unwrap();
    let (counts, script) = (Counts::default(), Arc::new(script));
    let seen = counts.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (visit, script) = (Visit::new(stream, &seen), script.clone());
            std::thread::spawn(move || script(visit));
        }
    });
    counts
}

/// A port of this host that refuses.
pub fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Ends the connection with a reset.
pub fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
}
