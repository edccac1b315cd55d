//! Servers that send anything, also in the midst of what would be right: every call ends with what they send, none panics,
//! and what is said of it fits a report.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Call, Means, call};
use crate::breaker::Config;
use crate::http::Trust;
use crate::probe::{Password, Request, Target};
use crate::reason::Reason;

/// A target, and what a good server of it sends.
type Kind = (&'static str, &'static [u8]);

/// It is logged in, answers PING, and is a primary.
const REDIS: Kind = ("redis://me@AT", b"+OK\r\n+PONG\r\n*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");

/// The log-in needs no password; then comes the row of the answer.
const POSTGRES: Kind = (
    "postgres://me@AT",
    b"R\0\0\0\x08\0\0\0\0S\0\0\0\x17in_hot_standby\0off\0Z\0\0\0\x05ID\0\0\0\x0b\0\x01\0\0\0\x011Z\0\0\0\x05I",
);

/// Asks for a proof, by which nothing good can come.
const SCRAM: Kind = (
    "postgres://me@AT",
    b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0R\0\0\0\x20\0\0\0\x0br=abc,s=QSXCR+Q6sek8bf92,i=4096R\0\0\0\x0c\0\0\0\x0cv=rm",
);

/// A greeting, another way to prove the password, and a good verdict.
const MYSQL: Kind = (
    "mysql://me@AT",
    b"\x4a\0\0\0\x0a8.0.36\0\x01\0\0\x0012345678\0\xff\xff\xff\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\
      \090abcdefghij\0caching_sha2_password\0\x2c\0\0\x02\xfemysql_native_password\0\
      12345678901234567890\0\x07\0\0\x04\0\0\0\x02\0\0\0",
);

/// Frames: settings, headers with the status 200, SERVING, and trailers with the status 0.
const GRPC: Kind = (
    "grpc://AT",
    b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x07\0\0\0\0\0\x01\0\0\0\0\x02\x08\x01\
      \0\0\x0f\x01\x05\0\0\0\x01\0\x0bgrpc-status\x010",
);

/// An answer to the question for the address of a.test; its number is put in.
const DNS: Kind = (
    "dns://AT/a.test?transport=tcp",
    b"\0\x28ID\x81\x80\0\x01\0\x01\0\0\0\0\x01a\x04test\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x07",
);

/// Its proof is that of another key.
const WEBSOCKET: Kind =
    ("ws://AT/", b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n");

const KINDS: [Kind; 7] = [REDIS, POSTGRES, SCRAM, MYSQL, GRPC, DNS, WEBSOCKET];

/// One call of a server that sends these bytes and ends, but hears everything.
fn called(target: &str, bytes: &[u8]) -> Call {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = target_at(target, listener.local_addr().unwrap());
        let trust = Trust::anyone();
        let means = Means { trust, overrides: Default::default(), proxies: Default::default(), family: None };
        let serving = async {
            let (stream, _) = listener.accept().await.unwrap();
            // The client may leave at any time.
            let _ = serve(stream, target.address.kind(), bytes.to_vec()).await;
        };
        tokio::join!(call(&target, &means), serving).0
    })
}

fn target_at(form: &str, at: SocketAddr) -> Target {
    let password = Some(Password::new("secret".to_owned()));
    Target {
        name: "it".into(),
        address: form.replace("AT", &at.to_string()).parse().unwrap(),
        request: Request { password, ..Request::default() },
        expect: Default::default(),
        breaker: Config { timeout: Duration::from_secs(20), ..Config::default() },
        shared: None,
    }
}

async fn serve(mut stream: TcpStream, kind: &str, mut bytes: Vec<u8>) -> std::io::Result<()> {
    match kind {
        "dns" => {
            let mut question = [0; 4];
            stream.read_exact(&mut question).await?;
            if let Some(number) = bytes.get_mut(2..4).filter(|number| *number == b"ID") {
                number.copy_from_slice(&question[2..]);
            }
        }
        // Answers before the question are none in HTTP/2.
        "grpc" => hear_question(&mut stream).await?,
        _ => {}
    }
    stream.write_all(&bytes).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(drop)
}

/// Reads frames up to the end of the first stream.
async fn hear_question(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.read_exact(&mut [0; 24]).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        stream.read_exact(&mut vec![0; length]).await?;
        if head[3] == 0 && head[4] & 1 == 1 {
            return Ok(());
        }
    }
}

#[test]
fn good_servers_are_up() {
    for (target, bytes) in [REDIS, POSTGRES, MYSQL, GRPC, DNS] {
        assert_eq!(called(target, bytes).result, Ok(()), "{target}");
    }
    for ((target, bytes), detail) in [(SCRAM, "SCRAM-SHA-256"), (WEBSOCKET, "does not prove")] {
        let fault = called(target, bytes).result.unwrap_err();
        assert!(fault.reason == Reason::Protocol && fault.detail.contains(detail), "{fault:?}");
    }
}

/// A change of what is sent; places count from its beginning.
#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Repeat(Index, usize),
    Cut(Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let byte =
        || prop_oneof![any::<u8>(), prop::sample::select(vec![0, 1, 0x7f, 0x80, 0xff, b'-', b'9', b'\n'])];
    prop_oneof![
        4 => (any::<Index>(), byte()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        2 => (any::<Index>(), prop::collection::vec(byte(), 1..20)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        1 => (any::<Index>(), 2_usize..2000).prop_map(|(at, times)| Edit::Repeat(at, times)),
        1 => any::<Index>().prop_map(Edit::Cut),
    ]
}

fn edited(bytes: &[u8], edits: Vec<Edit>) -> Vec<u8> {
    edits.into_iter().fold(bytes.to_vec(), |mut bytes, edit| {
        // One more, so that there is always a place.
        let place = |at: Index, bytes: &[u8]| at.index(bytes.len() + 1);
        match edit {
            Edit::Set(at, byte) => {
                let at = place(at, &bytes);
                bytes.splice(at..bytes.len().min(at + 1), [byte]);
            }
            Edit::Insert(at, more) => {
                let at = place(at, &bytes);
                bytes.splice(at..at, more);
            }
            Edit::Repeat(at, times) => {
                let part = bytes.split_off(place(at, &bytes));
                bytes.extend(part.repeat(times.min((1 << 20) / (part.len() + 1))));
            }
            Edit::Cut(at) => bytes.truncate(place(at, &bytes)),
        }
        bytes
    })
}

fn garbage() -> impl Strategy<Value = (Kind, Vec<u8>)> {
    prop::sample::select(KINDS.to_vec()).prop_flat_map(|kind| {
        let bytes = prop_oneof![
            1 => prop::collection::vec(any::<u8>(), 0..300),
            6 => prop::collection::vec(edit(), 1..5).prop_map(move |edits| edited(kind.1, edits)),
        ];
        (Just(kind), bytes)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_call_ends_with_what_is_sent(((target, _), bytes) in garbage()) {
        let call = called(target, &bytes);
        if let Err(fault) = &call.result {
            prop_assert!(!matches!(fault.reason, Reason::Timeout | Reason::ConnectTimeout), "{fault:?}");
            prop_assert!(!fault.reason.is_local(), "{fault:?}");
            prop_assert!(fault.detail.len() < 2000 && !fault.detail.contains('\n'), "{fault:?}");
        }
        prop_assert!(call.answer.is_none_or(|answer| answer.len() < 64 << 10));
    }
}
