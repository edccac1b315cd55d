//! From the knobs of a breaker to the breaker: for whoever puts one in front of a call.

use crate::breaker;
use crate::config::{BreakerKnobs, need};
use crate::error::Error;
use crate::units::Percent;

/// The breaker with these numbers. `name`: what the user knows a field by.
///
/// # Errors
/// The first number that is out of its bounds.
pub fn breaker_config(
    knobs: BreakerKnobs,
    name: impl Fn(&'static str) -> String,
) -> Result<breaker::Config, Error> {
    let BreakerKnobs { timeout, max_concurrent, error_threshold, volume, window, cooldown, slow } = knobs;
    let cooldown = need(cooldown, "breaker.cooldown")?.0;
    let Percent(threshold) = need(error_threshold, "breaker.error_threshold")?;
    if threshold.fract() != 0.0 {
        let (name, percent) = (name("error_threshold"), Percent(threshold));
        return Err(Error::usage(format!("{name} must be a whole percentage, not {percent}")));
    }
    let rest = breaker::Config::default();
    let config = breaker::Config {
        timeout: need(timeout, "breaker.timeout")?.0,
        max_concurrent: need(max_concurrent, "breaker.max_concurrent")?,
        // A percentage is 0 to 100.
        error_threshold_percent: threshold as u8,
        request_volume: need(volume, "breaker.volume")?,
        window: need(window, "breaker.window")?.0,
        cooldown,
        cooldown_max: rest.cooldown_max.max(cooldown),
        slow: slow.map(|slow| slow.0),
        seed: fastrand::u64(..),
        ..rest
    };
    config.validate().map_err(|error| {
        Error::usage(format!("{} must be {}, not {}", name(error.field), error.must, error.got))
    })?;
    Ok(config)
}
