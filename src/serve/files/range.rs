//! `Range` (RFC 9110, 14.2) as http-serve understands it: numbers that fit into 64 bits, suffixes no longer than
//! the file. What asks for more than there is in total is ignored, as the RFC proposes.

use hyper::header::HeaderValue;

/// Ranges in one request; more are no request for parts any more.
const MOST: usize = 32;

/// The same ranges of a file of `length` bytes in their plainest form; `None`: to be ignored.
pub(super) fn fit(text: &str, length: u64) -> Option<HeaderValue> {
    let (unit, set) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.split(',').count() > MOST {
        return None;
    }
    let mut total = 0_u64;
    let mut fitting = Vec::new();
    for part in set.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = bounds(part, length)?;
        if first < length {
            total = total.saturating_add(last - first + 1);
        }
        fitting.push(format!("{first}-{last}"));
    }
    if fitting.is_empty() || (fitting.len() > 1 && total > length) {
        return None;
    }
    HeaderValue::try_from(format!("bytes={}", fitting.join(","))).ok()
}

/// First and last byte. The first one is not below `length` if there is nothing to send.
fn bounds(part: &str, length: u64) -> Option<(u64, u64)> {
    let nothing = (length, length);
    let (first, last) = part.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    match (first, last) {
        (None, None) => None,
        (None, Some(0)) => Some(nothing),
        (None, Some(count)) if length > 0 => Some((length.saturating_sub(count), length - 1)),
        (Some(first), Some(last)) if last < first => None,
        (Some(first), last) if first < length => Some((first, last.unwrap_or(u64::MAX).min(length - 1))),
        _ => Some(nothing),
    }
}

/// `Some(None)`: no number is given; one that does not fit is as good as the largest that does.
fn number(text: &str) -> Option<Option<u64>> {
    match text {
        "" => Some(None),
        _ if !text.bytes().all(|byte| byte.is_ascii_digit()) => None,
        _ => Some(Some(text.parse().unwrap_or(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fitted(text: &str, length: u64) -> Option<String> {
        fit(text, length).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn ranges_are_brought_inside() {
        for (text, expected) in [
            ("bytes=0-3", Some("bytes=0-3")),
            ("Bytes=5-", Some("bytes=5-9")),
            ("bytes=-2", Some("bytes=8-9")),
            ("bytes=-0", Some("bytes=10-10")),
            ("bytes=-11", Some("bytes=0-9")),
            ("bytes=0-18446744073709551615", Some("bytes=0-9")),
            ("bytes=-99999999999999999999999", Some("bytes=0-9")),
            ("bytes=99999999999999999999999-", Some("bytes=10-10")),
            ("bytes=0-0, -1", Some("bytes=0-0,9-9")),
            ("bytes=0-4,5-", Some("bytes=0-4,5-9")),
            ("bytes=0-,-1", None),
            ("bytes=3-2", None),
            ("bytes=-", None),
            ("bytes=", None),
            ("bytes=+1-2", None),
            ("bytes=1-2-3", None),
            ("lines=1-2", None),
            ("bytes", None),
        ] {
            assert_eq!(fitted(text, 10).as_deref(), expected, "{text}");
        }
        assert_eq!(fitted("bytes=0-", 0).as_deref(), Some("bytes=0-0"));
        assert_eq!(fitted("bytes=-5", 0).as_deref(), Some("bytes=0-0"));
        assert_eq!(fitted(&format!("bytes={}", vec!["1-1"; MOST + 1].join(",")), 1_000), None);
    }

    proptest! {
        #[test]
        fn nothing_is_larger_than_the_file(text in "bytes=[0-9,\\-]{0,40}", length in 0_u64..1_000) {
            if let Some(fitted) = fitted(&text, length) {
                for part in fitted.trim_start_matches("bytes=").split(',') {
                    let (first, last) = part.split_once('-').unwrap();
                    prop_assert!(first.parse::<u64>().unwrap() <= last.parse().unwrap());
                    prop_assert!(last.parse::<u64>().unwrap() <= length);
                }
            }
        }
    }
}
