//! `/healthz`, `/readyz` and `/metrics`: what probes and dashboards ask. Never faulted, never counted, never logged.

use std::sync::atomic::Ordering::Relaxed;

use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::{Method, StatusCode};
use jiff::Timestamp;

use super::connection::Role;
use super::counters::{BOUNDS_US, CLASSES, FAULTS};
use super::service::{Draft, refuse_method};
use super::shared::{Handler, Shared};
use crate::metrics::{Metric, render};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// Alive at all.
    Health,
    /// To be sent requests.
    Ready,
    /// Everything counted.
    Metrics,
    /// Something that an admin listener does not have.
    Unknown,
}

/// Which probe a path is, if any. On an admin listener every path is.
pub(super) fn find(path: &str, role: Role) -> Option<Probe> {
    match path {
        "/healthz" => Some(Probe::Health),
        "/readyz" => Some(Probe::Ready),
        "/metrics" => Some(Probe::Metrics),
        _ if role == Role::Admin => Some(Probe::Unknown),
        _ => None,
    }
}

/// Answers it.
pub(super) fn answer(probe: Probe, method: &Method, shared: &Shared) -> Draft {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return refuse_method("GET, HEAD");
    }
    let mut draft = match probe {
        Probe::Health => Draft::text(StatusCode::OK, "ok\n"),
        Probe::Ready if shared.draining() => Draft::text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        Probe::Ready => Draft::text(StatusCode::OK, "ready\n"),
        Probe::Metrics => {
            let metrics = match &shared.handler {
                Handler::Metrics(source) => source.0(),
                _ => collect(shared),
            };
            Draft::new(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", render(&metrics))
        }
        Probe::Unknown => Draft::text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n"),
    };
    draft.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    draft
}

fn collect(shared: &Shared) -> Vec<Metric> {
    let counters = &shared.counters;
    let count = |n: &std::sync::atomic::AtomicU64| n.load(Relaxed) as f64;
    let mut requests = Metric::counter("hardy_serve_requests_total", "Requests ended, by class of status.");
    for (class, n) in CLASSES.iter().zip(&counters.finished) {
        requests.sample(&[("code", class)], count(n));
    }
    let mut faults = Metric::counter("hardy_serve_faults_total", "Faults injected, by kind.");
    for (kind, n) in FAULTS.iter().zip(&counters.faults) {
        faults.sample(&[("kind", kind)], count(n));
    }
    let counter = |name, help, n| Metric::counter(name, help).with(&[], count(n));
    let gauge = |name, help, value: f64| Metric::gauge(name, help).with(&[], value);
    let mut all = vec![
        requests,
        gauge("hardy_serve_in_flight_requests", "Requests not yet answered.", counters.in_flight() as f64),
        durations(shared),
        counter("hardy_serve_response_bytes_total", "Body bytes sent.", &counters.bytes),
        counter(
            "hardy_serve_malformed_requests_total",
            "Requests that were no HTTP or had too large a header.",
            &counters.malformed,
        ),
        faults,
        gauge("hardy_serve_open_connections", "Open connections.", shared.registry.count(Role::Main) as f64),
        counter("hardy_serve_connections_total", "Connections accepted.", &counters.accepted),
        counter(
            "hardy_serve_accept_held_back_total",
            "Times that new connections had to wait for the limit or for file descriptors.",
            &counters.held_back,
        ),
        counter(
            "hardy_serve_timed_out_connections_total",
            "Connections and HTTP/2 streams ended because the client was too slow.",
            &counters.timed_out,
        ),
        counter(
            "hardy_serve_tls_handshake_failures_total",
            "TLS handshakes that failed.",
            &counters.handshakes_failed,
        ),
        gauge(
            "hardy_serve_draining",
            "1 once the end was asked for.",
            f64::from(u8::from(shared.draining())),
        ),
        gauge("hardy_serve_uptime_seconds", "Since the start.", shared.started.elapsed().as_secs_f64()),
        Metric::gauge("hardy_build_info", "Always 1.").with(&[("version", env!("CARGO_PKG_VERSION"))], 1.0),
    ];
    if let Some(log) = &shared.log {
        all.push(
            Metric::counter(
                "hardy_serve_access_log_lost_lines_total",
                "Access log lines that could not be written.",
            )
            .with(&[], log.lost() as f64),
        );
    }
    if let Some((not_after, days)) = shared.tls.as_ref().and_then(|tls| tls.end(Timestamp::now())) {
        all.push(gauge(
            "hardy_serve_certificate_expiry_timestamp_seconds",
            "When the served certificate ends.",
            not_after as f64,
        ));
        all.push(gauge(
            "hardy_serve_certificate_days_left",
            "Whole days until the served certificate ends, negative after it.",
            days as f64,
        ));
    }
    all
}

fn durations(shared: &Shared) -> Metric {
    let counters = &shared.counters;
    let mut metric = Metric::histogram(
        "hardy_serve_request_duration_seconds",
        "From the header to the last byte of the answer.",
    );
    let mut below = 0;
    for (index, n) in counters.durations.iter().enumerate() {
        below += n.load(Relaxed);
        let bound = BOUNDS_US.get(index).map_or("+Inf".into(), |us| (*us as f64 / 1e6).to_string());
        metric.part("_bucket", &[("le", &bound)], below as f64);
    }
    metric.part("_sum", &[], counters.duration_us.load(Relaxed) as f64 / 1e6);
    metric.part("_count", &[], below as f64);
    metric
}
