//! The numbers that make one breaker, their bounds, and the cooldown that follows from them.

use std::time::Duration;

use super::{Millis, millis};

/// What a breaker is told once. The default is the article's and Hystrix's: 1 s, 100 calls at once,
/// trip at 50 % of at least 20 calls in 10 s, try again after 5 s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The bound that the caller puts on one call. Here it only sizes the lease of a trial.
    pub timeout: Duration,
    /// Calls in flight at once through one [`Breaker`](super::Breaker); one more is rejected.
    pub max_concurrent: u32,
    /// Trip when at least this share of the window failed, 1..=100.
    pub error_threshold_percent: u8,
    /// Never trip on fewer calls than this in the window.
    pub request_volume: u32,
    /// How far back calls count.
    pub window: Duration,
    /// How many equal buckets the window is made of: its resolution.
    pub buckets: u32,
    /// The shortest time to stay open.
    pub cooldown: Duration,
    /// The cooldown doubles with each failed trial up to this.
    pub cooldown_max: Duration,
    /// Up to this share is added to each cooldown, so that many breakers do not try in step.
    pub jitter_percent: u8,
    /// Trial calls let through when half-open, and successes needed to close.
    pub trials: u32,
    /// A success that took longer counts as failed for tripping; `None`: latency never counts.
    pub slow: Option<Duration>,
    /// Where the jitter comes from: the same seed gives the same cooldowns, so give each process its own.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1),
            max_concurrent: 100,
            error_threshold_percent: 50,
            request_volume: 20,
            window: Duration::from_secs(10),
            buckets: 10,
            cooldown: Duration::from_secs(5),
            cooldown_max: Duration::from_secs(60),
            jitter_percent: 10,
            trials: 1,
            slow: None,
            seed: 0,
        }
    }
}

/// One number is out of its bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("breaker {field} must be {must}, not {got}")]
pub struct ConfigError {
    /// What it is called in the configuration.
    pub field: &'static str,
    /// What is allowed.
    pub must: &'static str,
    /// What was given.
    pub got: String,
}

/// A persisted state stays small (about 4 KiB) below these.
const MOST_BUCKETS: u32 = 60;
const MOST_TRIALS: u32 = 100;
/// How much longer than its timeout a trial may go unreported before its permit lapses.
const LEASE_MARGIN: Duration = Duration::from_secs(1);

impl Config {
    /// Checks every bound. A breaker made from a config that fails here does not panic, but what it
    /// decides means nothing.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let ms = Duration::from_millis(1);
        let rules = [
            (self.timeout >= ms, "timeout", "at least 1ms", shown(self.timeout)),
            (self.max_concurrent >= 1, "max_concurrent", "at least 1", self.max_concurrent.to_string()),
            (
                (1..=100).contains(&self.error_threshold_percent),
                "error_threshold",
                "1% to 100%",
                format!("{}%", self.error_threshold_percent),
            ),
            (self.request_volume >= 1, "volume", "at least 1", self.request_volume.to_string()),
            ((1..=MOST_BUCKETS).contains(&self.buckets), "buckets", "1 to 60", self.buckets.to_string()),
            (self.window >= ms * self.buckets, "window", "at least 1ms per bucket", shown(self.window)),
            (self.cooldown >= ms, "cooldown", "at least 1ms", shown(self.cooldown)),
            (
                self.cooldown_max >= self.cooldown,
                "cooldown_max",
                "no shorter than cooldown",
                shown(self.cooldown_max),
            ),
            (self.jitter_percent <= 100, "jitter", "0% to 100%", format!("{}%", self.jitter_percent)),
            ((1..=MOST_TRIALS).contains(&self.trials), "trials", "1 to 100", self.trials.to_string()),
            (self.slow != Some(Duration::ZERO), "slow", "longer than 0ms", shown(Duration::ZERO)),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            None => Ok(()),
            Some((_, field, must, got)) => Err(ConfigError { field, must, got }),
        }
    }

    pub(super) fn bucket_ms(&self) -> Millis {
        (millis(self.window) / u64::from(self.bucket_count())).max(1)
    }

    pub(super) fn bucket_count(&self) -> u32 {
        self.buckets.max(1)
    }

    pub(super) fn trial_count(&self) -> u32 {
        self.trials.max(1)
    }

    /// How long to stay open: `cooldown` doubled per reopening up to `cooldown_max`, and jitter on
    /// top. It depends on the arguments only, so that a replay decides the same.
    pub(super) fn cooldown_ms(&self, reopen_count: u32, generation: u64) -> Millis {
        let doubling = 1u64.checked_shl(reopen_count).unwrap_or(u64::MAX);
        let base = millis(self.cooldown).saturating_mul(doubling).min(millis(self.cooldown_max));
        let mut random = fastrand::Rng::with_seed(self.seed ^ generation);
        base.saturating_add(random.u64(0..=self.most_jitter(base)))
    }

    /// No cooldown lasts longer than this.
    pub(super) fn longest_cooldown_ms(&self) -> Millis {
        let base = millis(self.cooldown_max);
        base.saturating_add(self.most_jitter(base))
    }

    fn most_jitter(&self, base: Millis) -> Millis {
        base / 100 * u64::from(self.jitter_percent) + base % 100 * u64::from(self.jitter_percent) / 100
    }

    /// A trial that is not reported for this long no longer holds its permit.
    pub(super) fn lease_ms(&self) -> Millis {
        millis(self.timeout.saturating_add(LEASE_MARGIN))
    }
}

/// A duration as settings write it.
fn shown(duration: Duration) -> String {
    if duration.is_zero() { "0s".to_owned() } else { format!("{duration:?}").replace('µ', "u") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_articles_and_hystrixs() {
        let config = Config::default();
        assert_eq!(config.validate(), Ok(()));
        assert_eq!((config.timeout, config.max_concurrent), (Duration::from_secs(1), 100));
        assert_eq!((config.error_threshold_percent, config.request_volume), (50, 20));
        assert_eq!((config.bucket_ms(), config.cooldown), (1000, Duration::from_secs(5)));
    }

    #[test]
    fn each_bound_is_named_when_broken() {
        let zero = Duration::ZERO;
        let broken = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.validate().map_err(|error| error.field)
        };
        assert_eq!(broken(|c| c.timeout = Duration::ZERO), Err("timeout"));
        assert_eq!(broken(|c| c.max_concurrent = 0), Err("max_concurrent"));
        assert_eq!(broken(|c| c.error_threshold_percent = 0), Err("error_threshold"));
        assert_eq!(broken(|c| c.error_threshold_percent = 101), Err("error_threshold"));
        assert_eq!(broken(|c| c.request_volume = 0), Err("volume"));
        assert_eq!(broken(|c| c.buckets = 0), Err("buckets"));
        assert_eq!(broken(|c| c.buckets = 61), Err("buckets"));
        assert_eq!(broken(|c| c.window = Duration::from_millis(9)), Err("window"));
        assert_eq!(broken(|c| c.cooldown = Duration::ZERO), Err("cooldown"));
        assert_eq!(broken(|c| c.cooldown_max = Duration::from_secs(4)), Err("cooldown_max"));
        assert_eq!(broken(|c| c.jitter_percent = 101), Err("jitter"));
        assert_eq!(broken(|c| c.trials = 0), Err("trials"));
        assert_eq!(broken(|c| c.slow = Some(Duration::ZERO)), Err("slow"));
        let error = Config { timeout: zero, ..Config::default() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "breaker timeout must be at least 1ms, not 0s");
    }

    #[test]
    fn the_cooldown_doubles_up_to_its_maximum() {
        let config = Config { jitter_percent: 0, ..Config::default() };
        let seconds: Vec<u64> = (0..6).map(|reopened| config.cooldown_ms(reopened, 1) / 1000).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 60, 60]);
        assert_eq!(config.cooldown_ms(u32::MAX, 1), 60_000);
    }

    #[test]
    fn jitter_adds_at_most_its_share_and_differs_between_seeds() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let config = Config { seed, ..Config::default() };
            let cooldown = config.cooldown_ms(0, 7);
            assert!((5000..=5500).contains(&cooldown), "{cooldown}");
            assert_eq!(cooldown, config.cooldown_ms(0, 7), "the same arguments, another cooldown");
            assert!(config.cooldown_ms(9, 7) <= config.longest_cooldown_ms());
            seen.insert(cooldown);
        }
        assert!(seen.len() > 25, "only {} different cooldowns", seen.len());
    }

    #[test]
    fn the_longest_durations_saturate() {
        let config = Config {
            cooldown: Duration::MAX,
            cooldown_max: Duration::MAX,
            timeout: Duration::MAX,
            ..Config::default()
        };
        assert_eq!(config.cooldown_ms(3, 1), u64::MAX);
        assert_eq!((config.longest_cooldown_ms(), config.lease_ms()), (u64::MAX, u64::MAX));
    }
}
