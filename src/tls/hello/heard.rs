//! A client's hello as a scripted server hears it, and what such a server says: for tests only.

use super::client::vector;
use super::cursor::Cursor;
use super::extension;
use crate::tls::registry::{Group, Suite, Version};

/// What a hello offers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "a hello has these fields")]
pub struct Heard {
    pub version: Version,
    pub suites: Vec<Suite>,
    pub groups: Vec<Group>,
    pub name: Option<String>,
    pub compressions: Vec<u8>,
    /// Groups that come with a key.
    pub keys: Vec<Group>,
    /// Numbers of extensions, in their order.
    pub extensions: Vec<u16>,
    /// Of the whole record, in bytes.
    pub length: usize,
}

impl Heard {
    /// `None` while the record is not complete. Panics where it is malformed.
    pub fn read(bytes: &[u8]) -> Option<Heard> {
        if bytes.first()? & 0x80 != 0 {
            return Heard::ssl2(bytes);
        }
        let mut record = Cursor(bytes.get(3..)?);
        let mut message = record.vector(2)?;
        assert!(record.is_empty() && bytes[0] == 22 && message.u8() == Some(1));
        let body = message.vector(3).expect("a body");
        assert!(message.is_empty());
        Some(Heard::body(body, bytes.len()).expect("a well-formed hello"))
    }

    fn ssl2(bytes: &[u8]) -> Option<Heard> {
        let mut record = Cursor(bytes);
        let length = record.number(2)? & 0x7fff;
        let mut body = Cursor(record.take(length)?);
        assert_eq!(body.take(3), Some(&[1, 0, 2][..]));
        let [kinds, session, challenge] = [(); 3].map(|()| body.number(2).expect("a length"));
        let kinds = body.take(kinds).expect("kinds of ciphers");
        assert_eq!((session, body.0.len()), (0, challenge));
        Some(Heard {
            version: Version::Ssl2,
            suites: kinds
                .chunks(3)
                .map(|kind| Suite(Cursor(kind).number(3).unwrap().try_into().unwrap()))
                .collect(),
            groups: Vec::new(),
            name: None,
            compressions: Vec::new(),
            keys: Vec::new(),
            extensions: Vec::new(),
            length: bytes.len(),
        })
    }

    fn body(mut body: Cursor<'_>, length: usize) -> Option<Heard> {
        let wire = |number: u16| Version::ALL.into_iter().find(|version| version.wire() == number);
        let version = wire(body.u16()?)?;
        body.take(32)?;
        body.vector(1)?;
        let suites = pairs(body.vector(2)?)?.into_iter().map(|wire| Suite(wire.into())).collect();
        let compressions = body.vector(1)?.0.to_vec();
        let mut heard = Heard {
            version,
            suites,
            groups: Vec::new(),
            name: None,
            compressions,
            keys: Vec::new(),
            extensions: Vec::new(),
            length,
        };
        let mut extensions = if body.is_empty() { Cursor(&[]) } else { body.vector(2)? };
        while !extensions.is_empty() {
            let (number, mut value) = (extensions.u16()?, extensions.vector(2)?);
            heard.extensions.push(number);
            match number {
                extension::SUPPORTED_GROUPS => {
                    heard.groups = pairs(value.vector(2)?)?.into_iter().map(Group).collect()
                }
                extension::SUPPORTED_VERSIONS => heard.version = wire(value.vector(1)?.u16()?)?,
                extension::KEY_SHARE => {
                    let mut list = value.vector(2)?;
                    while !list.is_empty() {
                        heard.keys.push(Group(list.u16()?));
                        list.vector(2)?;
                    }
                }
                extension::SERVER_NAME => {
                    let mut list = value.vector(2)?;
                    assert_eq!(list.u8(), Some(0));
                    heard.name = Some(String::from_utf8(list.vector(2)?.0.to_vec()).expect("text"));
                }
                _ => {}
            }
        }
        body.is_empty().then_some(heard)
    }
}

fn pairs(mut list: Cursor<'_>) -> Option<Vec<u16>> {
    let mut pairs = Vec::new();
    while !list.is_empty() {
        pairs.push(list.u16()?);
    }
    Some(pairs)
}

/// A record of TLS 1.2.
pub fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 3, 3];
    vector(&mut record, 2, |record| record.extend(body));
    record
}

/// A fatal alert.
pub fn alert(number: u8) -> Vec<u8> {
    record(21, &[2, number])
}

/// A handshake message, to be put into a record.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    vector(&mut message, 3, |message| message.extend(body));
    message
}

/// A server's hello; a group makes it the retry request of TLS 1.3, unless a key was sent.
pub fn server_hello(version: Version, suite: Suite, group: Option<Group>, extensions: &[u16]) -> Vec<u8> {
    let mut body = version.wire().min(Version::Tls12.wire()).to_be_bytes().to_vec();
    body.extend(if group.is_some() { super::server::RETRY } else { [7; 32] });
    body.push(0);
    body.extend(u16::try_from(suite.0).unwrap().to_be_bytes());
    body.push(0);
    vector(&mut body, 2, |body| {
        for number in extensions {
            body.extend(number.to_be_bytes());
            vector(body, 2, |body| {
                body.extend(vec![0; usize::from(*number == extension::RENEGOTIATION_INFO)])
            });
        }
        if version == Version::Tls13 {
            body.extend(extension::SUPPORTED_VERSIONS.to_be_bytes());
            vector(body, 2, |body| body.extend(version.wire().to_be_bytes()));
        }
        if let Some(group) = group {
            body.extend(extension::KEY_SHARE.to_be_bytes());
            vector(body, 2, |body| body.extend(group.0.to_be_bytes()));
        }
    });
    message(2, &body)
}

/// A server's hello of SSL 2.
pub fn ssl2_server_hello(suites: &[Suite], certificate: &[u8]) -> Vec<u8> {
    let kinds: Vec<u8> = suites.iter().flat_map(|suite| suite.0.to_be_bytes().into_iter().skip(1)).collect();
    let mut body = vec![4, 0, 1, 0, 2];
    for length in [certificate.len(), kinds.len(), 16] {
        body.extend(u16::try_from(length).unwrap().to_be_bytes());
    }
    body.extend(certificate);
    body.extend(kinds);
    body.extend([9; 16]);
    let mut record = Vec::new();
    vector(&mut record, 2, |record| record.extend(body));
    record[0] |= 0x80;
    record
}
