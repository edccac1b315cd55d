//! The event stream of Hystrix: each breaker as one of its commands, so that its dashboards show them.
//!
//! The names of the fields are Hystrix's, the values those of `hardy breaker show`. A breaker is one however many hosts
//! share it. What hardy has none of (a cache, collapsed requests, a pool of threads) is zero.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::shown::{Details, Shown};
use super::watch::PAUSE;
use crate::app::App;
use crate::breaker::{Config, Phase};
use crate::circuit::{Counts, FALLBACKS, Name, Panel, RecentView, Terms};
use crate::cmd::beside::{self, READERS};
use crate::cmd::store::failed;
use crate::error::Error;
use crate::output::Console;
use crate::serve::{Address, Content, Feed};
use crate::store::Changes;

/// Where dashboards look for it, and where a person does.
const PATHS: [&str; 2] = ["/hystrix.stream", "/"];

/// As often as hystrix-go.
const EVERY: Duration = Duration::from_secs(1);

/// Ends when it is dropped.
pub struct Stream {
    _serving: AbortOnDropHandle<()>,
    _feeding: AbortOnDropHandle<()>,
}

/// Serves the stream of these breakers, or of all.
///
/// # Errors
/// The address cannot be used.
pub async fn serve(address: &Address, panel: Panel, names: Vec<Name>, app: &App) -> Result<Stream, Error> {
    let feed = Feed::new(&PATHS, "text/event-stream; charset=utf-8", READERS);
    let told = ("Hystrix stream", PATHS[0]);
    let serving = beside::serve(address, Content::Feed(feed.clone()), told, app).await?;
    let source = Source { panel, names, console: app.console.clone() };
    // A task of its own: whoever is slow to read the changes must not hold the dashboards up.
    let feeding = AbortOnDropHandle::new(tokio::spawn(async move { source.feed_to(&feed).await }));
    Ok(Stream { _serving: serving, _feeding: feeding })
}

/// Where the values come from.
struct Source {
    panel: Panel,
    names: Vec<Name>,
    console: Console,
}

impl Source {
    /// A part each second, and one at once when a breaker changes its state.
    async fn feed_to(&self, feed: &Feed) {
        let (mut changes, mut sent, mut warned) = (None, BTreeMap::new(), false);
        let mut pace = interval(EVERY);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = tokio::select! {
                _ = pace.tick() => true,
                () = changed(&mut changes) => false,
            };
            if !feed.is_heard() {
                continue;
            }
            let shown = match self.look(&mut changes).await {
                Ok(shown) => shown,
                Err(error) => {
                    if !std::mem::replace(&mut warned, true) {
                        self.console.warn(&format!("nothing but pings on the Hystrix stream: {error}"));
                    }
                    feed.send(&PING);
                    continue;
                }
            };
            warned = false;
            let generations = shown.iter().map(|shown| (shown.name.clone(), generation(shown))).collect();
            if due || generations != sent {
                feed.send(&part(&shown, Timestamp::now()));
                sent = generations;
            }
            if !due {
                sleep(PAUSE).await;
            }
        }
    }

    /// How they are now; from then on `changes` tells.
    async fn look<'a>(&'a self, changes: &mut Option<Changes<'a>>) -> Result<Vec<Shown>, Error> {
        if changes.is_none() {
            *changes = Some(self.panel.changes(None).await.map_err(failed)?);
        }
        Shown::all(&self.panel, &self.names).await
    }
}

async fn changed(changes: &mut Option<Changes<'_>>) {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}

fn generation(shown: &Shown) -> Option<u64> {
    shown.details.as_ref().map(|details| details.generation)
}

/// What tells a client that the stream goes on.
const PING: Bytes = Bytes::from_static(b"ping: \n\n");

/// A ping, and an event for each that can be read.
fn part(all: &[Shown], now: Timestamp) -> Bytes {
    let mut text = PING.to_vec();
    for shown in all {
        if let Some(details) = &shown.details {
            let event = event(&shown.name, shown.state != Some(Phase::Closed), details, now);
            text.extend(format!("data: {}\n\n", Value::Object(event)).bytes());
        }
    }
    text.into()
}

fn event(name: &str, open: bool, details: &Details, now: Timestamp) -> Map<String, Value> {
    let (window, recent) = (&details.window, &details.recent);
    let mut event = Map::new();
    let mut add = |more: Value| event.extend(more.as_object().cloned().unwrap_or_default());
    add(json!({
        "type": "HystrixCommand",
        "name": name,
        "group": "hardy",
        "currentTime": now.as_millisecond(),
        "isCircuitBreakerOpen": open,
        // Rounded down, so that it never shows a threshold that was not reached.
        "errorPercentage": window.error_percent as u64,
        "errorCount": sum([window.failures, window.timeouts, window.slow]),
        "requestCount": window.requests,
    }));
    add(counts(details));
    add(json!({ "currentConcurrentExecutionCount": details.in_flight }));
    let (mean, quantiles) = (milliseconds(recent.latency.mean_us.unwrap_or(0)), quantiles(recent));
    add(json!({
        "latencyExecute_mean": mean,
        "latencyExecute": quantiles,
        "latencyTotal_mean": mean,
        "latencyTotal": quantiles,
    }));
    add(properties(details));
    add(json!({ "reportingHosts": 1, "threadPool": "hardy" }));
    event
}

/// Of the time of the window.
fn counts(details: &Details) -> Value {
    let (window, recent) = (&details.window, &details.recent);
    let Counts { excluded, short_circuited, rejected, fallbacks } = recent.counts;
    let ended_badly = sum([window.failures, window.timeouts, short_circuited, rejected]);
    json!({
        "rollingCountBadRequests": excluded,
        "rollingCountCollapsedRequests": 0,
        "rollingCountExceptionsThrown": ended_badly.saturating_sub(fallbacks.successes),
        "rollingCountFailure": window.failures,
        "rollingCountFallbackFailure": fallbacks.failures,
        "rollingCountFallbackRejection": fallbacks.rejected,
        "rollingCountFallbackSuccess": fallbacks.successes,
        "rollingCountResponsesFromCache": 0,
        "rollingCountSemaphoreRejected": rejected,
        "rollingCountShortCircuited": short_circuited,
        "rollingCountSuccess": window.successes,
        "rollingCountThreadPoolRejected": 0,
        "rollingCountTimeout": window.timeouts,
    })
}

/// The numbers that it was used with last.
fn properties(details: &Details) -> Value {
    let usual = || Terms::of(Config::default()).numbers();
    let numbers = details.settings.first().copied().unwrap_or_else(usual);
    let forced = |phase| details.forced.as_ref().is_some_and(|forced| forced.phase == phase);
    json!({
        "propertyValue_circuitBreakerRequestVolumeThreshold": numbers.volume,
        "propertyValue_circuitBreakerSleepWindowInMilliseconds": numbers.cooldown_ms,
        "propertyValue_circuitBreakerErrorThresholdPercentage": numbers.error_threshold_percent,
        "propertyValue_circuitBreakerForceOpen": forced(Phase::Open),
        "propertyValue_circuitBreakerForceClosed": forced(Phase::Closed),
        "propertyValue_circuitBreakerEnabled": true,
        "propertyValue_executionIsolationStrategy": "SEMAPHORE",
        "propertyValue_executionIsolationThreadTimeoutInMilliseconds": numbers.timeout_ms,
        "propertyValue_executionTimeoutInMilliseconds": numbers.timeout_ms,
        "propertyValue_executionIsolationThreadInterruptOnTimeout": true,
        "propertyValue_executionIsolationThreadPoolKeyOverride": null,
        "propertyValue_executionIsolationSemaphoreMaxConcurrentRequests": numbers.max_concurrent,
        "propertyValue_fallbackIsolationSemaphoreMaxConcurrentRequests": FALLBACKS,
        "propertyValue_metricsRollingStatisticalWindowInMilliseconds": numbers.window_ms,
        "propertyValue_requestCacheEnabled": false,
        "propertyValue_requestLogEnabled": false,
    })
}

/// In milliseconds. Where there are too few calls to tell, the longest, as Hystrix does.
fn quantiles(recent: &RecentView) -> Value {
    let longest = recent.latency.max_us.unwrap_or(0);
    let at = |q: f64| match recent.latencies.quantile(q) {
        Some(latency) => milliseconds(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)),
        None => milliseconds(longest),
    };
    json!({
        "0": milliseconds(recent.latency.min_us.unwrap_or(0)),
        "25": at(0.25),
        "50": at(0.5),
        "75": at(0.75),
        "90": at(0.9),
        "95": at(0.95),
        "99": at(0.99),
        "99.5": at(0.995),
        "100": milliseconds(longest),
    })
}

/// A record may hold anything.
fn sum<const N: usize>(counts: [u64; N]) -> u64 {
    counts.into_iter().fold(0, u64::saturating_add)
}

fn milliseconds(us: u64) -> u64 {
    us.saturating_add(500) / 1_000
}
