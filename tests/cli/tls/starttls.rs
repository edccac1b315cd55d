//! TLS that begins on request.
