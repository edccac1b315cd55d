//! Certificates and keys in files.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::issued::{self, bad, chain, check, findings, openssl, targets, write};
use crate::support::Run;

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A directory with the root of a chain in `root.pem`.
fn place(chain: &issued::Chain) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let root = write(directory.path(), "root.pem", &chain.root.pem);
    (directory, root.to_str().expect("UTF-8").to_owned())
}

/// A file in PKCS#12 of `full.pem` and `key.pem`, opened by `secret`.
fn pkcs12(directory: &Path, name: &str, args: &[&str]) {
    let words =
        ["pkcs12", "-export", "-in", "full.pem", "-inkey", "key.pem", "-passout", "pass:secret", "-out"];
    openssl(directory, &[&words[..], &[name], args].concat());
}

#[test]
fn every_format_holds_the_same_chain() {
    let chain = chain("a.example");
    let (directory, ca) = place(&chain);
    let at = directory.path();
    let full = write(at, "full.pem", chain.full());
    let key = write(at, "key.pem", chain.leaf.key.serialize_pem());
    // The name says nothing: what is in it counts.
    let both = write(at, "both.der", format!("{}{}", chain.leaf.key.serialize_pem(), chain.full()));
    pkcs12(at, "new.pem", &[]);
    pkcs12(at, "old.p12", &["-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"]);
    openssl(at, &["crl2pkcs7", "-nocrl", "-certfile", "full.pem", "-outform", "DER", "-out", "full.p7b"]);
    openssl(at, &["ec", "-in", "key.pem", "-out", "sec1.pem"]);
    openssl(at, &["pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-outform", "DER", "-out", "key.der"]);
    let password = write(at, "password", "secret\n");
    let cases = [
        (text(&full), vec!["--key", text(&key)]),
        (text(&full), vec!["--key", "sec1.pem"]),
        (text(&full), vec!["--key", "key.der"]),
        (text(&both), vec![]),
        ("new.pem", vec!["--password-file", text(&password)]),
        ("old.p12", vec!["--password-file", text(&password)]),
        ("full.p7b", vec!["--key", text(&key)]),
    ];
    for (file, args) in cases {
        let inside = |name: &str| {
            if name.starts_with('-') { name.to_owned() } else { at.join(name).display().to_string() }
        };
        let (file, args): (_, Vec<String>) = (inside(file), args.into_iter().map(inside).collect());
        let mut all = vec![file.as_str(), "--ca", &ca, "--name", "a.example"];
        all.extend(args.iter().map(String::as_str));
        let run = check(&all);
        assert_eq!(run.code, Some(0), "{file}: {run:?}");
        assert_eq!(bad(&targets(&run)[0]), [""; 0], "{file}");
        for id in ["key.match", "chain.untrusted", "cert.name"] {
            assert_eq!(findings(&run, id)[0]["status"], "pass", "{file} {id}");
        }
    }
}

#[test]
fn a_certificate_in_der_is_judged_alone() {
    let chain = chain("a.example");
    let (directory, ca) = place(&chain);
    let file = write(directory.path(), "leaf", chain.leaf.der.as_ref());
    let run = check(&[text(&file), "--ca", &ca]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(bad(&targets(&run)[0]), ["fail chain.untrusted leaf"]);
    // Not tested is never a pass.
    assert_eq!(findings(&run, "cert.name")[0]["status"], "skip");
    assert_eq!(findings(&run, "key.match")[0]["status"], "skip");
}

#[test]
fn a_key_of_another_certificate_is_a_failure() {
    let chain = chain("a.example");
    let (directory, ca) = place(&chain);
    let full = write(directory.path(), "full.pem", chain.full());
    let other = write(directory.path(), "other.pem", chain.middle.key.serialize_pem());
    let run = check(&[text(&full), "--ca", &ca, "--key", text(&other)]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(bad(&targets(&run)[0]), ["fail key.match key"]);
}

#[test]
fn a_directory_of_an_acme_client_comes_out_right() {
    let chain = chain("a.example");
    let (directory, ca) = place(&chain);
    let archive = directory.path().join("archive");
    let live = directory.path().join("live/a.example");
    std::fs::create_dir_all(&archive).expect("a directory");
    std::fs::create_dir_all(&live).expect("a directory");
    let files = [
        ("cert.pem", chain.leaf.pem.clone()),
        ("chain.pem", chain.middle.pem.clone()),
        ("fullchain.pem", chain.full()),
        ("privkey.pem", chain.leaf.key.serialize_pem()),
    ];
    for (name, content) in files {
        let real = write(&archive, name, content);
        std::os::unix::fs::symlink(real, live.join(name)).expect("a link");
    }
    write(&live, "README", "This directory holds your keys.");
    std::os::unix::fs::symlink(&live, live.join("loop")).expect("a link");
    for looked_at in [&live, &directory.path().join("live")] {
        let run = check(&[text(looked_at), "--ca", &ca]);
        assert_eq!(run.code, Some(0), "{run:?}");
        let targets = targets(&run);
        assert_eq!(targets.len(), 1, "{targets:?}");
        assert!(targets[0]["target"].as_str().expect("a target").ends_with("fullchain.pem"), "{targets:?}");
        assert_eq!(findings(&run, "key.match")[0]["status"], "pass");
    }
}

#[test]
fn a_directory_tells_of_each_chain_and_of_each_key_that_does_not_belong() {
    let (one, two) = (chain("a.example"), chain("b.example"));
    let (directory, ca) = place(&one);
    let at = directory.path().join("certificates");
    std::fs::create_dir(&at).expect("a directory");
    write(&at, "a.pem", one.full());
    write(&at, "b.pem", two.full());
    write(&at, "a.key", one.leaf.key.serialize_pem());
    let run = check(&[text(&at), "--ca", &ca]);
    let found = targets(&run);
    assert_eq!(bad(&found[0]), [""; 0]);
    let of_another =
        ["chain.signature", "chain.untrusted"].map(|id| format!("fail {id} intermediate \"Middle\""));
    assert_eq!(bad(&found[1]), of_another, "a root of that name is trusted, and has another key");
    let matches: Vec<_> =
        findings(&run, "key.match").iter().map(|finding| finding["status"].clone()).collect();
    assert_eq!(matches, ["pass", "skip"]);
    std::fs::remove_file(at.join("a.pem")).expect("it was there");
    let run = check(&[text(&at), "--ca", &ca]);
    let found = &findings(&run, "key.match")[0];
    assert_eq!(found["status"], "fail", "{run:?}");
    let actual = found["actual"].as_str().expect("a text");
    assert!(actual.contains("a.key holds the key of another certificate"), "{actual}");
}

#[test]
fn roots_are_judged_one_by_one() {
    let mut old = issued::authority("Old");
    old.not_after = rcgen::date_time_ymd(2026, 1, 1);
    let old = issued::made(None, old);
    let chain = chain("a.example");
    let (directory, ca) = place(&chain);
    let file = write(directory.path(), "bundle.crt", format!("{}{}", chain.root.pem, old.pem));
    let run = check(&[text(&file), "--ca", &ca]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(bad(&targets(&run)[0]), ["fail cert.expiry root \"Old\""]);
}

#[test]
fn what_cannot_be_read_is_an_error_and_says_why() {
    let chain = chain("a.example");
    let (directory, ca) = place(&chain);
    let at = directory.path();
    write(at, "full.pem", chain.full());
    write(at, "key.pem", chain.leaf.key.serialize_pem());
    pkcs12(at, "a.p12", &[]);
    for (form, name) in [("PEM", "locked.pem"), ("DER", "locked.der")] {
        let words =
            ["pkcs8", "-topk8", "-in", "key.pem", "-passout", "pass:secret", "-outform", form, "-out", name];
        openssl(at, &words);
    }
    openssl(at, &["ec", "-aes128", "-in", "key.pem", "-out", "legacy.pem", "-passout", "pass:secret"]);
    write(at, "empty", "");
    write(at, "text", "no certificate");
    write(at, "damaged.pem", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n");
    let wrong = write(at, "wrong", "wrong");
    let large = std::fs::File::create(at.join("large")).expect("a file");
    large.set_len(17 << 20).expect("a sparse file");
    std::fs::create_dir(at.join("nothing")).expect("a directory");
    for (file, args, said) in [
        ("missing", vec![], "cannot read"),
        ("empty", vec![], "it is empty"),
        ("text", vec![], "it is not PEM"),
        ("damaged.pem", vec![], "a damaged block"),
        ("large", vec![], "larger than 16 MiB"),
        ("nothing", vec![], "none of its files does"),
        ("a.p12", vec![], "it needs a password"),
        ("a.p12", vec!["--password-file", text(&wrong)], "the password is wrong"),
        ("locked.pem", vec![], "encrypted"),
        ("locked.der", vec![], "encrypted"),
        ("legacy.pem", vec![], "encrypted"),
        ("key.pem", vec![], "no certificate beside it"),
    ] {
        let path = at.join(file);
        let run = check(&[&[text(&path), "--ca", &ca][..], &args].concat());
        assert_eq!(run.code, Some(3), "{file}: {run:?}");
        let actual = targets(&run)[0]["findings"][0]["actual"].as_str().expect("a text").to_owned();
        assert!(actual.contains(said), "{file}: {actual}");
        let fix = targets(&run)[0]["findings"][0]["fix"].as_str().expect("a text").to_owned();
        assert!(file == "key.pem" || !fix.is_empty(), "{file}: nothing mends {actual}");
        assert!(file != "a.p12" || fix.contains("--password-file"), "{fix}");
        assert!(!actual.contains("secret"), "{actual}");
    }
    // A key that is locked must not keep the certificate beside it from being judged, nor pass for a match.
    let both =
        write(at, "both.pem", chain.full() + &std::fs::read_to_string(at.join("locked.pem")).expect("a key"));
    let run = check(&[text(&both), "--ca", &ca]);
    assert_eq!((run.code, bad(&targets(&run)[0])), (Some(3), vec!["error file.readable file".to_owned()]));
    assert_eq!(findings(&run, "chain.untrusted")[0]["status"], "pass");
}

/// Who wants a password to be slow to try is believed up to a million rounds; beyond that it is meant to be slow for us.
#[test]
fn a_file_that_takes_for_ever_to_open_is_not_opened() {
    let chain = chain("a.example");
    let (directory, ca) = place(&chain);
    let at = directory.path();
    write(at, "full.pem", chain.full());
    write(at, "key.pem", chain.leaf.key.serialize_pem());
    let password = write(at, "password", "secret\n");
    pkcs12(at, "key.p12", &["-nomaciter", "-iter", "1000001"]);
    pkcs12(at, "mac.p12", &[]);
    let bomb = with_mac_rounds(&std::fs::read(at.join("mac.p12")).expect("a file"), i32::MAX);
    write(at, "mac.p12", bomb);
    for name in ["key.p12", "mac.p12"] {
        let path = at.join(name);
        let run = check(&[text(&path), "--ca", &ca, "--password-file", text(&password), "--timeout", "20s"]);
        assert_eq!(run.code, Some(3), "{name}: {run:?}");
        let actual = targets(&run)[0]["findings"][0]["actual"].as_str().expect("a text").to_owned();
        assert!(actual.contains("not PKCS#12 that can be opened"), "{name}: {actual}");
    }
    // Slow, but not too slow to be believed: then it has the time of a step.
    pkcs12(at, "slow.p12", &["-iter", "1000000"]);
    let path = at.join("slow.p12");
    let run = check(&[text(&path), "--ca", &ca, "--password-file", text(&password), "--timeout", "1ms"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    let actual = targets(&run)[0]["findings"][0]["actual"].as_str().expect("a text").to_owned();
    assert!(actual.ends_with("it took longer than 1ms"), "{actual}");
}

/// The same file with another number of rounds for its MAC, which is the last number of all.
fn with_mac_rounds(file: &[u8], rounds: i32) -> Vec<u8> {
    let integer = |number: i32| [&[2, 4][..], &number.to_be_bytes()].concat();
    let (start, old) = file.split_at(file.len() - 4);
    assert_eq!(old, [2, 2, 8, 0], "2048 rounds");
    let mut changed = [start, &integer(rounds)].concat();
    // Two bytes more, in the sequence around the MAC and in that around all.
    let last = (start.len() - 100..start.len())
        .find(|at| file[*at] == 0x30 && at + 2 + usize::from(file[at + 1]) == file.len());
    changed[last.expect("a short sequence at the end") + 1] += 2;
    assert_eq!(file[..2], [0x30, 0x82]);
    let length = u16::from_be_bytes([file[2], file[3]]) + 2;
    changed[2..4].copy_from_slice(&length.to_be_bytes());
    changed
}

#[test]
fn a_pipe_is_read_and_one_that_says_nothing_is_given_up() {
    let chain = chain("a.example");
    let (directory, ca) = place(&chain);
    let at = directory.path();
    let (silent, full) = (at.join("silent"), write(at, "full.pem", chain.full()));
    assert!(Command::new("mkfifo").arg(&silent).status().expect("mkfifo runs").success());
    let run = check(&[text(&silent), text(&full), "--ca", &ca, "--timeout", "300ms"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    let found = targets(&run);
    assert_eq!((bad(&found[0]), bad(&found[1])), (vec!["error file.readable file".to_owned()], vec![]));
    let actual = found[0]["findings"][0]["actual"].as_str().expect("a text");
    assert!(actual.ends_with("it took longer than 300ms"), "{actual}");
    // As with `<(...)` in a shell.
    let mut command = crate::support::hardy();
    command.args(["tls", "check", "--json", "--at", issued::NOW, "/dev/stdin", "--ca", &ca]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("hardy runs");
    child.stdin.take().expect("a pipe").write_all(chain.full().as_bytes()).expect("it reads");
    let run: Run = child.wait_with_output().expect("it ends").into();
    assert_eq!((run.code, bad(&targets(&run)[0])), (Some(0), vec![]), "{run:?}");
}

#[test]
fn weak_keys_and_hashes_are_told_apart_from_the_rest() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path();
    let subject =
        ["-subj", "/CN=old.example", "-addext", "subjectAltName=DNS:old.example", "-nodes", "-days", "30"];
    let request = ["req", "-x509", "-newkey", "rsa:1024", "-sha1", "-keyout", "key.pem", "-out", "weak.pem"];
    let leaf = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "keyUsage=digitalSignature"];
    openssl(at, &[&request[..], &subject, &leaf].concat());
    let path = at.join("weak.pem");
    // Made just now.
    let args = ["tls", "check", "--json", text(&path), "--ca", text(&path), "--warn", "1d", "--crit", "1h"];
    let run = crate::support::run(&args);
    assert_eq!(run.code, Some(1), "{run:?}");
    let found = bad(&targets(&run)[0]);
    for id in ["fail cert.key_size leaf", "fail cert.signature leaf"] {
        assert!(found.contains(&id.to_owned()), "{found:?}");
    }
    assert!(!found.iter().any(|bad| bad.contains("chain.signature")), "{found:?}");
    assert_ne!(findings(&run, "chain.untrusted")[0]["status"], "pass");
}

#[test]
fn what_a_directory_does_not_give_is_said() {
    let chain = chain("localhost");
    let (directory, ca) = place(&chain);
    let at = directory.path().join("certificates");
    std::fs::create_dir_all(at.join("a/b")).expect("a directory");
    write(&at, "localhost.pem", chain.full());
    write(&at, "empty.pem", "");
    write(&at, "garbage.P12", "no archive");
    write(&at.join("a"), "text.crt", "no certificate");
    std::os::unix::fs::symlink("nowhere", at.join("site")).expect("a link");
    assert!(Command::new("mkfifo").arg(at.join("pipe.cer")).status().expect("mkfifo runs").success());
    // Of no concern: parameters, and what is not called a certificate.
    write(&at, "dh.pem", "-----BEGIN DH PARAMETERS-----\nMAYCAQcCAQI=\n-----END DH PARAMETERS-----\n");
    write(&at, "README.md", "no certificate");
    write(&at.join("a/b"), "deep.pem", chain.full());
    let run = check(&[text(&at), "--ca", &ca]);
    assert_eq!(run.code, Some(3), "{run:?}");
    let found = targets(&run);
    let name = |target: &serde_json::Value| {
        let path = target["file"].as_str().expect("a file");
        (Path::new(path).file_name().expect("a name").to_str().expect("UTF-8").to_owned(), bad(target))
    };
    let error = || vec!["error file.readable file".to_owned()];
    let mut found: Vec<_> = found.iter().map(name).collect();
    found.sort();
    let expected = [
        ("empty.pem", error()),
        ("garbage.P12", error()),
        ("localhost.pem", vec![]),
        ("pipe.cer", error()),
        ("site", error()),
        ("text.crt", error()),
    ];
    assert_eq!(found, expected.map(|(name, bad)| (name.to_owned(), bad)));
    let skipped = findings(&run, "file.readable");
    let skipped = skipped.iter().find(|finding| finding["status"] == "skip").expect("a note");
    assert!(skipped["actual"].as_str().expect("a text").contains("a/b lies deeper"), "{skipped}");
}

#[test]
fn a_file_of_a_flag_that_has_no_end_is_refused() {
    let chain = chain("a.example");
    let (directory, _) = place(&chain);
    let full = write(directory.path(), "full.pem", chain.full());
    let full = text(&full);
    let flags = ["--policy", "--ca", "--password-file", "--crl-file", "--key", "--on-disk"];
    for args in flags.map(|flag| vec![flag, "/dev/zero"]).into_iter().chain([
        vec!["--client-cert", full, "--client-key", "/dev/zero"],
        vec!["--client-cert", "/dev/zero", "--client-key", full],
    ]) {
        let run = check(&[&[full][..], &args].concat());
        assert_eq!(run.code, Some(2), "{args:?}: {run:?}");
        assert!(run.stderr.contains("it is larger than"), "{args:?}: {run:?}");
    }
}
