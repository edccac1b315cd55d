//! A call of the standard health service of gRPC, `grpc.health.v1.Health`: Check, or the first message of Watch.
//!
//! Its two messages have one field each, so no compiler of protocols is needed.

use bytes::Bytes;
use h2::RecvStream;
use percent_encoding::percent_decode;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};

use super::blame::wants_certificate;
use super::way::{Said, Way};
use super::wire::words;
use crate::address::Endpoint;
use crate::http::Phase;
use crate::probe::classify::h2_fault;
use crate::reason::{Fault, Reason};

/// A message is a few bytes long.
const LONGEST: usize = 4 << 10;

/// So long headers have HTTP servers, too, at most.
const LONGEST_HEAD: u32 = 16 << 10;

/// Asks after `service`, or the whole server where it is empty.
pub(super) async fn exchange(
    way: &Way<'_>,
    at: &Endpoint,
    service: &str,
    watch: bool,
) -> Result<Said, Fault> {
    let stream = way.open(at, &[b"h2"]).await?;
    let mut h2 = h2::client::Builder::new();
    let h2 = h2.enable_push(false).max_header_list_size(LONGEST_HEAD).handshake(stream);
    let (client, connection) = h2.await.map_err(|error| h2_fault(&error))?;
    let asking = ask(way, client, at, service, watch);
    tokio::pin!(asking);
    let ended = tokio::select! {
        biased;
        said = &mut asking => return said,
        ended = connection => ended,
    };
    // The answer may have come together with the end.
    match (asking.await, ended) {
        (Err(_), Err(error)) => Err(h2_fault(&error)),
        (said, _) => said,
    }
}

async fn ask(
    way: &Way<'_>,
    client: h2::client::SendRequest<Bytes>,
    at: &Endpoint,
    service: &str,
    watch: bool,
) -> Result<Said, Fault> {
    let broken = |error: h2::Error| h2_fault(&error);
    let mut client = client.ready().await.map_err(broken)?;
    let (response, mut body) = client.send_request(request(at, watch)?, false).map_err(broken)?;
    body.send_data(message(service), true).map_err(broken)?;
    let response = response.await.map_err(broken)?;
    way.clock.enter(Phase::Body);
    let (head, body) = response.into_parts();
    if head.status != 200 {
        let status = head.status.as_u16();
        let perhaps = wants_certificate(status, &way.asked);
        return Err(Reason::HttpStatus.because(format!("expected 200, got {status}{perhaps}")));
    }
    // An answer without any message has its status in the head.
    status(&head.headers, service)?;
    let body = read(body, watch, service).await?;
    match serving(&body) {
        Some(1) => Ok(Said { answer: Some("SERVING".into()), unmet: Vec::new() }),
        Some(other) => {
            let name = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"].get(other as usize);
            let name = name.map_or(other.to_string(), |name| (*name).to_owned());
            Err(Reason::GrpcNotServing.because(format!("{} is {name}", of(service))))
        }
        None => Err(Reason::Protocol.because("what came is no answer of the health service")),
    }
}

fn of(service: &str) -> String {
    if service.is_empty() { "the server".to_owned() } else { format!("service {service}") }
}

fn request(at: &Endpoint, watch: bool) -> Result<hyper::Request<()>, Fault> {
    let (scheme, method) = (if at.tls { "https" } else { "http" }, if watch { "Watch" } else { "Check" });
    let url = format!("{scheme}://{}/grpc.health.v1.Health/{method}", at.authority());
    let request = hyper::Request::builder()
        .method(Method::POST)
        .uri(url)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", concat!("hardy/", env!("CARGO_PKG_VERSION")));
    request.body(()).map_err(|error| Reason::Dns.because(error.to_string()))
}

/// `HealthCheckRequest { string service = 1; }`, uncompressed, with its length in front.
fn message(service: &str) -> Bytes {
    let mut field = Vec::new();
    if !service.is_empty() {
        field.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            field.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        field.push(length as u8);
        field.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(field.len()).unwrap_or_default().to_be_bytes();
    [&[0], &length[..], &field].concat().into()
}

/// All of the answer; of Watch the first message.
async fn read(mut stream: RecvStream, watch: bool, service: &str) -> Result<Vec<u8>, Fault> {
    let broken = |error: h2::Error| h2_fault(&error);
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data.map_err(broken)?;
        // Without room given back the server could not go on.
        let _ = stream.flow_control().release_capacity(data.len());
        body.extend_from_slice(&data);
        if body.len() > LONGEST || watch && serving(&body).is_some() {
            return Ok(body);
        }
    }
    if let Some(trailers) = stream.trailers().await.map_err(broken)? {
        status(&trailers, service)?;
    }
    Ok(body)
}

/// A status other than OK, with its message.
fn status(headers: &HeaderMap, service: &str) -> Result<(), Fault> {
    let text =
        |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let detail = match text("grpc-status").as_deref() {
        None | Some("0") => return Ok(()),
        Some("5") => format!("NOT_FOUND: the server knows no health of {}", of(service)),
        Some("12") => "UNIMPLEMENTED: the server has no health service".to_owned(),
        Some(code) => {
            let message = headers.get("grpc-message").map(HeaderValue::as_bytes).unwrap_or_default();
            let message = percent_decode(message).decode_utf8_lossy();
            format!("status {}: {}", words(code), words(&message))
        }
    };
    Err(Reason::GrpcStatus.because(detail))
}

/// `HealthCheckResponse { ServingStatus status = 1; }`: zero, where it is left out. `None`: not (yet) a message.
fn serving(body: &[u8]) -> Option<u64> {
    let (head, rest) = body.split_at_checked(5)?;
    let length = u32::from_be_bytes(head[1..].try_into().ok()?) as usize;
    if head[0] != 0 || rest.len() < length {
        return None;
    }
    match &rest[..length] {
        [] => Some(0),
        [0x08, value] if *value < 0x80 => Some(u64::from(*value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_the_definition() {
        assert_eq!(message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(message("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(message(&"x".repeat(200))[5..8], [0x0a, 0xc8, 0x01]);
        let cases: [(&[u8], _); 6] = [
            (&[0, 0, 0, 0, 2, 8, 1], Some(1)),
            (&[0, 0, 0, 0, 0], Some(0)),
            (&[0, 0, 0, 0, 2, 8], None),
            (&[1, 0, 0, 0, 2, 8, 1], None),
            (&[0, 0, 0, 0, 2, 16, 1], None),
            (&[], None),
        ];
        for (bytes, status) in cases {
            assert_eq!(serving(bytes), status, "{bytes:?}");
        }
    }
}
