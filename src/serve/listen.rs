//! Sockets that accept: TCP and Unix, bound before anything is served, and closed without losing a client.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, Protocol, SockFilter, SockRef, Type};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::connection::{Peer, Role};
use super::error::Error;
use super::io::Socket;
use super::settings::Address;

/// Connections that may wait in the kernel.
const BACKLOG: i32 = 4096;

/// One bound socket.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) role: Role,
    pub(super) socket: Accepting,
}

/// The socket itself.
#[derive(Debug)]
pub(super) enum Accepting {
    Tcp { listener: TcpListener, shared_port: bool },
    Unix { listener: UnixListener, file: SocketFile },
}

/// A Unix socket's name in the file system; removed when dropped, unless somebody else's is there by now.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // Gone already is as good.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let about = std::fs::symlink_metadata(path)?;
    Ok((about.dev(), about.ino()))
}

/// Binds one address.
pub(super) async fn bind(address: &Address, role: Role, reuse_port: bool) -> Result<Listener, Error> {
    let failed = |cause| Error::Bind { address: address.to_string(), cause };
    let socket = match address {
        Address::Tcp(at) => {
            Accepting::Tcp { listener: bind_tcp(*at, reuse_port).map_err(failed)?, shared_port: reuse_port }
        }
        Address::Unix(path) => {
            clear_stale(path).await?;
            let listener = UnixListener::bind(path).map_err(failed)?;
            let identity = identity(path).map_err(failed)?;
            Accepting::Unix { listener, file: SocketFile { path: path.clone(), identity } }
        }
    };
    Ok(Listener { role, socket })
}

fn bind_tcp(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = socket2::Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Removes a socket that a dead server left behind.
async fn clear_stale(path: &Path) -> Result<(), Error> {
    let Ok(about) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !about.file_type().is_socket() {
        return Err(Error::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path).await {
        Err(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)
            .map_err(|cause| Error::Bind { address: format!("unix:{}", path.display()), cause }),
        _ => Err(Error::SocketInUse(path.to_owned())),
    }
}

impl Accepting {
    /// Where it is bound, with the port that was chosen.
    pub(super) fn address(&self) -> Address {
        match self {
            Accepting::Tcp { listener, .. } => {
                Address::Tcp(listener.local_addr().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into()))
            }
            Accepting::Unix { file, .. } => Address::Unix(file.path.clone()),
        }
    }

    /// The next client.
    pub(super) async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Accepting::Tcp { listener, .. } => {
                let (stream, peer) = listener.accept().await?;
                Ok(tcp(stream, peer))
            }
            Accepting::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::Unix(stream), Peer::Unix))
            }
        }
    }

    /// Before closing a port that another server shares: lets no new client in here (its next attempt
    /// reaches the other server) and returns how long those half-way in may still take. Closing at once
    /// would reset them: the kernel moves no half-open connection from one socket to another.
    pub(super) fn turn_away(&self) -> Duration {
        let Accepting::Tcp { listener, shared_port: true } = self else { return Duration::ZERO };
        match SockRef::from(listener).attach_filter(&NO_NEW_CLIENTS) {
            Ok(()) => Duration::from_millis(200),
            Err(_) => Duration::ZERO,
        }
    }

    /// Closes the socket, and hands over the clients that were in its queue.
    pub(super) fn close(self) -> Vec<(Socket, Peer)> {
        let mut queued = Vec::new();
        match self {
            Accepting::Tcp { listener, .. } => {
                let Ok(listener) = listener.into_std() else { return queued };
                while let Ok((stream, peer)) = listener.accept() {
                    if stream.set_nonblocking(true).is_ok()
                        && let Ok(stream) = tokio::net::TcpStream::from_std(stream)
                    {
                        queued.push(tcp(stream, peer));
                    }
                }
            }
            Accepting::Unix { listener, file } => {
                // No name first: who comes now gets an error, or the next server.
                drop(file);
                let Ok(listener) = listener.into_std() else { return queued };
                while let Ok((stream, _)) = listener.accept() {
                    if stream.set_nonblocking(true).is_ok()
                        && let Ok(stream) = UnixStream::from_std(stream)
                    {
                        queued.push((Socket::Unix(stream), Peer::Unix));
                    }
                }
            }
        }
        queued
    }
}

fn tcp(stream: tokio::net::TcpStream, peer: SocketAddr) -> (Socket, Peer) {
    // Answers leave at once; a socket that cannot be told is only slower.
    let _ = stream.set_nodelay(true);
    (Socket::Tcp(stream), Peer::Tcp(peer))
}

/// Classic BPF over the TCP header: drops segments with SYN and without ACK, keeps all others.
static NO_NEW_CLIENTS: [SockFilter; 5] = [
    // A = flags (byte 13)
    SockFilter::new(0x30, 0, 0, 13),
    // A &= SYN | ACK
    SockFilter::new(0x54, 0, 0, 0x12),
    // if A == SYN: next, else skip one
    SockFilter::new(0x15, 0, 1, 0x02),
    SockFilter::new(0x06, 0, 0, 0),
    SockFilter::new(0x06, 0, 0, u32::MAX),
];

#[cfg(test)]
mod tests {
    use super::*;

    async fn unix(path: &Path) -> Result<Listener, Error> {
        bind(&Address::Unix(path.to_owned()), Role::Main, false).await
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let live = unix(&path).await.unwrap();
        assert!(matches!(unix(&path).await, Err(Error::SocketInUse(_))));
        drop(live);
        assert!(!path.exists());
        std::fs::write(&path, "").unwrap();
        assert!(matches!(unix(&path).await, Err(Error::NotASocket(_))));
    }

    #[tokio::test]
    async fn the_name_of_a_successor_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let ours = unix(&path).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        let _theirs = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(ours);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_port_in_use_says_so() {
        let first = bind(&"127.0.0.1:0".parse().unwrap(), Role::Main, false).await.unwrap();
        let address = first.socket.address();
        let error = bind(&address, Role::Main, false).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot listen on {address}: the address is in use"));
        assert!(error.hint().unwrap().contains("--reuse-port"));
    }

    #[tokio::test]
    async fn clients_in_the_queue_are_handed_over() {
        let listener = bind(&"127.0.0.1:0".parse().unwrap(), Role::Main, false).await.unwrap();
        let Address::Tcp(address) = listener.socket.address() else { panic!() };
        let _clients =
            [std::net::TcpStream::connect(address).unwrap(), std::net::TcpStream::connect(address).unwrap()];
        assert_eq!(listener.socket.close().len(), 2);
    }

    #[tokio::test]
    async fn a_shared_port_turns_new_clients_to_the_other_server() {
        let ours = bind(&"127.0.0.1:0".parse().unwrap(), Role::Main, true).await.unwrap();
        let Address::Tcp(address) = ours.socket.address() else { panic!() };
        ours.socket.turn_away();
        let timeout = Duration::from_millis(50);
        assert!(std::net::TcpStream::connect_timeout(&address, timeout).is_err());
        let theirs = bind(&Address::Tcp(address), Role::Main, true).await.unwrap();
        assert!(ours.socket.close().is_empty());
        let _client = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
        assert_eq!(theirs.socket.close().len(), 1);
    }
}
