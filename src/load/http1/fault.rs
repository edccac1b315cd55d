//! From the errors of sockets and of TLS to a [`Reason`].

use std::io;

use rustix::io::Errno;

use crate::http::tls_reason;
use crate::reason::Reason;

/// Why a connection did not come about.
pub(super) fn connecting(errno: Errno) -> Reason {
    known(errno).unwrap_or(Reason::ConnectRefused)
}

/// Why a connection that stood was lost.
pub(super) fn connected(errno: Errno) -> Reason {
    known(errno).unwrap_or(Reason::Closed)
}

/// Why TLS over a connection failed: for what the system said, or TLS itself.
pub(super) fn tls(error: &io::Error) -> Reason {
    if let Some(code) = error.raw_os_error() {
        return connected(Errno::from_raw_os_error(code));
    }
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    inner.map_or(Reason::TlsHandshake, tls_reason)
}

fn known(errno: Errno) -> Option<Reason> {
    let local = Reason::local(&io::Error::from(errno));
    local.or(match errno {
        Errno::TIMEDOUT => Some(Reason::ConnectTimeout),
        Errno::HOSTUNREACH => Some(Reason::ConnectUnreachable),
        Errno::CONNRESET | Errno::CONNABORTED => Some(Reason::ConnectReset),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_are_told_apart() {
        let cases = [
            (Errno::CONNREFUSED, Reason::ConnectRefused),
            // No such socket file, and one whose queue is full.
            (Errno::NOENT, Reason::ConnectRefused),
            (Errno::AGAIN, Reason::ConnectRefused),
            (Errno::TIMEDOUT, Reason::ConnectTimeout),
            (Errno::HOSTUNREACH, Reason::ConnectUnreachable),
            (Errno::MFILE, Reason::LocalDescriptors),
            (Errno::ADDRNOTAVAIL, Reason::LocalPorts),
            (Errno::NETUNREACH, Reason::LocalNetwork),
        ];
        for (errno, reason) in cases {
            assert_eq!(connecting(errno), reason, "{errno:?}");
        }
        assert_eq!(connected(Errno::PIPE), Reason::Closed);
        assert_eq!(connected(Errno::CONNRESET), Reason::ConnectReset);
    }
}
