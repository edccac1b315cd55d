//! One breaker for the calls of this process: asks before each, reports after it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::record::{Admission, Bulk, Caller, Record};
use super::{Name, Terms, View, wall};
use crate::breaker::{Outcome, Refusal, Transition};
use crate::clock::Boot;
use crate::store::{Error, Known, Records, Settings, Step};

/// Where the records are.
pub(super) const KIND: &str = "breakers";

/// Usually a store of many may not delay a call for longer, before it and after it.
const PATIENCE: Duration = Duration::from_secs(1);

/// In the store of this host everybody gets their turn; only a process that was stopped keeps others waiting.
const LOCAL_PATIENCE: Duration = Duration::from_secs(5);

/// A breaker in the store.
pub struct Circuit {
    records: Arc<Records>,
    name: Name,
    terms: Terms,
    host: String,
    /// What suits the store.
    patience: Duration,
}

impl fmt::Debug for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Circuit").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The right to make one call, and what is known of the record.
#[derive(Debug)]
#[must_use = "a call that is not reported is counted as lost"]
pub struct Pass {
    admission: Admission,
    known: Option<Known>,
}

impl Pass {
    /// Whether this call decides if the breaker closes again.
    pub fn is_trial(&self) -> bool {
        self.admission.ticket.is_trial()
    }
}

/// The right to run one fallback.
#[derive(Debug)]
#[must_use = "a fallback that is not reported keeps its place for a while"]
pub struct Fallback {
    place: u64,
    known: Option<Known>,
}

/// The answer to an ask, and what else was seen.
#[derive(Debug)]
pub struct Answer {
    /// The answer.
    pub asked: Asked,
    /// Whether the record was damaged, so that the breaker has begun anew.
    pub damaged: bool,
    /// The breaker after it; none where that could not be counted.
    pub view: Option<Box<View>>,
}

/// Whether a call may be made.
#[derive(Debug)]
pub enum Asked {
    /// Make the call, and report it.
    Admitted(Pass),
    /// Do not make it. With the place of the fallback that was asked for.
    Refused(Refusal, Place),
}

/// A place for a fallback.
#[derive(Debug)]
pub enum Place {
    /// Run it, and report it.
    Granted(Fallback),
    /// Do not: too many are running.
    Full,
    /// The store could not say so in time, or was not asked: nobody counts it.
    Uncounted,
}

/// What a report has led to.
#[derive(Debug)]
pub struct Reported {
    /// When it changed the phase.
    pub transition: Option<Transition>,
    /// The place of the fallback that was asked for.
    pub place: Place,
    /// The breaker after it.
    pub view: Box<View>,
}

/// The breaker after calls were added.
#[derive(Debug)]
pub struct Seen {
    /// Whether the record was damaged, so that the breaker has begun anew.
    pub damaged: bool,
    /// It.
    pub view: Box<View>,
}

/// A step's value, and whether what it found was damaged.
struct Made<T> {
    value: T,
    known: Option<Known>,
    damaged: bool,
    view: Box<View>,
}

impl Circuit {
    /// Looks at nothing yet. `prefix`: what a store of many begins its keys with.
    ///
    /// # Errors
    /// The store cannot be used.
    pub fn open(settings: &Settings, prefix: &str, name: Name, terms: Terms) -> Result<Circuit, Error> {
        let records = Arc::new(Records::open(settings, prefix, KIND)?);
        let patience = match settings {
            Settings::Local(_) => LOCAL_PATIENCE,
            Settings::Etcd(etcd) => PATIENCE.min(etcd.timeout),
        };
        Ok(Circuit { records, name, terms, host: host(), patience })
    }

    /// Another one in the same store, over the same connection.
    #[must_use]
    pub fn beside(&self, name: Name, terms: Terms) -> Circuit {
        Circuit {
            records: self.records.clone(),
            name,
            terms,
            host: self.host.clone(),
            patience: self.patience,
        }
    }

    /// May a call be made? `fallback`: whether one will be run if not.
    ///
    /// # Errors
    /// The store did not answer in time.
    pub async fn ask(&self, fallback: bool) -> Result<Answer, Error> {
        let mut refused = None;
        let made = self
            .step(None, |record, caller| {
                let asked = record.ask(caller);
                refused = asked.err();
                let place = fallback && asked.is_err();
                let place = place.then(|| record.fall_back(caller));
                // Where many are refused at once, they must not wait for each other to be counted.
                (refused.is_some() && place.is_none(), (asked, place))
            })
            .await;
        let made = match (made, refused) {
            (Ok(made), _) => made,
            // As it is known, it is refused; only that could not be counted.
            (Err(_), Some(refusal)) => {
                let asked = Asked::Refused(refusal, Place::Uncounted);
                return Ok(Answer { asked, damaged: false, view: None });
            }
            (Err(error), None) => return Err(error),
        };
        let asked = match made.value {
            (Ok(admission), _) => Asked::Admitted(Pass { admission, known: made.known }),
            (Err(refusal), place) => Asked::Refused(refusal, Place::of(place, made.known)),
        };
        Ok(Answer { asked, damaged: made.damaged, view: Some(made.view) })
    }

    /// How the call ended and how long it took. `fallback`: whether one will be run.
    ///
    /// # Errors
    /// The store did not answer in time: the call will be counted as lost when its lease has lapsed.
    pub async fn report(
        &self,
        pass: Pass,
        outcome: Outcome,
        latency: Duration,
        fallback: bool,
    ) -> Result<Reported, Error> {
        let Pass { admission, known } = pass;
        let made = self
            .step(known, |record, caller| {
                let transition = record.report(caller, admission, outcome, latency);
                (false, (transition, fallback.then(|| record.fall_back(caller))))
            })
            .await?;
        let (transition, place) = made.value;
        Ok(Reported { transition, place: Place::of(place, made.known), view: made.view })
    }

    /// Counts calls that were not asked for; the breaker after it.
    ///
    /// # Errors
    /// The store did not answer in time; nobody knows whether they are counted.
    pub async fn add(&self, bulk: &Bulk) -> Result<Seen, Error> {
        let made = self.step(None, |record, caller| (false, record.add(caller, bulk))).await?;
        Ok(Seen { damaged: made.damaged, view: made.view })
    }

    /// Looks at it, and changes nothing; none if no call was ever made through it, or its record is damaged.
    ///
    /// # Errors
    /// The store did not answer in time.
    pub async fn look(&self) -> Result<Option<Box<View>>, Error> {
        let bytes = self.records.read(self.name.as_str(), self.by()).await?;
        Ok(bytes.and_then(|bytes| Record::parse(&bytes)).map(|record| Box::new(View::now(&record))))
    }

    /// The fallback has ended.
    ///
    /// # Errors
    /// The store did not answer in time.
    pub async fn fell_back(&self, fallback: Fallback, good: bool) -> Result<(), Error> {
        let Fallback { place, known } = fallback;
        self.step(known, |record, caller| (false, record.fell_back(caller, place, good))).await.map(drop)
    }

    /// What it goes by.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// `make` says, besides its value, whether it may be tried only once.
    async fn step<T>(
        &self,
        known: Option<Known>,
        mut make: impl FnMut(&mut Record, Caller<'_>) -> (bool, T),
    ) -> Result<Made<T>, Error> {
        let mut make = |record: &mut Record, caller: Caller<'_>| {
            let (once, value) = make(record, caller);
            (once, (value, Box::new(View::at(record, record.at_ms))))
        };
        let change = |bytes: Option<&[u8]>| {
            let caller = Caller { host: &self.host, terms: &self.terms, wall: wall() };
            changed(bytes, caller, &mut make)
        };
        let (made, known) = self.records.update(self.name.as_str(), known, self.by(), change).await?;
        let ((value, view), damaged) = made;
        Ok(Made { value, known, damaged, view })
    }

    fn by(&self) -> Boot {
        Boot::now() + self.terms.patience.unwrap_or(self.patience)
    }
}

impl Place {
    /// `granted`: none if none was asked for.
    fn of(granted: Option<Option<u64>>, known: Option<Known>) -> Place {
        match granted {
            Some(Some(place)) => Place::Granted(Fallback { place, known }),
            Some(None) => Place::Full,
            None => Place::Uncounted,
        }
    }
}

/// The record after a step, and whether it was damaged before.
pub(super) fn changed<T>(
    bytes: Option<&[u8]>,
    caller: Caller<'_>,
    make: &mut impl FnMut(&mut Record, Caller<'_>) -> (bool, T),
) -> Step<(T, bool)> {
    let found = bytes.and_then(Record::parse);
    let damaged = bytes.is_some() && found.is_none();
    let mut record = found.unwrap_or_else(|| Record::new(caller));
    let (once, value) = make(&mut record, caller);
    // What an operator decided is not forgotten.
    let lasting = record.forced.is_some();
    Step::Put { bytes: record.bytes(), aside: damaged, once, lasting, value: (value, damaged) }
}

/// What others call this member.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
