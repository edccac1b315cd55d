//! A histogram as text, to be kept in a file: HdrHistogram V2, packed with zlib, in base64, as every
//! implementation of HdrHistogram reads and writes it (<https://github.com/HdrHistogram/HdrHistogram>).
//!
//! Beside it stands what buckets lose: the exact count, sum, minimum and maximum. Samples that were kept one by one
//! are put in buckets. What is read may come from anybody: it is unpacked to a limit, and checked before it is used.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use super::{Buckets, Histogram, LONGEST_US, empty, merge_into};

/// A histogram of three digits that counts microseconds up to an hour takes at most 9 bytes for each of 25,000 buckets.
const LONGEST: u64 = 1 << 18;
/// More samples than any run has; sums of several such counts do not overflow.
const MOST: u64 = 1 << 53;
/// Before the zlib stream: this, and its length.
const PACKED: [u8; 4] = [0x1c, 0x84, 0x93, 0x14];
const PACKED_HEADER: usize = 8;
/// Cookie, length, offset, digits, lowest, highest, ratio.
const HEADER: usize = 40;

/// A histogram as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encoded {
    /// Samples.
    pub count: u64,
    /// Of all samples; exact, up to half a million years.
    pub sum_us: u64,
    /// Shortest.
    pub min_us: u64,
    /// Longest.
    pub max_us: u64,
    /// HdrHistogram V2 of microseconds, packed, in base64.
    pub v2: String,
}

/// Why a text is no histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    /// Not even base64 and zlib.
    #[error("not base64 of a packed HdrHistogram V2")]
    Text,
    /// It unpacks to something else.
    #[error("not an HdrHistogram V2 of three digits, in microseconds up to an hour")]
    Content,
    /// Count, minimum and maximum beside it are of another one.
    #[error("it does not have the count, minimum and maximum that stand beside it")]
    Contradiction,
}

impl Encoded {
    /// The text of the histogram.
    pub fn new(histogram: &Histogram) -> Encoded {
        let mut all = histogram.clone();
        Encoded {
            count: histogram.count,
            sum_us: u64::try_from(histogram.sum_us).unwrap_or(u64::MAX),
            min_us: histogram.min_us,
            max_us: histogram.max_us,
            v2: BASE64.encode(packed(all.buckets())),
        }
    }

    /// The histogram of the text.
    ///
    /// # Errors
    /// It is not one that [`Encoded::new`] wrote.
    pub fn decode(&self) -> Result<Histogram, Damaged> {
        let buckets = unpacked(&self.v2)?;
        let honest = buckets.len() == self.count && self.count < MOST && self.min_us <= self.max_us;
        if !honest {
            return Err(Damaged::Contradiction);
        }
        Ok(Histogram {
            few: Vec::new(),
            many: Some(buckets),
            count: self.count,
            sum_us: self.sum_us.into(),
            min_us: self.min_us,
            max_us: self.max_us,
        })
    }
}

#[expect(clippy::expect_used, reason = "memory takes any number of bytes, and no count is near 2^63")]
fn packed(buckets: &Buckets) -> Vec<u8> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(buckets, &mut bytes).expect("a histogram in memory");
    bytes
}

fn unpacked(text: &str) -> Result<Buckets, Damaged> {
    let bytes = BASE64.decode(text).map_err(|_| Damaged::Text)?;
    let (header, stream) = bytes.split_at_checked(PACKED_HEADER).ok_or(Damaged::Text)?;
    if header[..4] != PACKED || header[4..] != (stream.len() as u32).to_be_bytes() {
        return Err(Damaged::Text);
    }
    let mut plain = Vec::new();
    flate2::read::ZlibDecoder::new(stream)
        .take(LONGEST)
        .read_to_end(&mut plain)
        .map_err(|_| Damaged::Text)?;
    if !is_ours(&plain) {
        return Err(Damaged::Content);
    }
    let found: Buckets = Deserializer::new().deserialize(&mut &plain[..]).map_err(|_| Damaged::Content)?;
    if found.max() > 2 * LONGEST_US {
        return Err(Damaged::Content);
    }
    // One that grows, as ours do; what was read does not.
    let mut buckets = empty();
    merge_into(&mut buckets, &found);
    Ok(buckets)
}

/// Whether the library can be trusted with it: it believes the length that it reads, and negates the smallest number.
fn is_ours(plain: &[u8]) -> bool {
    let number = |at: usize| {
        plain.get(at..at + 4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
    };
    let lowest = plain.get(16..24) == Some(&1u64.to_be_bytes());
    let length = number(4).map(|length| length as usize + HEADER);
    // Nine such bytes are the smallest number; nothing else has so many in a row.
    let smallest = plain.windows(9).any(|nine| nine.iter().all(|byte| *byte == 0xff));
    number(12) == Some(3) && lowest && length == Some(plain.len()) && !smallest
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::super::tests::of;
    use super::*;

    #[test]
    fn others_know_it_by_its_first_letters() {
        let encoded = Encoded::new(&of([1, 2, 3]));
        assert!(encoded.v2.starts_with("HISTFAAA"), "{}", encoded.v2);
        assert_eq!(
            Encoded::new(&Histogram::new()).decode().map(|h| h.summary()),
            Ok(Histogram::new().summary())
        );
    }

    #[test]
    fn what_was_read_grows_like_any_other() {
        let mut small = Encoded::new(&of([1, 2, 3])).decode().unwrap();
        small.merge(&of([u64::MAX; 300]));
        small.record(std::time::Duration::from_secs(100));
        assert_eq!((small.count(), small.summary().max_us), (304, Some(u64::MAX)));
    }

    #[test]
    fn contradictions_are_seen() {
        let good = Encoded::new(&of(1..500));
        for bad in [
            Encoded { count: 498, ..good.clone() },
            Encoded { min_us: 500, ..good.clone() },
            Encoded { max_us: 0, ..good.clone() },
        ] {
            assert_eq!(bad.decode().unwrap_err(), Damaged::Contradiction);
        }
    }

    fn packed_bytes(plain: &[u8]) -> Encoded {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(plain).unwrap();
        let stream = zlib.finish().unwrap();
        let bytes = [&PACKED[..], &(stream.len() as u32).to_be_bytes(), &stream].concat();
        Encoded { count: 0, sum_us: 0, min_us: 0, max_us: 0, v2: BASE64.encode(bytes) }
    }

    fn header(length: u32, lowest: u64, highest: u64, digits: u32) -> Vec<u8> {
        let mut plain = vec![0x1c, 0x84, 0x93, 0x13];
        plain.extend(length.to_be_bytes());
        plain.extend(0u32.to_be_bytes());
        plain.extend(digits.to_be_bytes());
        plain.extend(lowest.to_be_bytes());
        plain.extend(highest.to_be_bytes());
        plain.extend(1f64.to_be_bytes());
        plain
    }

    #[test]
    fn what_would_harm_is_refused() {
        let nothing = header(0, 1, 3_600_000_000, 3);
        assert!(packed_bytes(&nothing).decode().is_ok());
        let mut smallest = header(9, 1, 3_600_000_000, 3);
        smallest.extend([0xff; 9]);
        let mut far = header(6, 1, u64::MAX, 3);
        // 40,000 empty buckets and then a count.
        far.extend([0xff, 0xf0, 0x04, 0x02, 0x02, 0x02]);
        for bad in
            [smallest, far, header(u32::MAX, 1, 1000, 3), header(0, 1, 1000, 5), vec![0; 1 << 20], vec![]]
        {
            assert_eq!(packed_bytes(&bad).decode().unwrap_err(), Damaged::Content);
        }
        for text in ["", "HISTFAAA", "!", "SElTVA=="] {
            let bad = Encoded { v2: text.into(), ..packed_bytes(&[]) };
            assert_eq!(bad.decode().unwrap_err(), Damaged::Text, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_round_trip_keeps_counts_and_quantiles(samples in prop::collection::vec(0..2 * LONGEST_US, 0..2000)) {
            let before = of(samples);
            let after = Encoded::new(&before).decode().unwrap();
            let (mut old, mut new) = (before.quantiles(), after.quantiles());
            for (old, new) in [
                (&mut old.p50_us, &mut new.p50_us), (&mut old.p75_us, &mut new.p75_us), (&mut old.p90_us, &mut new.p90_us),
                (&mut old.p95_us, &mut new.p95_us), (&mut old.p99_us, &mut new.p99_us), (&mut old.p999_us, &mut new.p999_us),
            ] {
                prop_assert_eq!(old.is_some(), new.is_some());
                let (old, new) = (old.take().unwrap_or(0).min(LONGEST_US), new.take().unwrap_or(0).min(LONGEST_US));
                prop_assert!(old.abs_diff(new) <= old / 1000 + 1, "{} {}", old, new);
            }
            prop_assert_eq!(old, new, "count, minimum, mean and maximum are exact");
        }

        #[test]
        fn no_bytes_panic(plain in prop::collection::vec(any::<u8>(), 0..200), text: String) {
            let mut with_header = header(plain.len() as u32, 1, 3_600_000_000, 3);
            with_header.extend(&plain);
            for bad in [packed_bytes(&plain), packed_bytes(&with_header), Encoded { v2: text, ..packed_bytes(&[]) }] {
                let _ = bad.decode().map(|mut found| found.merge(&found.clone()));
            }
        }
    }
}
