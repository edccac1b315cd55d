//! A call over HTTP, through [`crate::http`].

use std::path::Path;

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{RequestBuilder, Response, Url};
use tokio::time::timeout;

use super::blame::{Scene, blame, wants_certificate, wants_tls};
use super::wire::words;
use super::{Call, Means, certificate_of};
use crate::address::Address;
use crate::http::{self, Asked, Phase, PhaseClock, Recipe, Served};
use crate::probe::classify::http_fault;
use crate::probe::target::Target;
use crate::reason::{Fault, Reason};
use crate::text::without_secrets;
use crate::units::Duration;

/// Of a longer body only so much is read; expectations are checked against that.
const BODY_CAP: usize = 1 << 20;

/// Sends the target's request and checks the answer, all within the target's timeout.
pub(super) async fn call(target: &Target, url: &Url, socket: Option<&Path>, means: &Means) -> Call {
    let (clock, asked, served) = (PhaseClock::start(), Asked::default(), Served::default());
    let port = url.port_or_known_default().unwrap_or_default();
    let client = http::client(Recipe {
        overrides: means.overrides.seen_from(url.host_str().unwrap_or_default(), port),
        redirects: target.request.redirects,
        unix_socket: socket,
        http2_only: matches!(target.address, Address::H2c { .. }),
        asked: asked.clone(),
        served: served.clone(),
        ..means.recipe(clock.clone())
    });
    let mut answer = Answer::default();
    let limit = target.timeout();
    clock.restart();
    let failed = match client {
        Err(error) => Some(http_fault(&error, Phase::Connect)),
        Ok(client) => {
            let exchange = exchange(target, request(target, url, &client), &clock, &mut answer);
            let result = timeout(limit, exchange).await;
            let scene = |url: &Url| Scene {
                phase: clock.stop().0,
                proxy: means.proxies.towards(url).filter(|_| socket.is_none()),
                asked: asked.in_vain(),
            };
            match result {
                Ok(Ok(())) => None,
                Ok(Err(error)) => {
                    let scene = scene(error.url().unwrap_or(url));
                    Some(blame(http_fault(&error, scene.phase), &scene))
                }
                Err(_) => {
                    let scene = scene(url);
                    Some(blame(timed_out(scene.phase, limit), &scene))
                }
            }
        }
    };
    if let (Some(status), Some(first)) = (answer.status, answer.unmet.first_mut()) {
        first.detail += wants_certificate(status, &asked);
    }
    let (_, phases, latency) = clock.stop();
    let (certificate, too_short) = certificate_of(target, &served);
    match failed {
        Some(failed) => answer.unmet.push(failed),
        None => answer.unmet.extend(too_short.into_iter().chain(target.expect.check_latency(latency).err())),
    }
    let result = Fault::first_of(answer.unmet);
    Call { result, latency, phases, status: answer.status, answer: None, certificate }
}

/// What is known of an answer, even when its end never came.
#[derive(Default)]
struct Answer {
    status: Option<u16>,
    /// What is wrong with it.
    unmet: Vec<Fault>,
}

/// A call that was cut off in `phase`.
pub(super) fn timed_out(phase: Phase, limit: std::time::Duration) -> Fault {
    let reason = if phase == Phase::Connect { Reason::ConnectTimeout } else { Reason::Timeout };
    reason.because(format!("no answer within {}, while {}", Duration(limit), phase.doing()))
}

fn request(target: &Target, url: &Url, client: &reqwest::Client) -> RequestBuilder {
    let request = &target.request;
    let builder = client.request(request.method.clone(), url.clone()).headers(request.headers.clone());
    match &request.body {
        Some(body) => builder.body(body.clone()),
        None => builder,
    }
}

async fn exchange(
    target: &Target,
    request: RequestBuilder,
    clock: &PhaseClock,
    answer: &mut Answer,
) -> reqwest::Result<()> {
    let response = request.send().await?;
    clock.enter(Phase::Body);
    let status = response.status().as_u16();
    answer.status = Some(status);
    answer.unmet.extend(target.expect.check_http_status(status).err());
    answer.unmet.extend(target.expect.check_headers(response.headers()));
    let url = response.url().clone();
    if target.request.redirects > 0 && response.status().is_redirection() {
        answer.unmet.extend(stray(response.headers()));
    }
    let perhaps_tls = !answer.unmet.is_empty() && status == 400 && url.scheme() == "http";
    if answer.unmet.is_empty() || target.expect.reads_body() || perhaps_tls {
        let body = read(response).await?;
        answer.unmet.extend(target.expect.check_body(&body));
        if perhaps_tls && let Some(first) = answer.unmet.first_mut() {
            first.detail += &wants_tls(&body, &url);
        }
    }
    Ok(())
}

/// A redirect that should have been followed and could not be: to another scheme, or to no URL at all.
fn stray(headers: &HeaderMap) -> Option<Fault> {
    let to = String::from_utf8_lossy(headers.get(LOCATION)?.as_bytes()).into_owned();
    let to = words(&without_secrets(&to));
    Some(Reason::HttpRedirect.because(format!("the redirect to {to} cannot be followed")))
}

/// The body, to its end or the cap.
pub(super) async fn read(mut response: Response) -> reqwest::Result<Vec<u8>> {
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
