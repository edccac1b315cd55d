//! When requests are due in the open loop: at `n / rate`, by arithmetic, so that no lateness moves a later one.

use std::time::Duration;

/// The due times of a whole run.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// Rates, one stage after the other.
    Stages(Vec<Stage>, Arrivals),
    /// Times of their own, in nanoseconds from the start, in order: a replay.
    Times(Vec<u64>),
}

/// A time with one rate, or with one that changes evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// `None`: until the run ends; stages after it never come.
    pub length: Option<Duration>,
    /// Requests per second at its start.
    pub from: f64,
    /// And at its end; without a length the rate stays at `from`.
    pub to: f64,
}

/// How requests of a rate follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrivals {
    /// At equal distances.
    #[default]
    Constant,
    /// Independently of each other, as those of many users are: exponential distances.
    Poisson,
}

impl Stage {
    /// One rate until the run ends.
    pub fn for_ever(rate: f64) -> Stage {
        Stage { length: None, from: rate, to: rate }
    }

    /// How many requests are due in it.
    fn requests(&self) -> f64 {
        self.length.map_or(f64::INFINITY, |length| (self.from + self.to) / 2.0 * length.as_secs_f64())
    }

    /// Seconds after its start when `n` of them were due: the inverse of `from t + k t^2 / 2`.
    fn time_of(&self, n: f64) -> f64 {
        let slope = self.length.map_or(0.0, |length| (self.to - self.from) / length.as_secs_f64());
        let root = (self.from * self.from + 2.0 * slope * n).max(0.0).sqrt();
        if n <= 0.0 { 0.0 } else { 2.0 * n / (self.from + root) }
    }
}

impl Schedule {
    /// When the `n`th request is due, from 0, in nanoseconds; between two of them for a fraction. `None` when there are
    /// not so many.
    pub fn due(&self, n: f64) -> Option<u64> {
        let stages = match self {
            Schedule::Stages(stages, _) => stages,
            Schedule::Times(times) => return times.get(n as usize).copied(),
        };
        let (mut left, mut begun) = (n, Duration::ZERO);
        for stage in stages {
            if left < stage.requests() {
                let due = begun.as_secs_f64() + stage.time_of(left);
                return Some((due * 1e9) as u64);
            }
            left -= stage.requests();
            begun += stage.length.unwrap_or_default();
        }
        None
    }

    /// How long it lasts. `None`: until something else ends the run, or the last request of a replay is sent, however
    /// late: what was logged is not left out because a server is slow.
    pub fn length(&self) -> Option<Duration> {
        match self {
            Schedule::Stages(stages, _) => stages.iter().map(|stage| stage.length).sum(),
            Schedule::Times(_) => None,
        }
    }

    /// How many requests are due in the time from the start, on average.
    pub fn requests_within(&self, time: Duration) -> f64 {
        let stages = match self {
            Schedule::Stages(stages, _) => stages,
            Schedule::Times(times) => {
                return times.partition_point(|due| u128::from(*due) < time.as_nanos()) as f64;
            }
        };
        let (mut left, mut requests) = (time.as_secs_f64(), 0.0);
        for stage in stages {
            let length = stage.length.map_or(f64::INFINITY, |length| length.as_secs_f64());
            let t = left.min(length);
            let slope = if length.is_finite() { (stage.to - stage.from) / length } else { 0.0 };
            requests += stage.from * t + slope * t * t / 2.0;
            left -= t;
        }
        requests
    }

    pub(super) fn arrivals(&self) -> Arrivals {
        match self {
            Schedule::Stages(_, arrivals) => *arrivals,
            Schedule::Times(_) => Arrivals::Constant,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(stages: &[(u64, f64, f64)]) -> Schedule {
        let stage = |&(length, from, to): &(u64, f64, f64)| Stage {
            length: Some(Duration::from_secs(length)),
            from,
            to,
        };
        Schedule::Stages(stages.iter().map(stage).collect(), Arrivals::Constant)
    }

    #[test]
    fn a_rate_is_kept_for_ever() {
        let schedule = Schedule::Stages(vec![Stage::for_ever(1000.0)], Arrivals::Constant);
        assert_eq!(schedule.due(0.0), Some(0));
        assert_eq!(schedule.due(1.0), Some(1_000_000));
        assert_eq!(schedule.due(86_400_000.0), Some(86_400_000_000_000));
        assert_eq!(schedule.length(), None);
        assert_eq!(schedule.requests_within(Duration::from_secs(2)), 2000.0);
    }

    #[test]
    fn stages_follow_each_other_and_end() {
        let schedule = stages(&[(10, 100.0, 100.0), (5, 0.0, 0.0), (30, 1000.0, 1000.0)]);
        assert_eq!(schedule.due(999.0), Some(9_990_000_000));
        assert_eq!(schedule.due(1000.0), Some(15_000_000_000));
        assert_eq!(schedule.due(31_000.0), None);
        assert_eq!(schedule.length(), Some(Duration::from_secs(45)));
        assert_eq!(schedule.requests_within(Duration::from_secs(16)), 2000.0);
    }

    #[test]
    fn a_ramp_reaches_its_rate_evenly() {
        let up = stages(&[(10, 0.0, 100.0)]);
        // Half of the time has a quarter of the requests.
        assert_eq!(up.due(125.0), Some(5_000_000_000));
        assert_eq!((up.due(0.0), up.due(500.0)), (Some(0), None));
        let down = stages(&[(10, 100.0, 0.0)]);
        assert_eq!(down.due(375.0), Some(5_000_000_000));
        assert_eq!(down.requests_within(Duration::from_secs(5)), 375.0);
    }

    #[test]
    fn a_replay_has_its_own_times() {
        let replay = Schedule::Times(vec![0, 5, 5, 9]);
        assert_eq!([0.0, 2.0, 3.0, 4.0].map(|n| replay.due(n)), [Some(0), Some(5), Some(9), None]);
        assert_eq!(replay.requests_within(Duration::from_nanos(9)), 3.0);
    }
}
