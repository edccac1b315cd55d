//! The request, told back as JSON: what arrived here, after whatever stands in between.

use hyper::StatusCode;
use hyper::http::request::Parts;
use serde_json::{Map, Value, json};

use super::connection::Connection;
use super::service::Draft;

/// Describes one request.
pub(super) fn answer(parts: &Parts, body_bytes: u64, connection: &Connection) -> Draft {
    let tls = connection.tls.get().map(|facts| {
        json!({
            "version": facts.version,
            "suite": facts.suite,
            "group": facts.group,
            "alpn": facts.alpn,
            "sni": facts.sni,
            "client_subject": facts.client_subject,
        })
    });
    let document = json!({
        "method": parts.method.as_str(),
        "path": parts.uri.path(),
        "query": parts.uri.query(),
        "version": format!("{:?}", parts.version),
        "headers": headers(parts),
        "body_bytes": body_bytes,
        "peer": connection.peer.to_string(),
        "tls": tls,
    });
    let mut text = serde_json::to_vec_pretty(&document).unwrap_or_default();
    text.push(b'\n');
    Draft::new(StatusCode::OK, "application/json", text)
}

/// Name to value; to a list of values where a name came more than once. Bytes that are no UTF-8 are replaced.
fn headers(parts: &Parts) -> Map<String, Value> {
    let mut map = Map::new();
    for name in parts.headers.keys() {
        let mut values: Vec<Value> = parts
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned().into())
            .collect();
        let value = if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
        map.insert(name.as_str().to_owned(), value);
    }
    if let Some(authority) = parts.uri.authority() {
        // HTTP/2 has `:authority` in place of `Host`.
        map.entry("host").or_insert_with(|| authority.as_str().into());
    }
    map
}
