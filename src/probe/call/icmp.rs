//! A call by ICMP: one echo request, repeated while nothing comes back; good at its reply.
//!
//! Through a socket of the kernel's own for this where it allows that (`net.ipv4.ping_group_range`), or else a raw one, which
//! needs CAP_NET_RAW.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::way::{Said, Way};
use crate::http::Phase;
use crate::probe::classify::io_fault;
use crate::reason::{Fault, Reason};

/// A packet can be lost on its way.
const AGAIN: Duration = Duration::from_millis(500);

/// Where an echo's own bytes begin.
const HEAD: usize = 8;

/// Waits for the first reply to an echo request.
pub(super) async fn exchange(way: &Way<'_>, host: &str) -> Result<Said, Fault> {
    let addresses = way.addresses(host, 0).await?;
    let address = addresses.first().copied().ok_or_else(|| Reason::Dns.because("no address"))?;
    let broken = |error: io::Error| io_fault(&error, Phase::Connect);
    let socket = open(address)?;
    way.clock.enter(Phase::FirstByte);
    let token: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
    let mut request = echo(address.ip(), fastrand::u16(..), &token);
    for number in 0_u16.. {
        request[6..HEAD].copy_from_slice(&number.to_be_bytes());
        seal(&mut request, address.ip());
        socket.send(&request).await.map_err(broken)?;
        match timeout(AGAIN, reply(&socket, address.ip(), &token)).await {
            Ok(done) => return done.map(|()| Said::default()).map_err(broken),
            Err(_) => continue,
        }
    }
    Err(Reason::Timeout.because("no reply"))
}

fn open(address: SocketAddr) -> Result<UdpSocket, Fault> {
    let (domain, protocol) = match address {
        SocketAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        SocketAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(protocol))
        .or_else(|_| Socket::new(domain, Type::RAW, Some(protocol)));
    let socket = socket.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Reason::LocalPermission.because(
            "no ICMP for this user: let its group in with `sysctl net.ipv4.ping_group_range='0 2147483647'`, \
             or give the program CAP_NET_RAW with `setcap cap_net_raw+ep`",
        ),
        _ => io_fault(&error, Phase::Connect),
    })?;
    let ready = socket.set_nonblocking(true).and_then(|()| socket.connect(&address.into()));
    // Sending and receiving are the same system calls for all sockets that know their peer.
    let ready = ready.and_then(|()| UdpSocket::from_std(socket.into()));
    ready.map_err(|error| io_fault(&error, Phase::Connect))
}

/// Ends at an echo reply with the token.
async fn reply(socket: &UdpSocket, from: IpAddr, token: &[u8]) -> io::Result<()> {
    let mut packet = [0; 2048];
    loop {
        let count = socket.recv(&mut packet).await?;
        if is_reply(&packet[..count], from, token) {
            return Ok(());
        }
    }
}

/// An echo request; its number and its checksum are set for each time that it is sent.
fn echo(to: IpAddr, id: u16, token: &[u8]) -> Vec<u8> {
    let kind = if to.is_ipv4() { 8 } else { 128 };
    let [high, low] = id.to_be_bytes();
    [&[kind, 0, 0, 0, high, low, 0, 0], token].concat()
}

/// Writes the checksum of RFC 1071; that of IPv6 the kernel writes.
fn seal(packet: &mut [u8], to: IpAddr) {
    if to.is_ipv6() {
        return;
    }
    packet[2..4].fill(0);
    let words = packet.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    packet[2..4].copy_from_slice(&(!(folded as u16)).to_be_bytes());
}

/// A raw socket gives packets with their header of IPv4, those of others too; the token is nobody else's.
fn is_reply(packet: &[u8], from: IpAddr, token: &[u8]) -> bool {
    let header = match (from, packet.first()) {
        (IpAddr::V4(_), Some(first)) if first >> 4 == 4 => usize::from(first & 0xf) * 4,
        _ => 0,
    };
    let kind = if from.is_ipv4() { 0 } else { 129 };
    packet.get(header..).is_some_and(|echo| echo.first() == Some(&kind) && echo.get(HEAD..) == Some(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_reply_counts() {
        let v4 = IpAddr::from([127, 0, 0, 1]);
        let mut request = echo(v4, 7, b"token");
        seal(&mut request, v4);
        let words =
            request.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
        let sum: u32 = words.sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "the checksum makes all ones");
        let mut reply = request.clone();
        reply[0] = 0;
        let mut raw = vec![0; 20];
        raw[0] = 0x45;
        raw.extend_from_slice(&reply);
        assert!(is_reply(&reply, v4, b"token") && is_reply(&raw, v4, b"token"));
        for other in [&request[..], &raw[..20], &[], &[0x4f]] {
            assert!(!is_reply(other, v4, b"token"), "{other:?}");
        }
        assert!(!is_reply(&reply, v4, b"other"));
    }
}
