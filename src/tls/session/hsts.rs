//! The header `strict-transport-security` (RFC 6797) in the answer to one request.
//!
//! Refuses to follow redirects and to read the body: the header counts in whatever answer it stands.

use tokio::time::timeout;

use super::stream::Stream;
use crate::reason::{Fault, Reason};
use crate::tls::target::Endpoint;

/// The longest head that is read.
const HEAD: usize = 64 * 1024;
const HEADERS: usize = 128;

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub code: u16,
    /// The header as it was sent, or none.
    pub header: Option<String>,
}

/// Asks for the path.
///
/// # Errors
/// When no answer of HTTP/1.1 comes.
pub(super) async fn ask(stream: &mut Stream, endpoint: &Endpoint, path: &str) -> Result<Answer, Fault> {
    let host = host(endpoint);
    let version = env!("CARGO_PKG_VERSION");
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: hardy/{version}\r\naccept: */*\r\nconnection: close\r\n\r\n"
    );
    stream.send(request.as_bytes()).await?;
    let step = stream.step;
    let answered = async {
        let mut head = Vec::new();
        loop {
            let text = stream.read().await?;
            if text.is_empty() {
                return Err(Reason::Closed.because("the server closed the connection before it answered"));
            }
            head.extend_from_slice(&text);
            if let Some(answer) = answer(&mut head)? {
                return Ok(answer);
            }
            if head.len() > HEAD {
                return Err(
                    Reason::HttpProtocol.because(format!("the head of the answer exceeds {HEAD} bytes"))
                );
            }
        }
    };
    timeout(step, answered).await.unwrap_or_else(|_| {
        Err(Reason::Timeout.because(format!("no complete head of an answer within {step:?}")))
    })
}

/// A final answer whose head is complete.
fn answer(head: &mut Vec<u8>) -> Result<Option<Answer>, Fault> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        let parsed = answer.parse(head);
        let parsed =
            parsed.map_err(|error| Reason::HttpProtocol.because(format!("not HTTP/1.1: {error}")))?;
        let httparse::Status::Complete(length) = parsed else { return Ok(None) };
        if let Some(code) = answer.code.filter(|code| *code >= 200) {
            let name = "strict-transport-security";
            // Only the first counts (RFC 6797, section 8.1).
            let found = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            let header = found.map(|header| String::from_utf8_lossy(header.value).into_owned());
            return Ok(Some(Answer { code, header }));
        }
        head.drain(..length);
    }
}

fn host(endpoint: &Endpoint) -> String {
    let name = endpoint.name();
    let name = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
    if endpoint.port == 443 { name } else { format!("{name}:{}", endpoint.port) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_the_final_answer_counts() {
        let mut head =
            b"HTTP/1.1 103 Early Hints\r\nstrict-transport-security: max-age=1\r\n\r\nHTTP/1.1 301 Moved\r\n\
            Strict-Transport-Security: max-age=63072000; preload\r\nstrict-transport-security: max-age=0\r\n"
                .to_vec();
        assert_eq!(answer(&mut head), Ok(None));
        head.extend_from_slice(b"\r\n<body>");
        let moved = Answer { code: 301, header: Some("max-age=63072000; preload".to_owned()) };
        assert_eq!(answer(&mut head), Ok(Some(moved)));
        let bare = Answer { code: 200, header: None };
        assert_eq!(answer(&mut b"HTTP/1.1 200 OK\r\n\r\n".to_vec()), Ok(Some(bare)));
        assert_eq!(answer(&mut b"SSH-2.0-x\r\n\r\n".to_vec()).unwrap_err().reason, Reason::HttpProtocol);
    }
}
