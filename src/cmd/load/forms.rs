//! A run for pipelines and dashboards: JUnit cases and Prometheus metrics.

use std::time::Duration;

use super::parts::Bottleneck;
use super::report::Report;
use crate::exit::Verdict;
use crate::histogram::Quantiles;
use crate::metrics::Metric;
use crate::output::{Case, Outcome};
use crate::units::grouped;

/// One that asks for answers at all, and one for each condition.
pub fn cases(report: &Report, answers: Verdict) -> Vec<Case> {
    let time = Duration::try_from_secs_f64(report.elapsed_s).unwrap_or_default();
    let reason = report.errors.iter().max_by_key(|(_, count)| **count).map(|(reason, _)| reason.id());
    let reason = reason.unwrap_or("unanswered").to_owned();
    let message = format!(
        "{} ok, {} failed, {} cut off",
        grouped(report.ok),
        grouped(report.failed),
        grouped(report.cut_off)
    );
    let outcome = match answers {
        Verdict::Good => Outcome::Pass,
        Verdict::Bad => Outcome::Fail { reason, message },
        Verdict::Unknown => Outcome::Error { reason, message },
    };
    let mut cases = vec![Case { name: "a request succeeds".into(), time, outcome }];
    for condition in &report.conditions {
        let message = condition.found.as_ref().map(|found| format!("it was {found}")).unwrap_or_default();
        let outcome = match condition.holds {
            Some(false) => Outcome::Pass,
            Some(true) => Outcome::Fail { reason: "condition".into(), message },
            None => Outcome::Error { reason: "too_few_samples".into(), message },
        };
        cases.push(Case { name: format!("fail if {}", condition.text), time, outcome });
    }
    cases
}

/// A file is written anew by each run: what it counts is that run's.
pub fn metrics(report: &Report) -> Vec<Metric> {
    let target = ("target", report.target.as_str());
    let mut requests =
        Metric::counter("hardy_load_requests_total", "Requests of this run, by what became of them.");
    for (result, count) in [
        ("ok", report.ok),
        ("failed", report.failed),
        ("cut_off", report.cut_off),
        ("unsent", report.unsent),
        ("short_circuited", report.short_circuited),
        ("warm_up", report.warm_up),
    ] {
        requests.sample(&[target, ("result", result)], count as f64);
    }
    let mut failures =
        Metric::counter("hardy_load_failures_total", "Failed requests of this run, by reason.");
    for (reason, count) in &report.errors {
        failures.sample(&[target, ("reason", reason.id())], *count as f64);
    }
    let mut statuses = Metric::counter("hardy_load_responses_total", "Answers of this run, by HTTP status.");
    for (status, count) in &report.status {
        statuses.sample(&[target, ("status", &status.to_string())], *count as f64);
    }
    let bytes = Metric::counter("hardy_load_bytes_total", "Bytes of this run, by direction.")
        .with(&[target, ("direction", "received")], report.bytes.received as f64)
        .with(&[target, ("direction", "written")], report.bytes.written as f64);
    let mut rate = Metric::gauge("hardy_load_rate", "Requests per second: due, and ended.")
        .with(&[target, ("kind", "achieved")], report.rate.achieved);
    if let Some(offered) = report.rate.offered {
        rate.sample(&[target, ("kind", "offered")], offered);
    }
    let gauge = |name, help, value: f64| Metric::gauge(name, help).with(&[target], value);
    vec![
        requests,
        failures,
        statuses,
        bytes,
        rate,
        gauge("hardy_load_elapsed_seconds", "Length of the run after its warm-up.", report.elapsed_s),
        gauge(
            "hardy_load_generator_busiest_ratio",
            "Of one processor, how much the busiest thread of the generator used.",
            report.generator.busiest,
        ),
        bottleneck(report),
        conditions(report),
        times(report),
    ]
}

fn bottleneck(report: &Report) -> Metric {
    let mut metric =
        Metric::gauge("hardy_load_generator_bottleneck", "1 where the generator was in the way, by how.");
    for (what, id) in [(Bottleneck::Processor, "processor"), (Bottleneck::LateSends, "late_sends")] {
        let is = report.generator.bottleneck == Some(what);
        metric.sample(&[("target", &report.target), ("what", id)], f64::from(u8::from(is)));
    }
    metric
}

fn conditions(report: &Report) -> Metric {
    let mut metric =
        Metric::gauge("hardy_load_condition", "1 where the condition holds; absent where that is unknown.");
    for condition in &report.conditions {
        if let Some(holds) = condition.holds {
            let labels = [("target", report.target.as_str()), ("condition", &condition.text)];
            metric.sample(&labels, f64::from(u8::from(holds)));
        }
    }
    metric
}

/// Quantiles that the samples can bear.
fn times(report: &Report) -> Metric {
    let mut metric =
        Metric::gauge("hardy_load_time_seconds", "Times of this run's requests: percentiles and maximum.");
    let all: [(&str, &str, Option<&Quantiles>); 6] = [
        ("response", "ok", report.response_ok_us.as_ref()),
        ("response", "failed", report.response_failed_us.as_ref()),
        ("service", "ok", Some(&report.service_ok_us)),
        ("service", "failed", Some(&report.service_failed_us)),
        ("late", "all", report.late_us.as_ref()),
        ("connect", "ok", Some(&report.connect_us)),
    ];
    for (kind, outcome, times) in all {
        for (stat, us) in times.iter().flat_map(|times| times.named()) {
            if let Some(us) = us {
                let labels = [
                    ("target", report.target.as_str()),
                    ("kind", kind),
                    ("outcome", outcome),
                    ("stat", stat),
                ];
                metric.sample(&labels, us as f64 / 1e6);
            }
        }
    }
    metric
}
