//! Fetches what certificates name: their issuers (AIA) and revocation lists, over HTTP, when asked for.
//!
//! Refuses other URLs than those in the certificates, redirects, and answers that are too large or too slow. What is
//! fetched is not believed: its signature tells.

use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use tokio::sync::Semaphore;

use super::chain::{self, Roots};
use super::files;
use super::finding::{Finding, Status};
use crate::http::{self, Asked, Overrides, PhaseClock, Recipe, Served, Trust};

/// Bytes of an issuer.
const ISSUER: usize = 256 * 1024;
/// Bytes of a revocation list: the largest of public authorities have some ten million.
const LIST: usize = 32 << 20;
/// Fetches for one chain.
const MOST: usize = 8;
/// Bytes beyond which an answer waits for its turn.
const SMALL: usize = 1 << 20;
/// Turns of answers that are larger, over all targets: two of them take as much memory as there is for it.
static LARGE: Semaphore = Semaphore::const_new(2);

/// The time of all fetches of a kind for one target: four steps, as large lists take longer than one; and two for each, so
/// that one server that stalls leaves some for the next.
struct Time {
    step: Duration,
    begun: Instant,
}

impl Time {
    fn of(step: Duration) -> Time {
        Time { step, begun: Instant::now() }
    }

    fn left(&self) -> Duration {
        let all = self.step.saturating_mul(4).saturating_sub(self.begun.elapsed());
        all.min(self.step.saturating_mul(2))
    }
}

/// What was fetched, and what could not be.
#[derive(Debug)]
pub(super) struct Fetched<T> {
    pub(super) found: Vec<T>,
    pub(super) findings: Vec<Finding>,
}

impl<T> Default for Fetched<T> {
    fn default() -> Fetched<T> {
        Fetched { found: Vec::new(), findings: Vec::new() }
    }
}

/// Issuers that were not sent, up to a root, each from where the certificate before it says.
pub(super) async fn issuers(
    sent: &[CertificateDer<'static>],
    roots: &Roots,
    timeout: Duration,
) -> Fetched<CertificateDer<'static>> {
    let mut fetched = Fetched::default();
    let (mut tried, time) = (Vec::new(), Time::of(timeout));
    loop {
        let known: Vec<_> = sent.iter().chain(&fetched.found).cloned().collect();
        let wanted = chain::missing(&known, roots).into_iter().find(|url| !tried.contains(url));
        let Some(url) = wanted.filter(|_| tried.len() < MOST) else { return fetched };
        match get(&url, ISSUER, &time).await.map(|bytes| files::certificates(&bytes)) {
            Ok(found) if found.is_empty() => {
                fetched.findings.push(failed("chain.aia", &url, "no certificate"))
            }
            Ok(found) => fetched.found.extend(found.into_iter().take(MOST)),
            Err(why) => fetched.findings.push(failed("chain.aia", &url, &why)),
        }
        tried.push(url);
    }
}

/// The revocation lists that the certificates name, the first of each that can be fetched.
pub(super) async fn lists(
    chain: &[CertificateDer<'static>],
    timeout: Duration,
) -> Fetched<CertificateRevocationListDer<'static>> {
    let (mut fetched, time) = (Fetched::default(), Time::of(timeout));
    for certificate in chain.iter().take(MOST) {
        let mut failures = Vec::new();
        let mut found = None;
        for url in chain::sources(certificate).crls.iter().take(2) {
            match get(url, LIST, &time).await {
                Ok(bytes) => {
                    let pem = CertificateRevocationListDer::from_pem_slice(&bytes).ok();
                    found = Some(pem.unwrap_or_else(|| bytes.into()));
                    break;
                }
                Err(why) => failures.push(failed("revocation", url, &why)),
            }
        }
        match found {
            Some(list) => fetched.found.push(list),
            None => fetched.findings.append(&mut failures),
        }
    }
    fetched
}

fn failed(id: &'static str, url: &str, why: &str) -> Finding {
    let actual = format!("{url}: {why}");
    Finding::new(id, Status::Error, "chain").expected("what the certificate names").actual(actual)
}

async fn get(url: &str, limit: usize, time: &Time) -> Result<Vec<u8>, String> {
    let left = time.left();
    if left.is_zero() {
        return Err("not asked for: the others took all the time".to_owned());
    }
    tokio::time::timeout(left, whole(url, limit))
        .await
        .unwrap_or_else(|_| Err("no whole answer in time".to_owned()))
}

async fn whole(url: &str, limit: usize) -> Result<Vec<u8>, String> {
    let failed = |error: reqwest::Error| {
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        cause.to_string()
    };
    let recipe = Recipe {
        trust: &Trust::roots(Vec::new()),
        overrides: Overrides::default(),
        family: None,
        redirects: 0,
        unix_socket: None,
        http2_only: false,
        keep: false,
        clock: PhaseClock::start(),
        asked: Asked::default(),
        served: Served::default(),
    };
    let client = http::client(recipe).map_err(failed)?;
    let mut answer = client.get(url).send().await.map_err(failed)?;
    if answer.status() != reqwest::StatusCode::OK {
        return Err(format!("status {}", answer.status().as_u16()));
    }
    let (mut bytes, mut turn) = (Vec::new(), None);
    while let Some(more) = answer.chunk().await.map_err(failed)? {
        bytes.extend_from_slice(&more);
        if bytes.len() > SMALL && turn.is_none() {
            turn = LARGE.acquire().await.ok();
        }
        if bytes.len() > limit {
            return Err(format!("more than {} KiB", limit / 1024));
        }
    }
    Ok(bytes)
}
