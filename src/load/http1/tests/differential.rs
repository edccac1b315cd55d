//! The same bytes to our reader and to hyper's: they must agree on the status, on success, and on whether the
//! connection can be used again. Where they differ on purpose, `differs` says so.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Method;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::timeout;

use crate::load::http1::answer::{Answer, Found};

/// Status, when an answer was whole at the end of the bytes; and whether it was before that and left the connection
/// usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    at_end: Option<u16>,
    reusable: bool,
}

fn ours(bytes: &[u8], is_head: bool, cut: impl Fn(usize) -> usize) -> (Seen, bool) {
    let mut answer = Answer::none();
    answer.expect(is_head);
    let mut rest = bytes;
    while !rest.is_empty() {
        let (part, more) = rest.split_at(cut(rest.len()).clamp(1, rest.len()));
        answer.feed(part);
        rest = more;
    }
    let reusable = matches!(answer.found(), Found::Whole { reusable: true, .. });
    let end = answer.end(true);
    let at_end = match end {
        Found::Whole { status, .. } => Some(status),
        _ => None,
    };
    (Seen { at_end, reusable }, end == Found::Malformed)
}

/// Time stands still: a wait ends when nobody has anything to do.
fn hypers(bytes: &[u8], is_head: bool) -> Seen {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (reusable, _) = runtime.block_on(exchange(bytes, is_head, false));
    let (_, at_end) = runtime.block_on(exchange(bytes, is_head, true));
    Seen { at_end, reusable }
}

async fn exchange(bytes: &[u8], is_head: bool, close: bool) -> (bool, Option<u16>) {
    const SETTLED: Duration = Duration::from_secs(1);
    let (client, mut server) = duplex(1 << 20);
    let (mut sender, connection) = handshake::<_, Empty<Bytes>>(TokioIo::new(client)).await.unwrap();
    let connection = tokio::spawn(connection.with_upgrades());
    let method = if is_head { Method::HEAD } else { Method::GET };
    let request = || hyper::Request::builder().method(method.clone()).uri("/").body(Empty::new()).unwrap();
    let asked = tokio::spawn(sender.send_request(request()));
    let mut head = [0; 1024];
    assert!(server.read(&mut head).await.unwrap() > 0);
    let _ = server.write_all(bytes).await;
    if close {
        let _ = server.shutdown().await;
    }
    let Ok(Ok(Ok(answer))) = timeout(SETTLED, asked).await else { return (false, None) };
    let status = answer.status().as_u16();
    let Ok(Ok(_)) = timeout(SETTLED, answer.into_body().collect()).await else { return (false, None) };
    let has_ended = timeout(SETTLED, connection).await.is_ok();
    let free = timeout(SETTLED, sender.ready()).await.is_ok_and(|ready| ready.is_ok());
    (free && !has_ended && !sender.is_closed(), Some(status))
}

const FRAGMENTS: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 404\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 304 Not Modified\r\n",
    "HTTP/1.1 100 Continue\r\n",
    "HTTP/1.1 101 Switching\r\n",
    "content-length: 5\r\n",
    "content-length: 5\r\n",
    "content-length: 0\r\n",
    "content-length: 5, 5\r\n",
    "content-length: 7\r\n",
    "content-length: -5\r\n",
    "transfer-encoding: chunked\r\n",
    "transfer-encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "transfer-encoding: gzip\r\n",
    "connection: close\r\n",
    "connection: keep-alive\r\n",
    "Connection: x, Close\r\n",
    "server: \u{e9}\r\n",
    "\r\n",
    "\r\n",
    "\r\n",
    "\n",
    "hello",
    "hello",
    "5\r\nhello\r\n",
    "5\r\nhello\r\n",
    "a;x=y\r\n0123456789\r\n",
    "0\r\n\r\n",
    "0\r\n\r\n",
    "0\r\nx: y\r\n\r\n",
    "0",
    " ",
];

/// Answers as servers give them.
fn good() -> impl Strategy<Value = Vec<u8>> {
    let status =
        prop::sample::select(vec!["200 OK", "404 Not Found", "204 No Content", "304 X", "500", "999 X"]);
    let version = prop::sample::select(vec!["1.1", "1.1", "1.0"]);
    let line = prop::sample::select(vec![
        "connection: close\r\n",
        "connection: keep-alive\r\n",
        "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        "Server: nginx\r\n",
        "x-empty:\r\n",
    ]);
    let body = prop::sample::select(vec![
        "content-length: 5\r\n\r\nhello",
        "Content-Length: 0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: Chunked\r\n\r\n1;a=b\r\nx\r\n0\r\na: b\r\n\r\n",
        "\r\nuntil close",
    ]);
    let interim =
        prop::sample::select(vec!["", "", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 X\r\na: b\r\n\r\n"]);
    (interim, version, status, prop::collection::vec(line, 0..4), body).prop_map(
        |(interim, version, status, lines, body)| {
            format!("{interim}HTTP/{version} {status}\r\n{}{body}", lines.concat()).into_bytes()
        },
    )
}

/// The same with a few bytes changed, and heaps of fragments.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"\r\n:; ,05aH\t\0\x80".to_vec())];
    let change = (any::<prop::sample::Index>(), 0..3, byte);
    let changed = (good(), prop::collection::vec(change, 0..4)).prop_map(|(mut bytes, changes)| {
        for (index, kind, byte) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    });
    let heap = prop::collection::vec(prop::sample::select(FRAGMENTS), 1..12);
    let cut = (good(), any::<prop::sample::Index>()).prop_map(|(mut bytes, at)| {
        bytes.truncate(at.index(bytes.len() + 1));
        bytes
    });
    prop_oneof![4 => changed, 2 => heap.prop_map(|parts| parts.concat().into_bytes()), 1 => cut]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn any_cut_gives_the_same(bytes in any_bytes(), is_head in any::<bool>(), size in 1usize..40) {
        let whole = ours(&bytes, is_head, |rest| rest);
        prop_assert_eq!(ours(&bytes, is_head, |_| 1), whole);
        prop_assert_eq!(ours(&bytes, is_head, |_| size), whole);
        prop_assert_eq!(ours(&bytes, is_head, |rest| rest / 2), whole);
    }

    #[test]
    fn hyper_reads_the_same(bytes in any_bytes(), is_head in any::<bool>()) {
        let (ours, hypers) = (ours(&bytes, is_head, |rest| rest).0, hypers(&bytes, is_head));
        prop_assert!(ours == hypers || differs(&bytes, ours, hypers), "{}: ours {ours:?}, hyper's {hypers:?}", bytes.escape_ascii());
    }
}

/// Where they may differ: only hyper takes a line feed alone for the end of a trailer.
fn differs(bytes: &[u8], ours: Seen, _hypers: Seen) -> bool {
    let is_chunked = bytes.to_ascii_lowercase().windows(7).any(|word| word == b"chunked");
    is_chunked && ours.at_end.is_none() && bytes.windows(2).any(|pair| pair[0] != b'\r' && pair[1] == b'\n')
}

#[test]
fn a_long_head_in_single_bytes_is_the_same() {
    let head = |length| format!("HTTP/1.1 200 OK\r\na: {}\r\ncontent-length: 0\r\n\r\n", "b".repeat(length));
    for length in [100, 60_000, 65_400, 65_500, 70_000] {
        let text = head(length);
        let whole = ours(text.as_bytes(), false, |rest| rest);
        assert_eq!(whole.0.at_end.is_some(), text.len() <= 65_536, "{length}");
        assert_eq!(ours(text.as_bytes(), false, |_| 1), whole, "{length}");
        assert_eq!(ours(text.as_bytes(), false, |_| 50_000), whole, "{length}");
    }
}
