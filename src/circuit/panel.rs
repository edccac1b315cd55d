//! What operators see, and what they decide. Seeing changes nothing.

use std::time::Duration;

use super::call::{KIND, changed, host};
use super::members::MemberView;
use super::recent::RecentView;
use super::record::{Caller, FallbackCounts, Forced, Moment, Record};
use super::terms::Numbers;
use super::{Name, Terms, wall};
use crate::breaker::{Config, Millis, Phase, Totals, WindowCounts};
use crate::clock::Boot;
use crate::store::{Changes, Error, Records, Settings};

/// All breakers of a store.
pub struct Panel {
    records: Records,
    timeout: Duration,
}

/// What was found under a name.
#[derive(Clone, Debug)]
pub enum Look {
    /// No call was ever made through it.
    Unknown,
    /// Its record cannot be read: the next call puts it aside, and begins anew.
    Damaged,
    /// A breaker.
    Found(Box<View>),
}

/// One breaker at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// Where it stands. One whose cooldown is over stays open until the next call.
    pub phase: Phase,
    /// What an operator decided, if that still holds.
    pub forced: Option<Forced>,
    /// Since when it stands there: Unix time in milliseconds, by the slowest clock of its members.
    pub since_ms: Millis,
    /// Grows by one with each change of phase.
    pub generation: u64,
    /// Failed trials since it was last closed.
    pub reopen_count: u32,
    /// While open: how long until a call is let through as a trial; none while it is forced for ever.
    pub next_trial_in: Option<Duration>,
    /// Trials that run now.
    pub trials: usize,
    /// Calls that run now, trials included.
    pub in_flight: usize,
    /// The rolling window.
    pub window: WindowCounts,
    /// What else is known of the last calls.
    pub recent: RecentView,
    /// Everything ever asked.
    pub totals: Totals,
    /// Calls that were never reported.
    pub lost: u64,
    /// What became of the fallbacks.
    pub fallback: FallbackCounts,
    /// The latest changes of phase, oldest first.
    pub moments: Vec<Moment>,
    /// Who shares it.
    pub members: Vec<MemberView>,
    /// The numbers that it was used with lately, last used first. More than one: callers differ.
    pub settings: Vec<Numbers>,
    /// Its last change, in Unix time.
    pub changed_ms: Millis,
}

impl Panel {
    /// Looks at nothing yet.
    ///
    /// # Errors
    /// The store cannot be used.
    pub fn open(settings: &Settings, prefix: &str) -> Result<Panel, Error> {
        let timeout = match settings {
            Settings::Local(_) => Duration::from_secs(5),
            Settings::Etcd(etcd) => etcd.timeout,
        };
        Ok(Panel { records: Records::open(settings, prefix, KIND)?, timeout })
    }

    /// `local` or `etcd`.
    pub fn kind(&self) -> &'static str {
        self.records.kind()
    }

    /// The names of all, in order.
    ///
    /// # Errors
    /// The store did not answer in time.
    pub async fn names(&self) -> Result<Vec<Name>, Error> {
        let names = self.records.names(self.by()).await?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Looks at one.
    ///
    /// # Errors
    /// The store did not answer in time.
    pub async fn look(&self, name: &Name) -> Result<Look, Error> {
        Ok(match self.records.read(name.as_str(), self.by()).await? {
            None => Look::Unknown,
            Some(bytes) => match Record::parse(&bytes) {
                None => Look::Damaged,
                Some(record) => Look::Found(Box::new(View::now(&record))),
            },
        })
    }

    /// Puts it into a phase, for a while or until somebody decides otherwise.
    ///
    /// # Errors
    /// The store did not answer in time.
    pub async fn force(
        &self,
        name: &Name,
        phase: Phase,
        span: Option<Duration>,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let span = span.map(super::millis);
        let force = |record: &mut Record, caller: Caller<'_>| {
            record.force(caller, phase, span, reason.map(str::to_owned));
        };
        self.change(name, force).await
    }

    /// Has everything forgotten; it is closed.
    ///
    /// # Errors
    /// The store did not answer in time.
    pub async fn reset(&self, name: &Name) -> Result<(), Error> {
        self.change(name, |record, caller| record.reset(caller)).await
    }

    /// Begins to notice changes, of one or of all.
    ///
    /// # Errors
    /// The store did not answer in time.
    pub async fn changes(&self, name: Option<&Name>) -> Result<Changes<'_>, Error> {
        self.records.changes(name.map(Name::as_str), self.by()).await
    }

    async fn change(&self, name: &Name, mut make: impl FnMut(&mut Record, Caller<'_>)) -> Result<(), Error> {
        let (host, terms) = (host(), Terms::of(Config::default()));
        let mut make = |record: &mut Record, caller: Caller<'_>| (false, make(record, caller));
        let step = |bytes: Option<&[u8]>| {
            changed(bytes, Caller { host: &host, terms: &terms, wall: wall() }, &mut make)
        };
        self.records.update(name.as_str(), None, self.by(), step).await.map(drop)
    }

    fn by(&self) -> Boot {
        Boot::now() + self.timeout
    }
}

impl View {
    /// As it is now, by the clock of all members.
    pub(super) fn now(record: &Record) -> View {
        View::at(record, record.members.time(&host(), wall()))
    }

    /// Whether the next call is a trial, where only one is needed.
    pub fn awaits_trial(&self) -> bool {
        match self.phase {
            Phase::Closed => false,
            Phase::Open => self.next_trial_in.is_some_and(|wait| wait.is_zero()),
            Phase::HalfOpen => self.trials == 0,
        }
    }

    pub(super) fn at(record: &Record, now: Millis) -> View {
        let state = &record.state;
        let config = state.with_geometry(&Config::default());
        let threshold = record
            .settings
            .first()
            .map_or(config.error_threshold_percent, |used| used.numbers.error_threshold_percent);
        let config = Config { error_threshold_percent: threshold, ..config };
        let forced = record.forced.clone().filter(|f| f.until_ms.is_none_or(|until| until > now));
        let for_ever = forced.as_ref().is_some_and(|forced| forced.until_ms.is_none());
        View {
            phase: state.phase(),
            since_ms: state.since(),
            generation: state.generation(),
            reopen_count: state.reopen_count(),
            next_trial_in: state.next_trial_in(now).filter(|_| !for_ever),
            trials: state.trials_at(now),
            in_flight: record.running(now),
            window: state.window(&config, now),
            recent: record.recent.view(now),
            totals: *state.totals(),
            lost: record.lost_by(now),
            fallback: record.fallback,
            members: record.members.views(&config, now),
            settings: record.settings.iter().map(|used| used.numbers).collect(),
            changed_ms: record.at_ms,
            moments: record.moments.clone(),
            forced,
        }
    }
}
