//! LDAP (RFC 4511, section 4.14): an extended request, and its response with result code 0.

use x509_parser::asn1_rs::{Any, Class, FromBer};

use super::talk::{Talk, refused, said};
use crate::reason::Fault;

/// Message 1: the extended request 1.3.6.1.4.1.1466.20037, in BER.
const REQUEST: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
/// The tag of an extended response: `[APPLICATION 24]`.
const EXTENDED_RESPONSE: u32 = 24;

pub(super) async fn ask(talk: &mut Talk<'_>) -> Result<(), Fault> {
    talk.say(REQUEST, "the answer to the extended request").await?;
    let head = talk.until(|bytes| Ok((bytes.len() >= 2).then_some(2))).await?;
    let length = match head[..] {
        [0x30, length @ 0..=0x7f] => usize::from(length),
        // At most four bytes say the length.
        [0x30, more @ 0x81..=0x84] => {
            let bytes = talk.exactly(usize::from(more & 0x7f)).await?;
            bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
        }
        _ => return Err(talk.refusal(&head)),
    };
    let message = talk.exactly(length).await?;
    let (code, text) = result(&message).ok_or_else(|| talk.refusal(&message))?;
    match code {
        0 => Ok(()),
        code => Err(refused(format!("the server refuses with result {code}, {}", said(&text)))),
    }
}

/// The result code and the diagnostic message of an extended response, given what is in the sequence of the message.
fn result(message: &[u8]) -> Option<(u8, Vec<u8>)> {
    let (rest, _id) = Any::from_ber(message).ok()?;
    let (_, response) = Any::from_ber(rest).ok()?;
    if response.class() != Class::Application || response.tag().0 != EXTENDED_RESPONSE {
        return None;
    }
    let (rest, code) = Any::from_ber(response.data).ok()?;
    let (rest, _matched) = Any::from_ber(rest).ok()?;
    let (_, text) = Any::from_ber(rest).ok()?;
    Some((*code.data.first()?, text.data.to_vec()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_request_says_how_long_it_is() {
        let (rest, message) = Any::from_ber(REQUEST).unwrap();
        assert!(rest.is_empty());
        let (request, _id) = Any::from_ber(message.data).unwrap();
        let (rest, request) = Any::from_ber(request).unwrap();
        assert!(rest.is_empty() && request.class() == Class::Application && request.tag().0 == 23);
    }

    #[test]
    fn a_result_has_a_code_and_a_text() {
        let success = b"\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00";
        assert_eq!(result(success), Some((0, Vec::new())));
        // Long forms of lengths, as Active Directory writes them.
        let refused = b"\x02\x01\x01\x78\x84\0\0\0\x09\x0a\x01\x02\x04\x00\x04\x02no";
        assert_eq!(result(refused), Some((2, b"no".to_vec())));
        assert_eq!(result(b"\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00"), None);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(message: Vec<u8>) {
            let _ = result(&message);
        }
    }
}
