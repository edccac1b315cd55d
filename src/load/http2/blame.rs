//! From the errors of the layers below to a [`Reason`], by their types and kinds, never by their texts.

use std::io::{self, ErrorKind};

use rustls::AlertDescription;

use crate::http::tls_reason;
use crate::reason::Reason;

/// Why no connection came about.
pub(super) fn connect(error: &io::Error) -> Reason {
    Reason::local(error).unwrap_or(match error.kind() {
        ErrorKind::TimedOut => Reason::ConnectTimeout,
        ErrorKind::HostUnreachable => Reason::ConnectUnreachable,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Reason::ConnectReset,
        _ => Reason::ConnectRefused,
    })
}

/// Why TLS did not come about.
pub(super) fn handshake(error: &io::Error) -> Reason {
    Reason::local(error).or_else(|| tls(error)).unwrap_or(match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Reason::ConnectReset,
        _ => Reason::TlsHandshake,
    })
}

/// Why a connection that stood was lost.
pub(super) fn lost(error: &io::Error) -> Reason {
    Reason::local(error).or_else(|| tls(error)).unwrap_or(match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Reason::ConnectReset,
        ErrorKind::TimedOut => Reason::Timeout,
        _ => Reason::Closed,
    })
}

/// Why the protocol failed, or its peer; `wire` is why the connection below was lost, when it was.
pub(super) fn http(error: &h2::Error, wire: Option<Reason>) -> Reason {
    if error.is_io() {
        wire.unwrap_or(Reason::Closed)
    } else if error.is_remote() {
        // A reset stream, or one above the last that the peer said it would still answer.
        Reason::Closed
    } else {
        Reason::HttpProtocol
    }
}

/// Why this host could not even begin.
pub(super) fn local(error: &io::Error) -> Reason {
    Reason::local(error).unwrap_or(Reason::LocalResources)
}

fn tls(error: &io::Error) -> Option<Reason> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match error {
        // The peer knows other protocols, and not HTTP/2.
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => Reason::HttpProtocol,
        error => tls_reason(error),
    })
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn errors_of_the_system_are_told_apart() {
        let cases = [
            (Errno::CONNREFUSED, Reason::ConnectRefused, Reason::Closed),
            (Errno::NOENT, Reason::ConnectRefused, Reason::Closed),
            (Errno::HOSTUNREACH, Reason::ConnectUnreachable, Reason::Closed),
            (Errno::CONNRESET, Reason::ConnectReset, Reason::ConnectReset),
            (Errno::PIPE, Reason::ConnectRefused, Reason::Closed),
            (Errno::MFILE, Reason::LocalDescriptors, Reason::LocalDescriptors),
            (Errno::ADDRNOTAVAIL, Reason::LocalPorts, Reason::LocalPorts),
        ];
        for (errno, connecting, later) in cases {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!((connect(&error), lost(&error)), (connecting, later), "{errno:?}");
        }
    }

    #[test]
    fn a_certificate_is_found_inside_an_io_error() {
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let error = io::Error::new(ErrorKind::InvalidData, expired);
        assert_eq!(handshake(&error), Reason::TlsCertificateExpired);
        assert_eq!(handshake(&ErrorKind::UnexpectedEof.into()), Reason::TlsHandshake);
    }

    #[test]
    fn what_the_peer_ends_is_closed_and_what_it_garbles_is_not_http() {
        let ours = h2::Error::from(h2::Reason::PROTOCOL_ERROR);
        assert_eq!(http(&ours, None), Reason::HttpProtocol);
        assert_eq!(http(&ours, Some(Reason::Closed)), Reason::HttpProtocol);
    }
}
