//! What was asked of a run, as names and values for people. Secrets have no place here: no header, no body.

use std::collections::BTreeMap;

use super::settings::{Prepared, Wire};
use crate::load::plan::Pace;
use crate::load::schedule::{Arrivals, Schedule, Stage};
use crate::units::{Duration, Rate};

/// By the names of the flags.
pub fn of(run: &Prepared) -> BTreeMap<String, String> {
    let plan = &run.plan;
    let time = |time| Some(Duration(time).to_string());
    let protocol = match &run.wire {
        Wire::Http1(_) => "HTTP/1.1",
        Wire::Http2(_) => "HTTP/2",
    };
    let all = [
        ("target", Some(run.target.clone())),
        ("protocol", Some(protocol.to_owned())),
        ("pace", Some(pace(&plan.pace))),
        ("requests", plan.stop.requests.map(|requests| requests.to_string())),
        ("duration", plan.stop.duration.and_then(time)),
        ("connections", Some(plan.workers.to_string())),
        ("threads", Some(plan.threads.to_string())),
        ("warm-up", time(plan.warm_up)),
        ("ramp-up", time(plan.ramp_up)),
        ("timeout", time(plan.timeout)),
        ("grace", time(plan.grace)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn pace(pace: &Pace) -> String {
    match pace {
        Pace::Closed => "closed loop".to_owned(),
        Pace::Open(schedule) => match &**schedule {
            Schedule::Stages(stages, arrivals) => {
                let stages: Vec<String> = stages.iter().map(stage).collect();
                let arrivals = if *arrivals == Arrivals::Poisson { ", poisson" } else { "" };
                format!("open loop at {}{arrivals}", stages.join(","))
            }
            Schedule::Times(times) => format!("replay of {} requests", times.len()),
        },
    }
}

/// As it would be typed.
fn stage(stage: &Stage) -> String {
    let rate = |per_second| Rate(per_second).to_string();
    match stage.length {
        None => rate(stage.from),
        Some(length) if stage.from == stage.to => format!("{}:{}", Duration(length), rate(stage.from)),
        Some(length) => format!("{}:{}-{}", Duration(length), rate(stage.from), rate(stage.to)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time;

    use super::*;

    #[test]
    fn paces_read_as_they_are_typed() {
        let second = |n| Some(time::Duration::from_secs(n));
        let stages = vec![
            Stage { length: second(10), from: 100.0, to: 100.0 },
            Stage { length: second(30), from: 100.0, to: 1000.5 },
        ];
        let open = |stages, arrivals| pace(&Pace::Open(Arc::new(Schedule::Stages(stages, arrivals))));
        assert_eq!(open(stages, Arrivals::Poisson), "open loop at 10s:100/s,30s:100/s-1000.5/s, poisson");
        assert_eq!(open(vec![Stage::for_ever(0.5)], Arrivals::Constant), "open loop at 0.5/s");
        assert_eq!(pace(&Pace::Closed), "closed loop");
    }
}
