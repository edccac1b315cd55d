//! SSL 2.0, which has hellos of its own: the server lists all that it would speak at once.

use super::client::vector;
use super::cursor::Cursor;
use crate::tls::registry::Suite;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 4;
const ERROR: u8 = 0;
const CHALLENGE: usize = 16;

/// What a server of SSL 2.0 says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssl2Hello {
    /// Kinds of ciphers, of which the client would choose.
    pub suites: Vec<Suite>,
    /// Its certificate, unless it sent none.
    pub certificate: Vec<u8>,
}

/// A client's hello in the format of SSL 2.0.
#[must_use]
pub fn ssl2_hello(suites: &[Suite]) -> Vec<u8> {
    let mut body = vec![CLIENT_HELLO, 0, 2];
    let kinds: Vec<u8> = suites.iter().flat_map(|suite| suite.0.to_be_bytes().into_iter().skip(1)).collect();
    let lengths = [kinds.len(), 0, CHALLENGE].map(|length| u16::try_from(length).unwrap_or(u16::MAX));
    body.extend(lengths.iter().flat_map(|length| length.to_be_bytes()));
    body.extend(kinds);
    body.extend(&super::client::random()[..CHALLENGE]);
    let mut record = Vec::new();
    vector(&mut record, 2, |record| record.extend(body));
    // The highest bit says that nothing was padded.
    record[0] |= 0x80;
    record
}

/// Whether bytes begin a record of a server of SSL 2.0: `None` while they are too few to tell.
pub(super) fn is_ssl2(bytes: &[u8]) -> Option<bool> {
    match bytes {
        [] => None,
        [first, ..] if first & 0x80 == 0 => Some(false),
        [_, _, SERVER_HELLO, ..] | [0x80, 3, ERROR, ..] => Some(true),
        [_, _, _, ..] => Some(false),
        _ => None,
    }
}

/// The whole record once it is there: the server's hello, or none where it reported an error. The outer `None` waits
/// for more.
pub(super) fn read(bytes: &[u8]) -> Option<Result<Option<Ssl2Hello>, &'static str>> {
    let mut cursor = Cursor(bytes);
    let length = cursor.number(2)? & 0x7fff;
    let body = cursor.take(length)?;
    match body {
        [ERROR, ..] => Some(Ok(None)),
        _ => Some(server_hello(Cursor(body)).map(Some).ok_or("a malformed hello of SSL 2")),
    }
}

fn server_hello(mut body: Cursor<'_>) -> Option<Ssl2Hello> {
    // Kind, whether a session is taken up again, kind of certificate.
    body.take(3)?;
    let version = body.u16()?;
    let [certificate, kinds, connection] = [body.number(2)?, body.number(2)?, body.number(2)?];
    let certificate = body.take(certificate)?.to_vec();
    let kinds = body.take(kinds)?;
    body.take(connection)?;
    if version != 2 || kinds.len() % 3 != 0 || !body.is_empty() {
        return None;
    }
    let suites =
        kinds.chunks(3).map(|kind| Suite(kind.iter().fold(0, |kind, byte| kind << 8 | u32::from(*byte))));
    Some(Ssl2Hello { suites: suites.collect(), certificate })
}
