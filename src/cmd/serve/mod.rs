//! `hardy serve`: an HTTP server in one command, that can fail on purpose and end without losing a request.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;

use crate::app::App;
use crate::config::{Layer, ServeKnobs, need};
use crate::error::Error;
use crate::exit::Verdict;
use crate::metrics::Metric;
use crate::output::{self, Human};
use crate::serve::{self, AccessLog, Content, Drain, Event, Limits, Server, Snapshot, Summary, fault, tls};
use crate::shutdown;
use crate::units::brief;

/// Serve HTTP: a fixed answer, an echo or files, with TLS and faults
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  hardy serve                                               # Hello World! on 127.0.0.1:8080
  hardy serve --respond 503:@maintenance.html --listen :80
  hardy serve --dir public --tls-cert cert.pem --tls-key key.pem
  hardy serve --fault 'latency=p50:5ms,p99:200ms; status=503@2%' --seed 7
  hardy serve --echo --tls self-signed --access-log -
  hardy serve --tls-cert cert.pem --tls-key key.pem --tls-groups P-256,X25519 --tls-prefer-server-order

Routes of its own:
  /healthz   200 while the process lives
  /readyz    200, and 503 from the moment that the end was asked for
  /metrics   Prometheus text
  On the listeners themselves with --respond and --echo, on --admin in every case.

Signals:
  SIGTERM, SIGINT   drain, then end; a second one ends at once
  SIGHUP            read the certificate again, reopen the access log and the directory")]
pub struct Args {
    #[command(flatten)]
    content: ContentArgs,
    #[command(flatten)]
    knobs: ServeKnobs,
}

#[derive(clap::Args, Debug)]
#[group(multiple = false)]
struct ContentArgs {
    /// Always this answer: STATUS:TEXT or STATUS:@FILE [default: 200:Hello World!]
    #[arg(long, value_name = "ANSWER")]
    respond: Option<serve::respond::Answer>,
    /// The request, told back as JSON
    #[arg(long)]
    echo: bool,
    /// Files below this directory
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

/// Serves until a signal, drains, and reports what was done.
pub async fn run(args: Args, app: &App) -> Result<Report, Error> {
    let (settings, to_stdout) = resolve(args, app)?;
    let (events_in, mut events) = unbounded_channel();
    let server = serve::bind(settings, Some(events_in)).await?;
    let hangups = shutdown::hangups().map_err(|e| Error::unknown("cannot listen for SIGHUP").because(e))?;
    let live = app.console.live();
    announce(&server, app);
    let (snapshots_in, mut snapshots) = watch::channel(Snapshot::default());
    let running = server.run(app.shutdown.token.clone(), hangups, Some(snapshots_in));
    tokio::pin!(running);
    let summary = loop {
        tokio::select! {
            summary = &mut running => break summary,
            Some(event) = events.recv() => show(&event, app),
            Ok(()) = snapshots.changed() => {
                let now = *snapshots.borrow_and_update();
                live.draw(|out| out.line(state(&now)));
            }
        }
    };
    drop(live);
    while let Ok(event) = events.try_recv() {
        show(&event, app);
    }
    let report = Report::new(&summary, to_stdout);
    if to_stdout && !app.console.is_json() {
        app.console.note(&report.line());
    }
    Ok(report)
}

fn announce(server: &Server, app: &App) {
    for bound in server.addresses() {
        let role = if bound.admin { " (probes and metrics)" } else { "" };
        app.console.note(&format!("listening on {}{role}", bound.url));
        if bound.routable {
            app.console.note("note: other hosts can reach this address");
        }
    }
    if let Some(fingerprint) = server.self_signed_fingerprint() {
        app.console.note(&format!("self-signed certificate, SHA-256 {fingerprint}"));
    }
}

fn show(event: &Event, app: &App) {
    if event.is_warning() {
        app.console.warn(&event.to_string());
    } else {
        app.console.note(&event.to_string());
    }
}

fn state(now: &Snapshot) -> String {
    let state = if now.draining { "draining" } else { "serving" };
    format!(
        "{state} for {}: {} requests, {} in flight, {} connections open, {} faults",
        brief(now.elapsed),
        now.requests(),
        now.in_flight,
        now.open,
        now.faults
    )
}

/// What was typed and configured, decided. The flag: the access log goes to stdout.
fn resolve(args: Args, app: &App) -> Result<(serve::Settings, bool), Error> {
    let Args { content, knobs } = args;
    let knobs = knobs.or(app.config.profile.serve.clone());
    let tls = resolve_tls(&knobs)?;
    let limits = resolve_limits(&knobs)?;
    let ServeKnobs { listen, admin, reuse_port, fault, seed, access_log, drain_delay, drain_timeout, .. } =
        knobs;
    let default_listen = if tls.is_some() { "127.0.0.1:8443" } else { "127.0.0.1:8080" };
    let listen = listen.unwrap_or_else(|| vec![default_listen.into()]);
    let to_stdout = access_log.as_ref().is_some_and(|path| path.as_os_str() == "-");
    let settings = serve::Settings {
        listen: listen.iter().map(|text| parse("--listen", text)).collect::<Result<_, _>>()?,
        admin: admin.map(|text| parse("--admin", &text)).transpose()?,
        content: match (content.dir, content.echo) {
            (Some(dir), _) => Content::Files(dir),
            (None, true) => Content::Echo,
            (None, false) => Content::Respond(content.respond.unwrap_or_default()),
        },
        tls,
        faults: faults(&fault.unwrap_or_default())?,
        seed: need(seed, "serve.seed")?,
        limits,
        drain: Drain {
            delay: need(drain_delay, "serve.drain_delay")?.0,
            timeout: need(drain_timeout, "serve.drain_timeout")?.0,
        },
        access_log: access_log.map(|path| {
            if to_stdout { AccessLog::Writer(app.console.lines()) } else { AccessLog::File(path) }
        }),
        reuse_port: need(reuse_port, "serve.reuse_port")?,
    };
    Ok((settings, to_stdout))
}

fn parse<T: std::str::FromStr<Err = String>>(flag: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|cause: String| Error::usage(format!("invalid value for {flag}: {cause}")))
}

fn faults(specs: &[String]) -> Result<Vec<fault::Rule>, Error> {
    let mut rules = Vec::new();
    for spec in specs.iter().filter(|spec| !spec.trim().is_empty()) {
        let parsed = fault::parse(spec);
        rules.extend(parsed.map_err(|e| Error::usage(format!("invalid value for --fault: {e}")))?);
    }
    Ok(rules)
}

fn resolve_tls(knobs: &ServeKnobs) -> Result<Option<tls::Settings>, Error> {
    let files = (knobs.tls_cert.clone(), knobs.tls_key.clone());
    let identity = match (knobs.tls.as_deref(), files) {
        (Some("off"), _) => return Ok(None),
        (Some("self-signed"), _) => tls::Identity::SelfSigned,
        (Some(other), _) => {
            return Err(Error::usage(format!(
                "invalid value for --tls: `{other}` is neither self-signed nor off"
            )));
        }
        (None, (Some(certificate), Some(key))) => tls::Identity::Files { certificate, key },
        (None, (None, None)) if knobs.tls_client_ca.is_some() => {
            return Err(Error::usage("--tls-client-ca needs TLS")
                .hint("add --tls-cert and --tls-key, or --tls self-signed"));
        }
        (None, (None, None)) => return Ok(None),
        (None, (Some(_), None)) => return Err(Error::usage("--tls-cert needs --tls-key")),
        (None, (None, Some(_))) => return Err(Error::usage("--tls-key needs --tls-cert")),
    };
    let groups = need(knobs.tls_groups.clone(), "serve.tls_groups")?;
    Ok(Some(tls::Settings {
        identity,
        min_version: parse("--tls-min", &need(knobs.tls_min.clone(), "serve.tls_min")?)?,
        groups: groups.iter().map(|text| parse("--tls-groups", text.trim())).collect::<Result<_, _>>()?,
        prefer_server_order: need(knobs.tls_prefer_server_order, "serve.tls_prefer_server_order")?,
        client_ca: knobs.tls_client_ca.clone(),
    }))
}

fn resolve_limits(knobs: &ServeKnobs) -> Result<Limits, Error> {
    let size = need(knobs.header_limit, "serve.header_limit")?.0;
    Ok(Limits {
        connections: need(knobs.max_connections, "serve.max_connections")?.max(1),
        header_timeout: need(knobs.header_timeout, "serve.header_timeout")?.0,
        header_size: usize::try_from(size).unwrap_or(usize::MAX),
        body_timeout: need(knobs.body_timeout, "serve.body_timeout")?.0,
        body_size: need(knobs.body_limit, "serve.body_limit")?.0,
        keep_alive: need(knobs.keep_alive, "serve.keep_alive")?.0,
        handshake_timeout: need(knobs.handshake_timeout, "serve.handshake_timeout")?.0,
        write_timeout: need(knobs.write_timeout, "serve.write_timeout")?.0,
    })
}

impl From<serve::Error> for Error {
    fn from(error: serve::Error) -> Error {
        let hint = error.hint();
        let error = Error::usage(error.to_string());
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

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
    /// Connections closed because the client was too slow.
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
    fn new(summary: &Summary, beside: bool) -> Report {
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

    fn line(&self) -> String {
        let ByClass { none, success, redirect, client_error, server_error } = self.by_class;
        let parts = [
            (success, "2xx"),
            (redirect, "3xx"),
            (client_error, "4xx"),
            (server_error, "5xx"),
            (none, "unanswered"),
            (self.faults, "faults"),
            (self.malformed, "malformed"),
            (self.drained, "drained"),
            (self.aborted, "cut off"),
            (self.log_lines_lost, "log lines lost"),
        ];
        let parts: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        let detail = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
        format!(
            "served {} requests on {} connections in {}{detail}",
            self.requests,
            self.connections,
            brief(Duration::from_millis(self.elapsed_ms)),
        )
    }
}

impl output::Report for Report {
    const SCHEMA: &'static str = "hardy.serve/v1";
    const ENDS_BY_SIGNAL: bool = true;

    fn verdict(&self) -> Verdict {
        if self.aborted == 0 { Verdict::Good } else { Verdict::Bad }
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
