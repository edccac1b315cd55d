//! The first messages of TLS as bytes: a client's hello to write, a server's first flight to read (RFC 5246, RFC 8446,
//! RFC 6101, and the SSL 2.0 draft of 1995).
//!
//! Pure: no sockets, no time, no cryptography. The reader takes bytes as they come, in pieces of any size, and gives up
//! at the first that cannot be right; it keeps less than [`MAX_ANSWER`] bytes of whatever is sent to it.

mod client;
mod cursor;
mod flight;
#[cfg(test)]
pub mod heard;
mod plain;
mod server;
pub mod share;
mod ssl2;
#[cfg(test)]
mod tests;

pub use client::ClientHello;
pub use flight::{Flight, Garbled, MAX_ANSWER, Reader};
pub use server::{Exchange, ServerHello};
pub use ssl2::{Ssl2Hello, ssl2_hello};

/// Numbers of extensions (IANA).
mod extension {
    pub const SERVER_NAME: u16 = 0;
    pub const SUPPORTED_GROUPS: u16 = 10;
    pub const EC_POINT_FORMATS: u16 = 11;
    pub const SIGNATURE_ALGORITHMS: u16 = 13;
    pub const ALPN: u16 = 16;
    pub const EXTENDED_MASTER_SECRET: u16 = 23;
    pub const SESSION_TICKET: u16 = 35;
    pub const SUPPORTED_VERSIONS: u16 = 43;
    pub const KEY_SHARE: u16 = 51;
    pub const RENEGOTIATION_INFO: u16 = 0xff01;
}

/// Numbers of alerts (IANA) that say something in answer to a hello.
pub mod alert {
    /// Nothing more will be sent.
    pub const CLOSE_NOTIFY: u8 = 0;
    /// Nothing in common.
    pub const HANDSHAKE_FAILURE: u8 = 40;
    /// This client may not.
    pub const ACCESS_DENIED: u8 = 49;
    /// The version is not spoken.
    pub const PROTOCOL_VERSION: u8 = 70;
    /// Only weaker suites in common than the server wants.
    pub const INSUFFICIENT_SECURITY: u8 = 71;
    /// A fallback to an older version was not needed (RFC 7507).
    pub const INAPPROPRIATE_FALLBACK: u8 = 86;
    /// The handshake was cancelled for another reason than the protocol.
    pub const USER_CANCELED: u8 = 90;
    /// The server has no such name.
    pub const UNRECOGNIZED_NAME: u8 = 112;
    /// None of the protocols that the client named, or it named none (RFC 7301).
    pub const NO_APPLICATION_PROTOCOL: u8 = 120;
}
