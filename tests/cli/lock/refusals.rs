//! What a lock cannot do, and how it says so.

use std::net::TcpListener;

use crate::etcd::{Etcd, Options};
use crate::lock::store::Store;
use crate::support::hardy;

#[test]
fn an_endpoint_that_is_not_there_is_named() {
    let refused = free_port();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (refused, silent) =
        (format!("http://127.0.0.1:{refused}"), format!("http://{}", silent.local_addr().unwrap()));
    for args in [&["lock", "run", "x", "--", "true"][..], &["lock", "acquire", "x"], &["lock", "status"]] {
        let endpoints = format!("{refused},{silent}");
        let mut command = hardy();
        command.args(args).env("HARDY_STORE_ENDPOINTS", endpoints).env("HARDY_STORE_TIMEOUT", "300ms");
        let run: crate::support::Run = command.output().unwrap().into();
        assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""), "{run:?}");
        for text in [&refused, &silent, "connection refused", "no answer within", "hint: "] {
            assert!(run.stderr.contains(text), "{text}: {run:?}");
        }
    }
    let mut fallback = hardy();
    fallback.args(["lock", "run", "x", "--fallback-exit", "9", "--endpoints", &refused, "--", "true"]);
    assert_eq!(fallback.output().unwrap().status.code(), Some(9));
}

#[test]
fn what_is_no_endpoint_is_a_usage_error() {
    for endpoint in ["", "none,http://h:1", "127.0.0.1:2379", "etcd://h:1", "http://user:secret@h:1"] {
        let run = crate::support::run(&["lock", "status", "--endpoints", endpoint]);
        assert!(run.code == Some(2) && run.stderr.contains("no endpoint of etcd"), "{run:?}");
        assert!(!run.stderr.contains("secret"), "{run:?}");
    }
    for (file, text) in [("--store-ca", "/nonexistent/ca.pem"), ("--store-password-file", "/nonexistent/p")] {
        let args = ["lock", "status", "--endpoints", "https://127.0.0.1:1", "--store-user", "u", file, text];
        let run = crate::support::hardy().args(args).env("HARDY_STORE_PASSWORD", "secret").output().unwrap();
        let told = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(told.contains(text) && !told.contains("secret"), "{told}");
    }
}

#[test]
fn a_lease_that_is_too_short_is_said_to_be_longer() {
    // No lease is shorter than one election and a half.
    let more = vec!["--election-timeout".to_owned(), "2000".to_owned()];
    let store = Store::of(Etcd::start(1, Options { more, ..Options::default() }));
    let got = store.run(&["lock", "acquire", "x", "--ttl", "1s", "--json"]);
    assert_eq!(got.json()["data"]["ttl_ms"], 3_000, "{got:?}");
    assert!(got.stderr.contains("asked for a lease of 1s, and the store granted 3s"), "{got:?}");
}

#[test]
fn a_wrong_password_is_told_without_it() {
    let mut etcd = Etcd::single();
    etcd.authenticate("geheim", "worker", "jobs/");
    let store = Store::of(etcd);
    let run = |password: &str, name: &str| -> crate::support::Run {
        let mut command = store.hardy();
        command.args(["lock", "run", name, "--store-user", "worker", "--", "true"]);
        command.env("HARDY_STORE_PASSWORD", password).output().unwrap().into()
    };
    assert_eq!(run("geheim", "jobs/x").code, Some(0));
    for (password, name, text) in
        [("falsch", "jobs/x", "does not accept the user"), ("geheim", "other", "permission denied")]
    {
        let refused = run(password, name);
        assert_eq!(refused.code, Some(3), "{refused:?}");
        assert!(refused.stderr.contains(text) && !refused.stderr.contains(password), "{refused:?}");
    }
}

#[test]
fn a_shell_that_completes_hears_nothing_of_a_store_that_is_away() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = hardy();
    command.args(["--", "hardy", "lock", "release", ""]);
    command.env("HARDY_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "3").env("_CLAP_IFS", "\n");
    command.env("HARDY_STORE_ENDPOINTS", format!("http://{}", silent.local_addr().unwrap()));
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_directory_that_is_a_file_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut command = hardy();
    command.args(["lock", "acquire", "x"]).env("HARDY_STORE_DIRECTORY", file.path());
    let run: crate::support::Run = command.output().unwrap().into();
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.contains(file.path().to_str().unwrap()), "{run:?}");
}

/// A port on which nobody listens.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
