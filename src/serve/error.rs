//! Why a server could not start. Nothing here happens after the first request.

use std::io;
use std::path::PathBuf;

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No listener at all.
    #[error("no address to listen on")]
    NoListener,
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {}", bind_cause(.cause))]
    Bind {
        /// As it was given.
        address: String,
        /// What the operating system said.
        cause: io::Error,
    },
    /// A live server answers on the socket already.
    #[error("cannot listen on unix:{}: another server answers there", .0.display())]
    SocketInUse(PathBuf),
    /// Something that is no socket is in the way.
    #[error("cannot listen on unix:{}: the path exists and is no socket", .0.display())]
    NotASocket(PathBuf),
    /// A file named in the settings cannot be read.
    #[error("cannot read {what} {}: {cause}", .path.display())]
    Unreadable {
        /// What it is for.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// A file was read but holds nothing usable.
    #[error("{what} {} is unusable: {cause}", .path.display())]
    Unusable {
        /// What it is for.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// Certificate and key do not belong together.
    #[error("the key {} does not belong to the certificate {}", .key.display(), .certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The TLS settings contradict each other.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    /// The directory to serve cannot be opened.
    #[error("cannot serve the directory {}: {cause}", .path.display())]
    Directory {
        /// Where it should be.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The access log cannot be opened.
    #[error("cannot write the access log {}: {cause}", .path.display())]
    AccessLog {
        /// Where it should be.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
}

impl Error {
    /// The next thing to try, where there is one.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Bind { cause, .. } if cause.kind() == io::ErrorKind::AddrInUse => {
                "stop the other program, choose another --listen, or let both share it with --reuse-port"
                    .into()
            }
            Error::Bind { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => {
                "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one".into()
            }
            Error::NotASocket(path) => format!("remove {} or choose another path", path.display()),
            Error::Mismatch { certificate, .. } => format!(
                "compare `openssl x509 -noout -pubkey -in {}` with `openssl pkey -pubout` of the key",
                certificate.display()
            ),
            Error::Unusable { what, .. } => format!("the {what} must be PEM (BEGIN ... END)"),
            Error::Directory { cause, .. } if cause.raw_os_error() == Some(ENOSYS) => {
                "serving files needs Linux 5.6 or newer (openat2), and a sandbox that allows it".into()
            }
            _ => return None,
        })
    }
}

/// `openat2` does not exist, or a sandbox hides it.
pub(super) const ENOSYS: i32 = 38;

fn bind_cause(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::AddrInUse => "the address is in use".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => cause.to_string(),
    }
}
