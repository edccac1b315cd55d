//! How much time must be left of a certificate: so many days, or a share of its whole life.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::units;

/// How much must be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// So much time.
    Left(Duration),
    /// So many hundredths of its life.
    Percent(u8),
    /// The shorter of a time and a share of its life, so that short-lived certificates do not always warn.
    Either(Duration, u8),
}

impl Threshold {
    /// 30 days or a third of its life.
    pub const WARN: Threshold = Threshold::Either(Duration::from_secs(30 * 86_400), 33);
    /// 14 days or a sixth of its life.
    pub const CRIT: Threshold = Threshold::Either(Duration::from_secs(14 * 86_400), 16);

    /// How much must be left of a certificate that lives so long.
    #[must_use]
    pub fn of(self, life: Duration) -> Duration {
        let share = |percent: u8| life / 100 * u32::from(percent);
        match self {
            Threshold::Left(time) => time,
            Threshold::Percent(percent) => share(percent),
            Threshold::Either(time, percent) => time.min(share(percent)),
        }
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Threshold, String> {
        let form =
            || format!("{text:?} is neither a time such as 30d, nor a share such as 33%, nor `30d or 33%`");
        if let Some((time, share)) = text.split_once(" or ") {
            return match (time.parse()?, share.parse()?) {
                (Threshold::Left(time), Threshold::Percent(percent)) => Ok(Threshold::Either(time, percent)),
                _ => Err(form()),
            };
        }
        if let Some(number) = text.strip_suffix('%') {
            let percent = number.parse().ok().filter(|percent| *percent <= 100);
            return percent.map(Threshold::Percent).ok_or_else(form);
        }
        let time: units::Duration = text.parse().map_err(|_| form())?;
        Ok(Threshold::Left(time.0))
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: &Duration| units::Duration(*time).to_string();
        match self {
            Threshold::Left(left) => f.write_str(&time(left)),
            Threshold::Percent(percent) => write!(f, "{percent}%"),
            Threshold::Either(left, percent) => write!(f, "{} or {percent}%", time(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_life_warns_late() {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        assert_eq!(Threshold::WARN.of(days(366)), days(30));
        assert!(Threshold::WARN.of(days(6)) < days(2));
        assert_eq!(Threshold::WARN.to_string().parse(), Ok(Threshold::WARN));
        assert_eq!(Threshold::CRIT.to_string().parse(), Ok(Threshold::CRIT));
        assert_eq!("33%".parse(), Ok(Threshold::Percent(33)));
        assert_eq!("30d".parse(), Ok(Threshold::Left(days(30))));
        for bad in ["", "%", "101%", "thirty", "30", "33% or 30d", "30d or", "30d or 20d or 5%"] {
            assert!(bad.parse::<Threshold>().is_err(), "{bad}");
        }
    }
}
