//! Flights that OpenSSL 3.0 sent, the same ones damaged, and hellos read back.

use proptest::prelude::*;

use super::heard::{self, Heard};
use super::*;
use crate::tls::registry::{Group, Suite, Version};

const ECDHE: &[u8] = include_bytes!("recorded/tls12_ecdhe.bin");
const DHE: &[u8] = include_bytes!("recorded/tls12_dhe.bin");
const RSA: &[u8] = include_bytes!("recorded/tls12_rsa.bin");
const RETRY: &[u8] = include_bytes!("recorded/tls13_retry.bin");

/// In pieces of this size, and then the peer hangs up.
fn read(bytes: &[u8], size: usize) -> Result<Option<Flight>, Garbled> {
    let mut reader = Reader::default();
    for piece in bytes.chunks(size) {
        if reader.feed(piece)? {
            break;
        }
    }
    reader.finish()
}

fn flight(bytes: &[u8]) -> Flight {
    let whole = read(bytes, bytes.len()).unwrap().expect("a whole flight");
    assert_eq!(read(bytes, 1), Ok(Some(whole.clone())), "byte by byte");
    whole
}

#[test]
fn recorded_flights_are_read() {
    let ecdhe = flight(ECDHE);
    let hello = ecdhe.hello.clone().unwrap();
    assert_eq!((hello.version, hello.suite, hello.is_retry), (Version::Tls12, Suite(0xc02b), false));
    assert!(hello.renegotiates_safely && hello.extends_master_secret && !hello.compresses);
    assert_eq!((ecdhe.exchange, ecdhe.chain.len()), (Some(Exchange::Group(Group(29))), 1));
    let (_, leaf) = x509_parser::parse_x509_certificate(&ecdhe.chain[0]).unwrap();
    assert_eq!(leaf.subject().to_string(), "CN=recorded.test");

    let dhe = flight(DHE);
    assert_eq!(dhe.exchange, Some(Exchange::Prime { bits: 2048, is_ffdhe: false }));
    assert!(!dhe.hello.unwrap().extends_master_secret, "it was not offered");
    assert_eq!((flight(RSA).exchange, flight(RSA).chosen()), (None, Some(Suite(0x009c))));

    let retry = flight(RETRY).hello.unwrap();
    assert_eq!((retry.version, retry.suite), (Version::Tls13, Suite(0x1301)));
    assert_eq!((retry.is_retry, retry.group), (true, Some(Group(29))));
}

#[test]
fn alerts_end_a_flight_and_warnings_do_not() {
    assert_eq!(flight(&heard::alert(70)).alert, Some(70));
    assert_eq!(flight(&heard::record(21, &[1, 0])).alert, Some(alert::CLOSE_NOTIFY));
    let warned = [heard::record(21, &[1, alert::UNRECOGNIZED_NAME]), ECDHE.to_vec()].concat();
    assert_eq!(flight(&warned), flight(ECDHE));
    let failed = [&ECDHE[..98], &heard::alert(80)].concat();
    let failed = flight(&failed);
    assert!(failed.hello.is_some() && failed.chosen().is_none(), "{failed:?}");
}

#[test]
fn messages_share_records_and_are_spread_over_them() {
    let mut messages = Vec::new();
    let mut rest = ECDHE;
    while let [22, _, _, high, low, ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        messages.extend(&rest[5..5 + length]);
        rest = &rest[5 + length..];
    }
    assert_eq!(flight(&heard::record(22, &messages)), flight(ECDHE));
    let spread: Vec<u8> = messages.chunks(3).flat_map(|piece| heard::record(22, piece)).collect();
    assert_eq!(flight(&spread), flight(ECDHE));
}

#[test]
fn half_an_answer_is_none() {
    for bytes in [ECDHE, DHE, RSA, RETRY] {
        let end = bytes.len() - 9;
        for cut in 0..end.min(400) {
            assert_eq!(read(&bytes[..cut], 7), Ok(None), "cut at {cut}");
        }
    }
}

#[test]
fn a_long_message_is_refused_before_it_comes() {
    let hello = heard::server_hello(Version::Tls12, Suite(0xc02f), None, &[]);
    let certificate = [&hello[..], &[11, 0xff, 0xff, 0xff]].concat();
    assert_eq!(read(&heard::record(22, &certificate), 64), Err(Garbled::TooLong(0x00ff_ffff)));
    let empty: Vec<u8> = heard::record(22, &[]).repeat(MAX_ANSWER);
    assert_eq!(read(&empty, 1000), Err(Garbled::Malformed("an endless answer")));
    assert!(matches!(read(&[22, 3, 3, 0xff, 0xff], 5), Err(Garbled::Malformed(_))));
}

#[test]
fn what_else_is_spoken_is_named() {
    let cases: [(&[u8], &str); 9] = [
        (b"HTTP/1.1 400 Bad Request\r\n", "HTTP"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "SSH"),
        (b"220 mail.example ESMTP\r\n", "SMTP or FTP"),
        (b"* OK ready\r\n", "IMAP"),
        (b"+OK\r\n", "POP3"),
        (b"\x4a\x00\x00\x00\x0a5.5.5-10.11.4-MariaDB", "MySQL"),
        (b"\x80\x00\x00\x00\x0a5.5.5-10.11.4-MariaDB-1", "MySQL"),
        (b"hello\n", "plain text"),
        (b"\x01\x02\x03", "something that is not TLS"),
    ];
    for (bytes, name) in cases {
        assert_eq!(read(bytes, 3), Err(Garbled::NotTls(name)), "{name}");
    }
}

#[test]
fn ssl2_lists_what_it_speaks() {
    let suites = [Suite(0x01_0080), Suite(0x07_00c0)];
    let hello = Heard::read(&ssl2_hello(&suites)).unwrap();
    assert_eq!((hello.version, hello.suites), (Version::Ssl2, suites.to_vec()));
    let answer = flight(&heard::ssl2_server_hello(&suites, b"a certificate"));
    let expected = Ssl2Hello { suites: suites.to_vec(), certificate: b"a certificate".to_vec() };
    assert_eq!(answer.ssl2, Some(Some(expected)));
    assert_eq!(flight(&[0x80, 3, 0, 0, 1]).ssl2, Some(None), "no cipher in common");
    assert!(matches!(read(&[0x80, 6, 4, 0, 1, 0, 3, 0], 8), Err(Garbled::Malformed(_))));
}

#[test]
fn hellos_say_what_they_are_told_to() {
    let (suites, groups) = ([Suite(0xc02f), Suite(0x1301)], [Group(29), Group(0x11ec)]);
    let say = |version, keys: &[Group], protocols: &[&str]| {
        let name = Some("app.test");
        let (suites, groups) = (&suites, &groups);
        let hello = ClientHello { version, suites, groups, keys, protocols, name, is_small: false };
        Heard::read(&hello.bytes()).unwrap()
    };
    let new = say(Version::Tls13, &[], &[]);
    assert_eq!((new.version, &new.keys[..], &new.compressions[..]), (Version::Tls13, &[][..], &[0][..]));
    assert!(!new.extensions.contains(&extension::ALPN));
    assert_eq!((new.suites, new.groups), (suites.to_vec(), groups.to_vec()));
    assert_eq!(new.name.as_deref(), Some("app.test"));
    let known = say(Version::Tls13, &[Group(29), Group(26), Group(0x11ec)], &["h2"]);
    assert_eq!(known.keys, [Group(29), Group(0x11ec)], "those that can be made");
    assert!(known.extensions.contains(&extension::ALPN));
    for version in [Version::Tls10, Version::Tls11, Version::Tls12] {
        let old = say(version, &groups, &[]);
        assert_eq!((old.version, old.groups, &old.compressions[..]), (version, groups.to_vec(), &[1, 0][..]));
        assert!(!old.extensions.contains(&extension::SUPPORTED_VERSIONS), "{version}");
        let with_signatures = old.extensions.contains(&extension::SIGNATURE_ALGORITHMS);
        assert_eq!(with_signatures, version == Version::Tls12);
    }
    let ssl3 = say(Version::Ssl3, &groups, &[]);
    assert_eq!((ssl3.version, ssl3.extensions.len()), (Version::Ssl3, 0));
    assert_eq!(ssl3.suites.last(), Some(&Suite(0x00ff)), "the signal stands for the extension");
}

#[test]
fn a_name_that_does_not_fit_is_cut() {
    let name = "x".repeat(70_000);
    let hello = ClientHello {
        version: Version::Tls12,
        suites: &[],
        groups: &[],
        name: Some(&name),
        keys: &[],
        protocols: &[],
        is_small: true,
    };
    assert!(hello.bytes().len() <= 5 + 0xffff);
}

proptest! {
    /// No panic, and the same in pieces of any size.
    #[test]
    fn damaged_flights_do_no_harm(
        which in 0..4_usize,
        changes in prop::collection::vec((0..1700_usize, any::<u8>()), 0..12),
        cut in 0..1700_usize,
        size in 1..200_usize,
    ) {
        let mut bytes = [ECDHE, DHE, RSA, RETRY][which].to_vec();
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(cut);
        let whole = read(&bytes, bytes.len().max(1));
        prop_assert_eq!(read(&bytes, size), whole);
    }

    #[test]
    fn garbage_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..600), start in 0..4_usize) {
        let start: &[u8] = [&b""[..], &[22, 3, 3], &[22, 3, 3, 0, 60, 2, 0, 0, 56, 3, 3], &[0x80, 60, 4]][start];
        let bytes = [start, &bytes].concat();
        prop_assert_eq!(read(&bytes, 1), read(&bytes, bytes.len().max(1)));
    }
}
