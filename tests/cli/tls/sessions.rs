//! What is spoken with real servers.
