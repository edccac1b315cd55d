//! What several lock commands show: holders, waiters, grants; and the names of locks for completion.

use std::time::Duration;

use clap_complete::engine::ArgValueCandidates;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::settings::StoreArgs;
use crate::complete;
use crate::config::{self, Config};
use crate::lock::{self, Grant, Lease, Locks, Mode};
use crate::output::printable;
use crate::units::{Duration as Shown, brief};

/// A shell that completes waits no longer than this for names.
const PATIENCE: Duration = Duration::from_millis(250);

/// A holder or a waiter.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Member {
    /// `exclusive`, `shared`, or `slots`.
    mode: &'static str,
    /// Of a semaphore: how many may hold it at once.
    slots: Option<u32>,
    host: Option<String>,
    pid: Option<u32>,
    /// Since when it holds, or waits; RFC 3339.
    #[schemars(with = "Option<String>")]
    since: Option<Timestamp>,
    reason: Option<String>,
    /// The fencing token of a holder.
    token: Option<u64>,
    /// How long its lease still runs; null for one that lasts as long as its process.
    left_ms: Option<u64>,
    /// The lease in etcd, in hexadecimal; the ticket in the local store.
    id: String,
}

impl From<&lock::Member> for Member {
    fn from(member: &lock::Member) -> Member {
        let (mode, slots) = match member.mode {
            Mode::Exclusive => ("exclusive", None),
            Mode::Shared => ("shared", None),
            Mode::Slots(slots) => ("slots", Some(slots.get())),
        };
        let owner = member.owner.as_ref();
        Member {
            mode,
            slots,
            host: owner.map(|owner| owner.host.clone()),
            pid: owner.map(|owner| owner.pid),
            since: member.since,
            reason: owner.and_then(|owner| owner.reason.clone()),
            token: member.token,
            left_ms: member.left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            id: member.id.clone(),
        }
    }
}

/// Who it is, in a word: `host:pid`, or the lease of a client that does not say.
pub fn who(member: &lock::Member) -> String {
    match &member.owner {
        Some(owner) => format!("{}:{}", printable(&owner.host), owner.pid),
        None => format!("lease {}", member.id),
    }
}

/// What it asked for, if that is not the usual.
pub fn mode(member: &lock::Member) -> String {
    match member.mode {
        Mode::Exclusive => String::new(),
        Mode::Shared => "shared".to_owned(),
        Mode::Slots(slots) => format!("{slots} slots"),
    }
}

/// How long ago that was, for people.
pub fn ago(since: Option<Timestamp>) -> String {
    let Some(since) = since else { return String::new() };
    let age = Timestamp::now().duration_since(since);
    // Clocks of two hosts differ; a time to come is now.
    whole(Duration::try_from(age).unwrap_or_default())
}

/// A time for people, in whole seconds below a minute.
pub fn whole(time: Duration) -> String {
    match time.as_secs_f64().round() {
        seconds if seconds < 60.0 => format!("{seconds}s"),
        _ => brief(time),
    }
}

/// A lock that was got, or renewed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Got {
    /// The lock.
    pub name: String,
    /// Which store.
    pub store: String,
    /// The fencing token.
    pub token: u64,
    /// What it is given back with.
    pub handle: String,
    /// As granted; null for a lock that lasts as long as its process.
    pub ttl_ms: Option<u64>,
    /// Until when it surely is held without renewal; RFC 3339.
    #[schemars(with = "Option<String>")]
    pub deadline: Option<Timestamp>,
    /// How long it took to get it.
    pub waited_ms: u64,
}

impl Got {
    /// From what the engine says.
    pub fn new(handle: &lock::Handle, lease: Option<Lease>, waited: Duration) -> Got {
        Got {
            name: handle.name.to_string(),
            store: handle.store.clone(),
            token: handle.token,
            handle: handle.to_string(),
            ttl_ms: lease.map(|lease| u64::try_from(lease.ttl.as_millis()).unwrap_or(u64::MAX)),
            deadline: lease.map(|lease| lease.deadline.timestamp()),
            waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// What to say when the store granted another lease than was asked for.
pub fn other_ttl(asked: Duration, grant: &Grant) -> Option<String> {
    let granted = grant.lease?.ttl;
    (granted != asked)
        .then(|| format!("asked for a lease of {}, and the store granted {}", Shown(asked), Shown(granted)))
}

/// The names of the locks in the configured store, for a shell that completes one.
pub fn names() -> ArgValueCandidates {
    complete::found(|source| {
        let config = Config::load(source).ok()?;
        let mut knobs = config::from_environment().ok()?.store;
        if let Some(endpoints) = complete::typed("--endpoints") {
            knobs.endpoints = Some(endpoints.to_str()?.split(',').map(str::to_owned).collect());
        }
        let locks = StoreArgs::of(knobs).open(&config).ok()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let names = runtime.block_on(async { tokio::time::timeout(PATIENCE, listed(&locks)).await.ok() });
        runtime.shutdown_background();
        names.flatten()
    })
}

async fn listed(locks: &Locks) -> Option<Vec<String>> {
    Some(locks.names().await.ok()?.iter().map(ToString::to_string).collect())
}
