//! From when until when a certificate is valid, and whether enough of that is left.
//!
//! Refuses to judge anything else of a certificate, and to read a clock: the time comes in.

use std::time::Duration;

use jiff::Timestamp;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::threshold::Threshold;

/// The validity of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Its first second.
    pub not_before: Timestamp,
    /// Its last second.
    pub not_after: Timestamp,
}

impl Life {
    /// What a certificate in DER says of itself; `None` when it is none.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<Life> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        let at = |time: i64| Timestamp::from_second(time).ok();
        Some(Life {
            not_before: at(validity.not_before.timestamp())?,
            not_after: at(validity.not_after.timestamp())?,
        })
    }

    /// Whether less than the threshold is left.
    #[must_use]
    pub fn is_short_of(&self, threshold: Threshold, now: Timestamp) -> bool {
        span(now, self.not_after) < threshold.of(span(self.not_before, self.not_after))
            || now > self.not_after
    }
}

/// From one to the other; nothing when that is over.
fn span(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(days: i64) -> Life {
        let at = |day: i64| Timestamp::from_second(day * 86_400).unwrap();
        Life { not_before: at(0), not_after: at(days) }
    }

    #[test]
    fn it_is_short_before_its_end_and_ever_after() {
        let at = |day: i64| Timestamp::from_second(day * 86_400).unwrap();
        let short = |day| life(90).is_short_of("14d".parse().unwrap(), at(day));
        assert_eq!([75, 76, 77, 90, 91].map(short), [false, false, true, true, true]);
        assert!(!life(6).is_short_of(Threshold::CRIT, at(4)) && life(6).is_short_of(Threshold::CRIT, at(6)));
        assert!(life(90).is_short_of(Threshold::Percent(0), at(91)));
    }

    #[test]
    fn what_is_no_certificate_has_none() {
        assert_eq!(Life::of(b""), None);
        assert_eq!(Life::of(b"\x30\x03\x02\x01\x01"), None);
        let made = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let life = Life::of(made.cert.der()).unwrap();
        assert_eq!(life.not_after.to_string(), "4096-01-01T00:00:00Z");
    }
}
