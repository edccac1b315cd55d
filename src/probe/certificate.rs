//! The certificate that a target served: when it ends, and whether that is too soon.
//!
//! Refuses to say whether it is to be believed: that is for the handshake.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::reason::{Fault, Reason};
use crate::tls::chain::days_left;
use crate::tls::life::Life;
use crate::tls::threshold::Threshold;
use crate::units::counted;

/// When a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CertificateReport {
    /// Its last second; RFC 3339, UTC.
    pub not_after: String,
    /// Whole days until then, negative after it.
    pub days_left: i64,
    /// Somebody should see to it: so little is left that `hardy tls check` would call it a failure.
    #[serde(skip)]
    pub is_short: bool,
}

impl CertificateReport {
    /// Of a leaf in DER; `None` when it is none.
    pub fn of(leaf: &[u8], now: Timestamp) -> Option<CertificateReport> {
        let life = Life::of(leaf)?;
        Some(CertificateReport {
            not_after: life.not_after.to_string(),
            days_left: days_left(leaf, now)?,
            is_short: life.is_short_of(Threshold::CRIT, now),
        })
    }
}

/// Whether so much is left of the leaf that was served, in DER.
///
/// # Errors
/// [`Reason::TlsCertificateExpiresSoon`] when it is less, or when none was served.
pub fn check(least: Threshold, leaf: Option<&[u8]>, now: Timestamp) -> Result<(), Fault> {
    let short = |detail: String| Err(Reason::TlsCertificateExpiresSoon.because(detail));
    let Some(leaf) = leaf else { return short("no certificate was served".to_owned()) };
    let (Some(life), Some(days)) = (Life::of(leaf), days_left(leaf, now)) else {
        return short("the certificate that was served cannot be read".to_owned());
    };
    let end = life.not_after;
    match u64::try_from(days) {
        _ if !life.is_short_of(least, now) => Ok(()),
        Ok(days) => short(format!(
            "expected {least} left of the certificate, which ends in {} at {end}",
            counted(days, "day")
        )),
        Err(_) => short(format!("expected {least} left of the certificate, which ran out at {end}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf() -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap();
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2026, 1, 1), rcgen::date_time_ymd(2026, 4, 11));
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn too_little_left_is_a_failure_that_says_how_much() {
        let leaf = leaf();
        let check = |least: &str, now: &str| {
            check(least.parse().unwrap(), Some(&leaf), now.parse().unwrap()).map_err(|fault| fault.detail)
        };
        assert_eq!(check("14d", "2026-03-28T00:00:00Z"), Ok(()));
        let detail = "expected 14d left of the certificate, which ends in 13 days at 2026-04-11T00:00:00Z";
        assert_eq!(check("14d", "2026-03-28T00:00:01Z").unwrap_err(), detail);
        assert_eq!(check("33%", "2026-03-09T00:00:00Z"), Ok(()));
        assert!(check("33%", "2026-03-09T00:00:01Z").unwrap_err().starts_with("expected 33% left"));
        let detail = "expected 0s left of the certificate, which ran out at 2026-04-11T00:00:00Z";
        assert_eq!(check("0s", "2026-04-11T00:00:01Z").unwrap_err(), detail);
    }

    #[test]
    fn what_was_not_served_is_no_pass() {
        let at = |leaf| check(Threshold::Percent(0), leaf, Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(at(None).detail, "no certificate was served");
        assert_eq!(at(Some(b"x")).reason, Reason::TlsCertificateExpiresSoon);
    }

    #[test]
    fn a_report_has_the_end_and_the_days() {
        let of = |now: &str| CertificateReport::of(&leaf(), now.parse().unwrap()).unwrap();
        let report = of("2026-03-01T12:00:00Z");
        assert_eq!((report.not_after.as_str(), report.days_left), ("2026-04-11T00:00:00Z", 40));
        assert!(!report.is_short && of("2026-04-01T00:00:00Z").is_short);
        assert_eq!(of("2026-04-11T12:00:00Z").days_left, -1);
        assert_eq!(CertificateReport::of(b"", Timestamp::UNIX_EPOCH), None);
    }
}
