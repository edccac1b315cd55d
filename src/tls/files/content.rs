//! What the bytes of a file are: PEM, a certificate or a key in DER, PKCS#7 or PKCS#12.
//!
//! Refuses to open what is encrypted, but for PKCS#12 with its password.

use std::path::Path;

use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error;
use rustls::pki_types::pem::{Error as Damage, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::asn1_rs::{Any, FromDer, Integer, Oid, Tag, oid};

use super::{Bundle, FileError};

const BEGIN: &[u8] = b"-----BEGIN ";
/// Blocks of PEM that are looked at: the largest stores of roots have some hundreds.
const BLOCKS: usize = 2_000;
const ENCRYPTED: &str = "a key that is encrypted: decrypt it with `openssl pkey -in FILE -out PLAIN`";

pub(super) fn read(path: &Path, bytes: &[u8], password: Option<&str>) -> Result<Bundle, FileError> {
    let mut bundle = Bundle { path: path.to_owned(), ..Bundle::default() };
    let blocks = blocks(bytes);
    if !blocks.is_empty() {
        blocks.iter().take(BLOCKS).for_each(|block| pem(block, &mut bundle));
        bundle.unread = counted(&bundle.unread);
        if blocks.len() > BLOCKS {
            bundle.unread.push(format!("it has more than {BLOCKS} blocks: the rest was not looked at"));
        }
        let is_empty = bundle.certificates.is_empty() && bundle.keys.is_empty() && bundle.unread.is_empty();
        return if is_empty { Err(FileError::Foreign(path.to_owned())) } else { Ok(bundle) };
    }
    if is_pkcs12(bytes) {
        pkcs12(bytes, password, &mut bundle)?;
    } else if let Ok(key) = PrivateKeyDer::try_from(bytes.to_vec()) {
        bundle.keys.push(key);
    } else if is_encrypted_key(bytes) {
        bundle.unread.push(ENCRYPTED.to_owned());
    } else {
        bundle.certificates = certificates(bytes);
    }
    if bundle.certificates.is_empty() && bundle.keys.is_empty() && bundle.unread.is_empty() {
        let why =
            if bytes.is_empty() { "it is empty" } else { "it is not PEM, DER, PKCS#7 or PKCS#12 of them" };
        return Err(FileError::Nothing { path: path.to_owned(), why: why.to_owned() });
    }
    Ok(bundle)
}

/// The certificates of bytes that are PEM, one certificate in DER, or PKCS#7.
pub(in crate::tls) fn certificates(bytes: &[u8]) -> Vec<CertificateDer<'static>> {
    let blocks = blocks(bytes);
    if !blocks.is_empty() {
        let block = |block: &&[u8]| CertificateDer::from_pem_slice(block).ok();
        return blocks.iter().filter_map(block).collect();
    }
    if crate::tls::chain::days_left(bytes, jiff::Timestamp::UNIX_EPOCH).is_some() {
        return vec![CertificateDer::from(bytes.to_vec())];
    }
    pkcs7(bytes).unwrap_or_default()
}

/// Each block of PEM, up to the next; at most one more than are looked at.
fn blocks(bytes: &[u8]) -> Vec<&[u8]> {
    let at_line = |start: &usize| *start == 0 || bytes[start - 1] == b'\n' || bytes[start - 1] == b'\r';
    let starts = (0..bytes.len()).filter(move |start| bytes[*start..].starts_with(BEGIN)).filter(at_line);
    let starts: Vec<usize> = starts.take(BLOCKS + 1).collect();
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    starts.iter().zip(ends).map(|(start, end)| &bytes[*start..end]).collect()
}

/// Each text once, with how often it came.
fn counted(texts: &[String]) -> Vec<String> {
    let mut times: Vec<(&String, usize)> = Vec::new();
    for text in texts {
        match times.iter_mut().find(|(known, _)| *known == text) {
            Some((_, count)) => *count += 1,
            None => times.push((text, 1)),
        }
    }
    let shown = |(text, count): (&String, usize)| match count {
        1 => text.clone(),
        count => format!("{text} ({count} times)"),
    };
    times.into_iter().map(shown).collect()
}

fn pem(block: &[u8], bundle: &mut Bundle) {
    let is = |word: &[u8]| block.windows(word.len()).any(|window| window == word);
    match <(SectionKind, Vec<u8>)>::from_pem_slice(block) {
        Ok((SectionKind::Certificate, der)) => bundle.certificates.push(der.into()),
        Ok((kind, der)) => bundle.keys.extend(PrivateKeyDer::from_pem(kind, der)),
        Err(_) if is(b"ENCRYPTED") => bundle.unread.push(ENCRYPTED.to_owned()),
        // Parameters of keys, requests, and whatever else: of no concern here.
        Err(Damage::NoItemsFound) => {}
        Err(damage) => bundle.unread.push(format!("a damaged block: {}", why(&damage))),
    }
}

fn why(damage: &Damage) -> &'static str {
    match damage {
        Damage::MissingSectionEnd { .. } => "it has no last line",
        Damage::IllegalSectionStart { .. } => "its first line does not end as it should",
        Damage::Base64Decode(_) => "it is not base64",
        _ => "it cannot be read",
    }
}

/// The elements of a sequence that starts with an element of some type.
fn starts_with<'a, T: FromDer<'a>>(bytes: &'a [u8]) -> Option<(T, &'a [u8])> {
    let (_, outer) = Any::from_der(bytes).ok()?;
    let content = (outer.tag() == Tag::Sequence).then_some(outer.data)?;
    T::from_der(content).ok().map(|(rest, first)| (first, rest))
}

fn is_pkcs12(bytes: &[u8]) -> bool {
    let version = starts_with::<Integer<'_>>(bytes);
    version.is_some_and(|(version, rest)| version.as_u8() == Ok(3) && starts_with::<Oid<'_>>(rest).is_some())
}

/// `EncryptedPrivateKeyInfo`: an algorithm with PBES2 or another way to encrypt, and octets.
fn is_encrypted_key(bytes: &[u8]) -> bool {
    let Some((algorithm, rest)) = starts_with::<Any<'_>>(bytes) else { return false };
    let by = Oid::from_der(algorithm.data).map(|(_, oid)| oid);
    let is_octets =
        Any::from_der(rest).is_ok_and(|(rest, octets)| octets.tag() == Tag::OctetString && rest.is_empty());
    let families = [oid!(1.2.840.113549.1.5), oid!(1.2.840.113549.1.12)];
    is_octets && by.is_ok_and(|oid| families.iter().any(|family| oid.starts_with(family)))
}

fn pkcs12(bytes: &[u8], password: Option<&str>, bundle: &mut Bundle) -> Result<(), FileError> {
    let locked = |why: String| FileError::Locked { path: bundle.path.clone(), why };
    let archive = Pkcs12Archive::from_pkcs12(bytes, password.unwrap_or("")).map_err(|error| {
        locked(match (error, password) {
            (Error::MacError(_), None) => "it needs a password".to_owned(),
            (Error::MacError(_), Some(_)) => "the password is wrong".to_owned(),
            (error, _) => format!("not PKCS#12 that can be opened: {error}"),
        })
    })?;
    let keys = archive.keys.iter();
    bundle.keys = keys.filter_map(|bag| PrivateKeyDer::try_from(bag.key.as_der().to_vec()).ok()).collect();
    let owner = |id: &[u8]| {
        archive.keys.iter().any(|key| key.local_key_id.as_ref().is_some_and(|key| key.as_ref() == id))
    };
    let mut bags = archive.certs.clone();
    bags.sort_by_key(|bag| !bag.local_key_id.as_deref().is_some_and(owner));
    bundle.certificates = bags.iter().map(|bag| bag.cert.as_der().to_vec().into()).collect();
    Ok(())
}

/// The certificates of `SignedData` (RFC 5652, section 5), where authorities put them for others to fetch.
fn pkcs7(bytes: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let (kind, rest) = starts_with::<Oid<'_>>(bytes)?;
    if kind != oid!(1.2.840.113549.1.7.2) {
        return None;
    }
    let (_, explicit) = Any::from_der(rest).ok()?;
    let (_, mut rest) = starts_with::<Integer<'_>>(explicit.data)?;
    // Digests and content come before the certificates.
    for _ in 0..2 {
        rest = Any::from_der(rest).ok()?.0;
    }
    let (_, set) = Any::from_der(rest).ok().filter(|(_, set)| set.tag().0 == 0)?;
    let (mut list, mut found) = (set.data, Vec::new());
    while !list.is_empty() {
        let (rest, _) = Any::from_der(list).ok()?;
        found.push(CertificateDer::from(list[..list.len() - rest.len()].to_vec()));
        list = rest;
    }
    Some(found)
}
