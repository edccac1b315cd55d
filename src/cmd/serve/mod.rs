//! `hardy serve`: an HTTP server in one command, that can fail on purpose and end without losing a request.

mod report;
mod settings;

use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;

use crate::app::App;
use crate::error::Error;
use crate::serve::{self, AccessLog, Event, Server, Snapshot};
use crate::shutdown;
use crate::units::{brief, counted};

use self::settings::Typed;

pub use self::report::Report;
pub use self::settings::check;

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
    typed: Typed,
}

/// Serves until a signal, drains, and reports what was done.
pub async fn run(args: Args, app: &App) -> Result<Report, Error> {
    let settings = settings::resolve(args.typed.0, &app.config.profile.serve, || app.console.lines())?;
    let to_stdout = matches!(settings.access_log, Some(AccessLog::Writer(_)));
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
        "{state} for {}: {}, {} in flight, {} open, {}",
        brief(now.elapsed),
        counted(now.requests(), "request"),
        now.in_flight,
        counted(now.open, "connection"),
        counted(now.faults, "fault")
    )
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
