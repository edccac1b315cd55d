//! The files of a directory: which are worth a look, and which key belongs to which certificate.
//!
//! Refuses to go deeper than one directory below, so that links that loop do not matter.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Bundle, FileError, one};
use crate::tls::chain;

/// Files that are looked at.
const MOST: usize = 5_000;

pub(super) fn read(path: &Path, password: Option<&str>) -> Result<Vec<Bundle>, FileError> {
    let (files, mut unread) = files(path)?;
    let mut bundles = Vec::new();
    for file in files {
        match one(&file, password) {
            Ok(bundle) => bundles.push(bundle),
            Err(FileError::Nothing { .. }) => {}
            Err(error) => unread.push(untouched(file, &error)),
        }
    }
    let keys = take_keys(&mut bundles);
    leave_out_parts(&mut bundles);
    give_keys(&mut bundles, &keys);
    bundles.append(&mut unread);
    if bundles.is_empty() {
        let why = if keys.is_empty() { "none of its files does" } else { "its files hold keys alone" };
        return Err(FileError::Nothing { path: path.to_owned(), why: why.to_owned() });
    }
    Ok(bundles)
}

/// A file that could not be read.
fn untouched(path: PathBuf, error: &FileError) -> Bundle {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let unread = vec![format!("{error}{cause}")];
    Bundle { path, certificates: Vec::new(), keys: Vec::new(), unread }
}

/// Regular files, each once, sorted; and the directories below that cannot be read.
fn files(path: &Path) -> Result<(Vec<PathBuf>, Vec<Bundle>), FileError> {
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    for entry in entries(path)? {
        if entry.is_dir() {
            match entries(&entry) {
                Ok(below) => found.extend(below),
                Err(error) => unread.push(untouched(entry, &error)),
            }
        } else {
            found.push(entry);
        }
    }
    // A file may have many links, as roots have in /etc/ssl/certs: the nearest counts. A pipe would block.
    found.sort_by_cached_key(|file| (file.components().count(), file.clone()));
    let mut seen = HashSet::new();
    found.retain(|file| file.is_file() && file.canonicalize().is_ok_and(|real| seen.insert(real)));
    found.sort();
    if found.len() > MOST {
        let why = format!("it has more than {MOST} files, too many to look at");
        return Err(FileError::Nothing { path: path.to_owned(), why });
    }
    Ok((found, unread))
}

fn entries(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let unread = |error| FileError::Read(path.to_owned(), error);
    let entries = std::fs::read_dir(path).map_err(unread)?;
    entries.take(MOST + 1).map(|entry| entry.map(|entry| entry.path()).map_err(unread)).collect()
}

/// Takes files with keys alone out; tells whose directory each key is in.
fn take_keys(bundles: &mut Vec<Bundle>) -> Vec<(PathBuf, PrivateKeyDer<'static>)> {
    let (alone, others): (Vec<_>, Vec<_>) = std::mem::take(bundles)
        .into_iter()
        .partition(|bundle| bundle.certificates.is_empty() && bundle.unread.is_empty());
    *bundles = others;
    let parent = |path: &Path| path.parent().map(Path::to_owned).unwrap_or_default();
    alone
        .into_iter()
        .flat_map(|bundle| bundle.keys.into_iter().map(move |key| (parent(&bundle.path), key)))
        .collect()
}

/// Leaves out files whose certificates are all in another one.
fn leave_out_parts(bundles: &mut Vec<Bundle>) {
    let sets: Vec<HashSet<CertificateDer<'static>>> =
        bundles.iter().map(|bundle| bundle.certificates.iter().cloned().collect()).collect();
    let is_part = |number: usize| {
        let set = &sets[number];
        !set.is_empty()
            && bundles[number].keys.is_empty()
            && bundles[number].unread.is_empty()
            && sets.iter().enumerate().any(|(other, whole)| {
                // Of two that hold the same, the first stays.
                other != number && set.is_subset(whole) && (set.len() < whole.len() || other < number)
            })
    };
    let keep: Vec<bool> = (0..sets.len()).map(|number| !is_part(number)).collect();
    let mut keep = keep.into_iter();
    bundles.retain(|_| keep.next().unwrap_or(true));
}

/// Gives each chain without a key the one of its directory that belongs to it; or the only one there is, so that
/// it is said when that belongs to another.
fn give_keys(bundles: &mut [Bundle], keys: &[(PathBuf, PrivateKeyDer<'static>)]) {
    let chains = |bundles: &[Bundle], parent: &Path| {
        let is_here =
            |bundle: &&Bundle| bundle.path.parent() == Some(parent) && !bundle.certificates.is_empty();
        bundles.iter().filter(is_here).count()
    };
    for number in 0..bundles.len() {
        let bundle = &bundles[number];
        let (Some(leaf), Some(parent)) = (bundle.certificates.first(), bundle.path.parent()) else {
            continue;
        };
        if !bundle.keys.is_empty() {
            continue;
        }
        let here = || keys.iter().filter(|(directory, _)| directory == parent).map(|(_, key)| key);
        let own = here().find(|key| chain::belongs(leaf, key).is_ok());
        let only = || here().next().filter(|_| here().count() == 1 && chains(bundles, parent) == 1);
        let key = own.or_else(only).map(PrivateKeyDer::clone_key);
        bundles[number].keys.extend(key);
    }
}
