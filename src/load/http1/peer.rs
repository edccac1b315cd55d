//! Sockets to the one peer of a run, which may have several addresses.

use std::net::SocketAddr;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, getsockname, ipproto, socket_with,
    sockopt,
};

use crate::load::endpoint::Way;

/// Where a connection goes.
#[derive(Debug)]
pub(super) enum Peer {
    Tcp(SocketAddr),
    /// The path may be longer than the system takes.
    Unix(Result<SocketAddrUnix, Errno>),
}

impl Peer {
    /// All that there are: at least one.
    pub(super) fn all(way: &Way) -> Vec<Peer> {
        match way {
            Way::Tcp(addresses) => addresses.iter().copied().map(Peer::Tcp).collect(),
            Way::Unix(path) => vec![Peer::Unix(SocketAddrUnix::new(path.as_path()))],
        }
    }

    /// A socket that never blocks, for this peer.
    pub(super) fn socket(&self) -> Result<OwnedFd, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (family, protocol) = match self {
            Peer::Tcp(SocketAddr::V4(_)) => (AddressFamily::INET, Some(ipproto::TCP)),
            Peer::Tcp(SocketAddr::V6(_)) => (AddressFamily::INET6, Some(ipproto::TCP)),
            Peer::Unix(_) => (AddressFamily::UNIX, None),
        };
        let socket = socket_with(family, SocketType::STREAM, flags, protocol)?;
        if let Peer::Tcp(_) = self {
            sockopt::set_tcp_nodelay(&socket, true)?;
        }
        Ok(socket)
    }

    /// Begins to connect; the socket becomes writable when that has ended.
    pub(super) fn connect(&self, socket: &OwnedFd) -> Result<(), Errno> {
        let begun = match self {
            Peer::Tcp(address) => connect(socket, address),
            Peer::Unix(path) => path.as_ref().map_err(|errno| *errno).and_then(|path| connect(socket, path)),
        };
        match begun {
            Err(Errno::INPROGRESS) => Ok(()),
            other => other,
        }
    }

    /// How connecting ended.
    pub(super) fn connected(&self, socket: &OwnedFd) -> Result<(), Errno> {
        sockopt::socket_error(socket)??;
        // Where nobody listens on a port of the range that connections get theirs from, a socket can meet itself.
        match self {
            Peer::Tcp(address) if SocketAddr::try_from(getsockname(socket)?) == Ok(*address) => {
                Err(Errno::CONNREFUSED)
            }
            _ => Ok(()),
        }
    }
}
