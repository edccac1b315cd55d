//! The files of a directory: which are worth a look, and which key belongs to which certificate.
//!
//! Refuses to go deeper than one directory below, so that links that loop do not matter.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Bundle, FileError, one};
use crate::tls::chain;

/// Files that are looked at.
const MOST: usize = 5_000;
/// What files with certificates are called, so that one without any is worth a word.
const EXTENSIONS: [&str; 6] = ["pem", "crt", "cer", "der", "p12", "pfx"];

/// What is in a directory, and in those in it.
#[derive(Debug, Default)]
struct Found {
    /// Regular files, each once, sorted.
    files: Vec<PathBuf>,
    /// Those that cannot be read, directories too.
    unread: Vec<Bundle>,
    /// Directories further down, which are not read.
    deeper: Vec<PathBuf>,
}

pub(super) fn read(path: &Path, password: Option<&str>) -> Result<Vec<Bundle>, FileError> {
    let Found { files, mut unread, deeper } = find(path)?;
    let mut bundles = Vec::new();
    for file in files {
        match one(&file, password) {
            Ok(bundle) => bundles.push(bundle),
            Err(FileError::Foreign(_)) => {}
            Err(FileError::Nothing { .. }) if !is_called_so(&file) => {}
            Err(error) => unread.push(untouched(file, &error)),
        }
    }
    let keys = take_keys(&mut bundles);
    leave_out_parts(&mut bundles);
    give_keys(&mut bundles, &keys);
    bundles.append(&mut unread);
    let Some(first) = bundles.first_mut() else {
        let why = if keys.is_empty() { "none of its files does" } else { "its files hold keys alone" };
        let further: Vec<String> = deeper.iter().map(|path| path.display().to_string()).collect();
        let further =
            if deeper.is_empty() { String::new() } else { format!("; not read: {}", further.join(", ")) };
        return Err(FileError::Nothing { path: path.to_owned(), why: format!("{why}{further}") });
    };
    first.deeper = deeper;
    Ok(bundles)
}

fn is_called_so(file: &Path) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

/// A file that could not be read.
fn untouched(path: PathBuf, error: &FileError) -> Bundle {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let unread = vec![format!("{error}{cause}")];
    Bundle { path, unread, ..Bundle::default() }
}

fn find(path: &Path) -> Result<Found, FileError> {
    let mut found = Found::default();
    let (directories, mut all): (Vec<_>, Vec<_>) =
        entries(path)?.into_iter().partition(|entry| entry.is_dir());
    let mut read: HashSet<PathBuf> = path.canonicalize().into_iter().collect();
    read.extend(directories.iter().filter_map(|directory| directory.canonicalize().ok()));
    for directory in directories {
        match entries(&directory) {
            Ok(below) => all.extend(below),
            Err(error) => found.unread.push(untouched(directory, &error)),
        }
    }
    // A file may have many links, as roots have in /etc/ssl/certs: the nearest counts.
    all.sort_by_cached_key(|file| (file.components().count(), file.clone()));
    for entry in all {
        // Each once, and a link that leads back to what is read leads nowhere else.
        let is_new = |entry: &Path, read: &mut HashSet<PathBuf>| {
            entry.canonicalize().is_ok_and(|real| read.insert(real))
        };
        match entry.metadata() {
            Ok(about) if about.is_file() && is_new(&entry, &mut read) => found.files.push(entry),
            Ok(about) if about.is_dir() && is_new(&entry, &mut read) => found.deeper.push(entry),
            // A pipe would block.
            Ok(about) if !about.is_file() && !about.is_dir() && is_called_so(&entry) => {
                let error = io::Error::other("it is no regular file");
                found.unread.push(untouched(entry.clone(), &FileError::Read(entry, error)));
            }
            Ok(_) => {}
            // A link to what is not there, as a rule.
            Err(error) => found.unread.push(untouched(entry.clone(), &FileError::Read(entry, error))),
        }
    }
    found.files.sort();
    if found.files.len() > MOST {
        let why = format!("it has more than {MOST} files, too many to look at");
        return Err(FileError::Nothing { path: path.to_owned(), why });
    }
    Ok(found)
}

fn entries(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let unread = |error| FileError::Read(path.to_owned(), error);
    let entries = std::fs::read_dir(path).map_err(unread)?;
    entries.take(MOST + 1).map(|entry| entry.map(|entry| entry.path()).map_err(unread)).collect()
}

/// Takes files with keys alone out; tells which file each key is from.
fn take_keys(bundles: &mut Vec<Bundle>) -> Vec<(PathBuf, PrivateKeyDer<'static>)> {
    let (alone, others): (Vec<_>, Vec<_>) = std::mem::take(bundles)
        .into_iter()
        .partition(|bundle| bundle.certificates.is_empty() && bundle.unread.is_empty());
    *bundles = others;
    alone
        .into_iter()
        .flat_map(|bundle| bundle.keys.into_iter().map(move |key| (bundle.path.clone(), key)))
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
        let here = || keys.iter().filter(|(file, _)| file.parent() == Some(parent));
        let own = here().find(|(_, key)| chain::belongs(leaf, key).is_ok());
        let only = || here().next().filter(|_| here().count() == 1 && chains(bundles, parent) == 1);
        let Some((file, key)) = own.or_else(only) else { continue };
        bundles[number].keys.push(key.clone_key());
        bundles[number].key_file = Some(file.clone());
    }
}
