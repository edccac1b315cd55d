//! A run as it goes on: the engine works, and what it says is shown, told and served.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::report::Report;
use super::settings::Settings;
use super::{human, metrics, tell};
use crate::app::App;
use crate::circuit;
use crate::cmd::beside;
use crate::error::Error;
use crate::output::Live;
use crate::probe::notify::{Ledger, Notifier, Trouble};
use crate::probe::{self, Observers, Snapshot, StateChange};
use crate::serve::{Content, Source};

/// Notices that still wait when the run is over get so much time.
const LAST_NOTICES: Duration = Duration::from_secs(5);

/// Probes until the end.
pub async fn run(settings: &Settings, app: &App) -> Result<Report, Error> {
    let (snapshots, mut seen) = watch::channel(Snapshot::default());
    let (changes, changed) = unbounded_channel();
    let (troubles, mut troubled) = unbounded_channel();
    let (of_store, mut store) = unbounded_channel();
    let (telling, ledger, mut told) = tell_all(settings, &troubles, changed);
    let mut view = View { app, settings, live: app.console.live(), ledger, rounds: 0, told: BTreeSet::new() };
    let _metrics = serve_metrics(settings, &view.ledger, &seen, app).await?;
    let documents = settings.watch && app.console.is_json();
    let observers = Observers {
        snapshots: (documents || settings.listen.is_some() || view.live.is_shown()).then_some(snapshots),
        changes: settings.watch.then_some(changes),
        troubles: Some(of_store),
    };
    let stop = app.shutdown.token.child_token();
    // A task of its own: a reader of stdout that is slow must not hold the books up.
    let run = tokio::spawn(probe::run(settings.plan.clone(), observers, stop.clone()));
    let mut probing = AbortOnDropHandle::new(run);
    let found = loop {
        tokio::select! {
            found = &mut probing => break found,
            Ok(()) = seen.changed() => {
                let snapshot = seen.borrow_and_update().clone();
                view.snapshot(snapshot)?;
            }
            Some(change) = told.recv() => view.change(&change)?,
            Some(trouble) = troubled.recv() => view.trouble(&trouble),
            Some(trouble) = store.recv() => view.store(&trouble),
        }
        if settings.watch && app.console.reader_is_gone() {
            stop.cancel();
        }
    };
    while let Ok(trouble) = store.try_recv() {
        view.store(&trouble);
    }
    let found = found.map_err(|error| Error::unknown("the probe ended before its time").because(error))?;
    // All changes are known, so that this ends by itself.
    let notifier = telling.await.map_err(|error| Error::unknown("cannot tell of changes").because(error))?;
    while let Ok(change) = told.try_recv() {
        view.change(&change)?;
    }
    notifier.finish(LAST_NOTICES).await;
    while let Ok(trouble) = troubled.try_recv() {
        view.trouble(&trouble);
    }
    let news = view.is_new(&found.snapshot);
    let mut report = Report::new(found.snapshot, Some(found.end), settings);
    (report.notices, report.tell_changes) = (view.ledger.counts(), view.shows_changes());
    Ok(if news { report.of_round() } else { report })
}

/// Sends each change on its ways, and passes it on. A task of its own: whoever shows changes may have to wait for the
/// reader of stdout, and whoever is told of them must not.
fn tell_all(
    settings: &Settings,
    troubles: &UnboundedSender<Trouble>,
    mut changed: UnboundedReceiver<StateChange>,
) -> (JoinHandle<Notifier>, Ledger, UnboundedReceiver<StateChange>) {
    let notifier = Notifier::start(settings.ways.clone(), settings.patience, troubles);
    let (ledger, fail_on) = (notifier.ledger(), settings.fail_on);
    let (pass_on, told) = unbounded_channel();
    let telling = tokio::spawn(async move {
        while let Some(change) = changed.recv().await {
            if let Some(notice) = tell::notice(&change, fail_on) {
                notifier.tell(notice);
            }
            // Fails only when nobody shows them any more.
            let _ = pass_on.send(change);
        }
        notifier
    });
    (telling, ledger, told)
}

/// Serves `/metrics` until this is dropped, if it is wanted.
async fn serve_metrics(
    settings: &Settings,
    ledger: &Ledger,
    seen: &watch::Receiver<Snapshot>,
    app: &App,
) -> Result<Option<AbortOnDropHandle<()>>, Error> {
    let Some(address) = &settings.listen else { return Ok(None) };
    let (ledger, seen) = (ledger.clone(), seen.clone());
    let source = move || metrics::of_watch(&seen.borrow(), &ledger.counts());
    let content = Content::Metrics(Source(std::sync::Arc::new(source)));
    beside::serve(address, content, ("metrics", "/metrics"), app).await.map(Some)
}

/// What is shown and told while the run goes on.
struct View<'a> {
    app: &'a App,
    settings: &'a Settings,
    live: Live,
    ledger: Ledger,
    /// Rounds that were shown.
    rounds: u64,
    /// What was said of the store of shared breakers.
    told: BTreeSet<String>,
}

impl View<'_> {
    fn snapshot(&mut self, snapshot: Snapshot) -> Result<(), Error> {
        let rows = self.live.rows();
        self.live.draw(|out| human::live(out, &snapshot, rows));
        // The last round of a run that has one is told by the document that also says that it ended.
        let last = self.settings.plan.pace.count == Some(snapshot.rounds);
        if self.app.console.is_json() && self.is_new(&snapshot) && !last {
            self.rounds = snapshot.rounds;
            let mut report = Report::new(snapshot, None, self.settings).of_round();
            report.notices = self.ledger.counts();
            self.app.console.event(&report)?;
        }
        Ok(())
    }

    /// Is there a round that no document of the watch has told of?
    fn is_new(&self, snapshot: &Snapshot) -> bool {
        self.settings.watch && snapshot.rounds > self.rounds
    }

    /// Are the changes to be seen beneath the live table, and nowhere else?
    fn shows_changes(&self) -> bool {
        self.settings.watch && self.live.is_shown() && self.app.console.is_on_terminal()
    }

    fn change(&self, change: &StateChange) -> Result<(), Error> {
        if self.app.console.is_json() || self.shows_changes() {
            return Ok(());
        }
        self.app.console.emit_text(&(human::change(change) + "\n")).map(drop)
    }

    /// Once: targets may share a breaker, and breakers a store.
    fn store(&mut self, trouble: &circuit::Trouble) {
        let text = trouble.to_string();
        if !self.told.contains(&text) {
            self.app.console.warn(&text);
            self.told.insert(text);
        }
    }

    fn trouble(&self, trouble: &Trouble) {
        let console = &self.app.console;
        match trouble {
            Trouble::Again { .. } => console.detail(&trouble.to_string()),
            Trouble::GivenUp { .. } | Trouble::Lost { .. } => console.warn(&trouble.to_string()),
        }
    }
}
