//! Proofs that a certificate was logged (RFC 6962), as far as they are in the certificate itself.
//!
//! Refuses to verify them, which takes the keys of all logs, and to ask them of authorities that are not public.

use x509_parser::extensions::ParsedExtension;

use super::dates;
use super::link::Link;
use super::path::Path;
use crate::tls::finding::{Finding, Status};

/// Certificates that live longer than this need one proof more.
const SHORT: i64 = 180 * 86_400;

pub(super) fn judge(leaf: &Link<'_>, path: &Path<'_>) -> Finding {
    let finding = |status| Finding::new("cert.sct", status, "leaf");
    if !path.root.as_ref().is_some_and(|root| root.is_public) {
        return finding(Status::Skip).actual("not issued by a public authority that is known here");
    }
    let proofs = leaf.x509.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SCT(proofs) => Some(proofs.len()),
        _ => None,
    });
    let proofs = proofs.unwrap_or(0);
    let (from, until) = dates::window(leaf);
    let least = if until - from > SHORT { 3 } else { 2 };
    let status = if proofs < least { Status::Warn } else { Status::Pass };
    let finding =
        finding(status).expected(format!(">= {least} SCTs")).actual(format!("{proofs} in the certificate"));
    match status {
        Status::Warn => {
            finding.fix("have it issued with SCTs, unless the server sends them itself: browsers insist")
        }
        _ => finding,
    }
}
