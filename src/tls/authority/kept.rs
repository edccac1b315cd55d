//! The authority on disk: a directory of this user with a certificate and a key, mode 0600.
//!
//! The directory appears under its name with both files in it, or not at all: of several who come first, one places
//! it, and the others read what that one has placed. Refuses what others could have read or put there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use jiff::Timestamp;
use rcgen::{Issuer, KeyPair, PublicKeyData};
use rustix::fs::OFlags;
use rustix::process::geteuid;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Authority, AuthorityError, found};
use crate::tls::life::Life;

const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca-key.pem";
/// No certificate or key of ours is nearly as large.
const LARGEST: u64 = 1 << 16;

/// Reads it, or makes it where there is none.
pub(super) fn open(state: &Path, maker: &str, now: Timestamp) -> Result<Authority, AuthorityError> {
    // Several users may share a directory for state; an authority is never shared.
    let directory = state.join(format!("authority-{}", geteuid().as_raw()));
    if let Some(authority) = read(&directory)? {
        return Ok(authority);
    }
    let is_new = make(state, &directory, maker, now)?;
    let authority = read(&directory)?.ok_or_else(|| AuthorityError::Damaged {
        directory: directory.clone(),
        why: format!("it has neither {CERTIFICATE} nor {KEY}"),
    })?;
    Ok(Authority { is_new, ..authority })
}

/// Whether it was made here, and not by another process at the same time.
fn make(state: &Path, directory: &Path, maker: &str, now: Timestamp) -> Result<bool, AuthorityError> {
    let (certificate, key) = found(maker, now)?;
    let failed = |path: &Path, source| AuthorityError::Io { what: "create", path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(state).map_err(|e| failed(state, e))?;
    let private = fs::Permissions::from_mode(0o700);
    let draft = tempfile::Builder::new().prefix(".authority-").permissions(private).tempdir_in(state);
    let draft = draft.map_err(|e| failed(state, e))?;
    for (name, text) in [(KEY, key), (CERTIFICATE, certificate)] {
        write(&draft.path().join(name), &text).map_err(|e| failed(&directory.join(name), e))?;
    }
    // A directory never takes the place of one that has something in it.
    match fs::rename(draft.path(), directory) {
        Ok(()) => {
            // Its name is another one now: nothing is left to be removed.
            let _ = draft.keep();
            File::open(state).and_then(|state| state.sync_all()).map_err(|e| failed(directory, e))?;
            Ok(true)
        }
        Err(raced) if matches!(raced.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
            Ok(false)
        }
        Err(other) => Err(failed(directory, other)),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// `None` where there is nothing.
fn read(directory: &Path) -> Result<Option<Authority>, AuthorityError> {
    let damaged = |why: String| AuthorityError::Damaged { directory: directory.to_owned(), why };
    let exposed = |why: String| AuthorityError::Exposed { directory: directory.to_owned(), why };
    let failed = |source| AuthorityError::Io { what: "read", path: directory.to_owned(), source };
    match fs::symlink_metadata(directory) {
        Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(None),
        Err(other) => return Err(failed(other)),
        Ok(there) if !there.is_dir() => return Err(damaged("it is no directory".to_owned())),
        Ok(there) => alone(&there, 0o022).map_err(|why| exposed(why.to_owned()))?,
    }
    let text = |name: &'static str| match text(&directory.join(name)) {
        Err(Unread::Missing) => Ok(None),
        Err(Unread::Exposed(why)) => Err(exposed(format!("{name}: {why}"))),
        Err(Unread::Io(source)) => {
            Err(AuthorityError::Io { what: "read", path: directory.join(name), source })
        }
        Ok(text) => Ok(Some(text)),
    };
    let (pem, key) = match (text(CERTIFICATE)?, text(KEY)?) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(damaged(format!("{KEY} is missing"))),
        (None, Some(_)) => return Err(damaged(format!("{CERTIFICATE} is missing"))),
        (Some(pem), Some(key)) => (pem, key),
    };
    let key = KeyPair::from_pem(&key).map_err(|e| damaged(format!("{KEY} is no private key: {e}")))?;
    authority(&directory.join(CERTIFICATE), pem, key).map(Some).map_err(damaged)
}

/// The words say what is wrong.
fn authority(path: &Path, pem: String, key: KeyPair) -> Result<Authority, String> {
    let no_certificate = |why: String| format!("{CERTIFICATE} is no certificate: {why}");
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| no_certificate(e.to_string()))?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|e| no_certificate(e.to_string()))?;
    if parsed.public_key().raw != key.subject_public_key_info() {
        return Err(format!("{KEY} is not the key of {CERTIFICATE}"));
    }
    if !parsed.is_ca() {
        return Err(format!("{CERTIFICATE} may not issue certificates"));
    }
    let life = Life::of(&der).ok_or_else(|| no_certificate("it has no validity".to_owned()))?;
    let common = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let name = common.map_or_else(|| parsed.subject().to_string(), str::to_owned);
    let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|e| no_certificate(e.to_string()))?;
    Ok(Authority { issuer, name, pem, path: path.to_owned(), life, is_new: false })
}

enum Unread {
    Missing,
    Exposed(&'static str),
    Io(io::Error),
}

/// The text of a file that nobody else can read or write.
fn text(path: &Path) -> Result<String, Unread> {
    // Neither follows a link nor waits at a pipe.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = opened.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Unread::Missing,
        _ => Unread::Io(error),
    })?;
    alone(&file.metadata().map_err(Unread::Io)?, 0o077).map_err(Unread::Exposed)?;
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).map_err(Unread::Io)?;
    Ok(text)
}

/// Whether it is this user's, and others have none of these permissions.
fn alone(there: &fs::Metadata, others: u32) -> Result<(), &'static str> {
    if there.uid() != geteuid().as_raw() {
        return Err("it belongs to another user");
    }
    match there.mode() & others {
        0 => Ok(()),
        mode if mode & 0o022 != 0 => Err("others may write to it"),
        _ => Err("others may read it"),
    }
}
