//! A call of one member of etcd: its own health, which needs a leader, a quorum and no alarm, and its status.
//!
//! Both are asked over plain HTTP, which needs no user even where authentication is on. Refuses to ask other members.

use reqwest::{Client, Response, Url};
use serde_json::Value;

use super::way::{Said, Way};
use super::wire::words;
use crate::address::Endpoint;
use crate::http::{self, Phase, Recipe};
use crate::probe::call::http::read;
use crate::probe::classify::http_fault;
use crate::probe::expect::excerpt;
use crate::reason::{Fault, Reason};

/// Asks the member at `at`.
pub(super) async fn exchange(way: &Way<'_>, at: &Endpoint) -> Result<Said, Fault> {
    let scheme = if at.tls { "https" } else { "http" };
    let base = Url::parse(&format!("{scheme}://{}/", at.authority()));
    let base = base.map_err(|error| Reason::Dns.because(error.to_string()))?;
    let client = http::client(Recipe {
        overrides: way.means.overrides.seen_from(&at.host, at.port),
        redirects: 0,
        keep: true,
        asked: way.asked.clone(),
        served: way.served.clone(),
        ..way.means.recipe(way.clock.clone())
    });
    let broken = |error: reqwest::Error| http_fault(&error, way.clock.stop().0);
    let client = client.map_err(broken)?;
    let health = send(way, &client, &base, "health").await?;
    let health = read(health).await.map_err(broken)?;
    let status = send(way, &client, &base, "v3/maintenance/status").await?;
    let body = read(status).await.map_err(broken)?;
    let status = document(&body)?;
    check(&document(&health)?, &status)?;
    Ok(Said { answer: Some(summary(&status)), unmet: way.target.expect.check_body(&body) })
}

/// Whatever the status of the answer: its document says more.
async fn send(way: &Way<'_>, client: &Client, base: &Url, path: &str) -> Result<Response, Fault> {
    let url = base.join(path).map_err(|error| Reason::Dns.because(error.to_string()))?;
    // The gateway of gRPC wants a document, and POST.
    let request = if path == "health" { client.get(url) } else { client.post(url).body("{}") };
    let response = request.send().await;
    let response = response.map_err(|error| http_fault(&error, way.clock.stop().0))?;
    way.clock.enter(Phase::Body);
    Ok(response)
}

fn document(body: &[u8]) -> Result<Value, Fault> {
    serde_json::from_slice(body).ok().filter(Value::is_object).ok_or_else(|| {
        let text = excerpt(&String::from_utf8_lossy(body));
        Reason::Protocol.because(format!("what came is not etcd: {text}"))
    })
}

fn check(health: &Value, status: &Value) -> Result<(), Fault> {
    let healthy = health["health"].as_str().map_or(health["health"].as_bool(), |text| text.parse().ok());
    let mut why: Vec<&str> = Vec::from_iter(health["reason"].as_str().filter(|reason| !reason.is_empty()));
    why.extend(status["errors"].as_array().into_iter().flatten().filter_map(Value::as_str));
    if leader(status).is_none() {
        why.push("it has no leader");
    }
    match healthy {
        None => {
            let found = excerpt(&health.to_string());
            Err(Reason::Protocol.because(format!("what came is not the health of etcd: {found}")))
        }
        Some(true) if why.is_empty() => Ok(()),
        // With a leader and no alarm, what fails is a read that needs the other members.
        Some(_) if why.is_empty() => Err(Reason::EtcdUnhealthy.because("it has no quorum")),
        Some(_) => Err(Reason::EtcdUnhealthy.because(words(&why.join("; ")))),
    }
}

/// Numbers of 64 bits are texts here; one that is zero is left out.
fn leader(status: &Value) -> Option<u64> {
    status["leader"].as_str()?.parse().ok().filter(|leader| *leader != 0)
}

fn summary(status: &Value) -> String {
    let own = status["header"]["member_id"].as_str().and_then(|id| id.parse::<u64>().ok());
    let role = match leader(status) {
        leader if leader == own => "leader".to_owned(),
        leader => format!("follower of {:x}", leader.unwrap_or_default()),
    };
    let size = status["dbSize"].as_str().and_then(|size| size.parse::<u64>().ok()).unwrap_or_default();
    let version = words(status["version"].as_str().unwrap_or("?"));
    format!("{role}, version {version}, db {} KiB", size / 1024)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn health_needs_a_leader_a_quorum_and_no_alarm() {
        let status =
            json!({ "leader": "7", "header": { "member_id": "7" }, "dbSize": "20480", "version": "3.4.23" });
        let alarmed = json!({ "leader": "7", "errors": ["memberID:7 alarm:NOSPACE "] });
        let said = |health: Value, status: &Value| check(&health, status).map_err(|f| (f.reason, f.detail));
        assert_eq!(said(json!({ "health": "true" }), &status), Ok(()));
        assert_eq!(said(json!({ "health": true, "reason": "" }), &status), Ok(()));
        let unhealthy = |why: &str| Err((Reason::EtcdUnhealthy, why.to_owned()));
        assert_eq!(said(json!({ "health": "false" }), &status), unhealthy("it has no quorum"));
        assert_eq!(said(json!({ "health": "true" }), &json!({})), unhealthy("it has no leader"));
        assert_eq!(said(json!({ "health": "false" }), &alarmed), unhealthy("memberID:7 alarm:NOSPACE "));
        assert_eq!(said(json!({ "status": "up" }), &status).unwrap_err().0, Reason::Protocol);
        assert_eq!(summary(&status), "leader, version 3.4.23, db 20 KiB");
    }
}
