//! A call of a WebSocket: good when the server agrees to become one (RFC 6455, section 4).
//!
//! Refuses to send a message: what follows the upgrade is the application's own.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::blame::wants_certificate;
use super::way::{Said, Way};
use super::wire::Wire;
use crate::address::Endpoint;
use crate::reason::{Fault, Reason};

/// More lines of headers has no answer.
const MOST_LINES: usize = 100;

/// What a server shows that it speaks the protocol with.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Asks for the upgrade of `url`.
pub(super) async fn exchange(way: &Way<'_>, url: &Url) -> Result<Said, Fault> {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = url.port_or_known_default().unwrap_or(80);
    let at = Endpoint { host, port, tls: url.scheme() == "https" };
    let mut wire = Wire::new(way.open(&at, &[b"http/1.1"]).await?, "HTTP", &way.clock);
    let key = STANDARD.encode(std::array::from_fn::<u8, 16, _>(|_| fastrand::u8(..)));
    wire.send(&request(url, &key, &way.target.request.headers)).await?;
    let line = wire.line().await?;
    let Some(status) = status(&line) else { return Err(wire.stray(line.as_bytes())) };
    if status != 101 {
        let perhaps = wants_certificate(status, &way.asked);
        let detail = format!("expected 101, got {status}: the server does not make it a WebSocket{perhaps}");
        return Err(Reason::HttpStatus.because(detail));
    }
    let headers = headers(&mut wire).await?;
    if headers.get("sec-websocket-accept").map(HeaderValue::as_bytes) != Some(accept(&key).as_bytes()) {
        return Err(
            Reason::Protocol.because("the answer to the upgrade does not prove that it speaks WebSocket")
        );
    }
    // The end is announced, with a mask as a client has to; an answer is not waited for.
    let _ = wire.send(&[0x88, 0x80, 0, 0, 0, 0]).await;
    Ok(Said { answer: Some("101".into()), unmet: way.target.expect.check_headers(&headers) })
}

fn request(url: &Url, key: &str, more: &HeaderMap) -> Vec<u8> {
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let mut head = format!(
        "GET {}{query} HTTP/1.1\r\nHost: {}{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nUser-Agent: hardy/{}\r\n",
        url.path(),
        url.host_str().unwrap_or_default(),
        env!("CARGO_PKG_VERSION")
    );
    if !url.username().is_empty() || url.password().is_some() {
        let plain = |text| percent_encoding::percent_decode_str(text).decode_utf8_lossy();
        let user = format!("{}:{}", plain(url.username()), plain(url.password().unwrap_or_default()));
        head += &format!("Authorization: Basic {}\r\n", STANDARD.encode(user));
    }
    let mut head = head.into_bytes();
    for (name, value) in more {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

fn status(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    rest.get(..3)?.parse().ok().filter(|status| *status >= 100)
}

async fn headers(wire: &mut Wire) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    for _ in 0..MOST_LINES {
        let line = wire.line().await?;
        if line.is_empty() {
            return Ok(headers);
        }
        let pair = line.split_once(':').and_then(|(name, value)| {
            let name: HeaderName = name.parse().ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        let Some((name, value)) = pair else { return Err(wire.stray(line.as_bytes())) };
        headers.append(name, value);
    }
    Err(Reason::Protocol.because(format!("more than {MOST_LINES} headers")))
}

/// What the server makes of the key.
fn accept(key: &str) -> String {
    let text = format!("{key}{MAGIC}");
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_the_rfc() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(status("HTTP/1.1 101 Switching Protocols"), Some(101));
        for other in ["", "HTTP/1.1 1", "SSH-2.0-x", "HTTP/1.1 x01", "HTTP/1.1 \u{fc}ber"] {
            assert_eq!(status(other), None, "{other}");
        }
    }
}
