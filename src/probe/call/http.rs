//! A call over HTTP, through [`crate::http`].

use std::path::Path;
use std::sync::Arc;

use reqwest::{Response, Url};

use super::{Call, Means};
use crate::http::{self, Phase, PhaseClock, Recipe};
use crate::probe::classify::http_fault;
use crate::probe::reason::{Fault, Reason};
use crate::probe::target::Target;

/// Of a longer body only so much is read; expectations are checked against that.
const BODY_CAP: usize = 1 << 20;

/// Sends the target's request and checks the answer, all within the target's timeout.
pub(super) async fn call(target: &Target, url: &Url, socket: Option<&Path>, means: &Means) -> Call {
    let clock = PhaseClock::start();
    let limit = target.timeout();
    let result = match tokio::time::timeout(limit, exchange(target, url, socket, means, &clock)).await {
        Ok(result) => result,
        Err(_) => Err(timed_out(clock.stop().0, limit)),
    };
    let (_, phases, latency) = clock.stop();
    Call { result, latency, phases }
}

/// A call that was cut off in `phase`.
pub(super) fn timed_out(phase: Phase, limit: std::time::Duration) -> Fault {
    let reason = if phase == Phase::Connect { Reason::ConnectTimeout } else { Reason::Timeout };
    reason.because(format!("no answer within {limit:?}, while {}", phase.doing()))
}

async fn exchange(
    target: &Target,
    url: &Url,
    socket: Option<&Path>,
    means: &Means,
    clock: &Arc<PhaseClock>,
) -> Result<(), Fault> {
    let fault = |error: reqwest::Error| http_fault(&error, clock.stop().0);
    let request = &target.request;
    let port = url.port_or_known_default().unwrap_or_default();
    let client = http::client(Recipe {
        trust: &means.trust,
        overrides: means.overrides.seen_from(url.host_str().unwrap_or_default(), port),
        redirects: request.redirects,
        unix_socket: socket,
        clock: clock.clone(),
    })
    .map_err(fault)?;
    let mut builder = client.request(request.method.clone(), url.clone()).headers(request.headers.clone());
    if let Some(body) = &request.body {
        builder = builder.body(body.clone());
    }
    clock.restart();
    let response = builder.send().await.map_err(fault)?;
    clock.enter(Phase::Body);
    target.expect.check_http_status(response.status().as_u16())?;
    target.expect.check_headers(response.headers())?;
    let body = read(response).await.map_err(fault)?;
    target.expect.check_body(&body)
}

async fn read(mut response: Response) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = BODY_CAP - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == BODY_CAP {
            break;
        }
    }
    Ok(body)
}
