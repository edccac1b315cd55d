//! How TLS should be spoken: the guidelines that are built in, and those of a file.
//!
//! Pure. Refuses to pass what was not found out.

use super::chain::Certificate;
use super::finding::Finding;
use super::prober::Protocol;
use super::session::Session;

/// How TLS should be spoken.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// With its version, such as `intermediate-6.0`.
    pub name: String,
}

/// Judges what was seen.
#[must_use]
pub fn judge(_: &Policy, _: &Protocol, _: Option<&Session>, _: &[Certificate]) -> Vec<Finding> {
    Vec::new()
}
