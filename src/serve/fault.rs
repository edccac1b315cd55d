//! Failures on purpose: how a rule is written, and which requests it hits.
//!
//! Whether a rule hits request `n` depends on the seed, the rule's place and `n` alone, never on which
//! thread came first: the same seed gives the same failures. It does not act; the service does.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::units;

/// One rule: what goes wrong, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What goes wrong.
    pub fault: Fault,
    /// Which requests it hits.
    pub when: When,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// This status instead of the answer.
    Status(u16),
    /// A pause before the answer.
    Latency(Latency),
    /// No answer before the end of its window.
    Stall,
    /// No answer; TCP reset (HTTP/2: the stream is reset).
    Reset,
    /// No answer; the connection is closed.
    Close,
    /// The promised length, half of the body, then the end.
    Truncate,
    /// The body at this many bytes per second.
    Drip(u64),
}

/// Which requests a rule hits.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// This share of all requests, 0 to 1, spread at random.
    Share(f64),
    /// The first so many requests.
    First(u64),
    /// Every request in this span since the start of the server; `None`: until the end.
    Window(Duration, Option<Duration>),
}

/// A distribution of pauses: quantiles (0 to 1) in rising order, at least one.
///
/// Between two of them the pause grows by equal factors, as latencies do: p50:5ms,p99:200ms has its p75 at
/// 33 ms. Below the first it rises evenly from zero, above the last it stays.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency(Vec<(f64, Duration)>);

/// The forms that [`Rule`] has.
pub const FORMS: &str = "status=503@10%, latency=50ms@20%, latency=p50:5ms,p99:200ms, reset@1%, close@1%, \
                         truncate@1%, drip=1KiB/s, first=20:503, window=10s..20s:503, stall=10s..12s";

/// The names of all faults.
const NAMES: [&str; 9] =
    ["status", "latency", "reset", "close", "truncate", "drip", "first", "window", "stall"];

/// A text that is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}`: {cause}")]
pub struct RuleError {
    text: String,
    cause: String,
}

impl RuleError {
    /// The forms that there are, and the name that was perhaps meant.
    pub fn hint(&self) -> String {
        let name = self.text.split(['=', '@']).next().unwrap_or_default().trim();
        let near = NAMES
            .iter()
            .filter(|_| !NAMES.contains(&name))
            .map(|known| (strsim::jaro_winkler(name, known), *known))
            .filter(|(likeness, _)| *likeness > 0.7)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let meant = near.map(|(_, known)| format!("did you mean {known}? ")).unwrap_or_default();
        format!("{meant}the forms are {FORMS}")
    }
}

/// Reads one or several rules, separated by `;`.
pub fn parse(text: &str) -> Result<Vec<Rule>, RuleError> {
    let rules: Vec<&str> = text.split(';').map(str::trim).filter(|part| !part.is_empty()).collect();
    if rules.is_empty() {
        return Err(RuleError { text: text.into(), cause: "it is empty".into() });
    }
    rules.into_iter().map(str::parse).collect()
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Rule, RuleError> {
        rule(text).map_err(|cause| RuleError { text: text.into(), cause })
    }
}

fn rule(text: &str) -> Result<Rule, String> {
    let (head, share) = match text.rsplit_once('@') {
        Some((head, share)) => (head, Some(parse_unit::<units::Percent>(share)?.0 / 100.0)),
        None => (text, None),
    };
    let (name, value) = match head.split_once('=') {
        Some((name, value)) => (name.trim(), Some(value.trim())),
        None => (head.trim(), None),
    };
    let timed = |when, fault| match share {
        Some(_) => Err(format!("`{name}` hits every request it covers and takes no percentage")),
        None => Ok(Rule { fault, when }),
    };
    let fault = match (name, value) {
        ("first", Some(value)) => {
            let (count, code) = value.split_once(':').ok_or("it lacks `:STATUS`")?;
            let count = count.parse().map_err(|_| format!("`{count}` is not a number of requests"))?;
            return timed(When::First(count), Fault::Status(status(code)?));
        }
        ("window", Some(value)) => {
            let (span, code) = value.rsplit_once(':').ok_or("it lacks `:STATUS`")?;
            return timed(window(span)?, Fault::Status(status(code)?));
        }
        ("stall", Some(span)) => match window(span)? {
            When::Window(_, None) => return Err("it needs an end".into()),
            when => return timed(when, Fault::Stall),
        },
        ("status", Some(value)) => Fault::Status(status(value)?),
        ("latency", Some(value)) => Fault::Latency(latency(value)?),
        ("drip", Some(value)) => Fault::Drip(drip(value)?),
        ("reset", None) => Fault::Reset,
        ("close", None) => Fault::Close,
        ("truncate", None) => Fault::Truncate,
        ("reset" | "close" | "truncate", Some(_)) => return Err(format!("`{name}` takes no value")),
        ("status" | "latency" | "drip" | "first" | "window" | "stall", None) => {
            return Err(format!("`{name}` needs a value"));
        }
        _ => return Err(format!("there is no fault `{name}`")),
    };
    Ok(Rule { fault, when: When::Share(share.unwrap_or(1.0)) })
}

fn parse_unit<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|cause| format!("`{text}`: {cause}"))
}

fn status(text: &str) -> Result<u16, String> {
    match text.trim().parse() {
        Ok(code @ 200..=599) => Ok(code),
        _ => Err(format!("`{text}` is not a status between 200 and 599")),
    }
}

fn window(span: &str) -> Result<When, String> {
    let (from, until) = span.split_once("..").ok_or("it lacks `FROM..UNTIL`")?;
    let from = if from.is_empty() { Duration::ZERO } else { parse_unit::<units::Duration>(from)?.0 };
    let until = if until.is_empty() { None } else { Some(parse_unit::<units::Duration>(until)?.0) };
    match until {
        Some(until) if until <= from => Err("the window ends before it begins".into()),
        _ => Ok(When::Window(from, until)),
    }
}

fn drip(text: &str) -> Result<u64, String> {
    let size = text.strip_suffix("/s").ok_or_else(|| format!("`{text}` is not a speed such as 1KiB/s"))?;
    match parse_unit::<units::Size>(size)?.0 {
        0 => Err("the speed is zero".into()),
        bytes => Ok(bytes),
    }
}

fn latency(text: &str) -> Result<Latency, String> {
    if !text.contains(':') {
        return Ok(Latency(vec![(0.0, parse_unit::<units::Duration>(text)?.0)]));
    }
    let mut points: Vec<(f64, Duration)> = Vec::new();
    for part in text.split(',') {
        let (quantile, pause) = part.split_once(':').ok_or_else(|| format!("`{part}` lacks its pause"))?;
        let percent = quantile.trim().strip_prefix('p').and_then(|p| p.parse::<f64>().ok());
        let percent = percent.filter(|p| (0.0..=100.0).contains(p));
        let quantile = percent.ok_or_else(|| format!("`{quantile}` is not a quantile such as p99"))? / 100.0;
        let pause = parse_unit::<units::Duration>(pause)?.0;
        if points.last().is_some_and(|last| last.0 >= quantile || last.1 > pause) {
            return Err("quantiles and their pauses must rise".into());
        }
        points.push((quantile, pause));
    }
    Ok(Latency(points))
}

impl Latency {
    /// The pause at a quantile `u` between 0 and 1 (the inverse of the cumulative distribution).
    pub fn at(&self, u: f64) -> Duration {
        let mut below = (0.0, Duration::ZERO);
        for &(quantile, pause) in &self.0 {
            if u < quantile {
                let share = (u - below.0) / (quantile - below.0);
                return between(below.1, pause, share.clamp(0.0, 1.0));
            }
            below = (quantile, pause);
        }
        below.1
    }
}

/// By equal factors for equal shares; from zero, where there are none, by equal steps.
fn between(low: Duration, high: Duration, share: f64) -> Duration {
    if low.is_zero() {
        return high.mul_f64(share);
    }
    let factor = (high.as_secs_f64() / low.as_secs_f64()).powf(share);
    Duration::try_from_secs_f64(low.as_secs_f64() * factor).unwrap_or(high).clamp(low, high)
}

/// What happens to one request. Pauses add up; of several ends, the first rule's counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// A pause before the answer.
    pub pause: Option<Duration>,
    /// Instead of the answer, or to it.
    pub end: Option<End>,
    /// The body's speed in bytes per second.
    pub drip: Option<u64>,
}

/// How a request ends when not with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this status.
    Status(u16),
    /// With a reset.
    Reset,
    /// With a closed connection.
    Close,
    /// In the middle of the body.
    Truncate,
}

/// The rules of one server.
#[derive(Clone, Debug)]
pub struct Plan {
    rules: Vec<Rule>,
    seed: u64,
}

impl Plan {
    /// The rules in the order given.
    pub fn new(rules: Vec<Rule>, seed: u64) -> Plan {
        Plan { rules, seed }
    }

    /// Nothing ever goes wrong.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What happens to request `n` (from 0), `age` after the start of the server.
    pub fn decide(&self, n: u64, age: Duration) -> Decision {
        let mut decision = Decision::default();
        for (index, rule) in self.rules.iter().enumerate() {
            let hit = match rule.when {
                When::Share(share) => draw(self.seed, 2 * index as u64, n) < share,
                When::First(count) => n < count,
                When::Window(from, until) => age >= from && until.is_none_or(|until| age < until),
            };
            if !hit {
                continue;
            }
            let mut pause = |time| {
                decision.pause = Some(decision.pause.unwrap_or_default().saturating_add(time));
            };
            let end = match &rule.fault {
                Fault::Latency(latency) => {
                    pause(latency.at(draw(self.seed, 2 * index as u64 + 1, n)));
                    continue;
                }
                Fault::Stall => {
                    if let When::Window(_, Some(until)) = rule.when {
                        pause(until.saturating_sub(age));
                    }
                    continue;
                }
                Fault::Drip(speed) => {
                    decision.drip.get_or_insert(*speed);
                    continue;
                }
                Fault::Status(code) => End::Status(*code),
                Fault::Reset => End::Reset,
                Fault::Close => End::Close,
                Fault::Truncate => End::Truncate,
            };
            decision.end.get_or_insert(end);
        }
        decision
    }
}

/// A number in [0, 1) from three others: splitmix64's finaliser (Steele, Lea, Flood 2014), applied thrice.
fn draw(seed: u64, stream: u64, n: u64) -> f64 {
    let bits = mix(mix(mix(seed).wrapping_add(stream)).wrapping_add(n));
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn one(text: &str) -> Rule {
        text.parse().unwrap()
    }

    #[test]
    fn every_documented_form_is_read() {
        assert_eq!(parse(&FORMS.replace(", ", ";")).unwrap().len(), 10);
        assert_eq!(one("status=503@10%"), Rule { fault: Fault::Status(503), when: When::Share(0.1) });
        assert_eq!(one("reset"), Rule { fault: Fault::Reset, when: When::Share(1.0) });
        assert_eq!(one("drip=1KiB/s").fault, Fault::Drip(1024));
        assert_eq!(one("first=20:503"), Rule { fault: Fault::Status(503), when: When::First(20) });
        assert_eq!(
            one("window=10s..20s:500"),
            Rule {
                fault: Fault::Status(500),
                when: When::Window(Duration::from_secs(10), Some(Duration::from_secs(20))),
            }
        );
        let stall = When::Window(Duration::from_secs(1), Some(Duration::from_secs(3)));
        assert_eq!(one("stall=1s..3s"), Rule { fault: Fault::Stall, when: stall });
        assert_eq!(one("window=..:500").when, When::Window(Duration::ZERO, None));
    }

    #[test]
    fn anything_else_shows_the_forms() {
        for text in [
            "",
            ";",
            "status",
            "status=99",
            "status=100",
            "status=600",
            "status=503@",
            "status=503@101%",
            "status=503@-1%",
            "latency=5",
            "latency=p50:5ms,p40:6ms",
            "latency=p50:5ms,p60:4ms",
            "latency=p101:5ms",
            "latency=50:5ms",
            "reset=1",
            "drip=1KiB",
            "drip=0B/s",
            "first=20",
            "first=x:503",
            "first=1:503@5%",
            "window=20s..10s:503",
            "window=10s:503",
            "explode",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().len() < 100, "{text}: {error}");
            assert!(error.hint().contains("first=20:503"), "{text}: {}", error.hint());
        }
        for (text, meant) in [("rest@1%", Some("reset")), ("Status=503", Some("status")), ("x", None)] {
            let hint = parse(text).unwrap_err().hint();
            assert_eq!(hint.strip_prefix("did you mean ").and_then(|h| h.split('?').next()), meant, "{text}");
        }
        assert!(parse("reset=1").unwrap_err().hint().starts_with("the forms"));
    }

    #[test]
    fn latency_follows_its_quantiles() {
        let Fault::Latency(latency) = one("latency=p50:10ms,p99:200ms").fault else { panic!() };
        assert_eq!(latency.at(0.0), ms(0));
        assert_eq!(latency.at(0.25), ms(5));
        assert_eq!(latency.at(0.5), ms(10));
        let middle = latency.at(0.745).as_secs_f64() - (0.010_f64 * 0.200).sqrt();
        assert!(middle.abs() < 1e-6, "{middle}");
        assert_eq!(latency.at(0.999), ms(200));
        let Fault::Latency(fixed) = one("latency=50ms").fault else { panic!() };
        assert_eq!((fixed.at(0.0), fixed.at(0.99)), (ms(50), ms(50)));
    }

    #[test]
    fn first_and_window_are_exact() {
        let plan = Plan::new(parse("first=2:500; window=1s..2s:503").unwrap(), 0);
        let status = |n, at| plan.decide(n, ms(at)).end;
        assert_eq!(status(0, 0), Some(End::Status(500)));
        assert_eq!(status(1, 1500), Some(End::Status(500)));
        assert_eq!(status(2, 999), None);
        assert_eq!(status(2, 1000), Some(End::Status(503)));
        assert_eq!(status(2, 2000), None);
    }

    #[test]
    fn a_stall_ends_for_all_at_once() {
        let plan = Plan::new(parse("stall=1s..3s").unwrap(), 0);
        let pause = |at| plan.decide(0, ms(at)).pause;
        assert_eq!([999, 1000, 2500, 3000].map(pause), [None, Some(ms(2000)), Some(ms(500)), None]);
        assert!(parse("stall=1s..").is_err() && parse("stall=1s..2s@5%").is_err());
    }

    #[test]
    fn pauses_add_up_and_the_first_end_counts() {
        let plan = Plan::new(parse("latency=5ms;latency=7ms;close;reset;drip=1B/s").unwrap(), 0);
        let expected = Decision { pause: Some(ms(12)), end: Some(End::Close), drip: Some(1) };
        assert_eq!(plan.decide(3, ms(0)), expected);
    }

    #[test]
    fn shares_are_met_and_rules_are_independent() {
        let plan = Plan::new(parse("status=503@10%;latency=1ms@50%").unwrap(), 42);
        let decisions: Vec<Decision> = (0..100_000).map(|n| plan.decide(n, ms(0))).collect();
        let ended = decisions.iter().filter(|d| d.end.is_some()).count();
        let paused = decisions.iter().filter(|d| d.pause.is_some()).count();
        let both = decisions.iter().filter(|d| d.end.is_some() && d.pause.is_some()).count();
        assert!((9_500..10_500).contains(&ended), "{ended}");
        assert!((49_000..51_000).contains(&paused), "{paused}");
        assert!((4_600..5_400).contains(&both), "{both}");
    }

    proptest! {
        #[test]
        fn the_seed_decides(seed: u64, n: u64) {
            let plan = |seed| Plan::new(parse("latency=p50:5ms,p99:200ms@50%;reset@30%").unwrap(), seed);
            prop_assert_eq!(plan(seed).decide(n, ms(0)), plan(seed).decide(n, ms(9)));
        }

        #[test]
        fn no_text_panics(text in "[a-z=@%:;.,0-9 ]{0,40}") {
            if let Ok(rules) = parse(&text) {
                Plan::new(rules, 1).decide(0, ms(0));
            }
        }
    }
}
