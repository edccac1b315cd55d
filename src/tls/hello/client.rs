//! A client's hello, SSL 3.0 to TLS 1.3, in one record. Refuses to choose what it offers.

use super::{extension, share};
use crate::tls::registry::{Group, Suite, Version};

/// What a hello offers.
#[derive(Clone, Copy, Debug)]
pub struct ClientHello<'a> {
    /// The only version offered where it is TLS 1.3, and the highest before that. SSL 2.0 has its own hello.
    pub version: Version,
    /// Suites of two bytes, the preferred one first. Signalling values (SCSV) go here too.
    pub suites: &'a [Suite],
    /// Groups, the preferred one first; not sent in SSL 3.0, nor when empty.
    pub groups: &'a [Group],
    /// The name of the server.
    pub name: Option<&'a str>,
    /// Groups of which a key is sent in TLS 1.3, as far as [`share::key`] makes one. Of none: then the server must name its
    /// group in a retry request, which costs neither side any arithmetic.
    pub keys: &'a [Group],
    /// Protocols by their names in ALPN; not sent when empty, as some servers turn away whoever does not offer theirs.
    pub protocols: &'a [&'a str],
    /// Only the algorithms for signatures that are in wide use, so that the hello stays small.
    pub is_small: bool,
}

/// RFC 5746: a client that knows how to renegotiate safely, where extensions cannot say so.
const EMPTY_RENEGOTIATION_INFO_SCSV: u16 = 0x00ff;
const DEFLATE: u8 = 1;

/// From the strong to the weak; those of DSA, of Edwards curves, of Brainpool curves, of GOST and SM2 last.
const SIGNATURES: [u16; 35] = [
    0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0x0603, 0x0203, 0x0201, 0x0807, 0x0808,
    0x0809, 0x080a, 0x080b, 0x081a, 0x081b, 0x081c, 0x0303, 0x0301, 0x0302, 0x0402, 0x0502, 0x0602, 0x0202,
    0x0101, 0x0708, 0x0904, 0x0905, 0x0906, 0x0840, 0x0841, 0xeeee, 0xefef,
];
const SMALL: usize = 11;

impl ClientHello<'_> {
    /// The record.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let is_13 = self.version == Version::Tls13;
        let mut body = Vec::with_capacity(1024);
        body.extend(self.version.wire().min(Version::Tls12.wire()).to_be_bytes());
        body.extend(random());
        // TLS 1.3 looks like a resumption of TLS 1.2 to what stands in between (RFC 8446, D.4).
        let session: &[u8] = if is_13 { &random() } else { &[] };
        vector(&mut body, 1, |body| body.extend(session));
        vector(&mut body, 2, |body| {
            let signal =
                (self.version == Version::Ssl3).then_some(Suite(EMPTY_RENEGOTIATION_INFO_SCSV.into()));
            let wire = |suite: Suite| u16::try_from(suite.0).map(u16::to_be_bytes).unwrap_or_default();
            self.suites.iter().copied().chain(signal).for_each(|suite| body.extend(wire(suite)));
        });
        let compressions: &[u8] = if is_13 { &[0] } else { &[DEFLATE, 0] };
        vector(&mut body, 1, |body| body.extend(compressions));
        if self.version != Version::Ssl3 {
            vector(&mut body, 2, |body| self.extensions(body));
        }
        let mut record = vec![22];
        record.extend(self.version.wire().min(Version::Tls10.wire()).to_be_bytes());
        vector(&mut record, 2, |record| {
            record.push(1);
            vector(record, 3, |record| record.extend(&body));
        });
        record
    }

    fn extensions(&self, body: &mut Vec<u8>) {
        let mut add = |number: u16, write: &dyn Fn(&mut Vec<u8>)| {
            body.extend(number.to_be_bytes());
            vector(body, 2, write);
        };
        if let Some(name) = self.name {
            add(extension::SERVER_NAME, &|body| {
                vector(body, 2, |body| {
                    body.push(0);
                    vector(body, 2, |body| body.extend(name.as_bytes()));
                });
            });
        }
        if !self.groups.is_empty() {
            let groups: Vec<u16> = self.groups.iter().map(|group| group.0).collect();
            add(extension::SUPPORTED_GROUPS, &|body| numbers(body, &groups));
        }
        let count = if self.is_small { SMALL } else { SIGNATURES.len() };
        if self.version >= Version::Tls12 {
            add(extension::SIGNATURE_ALGORITHMS, &|body| numbers(body, &SIGNATURES[..count]));
        }
        if !self.protocols.is_empty() {
            add(extension::ALPN, &|body| vector(body, 2, |body| self.names(body)));
        }
        if self.version == Version::Tls13 {
            add(extension::SUPPORTED_VERSIONS, &|body| {
                vector(body, 1, |body| body.extend(Version::Tls13.wire().to_be_bytes()));
            });
            add(extension::KEY_SHARE, &|body| vector(body, 2, |body| self.share(body)));
        } else {
            // Points in the open form only.
            add(extension::EC_POINT_FORMATS, &|body| body.extend([1, 0]));
            add(extension::EXTENDED_MASTER_SECRET, &|_| ());
            add(extension::SESSION_TICKET, &|_| ());
            add(extension::RENEGOTIATION_INFO, &|body| body.push(0));
        }
    }

    fn names(&self, body: &mut Vec<u8>) {
        self.protocols.iter().for_each(|name| vector(body, 1, |body| body.extend(name.as_bytes())));
    }

    fn share(&self, body: &mut Vec<u8>) {
        let keys = self.keys.iter().filter_map(|group| Some((group, share::key(*group)?)));
        for (group, key) in keys {
            body.extend(group.0.to_be_bytes());
            vector(body, 2, |body| body.extend(key));
        }
    }
}

/// Not secret: nothing is ever encrypted with it.
pub(super) fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    fastrand::fill(&mut bytes);
    bytes
}

fn numbers(body: &mut Vec<u8>, numbers: &[u16]) {
    vector(body, 2, |body| numbers.iter().for_each(|number| body.extend(number.to_be_bytes())));
}

/// What `write` appends, with its length in so many bytes in front. Longer than fits is cut: names and lists are short.
pub(super) fn vector(body: &mut Vec<u8>, length_bytes: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let start = body.len();
    body.resize(start + length_bytes, 0);
    write(body);
    let most = (1 << (8 * length_bytes)) - 1;
    body.truncate(start + length_bytes + most);
    let length = (body.len() - start - length_bytes).to_be_bytes();
    body[start..start + length_bytes].copy_from_slice(&length[length.len() - length_bytes..]);
}
