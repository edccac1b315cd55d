//! Durations, sizes, rates and percentages as people write them: `250ms`, `64KiB`, `500/s`, `5%`.
//! Anything else is an error that shows the form; a number without its unit is never guessed at.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is not of the expected form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct FormError(&'static str);

/// A span of time: `250ms`, `10s`, `1m30s`, `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub time::Duration);

/// How long one is ready to wait: a duration, or `forever`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// That long.
    For(time::Duration),
    /// As long as it takes.
    Forever,
}

/// A number of bytes: `512B`, `64KiB`, `1MiB`; powers of ten as `kB`, `MB`, `GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Events per second: `500/s`, `30/m`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(pub f64);

/// A share of a hundred: `5%`, `0.1%`; between 0 and 100.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percent(pub f64);

const DURATION: FormError = FormError("a duration such as 250ms, 10s, 5m or 30d");
const WAIT: FormError = FormError("a duration such as 250ms, 10s, 5m or 30d, or `forever`");
const SIZE: FormError = FormError("a size such as 512B, 64KiB or 1MiB");
const RATE: FormError = FormError("a rate such as 500/s or 30/m");
const PERCENT: FormError = FormError("a percentage such as 5% or 0.1%, at most 100%");

/// Units of time in nanoseconds, longest first.
const TIME_UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Units of size in bytes; those that print come first, largest first.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];

impl FromStr for Duration {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, FormError> {
        let mut rest = text;
        let mut nanos = 0u64;
        while !rest.is_empty() {
            let (number, after) = leading_number(rest).ok_or(DURATION)?;
            let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, after) = after.split_at(end);
            let part = scaled(number, unit, &TIME_UNITS).ok_or(DURATION)?;
            nanos = nanos.checked_add(part).ok_or(DURATION)?;
            rest = after;
        }
        if text.is_empty() { Err(DURATION) } else { Ok(Duration(time::Duration::from_nanos(nanos))) }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        match TIME_UNITS.iter().find(|(_, unit)| nanos > 0 && nanos.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", nanos / unit),
            None => f.write_str("0s"),
        }
    }
}

impl FromStr for Wait {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, FormError> {
        match text {
            "forever" => Ok(Wait::Forever),
            _ => text.parse::<Duration>().map(|Duration(span)| Wait::For(span)).map_err(|_| WAIT),
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wait::Forever => f.write_str("forever"),
            Wait::For(span) => Duration(*span).fmt(f),
        }
    }
}

impl FromStr for Size {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, FormError> {
        let (number, unit) = leading_number(text).ok_or(SIZE)?;
        scaled(number, unit, &SIZE_UNITS).map(Size).ok_or(SIZE)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printed = &SIZE_UNITS[..4];
        match printed.iter().find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => f.write_str("0B"),
        }
    }
}

impl FromStr for Rate {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, FormError> {
        let (number, unit) = leading_number(text).ok_or(RATE)?;
        let number: f64 = number.parse().map_err(|_| RATE)?;
        let per_second = match unit {
            "/s" => number,
            "/m" => number / 60.0,
            "/h" => number / 3600.0,
            _ => return Err(RATE),
        };
        Ok(Rate(per_second))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

impl FromStr for Percent {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, FormError> {
        match leading_number(text) {
            Some((number, "%")) => {
                let percent: f64 = number.parse().map_err(|_| PERCENT)?;
                if percent <= 100.0 { Ok(Percent(percent)) } else { Err(PERCENT) }
            }
            _ => Err(PERCENT),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// Splits `1.5s` into `1.5` and `s`; no sign, no exponent.
fn leading_number(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    number.parse::<f64>().ok().map(|_| (number, rest))
}

fn scaled(number: &str, unit: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(*factor);
    }
    let value = number.parse::<f64>().ok()? * *factor as f64;
    (value < u64::MAX as f64).then_some(value.round() as u64)
}

/// A measured time for people: three significant digits, `412us`, `1.23ms`, `41.2ms`, `2m03s`.
pub fn brief(duration: time::Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    let (value, unit) = match micros {
        m if m < 999.5 => (m, "us"),
        m if m < 999_500.0 => (m / 1e3, "ms"),
        m if m < 59_950_000.0 => (m / 1e6, "s"),
        _ => {
            let seconds = duration.as_secs_f64().round() as u64;
            return match seconds {
                s if s < 3600 => format!("{}m{:02}s", s / 60, s % 60),
                s if s < 86_400 => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
                s => format!("{}d{:02}h", s / 86_400, s % 86_400 / 3600),
            };
        }
    };
    let digits = match value {
        v if unit == "us" || v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$}{unit}")
}

/// A number for people, its digits in groups of three: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let places = (0..digits.len()).rev();
    digits.chars().zip(places).fold(String::new(), |mut text, (digit, place)| {
        text.push(digit);
        if place > 0 && place % 3 == 0 {
            text.push(',');
        }
        text
    })
}

/// A measured rate for people, as it would be typed: `0.25/s`, `12.5/s`, `81,234/s`.
pub fn brief_rate(per_second: f64) -> String {
    match per_second {
        r if r < 9.995 => format!("{r:.2}/s"),
        r if r < 99.95 => format!("{r:.1}/s"),
        r => format!("{}/s", grouped(r.round() as u64)),
    }
}

/// Many things in a few columns: `950`, `12.3k`, `1.20M`.
pub fn brief_count(number: f64) -> String {
    let scales = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    three_digits(number, &scales).unwrap_or_else(|| format!("{number:.0}"))
}

/// A measured size for people: `512B`, `1.50KiB`, `23.4MiB`.
pub fn brief_size(bytes: u64) -> String {
    let power = |n: i32| 1024f64.powi(n);
    let scales =
        [(power(5), "PiB"), (power(4), "TiB"), (power(3), "GiB"), (power(2), "MiB"), (power(1), "KiB")];
    three_digits(bytes as f64, &scales).unwrap_or_else(|| format!("{bytes}B"))
}

/// In the largest of the scales that it reaches.
fn three_digits(number: f64, scales: &[(f64, &str)]) -> Option<String> {
    let (scale, unit) = scales.iter().find(|(scale, _)| number >= *scale)?;
    let value = number / scale;
    let digits = match value {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    Some(format!("{value:.digits$}{unit}"))
}

/// A number of things in words: `1 target`, `2 targets`.
pub fn counted(number: impl TryInto<u64>, thing: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// serde and JSON Schema by way of `FromStr` and `Display`.
macro_rules! written_as_text {
    ($($unit:ident: $form:expr, $pattern:literal;)*) => {$(
        impl Serialize for $unit {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $unit {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $unit;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($form.0)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$unit, E> {
                        text.parse().map_err(|e| E::custom(format!("invalid value {text:?}: {e}")))
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }

        impl JsonSchema for $unit {
            fn schema_name() -> Cow<'static, str> {
                stringify!($unit).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $form.0, "pattern": $pattern })
            }
        }
    )*};
}

written_as_text! {
    Duration: DURATION, r"^([0-9.]+(ns|us|ms|s|m|h|d))+$";
    Wait: WAIT, r"^(forever|([0-9.]+(ns|us|ms|s|m|h|d))+)$";
    Size: SIZE, r"^[0-9.]+(B|kB|MB|GB|KiB|MiB|GiB)$";
    Rate: RATE, r"^[0-9.]+/[smh]$";
    Percent: PERCENT, r"^[0-9.]+%$";
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nanos(text: &str) -> Result<u128, FormError> {
        text.parse::<Duration>().map(|d| d.0.as_nanos())
    }

    #[test]
    fn durations() {
        assert_eq!(nanos("250ms"), Ok(250_000_000));
        assert_eq!(nanos("1.5s"), Ok(1_500_000_000));
        assert_eq!(nanos("1m30s"), Ok(90_000_000_000));
        assert_eq!(nanos("30d"), Ok(2_592_000_000_000_000));
        assert_eq!(nanos("0s"), Ok(0));
        for bad in
            ["", "5", "s", "-1s", "1 s", "1e3s", "5sec", "1s2", "1.2.3s", "99999999999d", "NaNs", "1µs"]
        {
            assert_eq!(nanos(bad), Err(DURATION), "{bad:?}");
        }
    }

    #[test]
    fn sizes_rates_and_percentages() {
        assert_eq!("64KiB".parse(), Ok(Size(65_536)));
        assert_eq!("1.5kB".parse(), Ok(Size(1_500)));
        assert_eq!("64".parse::<Size>(), Err(SIZE));
        assert_eq!("500/s".parse(), Ok(Rate(500.0)));
        assert_eq!("30/m".parse(), Ok(Rate(0.5)));
        assert_eq!("500".parse::<Rate>(), Err(RATE));
        assert_eq!("0.1%".parse(), Ok(Percent(0.1)));
        assert_eq!("101%".parse::<Percent>(), Err(PERCENT));
        assert_eq!("50".parse::<Percent>(), Err(PERCENT));
    }

    #[test]
    fn measured_times_have_three_digits() {
        let brief = |micros| brief(time::Duration::from_micros(micros));
        assert_eq!(brief(0), "0us");
        assert_eq!(brief(412), "412us");
        assert_eq!(brief(1_234), "1.23ms");
        assert_eq!(brief(41_249), "41.2ms");
        assert_eq!(brief(212_400), "212ms");
        assert_eq!(brief(999_700), "1.00s");
        assert_eq!(brief(123_000_000), "2m03s");
        assert_eq!(brief(90_000_000_000), "1d01h");
    }

    #[test]
    fn measured_numbers_are_short() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 9.99, 12.34, 81_234.4].map(brief_rate), ["0.00/s", "9.99/s", "12.3/s", "81,234/s"]);
        assert_eq!(
            [0.0, 999.0, 1200.0, 12_345.0, 5e14].map(brief_count),
            ["0", "999", "1.20k", "12.3k", "500T"]
        );
        let sizes = [0, 1023, 1536, 24 << 20, u64::MAX].map(brief_size);
        assert_eq!(sizes, ["0B", "1023B", "1.50KiB", "24.0MiB", "16384PiB"]);
    }

    proptest! {
        #[test]
        fn what_prints_reads_back(nanos in 0u64..u64::MAX, bytes: u64) {
            let duration = Duration(time::Duration::from_nanos(nanos));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
            prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = (text.parse::<Duration>(), text.parse::<Size>(), text.parse::<Rate>(), text.parse::<Percent>());
        }
    }
}
