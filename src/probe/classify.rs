//! From the errors of the layers below to a [`Fault`], by their types and kinds, never by their texts.

use std::error::Error;
use std::io::{self, ErrorKind};

use rustls::pki_types::UnixTime;
use rustls::{CertificateError, InvalidMessage};

use super::call::with_scheme;
use super::clock::rfc3339;
use crate::http::lookup::LookupError;
use crate::http::{NoRoots, Phase, Untrusted, tls_reason};
use crate::reason::{Fault, Reason};
use reqwest::Url;

/// Why a call that was in `phase` failed with `error`.
pub fn http_fault(error: &reqwest::Error, phase: Phase) -> Fault {
    if error.is_redirect() {
        return Reason::HttpRedirect.because(innermost(error));
    }
    if error.is_builder() {
        return Reason::LocalResources.because(innermost(error));
    }
    if let Some(mut fault) = in_chain(error, phase) {
        if let Some(url) = error.url() {
            fault.detail += &other_scheme(error, url);
        }
        return fault;
    }
    // With all I/O and TLS errors told apart, a connection can only have failed in a proxy's tunnel.
    let reason = if error.is_connect() { Reason::Proxy } else { Reason::HttpProtocol };
    reason.because(innermost(error))
}

/// What to try when the port does not speak what the URL says.
fn other_scheme(error: &reqwest::Error, url: &Url) -> String {
    if url.scheme() == "https" && find(error, is_not_tls).is_some() {
        return format!("; try {}", with_scheme(url, "http"));
    }
    let garbage = find(error, |http: &hyper::Error| http.is_parse()).is_some();
    if url.scheme() == "http" && garbage {
        return format!("; if it speaks TLS, try {}", with_scheme(url, "https"));
    }
    String::new()
}

fn is_not_tls(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType))
}

/// The first error of this type that is of this kind, wrapped ones included.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static), kind: fn(&E) -> bool) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>().filter(|found| kind(found)) {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(wrapped) = wrapped {
            return find(wrapped, kind);
        }
        next = error.source();
    }
    None
}

/// The outermost error of the chain that says why; `None` when none does.
fn in_chain(error: &(dyn Error + 'static), phase: Phase) -> Option<Fault> {
    let mut general = None;
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(lookup) = error.downcast_ref::<LookupError>() {
            return Some(lookup_fault(lookup));
        }
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls_fault(tls));
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            // An io::Error's source() skips the very error that it wraps.
            let wrapped = io.get_ref().and_then(|inner| in_chain(inner, phase));
            return wrapped.or_else(|| Some(io_fault(io, phase)));
        }
        if let Some(http) = error.downcast_ref::<hyper::Error>() {
            general = general.or_else(|| hyper_fault(http));
        }
        next = error.source();
    }
    general
}

fn hyper_fault(error: &hyper::Error) -> Option<Fault> {
    let closed = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
    if closed {
        return Some(Reason::Closed.because("connection closed before the answer was complete"));
    }
    error.is_parse().then(|| Reason::HttpProtocol.because("what came is not HTTP"))
}

/// Why a name could not be looked up: this host's fault, or the name's.
pub fn lookup_fault(error: &LookupError) -> Fault {
    match Reason::local(&error.source) {
        Some(local) => local.because(error.to_string()),
        None => Reason::Dns.because(error.to_string()),
    }
}

/// Why an operation on a connection in `phase` failed.
pub fn io_fault(error: &io::Error, phase: Phase) -> Fault {
    if let Some(local) = Reason::local(error) {
        return local.because(plain(error));
    }
    let handshake = phase == Phase::Tls;
    let reason = match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::NotFound | ErrorKind::WouldBlock => Reason::ConnectRefused,
        ErrorKind::TimedOut => Reason::ConnectTimeout,
        ErrorKind::HostUnreachable => Reason::ConnectUnreachable,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Reason::ConnectReset,
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe if handshake => Reason::TlsHandshake,
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => Reason::Closed,
        _ if handshake => Reason::TlsHandshake,
        _ if phase == Phase::Connect => Reason::ConnectRefused,
        _ => Reason::HttpProtocol,
    };
    let detail = match error.kind() {
        ErrorKind::NotFound => "no such socket".to_owned(),
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => format!("{} while {}", plain(error), phase.doing()),
    };
    reason.because(detail)
}

/// Why a stream failed, which may be one over TLS.
pub fn stream_fault(error: &io::Error, phase: Phase) -> Fault {
    in_chain(error, phase).unwrap_or_else(|| io_fault(error, phase))
}

/// Why HTTP/2 failed.
pub fn h2_fault(error: &h2::Error) -> Fault {
    if let Some(io) = error.get_io() {
        return stream_fault(io, Phase::FirstByte);
    }
    let reason = if error.is_remote() { Reason::RefusedByServer } else { Reason::Protocol };
    let what = if error.is_remote() { "the server ended HTTP/2" } else { "what came is not HTTP/2" };
    reason.because(format!("{what}: {error}"))
}

/// Why a command could not even be started.
pub fn spawn_fault(error: &io::Error) -> Fault {
    let reason = match error.kind() {
        ErrorKind::NotFound => Reason::LocalCommand,
        _ => Reason::local(error).unwrap_or(Reason::LocalResources),
    };
    reason.because(format!("cannot start sh: {}", plain(error)))
}

fn tls_fault(error: &rustls::Error) -> Fault {
    let detail = match error {
        rustls::Error::InvalidCertificate(certificate) => certificate_detail(certificate),
        rustls::Error::Other(other) if other.0.is::<NoRoots>() => other.0.to_string(),
        error if is_not_tls(error) => "it does not speak TLS".to_owned(),
        _ => error.to_string(),
    };
    tls_reason(error).because(detail)
}

fn certificate_detail(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "no trusted root vouches for the certificate".to_owned(),
        CertificateError::Other(other) if other.0.is::<Untrusted>() => {
            format!("{}; trust it with --ca FILE", other.0)
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("a certificate of the chain ran out at {}", at(*not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("a certificate of the chain is not valid before {}", at(*not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            const MOST: usize = 10;
            let mut names: Vec<_> = presented.iter().take(MOST).map(|name| plain_name(name)).collect();
            let more = format!("{} more", presented.len().saturating_sub(MOST));
            if presented.len() > MOST {
                names.push(&more);
            }
            format!("the certificate is for {}, not for {}", names.join(", "), expected.to_str())
        }
        CertificateError::BadSignature => "a signature in the chain is wrong".to_owned(),
        _ => error.to_string(),
    }
}

fn at(time: UnixTime) -> String {
    rfc3339(time.as_secs().saturating_mul(1000)).replace(".000Z", "Z")
}

/// The name within webpki's `DnsName("name")`.
fn plain_name(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}

/// The system's words without Rust's "(os error 111)".
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}

/// The last error of the chain: the most particular one.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    fn os(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.raw_os_error())
    }

    #[test]
    fn errors_of_the_system_are_told_apart() {
        let cases = [
            (Errno::CONNREFUSED, Reason::ConnectRefused),
            (Errno::NOENT, Reason::ConnectRefused),
            (Errno::TIMEDOUT, Reason::ConnectTimeout),
            (Errno::HOSTUNREACH, Reason::ConnectUnreachable),
            (Errno::CONNRESET, Reason::ConnectReset),
            (Errno::MFILE, Reason::LocalDescriptors),
            (Errno::NETUNREACH, Reason::LocalNetwork),
            (Errno::ADDRNOTAVAIL, Reason::LocalPorts),
            (Errno::ACCESS, Reason::LocalPermission),
        ];
        for (errno, reason) in cases {
            assert_eq!(io_fault(&os(errno), Phase::Connect).reason, reason, "{errno:?}");
        }
    }

    #[test]
    fn the_phase_tells_an_end_of_file_apart() {
        let end = io::Error::from(ErrorKind::UnexpectedEof);
        assert_eq!(io_fault(&end, Phase::Tls).reason, Reason::TlsHandshake);
        assert_eq!(io_fault(&end, Phase::FirstByte).reason, Reason::Closed);
    }

    #[test]
    fn a_certificate_error_is_found_inside_an_io_error() {
        let cases = [
            (CertificateError::Expired, Reason::TlsCertificateExpired),
            (CertificateError::NotValidYet, Reason::TlsCertificateNotYetValid),
            (CertificateError::NotValidForName, Reason::TlsCertificateName),
            (CertificateError::UnknownIssuer, Reason::TlsCertificateUntrusted),
            (CertificateError::Revoked, Reason::TlsCertificateInvalid),
        ];
        for (error, reason) in cases {
            let wrapped = io::Error::new(ErrorKind::InvalidData, rustls::Error::InvalidCertificate(error));
            assert_eq!(in_chain(&wrapped, Phase::Tls).unwrap().reason, reason);
        }
    }

    #[test]
    fn of_many_names_of_a_certificate_the_first_are_told() {
        let presented = (0..12).map(|n| format!("DnsName(\"n{n}\")")).collect();
        let expected = rustls::pki_types::ServerName::try_from("h").unwrap();
        let detail = certificate_detail(&CertificateError::NotValidForNameContext { expected, presented });
        assert!(detail.starts_with("the certificate is for n0, n1, "), "{detail}");
        assert!(detail.ends_with(", n9, 2 more, not for h"), "{detail}");
    }

    #[test]
    fn a_failed_look_up_is_dns_unless_this_host_ran_out_of_something() {
        let failed = |source| lookup_fault(&LookupError { host: "h".into(), source }).reason;
        assert_eq!(failed(io::Error::other("Name or service not known")), Reason::Dns);
        assert_eq!(failed(os(Errno::MFILE)), Reason::LocalDescriptors);
    }
}
