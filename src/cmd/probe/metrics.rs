//! The values of a probe as Prometheus has them.

use crate::breaker::Phase;
use crate::histogram::Summary;
use crate::metrics::Metric;
use crate::probe::notify::Counts;
use crate::probe::{Snapshot, State, TargetReport};

/// The same of a watch that goes on, with its totals.
pub fn of_watch(snapshot: &Snapshot, notices: &[Counts]) -> Vec<Metric> {
    let mut changes =
        Metric::counter("hardy_probe_state_changes_total", "Changes of the target's state since the start.");
    for target in &snapshot.targets {
        changes.sample(&[("target", &target.name)], target.changes as f64);
    }
    let rounds = Metric::counter("hardy_probe_rounds_total", "Rounds that all targets have finished.");
    let mut told = Metric::counter("hardy_probe_notices_total", "What became of notices about changes.");
    let mut retries =
        Metric::counter("hardy_probe_notice_retries_total", "Attempts to deliver a notice after the first.");
    for counts in notices {
        let Counts { way, sent, retries: again, failed, lost } = counts;
        for (result, count) in [("sent", sent), ("failed", failed), ("lost", lost)] {
            told.sample(&[("way", way), ("result", result)], *count as f64);
        }
        retries.sample(&[("way", way)], *again as f64);
    }
    let build =
        Metric::gauge("hardy_build_info", "Always 1.").with(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let mut all = of_run(&snapshot.targets);
    all.extend([changes, rounds.with(&[], snapshot.rounds as f64), told, retries, build]);
    all
}

/// What a run found: for a file that is written at its end, and for who asks while it goes on.
pub fn of_run(targets: &[TargetReport]) -> Vec<Metric> {
    let mut up =
        Metric::gauge("hardy_probe_up", "Whether the target answers as expected; absent when unknown.");
    let mut degraded =
        Metric::gauge("hardy_probe_degraded", "Whether the target is up with failed or slow calls.");
    // A file is written anew by each run, so what it counts starts again: gauges, not counters.
    let mut calls = Metric::gauge("hardy_probe_calls", "Calls made in this run.");
    let mut failures =
        Metric::gauge("hardy_probe_failures", "Calls of this run that were not as expected, by reason.");
    let mut refused =
        Metric::gauge("hardy_probe_refused", "Calls that the breaker did not let through in this run.");
    let mut state = Metric::gauge("hardy_probe_breaker_state", "1 for the state that the breaker is in.");
    let mut latency = Metric::gauge(
        "hardy_probe_latency_seconds",
        "Latency of this run's calls: median, percentiles, maximum.",
    );
    let mut fallback = Metric::gauge("hardy_probe_fallback_runs", "Runs of the fallback in this run.");
    let mut flapping =
        Metric::gauge("hardy_probe_flapping", "Whether the target's state has changed too often lately.");
    let mut days = Metric::gauge(
        "hardy_probe_certificate_days_left",
        "Whole days until the certificate that was served ends, negative after it.",
    );
    for target in targets {
        let name = ("target", target.name.as_str());
        if target.state != State::Unknown {
            up.sample(&[name], f64::from(u8::from(target.state != State::Down)));
        }
        degraded.sample(&[name], f64::from(u8::from(target.state == State::Degraded)));
        flapping.sample(&[name], f64::from(u8::from(target.flapping.is_some())));
        calls.sample(&[name], target.calls as f64);
        for (reason, count) in &target.reasons {
            failures.sample(&[name, ("reason", reason.id())], *count as f64);
        }
        let breaker = &target.breaker;
        refused.sample(&[name, ("why", "short_circuited")], breaker.short_circuited as f64);
        refused.sample(&[name, ("why", "rejected")], breaker.rejected as f64);
        for (phase, id) in [(Phase::Closed, "closed"), (Phase::HalfOpen, "half_open"), (Phase::Open, "open")]
        {
            state.sample(&[name, ("state", id)], f64::from(u8::from(breaker.state == Some(phase))));
        }
        for (outcome, summary) in [("success", &target.success_us), ("failure", &target.failure_us)] {
            for (stat, us) in summary.iter().flat_map(stats) {
                latency.sample(&[name, ("outcome", outcome), ("stat", stat)], us as f64 / 1e6);
            }
        }
        if let Some(certificate) = &target.certificate {
            days.sample(&[name], certificate.days_left as f64);
        }
        if let Some(counts) = &target.fallback {
            fallback.sample(&[name, ("result", "success")], counts.successes as f64);
            fallback.sample(&[name, ("result", "failure")], counts.failures as f64);
            fallback.sample(&[name, ("result", "rejected")], counts.rejected as f64);
        }
    }
    vec![up, degraded, flapping, calls, failures, refused, state, latency, fallback, days]
}

/// Those that the samples can bear.
fn stats(summary: &Summary) -> impl Iterator<Item = (&'static str, u64)> {
    let all = [
        ("p50", summary.p50_us),
        ("p90", summary.p90_us),
        ("p95", summary.p95_us),
        ("p99", summary.p99_us),
        ("p999", summary.p999_us),
        ("max", summary.max_us),
    ];
    all.into_iter().filter_map(|(stat, us)| Some((stat, us?)))
}
