//! Many targets at once, addresses of a name, and what changed since.
