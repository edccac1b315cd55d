use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn open(state: &Path) -> Result<Authority, AuthorityError> {
    Authority::open(state, "me@here", now())
}

fn directory(state: &Path) -> PathBuf {
    state.join(format!("authority-{}", rustix::process::geteuid().as_raw()))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn names(texts: &[&str]) -> Vec<Name> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

#[test]
fn it_is_made_once_for_its_owner_alone() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state/hardy");
    let made = open(&state).unwrap();
    assert!(made.is_new);
    assert_eq!(made.name, "hardy development CA me@here 2026-11-23");
    assert_eq!(made.life.not_after.to_string(), "2036-11-22T11:58:59Z");
    let read = open(&state).unwrap();
    assert!(!read.is_new);
    assert_eq!((read.pem, read.name, read.life), (made.pem, made.name, made.life));
    let kept = directory(&state);
    assert_eq!([&state, &kept].map(|path| mode(path)), [0o700; 2]);
    assert_eq!(["ca.pem", "ca-key.pem"].map(|name| mode(&kept.join(name))), [0o600; 2]);
    assert_eq!(fs::read_dir(&state).unwrap().count(), 1, "nothing is left beside");
    assert_eq!(read.path, kept.join("ca.pem"));
}

#[test]
fn many_who_come_first_have_one_authority() {
    let home = tempfile::tempdir().unwrap();
    let all: Vec<Authority> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| open(home.path()).unwrap())).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(all.iter().all(|one| one.pem == all[0].pem));
    assert_eq!(all.iter().filter(|one| one.is_new).count(), 1);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing is left beside");
}

#[test]
fn what_is_wrong_with_it_is_said_and_nothing_is_replaced() {
    type Harm = fn(&Path);
    let harms: [(Harm, &str); 12] = [
        (|d| fs::write(d.join("ca.pem"), "").unwrap(), "is damaged: ca.pem is no certificate"),
        (|d| fs::write(d.join("ca.pem"), "\u{0}garbage").unwrap(), "is damaged: ca.pem is no certificate"),
        (|d| fs::write(d.join("ca-key.pem"), "x").unwrap(), "is damaged: ca-key.pem is no private key"),
        (|d| fs::remove_file(d.join("ca.pem")).unwrap(), "is damaged: ca.pem is missing"),
        (|d| fs::remove_file(d.join("ca-key.pem")).unwrap(), "is damaged: ca-key.pem is missing"),
        (
            |d| fs::write(d.join("ca-key.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap(),
            "is damaged: ca-key.pem is not the key of ca.pem",
        ),
        (
            |d| {
                let made = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
                fs::write(d.join("ca.pem"), made.cert.pem()).unwrap();
                fs::write(d.join("ca-key.pem"), made.signing_key.serialize_pem()).unwrap();
            },
            "is damaged: ca.pem may not issue certificates",
        ),
        (
            |d| fs::set_permissions(d.join("ca-key.pem"), fs::Permissions::from_mode(0o640)).unwrap(),
            "alone: ca-key.pem: others may read it",
        ),
        (
            |d| fs::set_permissions(d.join("ca.pem"), fs::Permissions::from_mode(0o602)).unwrap(),
            "alone: ca.pem: others may write to it",
        ),
        (
            |d| fs::set_permissions(d, fs::Permissions::from_mode(0o770)).unwrap(),
            "alone: others may write to it",
        ),
        (
            |d| {
                fs::rename(d.join("ca-key.pem"), d.join("elsewhere")).unwrap();
                symlink(d.join("elsewhere"), d.join("ca-key.pem")).unwrap();
            },
            "cannot read",
        ),
        (
            |d| {
                fs::remove_dir_all(d).unwrap();
                fs::write(d, "").unwrap();
            },
            "is damaged: it is no directory",
        ),
    ];
    for (harm, says) in harms {
        let home = tempfile::tempdir().unwrap();
        open(home.path()).unwrap();
        let kept = directory(home.path());
        harm(&kept);
        let listing = || {
            let read = |path: PathBuf| (path.clone(), fs::read(path).ok());
            let mut all: Vec<_> = fs::read_dir(&kept)
                .map(|all| all.map(|entry| read(entry.unwrap().path())).collect())
                .unwrap_or_default();
            all.sort();
            all
        };
        let before = listing();
        let error = open(home.path()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}, not {says}");
        assert_eq!(listing(), before, "{says}");
    }
}

#[test]
fn it_is_never_used_outside_its_life() {
    let home = tempfile::tempdir().unwrap();
    let made = open(home.path()).unwrap();
    let at = |time: &str| Authority::open(home.path(), "me@here", time.parse().unwrap());
    let error = at("2036-11-23T00:00:00Z").unwrap_err().to_string();
    assert!(error.ends_with("ran out at 2036-11-22T11:58:59Z"), "{error}");
    let error = at("2026-11-22T00:00:00Z").unwrap_err().to_string();
    assert!(error.ends_with("is not valid before 2026-11-23T11:59:00Z"), "{error}");
    assert_eq!(at("2036-11-22T00:00:00Z").unwrap().pem, made.pem);
}

#[test]
fn a_certificate_lives_as_long_as_was_asked_and_ends_with_its_authority() {
    let home = tempfile::tempdir().unwrap();
    let authority = open(home.path()).unwrap();
    let issue = |valid| authority.issue(&names(&["a.test"]), Purpose::Server, valid, now()).unwrap();
    let issued = issue(days(90));
    assert_eq!(issued.life.not_before.to_string(), "2026-11-23T11:59:00Z");
    assert_eq!(issued.life.not_after.to_string(), "2027-02-21T11:58:59Z");
    let der = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    assert_eq!(Life::of(&der), Some(issued.life));
    assert_eq!(issue(days(5000)).life.not_after, authority.life.not_after);
    assert_eq!(issue(Duration::MAX).life.not_after, authority.life.not_after);
}

#[test]
fn a_certificate_says_whom_and_what_it_is_for() {
    let home = tempfile::tempdir().unwrap();
    let authority = open(home.path()).unwrap();
    for purpose in [Purpose::Server, Purpose::Client] {
        let asked = names(&["App.test", "*.app.test", "127.0.0.1", "::1"]);
        let issued = authority.issue(&asked, purpose, days(1), now()).unwrap();
        let der = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
        let facts = Certificate::of(&der, now()).unwrap();
        assert_eq!(facts.names, ["app.test", "*.app.test", "127.0.0.1", "::1"]);
        assert_eq!((facts.key.as_str(), facts.is_authority), ("ECDSA P-256", false));
        assert_eq!(facts.sha256, issued.sha256);
        let (_, parsed) = X509Certificate::from_der(&der).unwrap();
        assert_eq!(parsed.subject().to_string(), "O=hardy development certificate, CN=app.test");
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert_eq!(
            (usage.server_auth, usage.client_auth),
            (purpose == Purpose::Server, purpose == Purpose::Client)
        );
    }
}

#[test]
fn long_names_do_not_break_the_bounds_of_a_subject() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::open(home.path(), &"ü".repeat(200), now()).unwrap();
    assert_eq!(authority.name.chars().count(), LONGEST_COMMON_NAME);
    let long = format!("{}.test", "a".repeat(63));
    let issued = authority.issue(&names(&[&long]), Purpose::Server, days(1), now()).unwrap();
    let der = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    assert_eq!(Certificate::of(&der, now()).unwrap().names, [long]);
}

fn issued(state: &Path) -> Issued {
    open(state).unwrap().issue(&names(&["a.test"]), Purpose::Server, days(1), now()).unwrap()
}

fn files(directory: &Path) -> Files {
    Files { certificate: directory.join("a.pem"), key: directory.join("a-key.pem") }
}

#[test]
fn files_are_placed_once_unless_they_may_be_replaced() {
    let home = tempfile::tempdir().unwrap();
    let (first, second) = (issued(home.path()), issued(home.path()));
    let out = tempfile::tempdir().unwrap();
    let files = files(out.path());
    place(&files, &first, false).unwrap();
    assert_eq!(mode(&files.key), 0o600);
    let read = || [&files.certificate, &files.key].map(|path| fs::read_to_string(path).unwrap());
    assert_eq!(read(), [first.certificate.clone(), first.key.clone()]);
    assert!(matches!(place(&files, &second, false), Err(PlaceError::Exists(_))));
    assert_eq!(read(), [first.certificate.clone(), first.key.clone()]);
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
    place(&files, &second, true).unwrap();
    assert_eq!((read(), mode(&files.key)), ([second.certificate, second.key], 0o600));
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 2, "nothing is left beside");
}

#[test]
fn neither_file_is_written_where_one_cannot_be() {
    let home = tempfile::tempdir().unwrap();
    let issued = issued(home.path());
    let out = tempfile::tempdir().unwrap();
    let only = |name: &str| {
        let left: Vec<_> =
            fs::read_dir(out.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [name], "nothing else is there");
    };
    fs::create_dir(out.path().join("d")).unwrap();
    let there = |certificate: &str, key: &str| Files {
        certificate: out.path().join(certificate),
        key: out.path().join(key),
    };
    for (files, replace, says) in [
        (there("d", "k"), false, "d exists"),
        (there("d", "k"), true, "d is no file"),
        (there("c", "d"), true, "d is no file"),
        (there("missing/c", "k"), false, "cannot write"),
        (there("c", "missing/k"), true, "cannot write"),
    ] {
        let error = place(&files, &issued, replace).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        only("d");
    }
    // A link that leads nowhere is found only at the end, where it must not be replaced, nor followed.
    fs::remove_dir(out.path().join("d")).unwrap();
    symlink("nowhere", out.path().join("c")).unwrap();
    let error = place(&there("c", "k"), &issued, false).unwrap_err();
    assert!(matches!(error, PlaceError::Exists(_)), "{error}");
    only("c");
}
