//! `--stages 10s:100/s,30s:100/s-1000/s`: rates that follow each other.

use std::str::FromStr;

use super::settings::HIGHEST;
use crate::load::schedule::Stage;
use crate::units::{Duration, Rate};

const FORM: &str =
    "expected LENGTH:RATE or LENGTH:FROM-TO, separated by commas, such as 10s:100/s,30s:100/s-1000/s";

/// As they were typed; at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Stages(pub Vec<Stage>);

impl FromStr for Stages {
    type Err = String;

    fn from_str(text: &str) -> Result<Stages, String> {
        let stages: Vec<Stage> = text.split(',').map(stage).collect::<Result<_, _>>()?;
        if stages.iter().all(|stage| stage.from == 0.0 && stage.to == 0.0) {
            return Err("no request is due in any of the stages".into());
        }
        Ok(Stages(stages))
    }
}

fn stage(text: &str) -> Result<Stage, String> {
    let (length, rates) = text.trim().split_once(':').ok_or(FORM)?;
    let length: Duration = length.parse().map_err(|error| format!("{error}: {FORM}"))?;
    let (from, to) = rates.split_once('-').unwrap_or((rates, rates));
    Ok(Stage { length: Some(length.0), from: rate(from)?, to: rate(to)? })
}

/// A pause has a rate of zero, which no other rate may have.
fn rate(text: &str) -> Result<f64, String> {
    match text.trim() {
        "0" | "0/s" => Ok(0.0),
        text => match text.parse::<Rate>() {
            Ok(Rate(rate)) if rate <= HIGHEST => Ok(rate),
            Ok(_) => Err(format!("a rate must be at most {HIGHEST}/s")),
            Err(error) => Err(format!("{error}: {FORM}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time;

    use super::*;

    #[test]
    fn stages_are_read() {
        let second = time::Duration::from_secs(1);
        let Stages(stages) = "10s:100/s, 30s:0/s-1000/s,5s:0".parse().unwrap();
        let expected = [(10, 100.0, 100.0), (30, 0.0, 1000.0), (5, 0.0, 0.0)];
        assert_eq!(stages.len(), expected.len());
        for (stage, (length, from, to)) in stages.iter().zip(expected) {
            assert_eq!(*stage, Stage { length: Some(second * length), from, to });
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for bad in [
            "",
            "10s",
            "100/s",
            "10s:",
            "x:100/s",
            "10s:x",
            "10s:1/s-",
            "10s:-5/s",
            "1s:1e9/s",
            "1s:99999999/s",
            "10s:0",
            "1s:1/s,",
        ] {
            assert!(bad.parse::<Stages>().is_err(), "{bad}");
        }
    }
}
