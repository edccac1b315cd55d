//! What `hardy serve` did, for people and machines.

use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::exit::Verdict;
use crate::metrics::Metric;
use crate::output::{self, Human};
use crate::serve::Summary;
use crate::units::{brief, counted};

/// What the server did, from its first connection to its last.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Report {
    /// Requests answered or given up.
    requests: u64,
    /// The same by class of status.
    by_class: ByClass,
    /// Connections accepted.
    connections: u64,
    /// Body bytes sent.
    response_bytes: u64,
    /// Faults injected.
    faults: u64,
    /// Requests that were no HTTP, or whose header was too large.
    malformed: u64,
    /// Connections and HTTP/2 streams ended because the client was too slow.
    timed_out: u64,
    /// TLS handshakes that failed.
    handshakes_failed: u64,
    /// Access log lines that could not be written.
    log_lines_lost: u64,
    /// Requests answered after the end was asked for.
    drained: u64,
    /// Requests cut off when the time to drain was up.
    aborted: u64,
    /// From the start to the end.
    elapsed_ms: u64,
    /// stdout is the access log's: the summary goes beside it.
    #[serde(skip)]
    beside: bool,
}

/// Requests by class of status.
#[derive(Debug, Serialize, JsonSchema)]
struct ByClass {
    /// The connection ended without an answer.
    none: u64,
    #[serde(rename = "2xx")]
    success: u64,
    #[serde(rename = "3xx")]
    redirect: u64,
    #[serde(rename = "4xx")]
    client_error: u64,
    #[serde(rename = "5xx")]
    server_error: u64,
}

impl Report {
    pub(super) fn new(summary: &Summary, beside: bool) -> Report {
        let total = &summary.total;
        let [none, _, success, redirect, client_error, server_error] = total.by_class;
        Report {
            requests: total.requests(),
            by_class: ByClass { none, success, redirect, client_error, server_error },
            connections: total.connections,
            response_bytes: total.bytes,
            faults: total.faults,
            malformed: total.malformed,
            timed_out: total.timed_out,
            handshakes_failed: total.handshakes_failed,
            log_lines_lost: total.log_lines_lost,
            drained: summary.drained,
            aborted: summary.aborted,
            elapsed_ms: u64::try_from(total.elapsed.as_millis()).unwrap_or(u64::MAX),
            beside,
        }
    }

    /// In one line.
    pub(super) fn line(&self) -> String {
        let ByClass { none, success, redirect, client_error, server_error } = self.by_class;
        let parts = [
            (success, "2xx"),
            (redirect, "3xx"),
            (client_error, "4xx"),
            (server_error, "5xx"),
            (none, "unanswered"),
            (self.faults, "faults"),
            (self.malformed, "malformed"),
            (self.timed_out, "timed out"),
            (self.handshakes_failed, "failed TLS handshakes"),
            (self.drained, "drained"),
            (self.aborted, "cut off"),
            (self.log_lines_lost, "log lines lost"),
        ];
        let parts: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        let detail = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
        format!(
            "served {} on {} in {}{detail}",
            counted(self.requests, "request"),
            counted(self.connections, "connection"),
            brief(Duration::from_millis(self.elapsed_ms)),
        )
    }
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.serve/v1";
    const ENDS_BY_SIGNAL: bool = true;

    /// It served and it ended as it was told to, also where that meant to cut clients off.
    fn verdict(&self) -> Verdict {
        Verdict::Good
    }

    fn human(&self, out: &mut Human<'_>) -> io::Result<()> {
        if self.beside { Ok(()) } else { out.line(self.line()) }
    }

    fn metrics(&self) -> Vec<Metric> {
        let counter = |name, help, n: u64| Metric::counter(name, help).with(&[], n as f64);
        vec![
            counter("hardy_serve_requests_total", "Requests ended.", self.requests),
            counter("hardy_serve_connections_total", "Connections accepted.", self.connections),
            counter("hardy_serve_faults_total", "Faults injected.", self.faults),
            counter("hardy_serve_aborted_requests_total", "Requests cut off at the end.", self.aborted),
        ]
    }
}
