//! Redis, PostgreSQL and MariaDB.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use super::servers::{mariadb, password, postgres, redis};
use super::{assert_down, assert_up, call};
use crate::fixtures;
use crate::support::{hardy, run_in, wait_for};

#[test]
fn redis_is_up_with_its_role_and_down_without_its_process() {
    let mut primary = redis(&[]);
    let url = primary.url("");
    assert_up(&url, &["--expect-answer", "MASTER"], "master");
    let replica = redis(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    let both = ["--expect-answer", "slave", "--expect-answer", "connected"];
    wait_for("the replica to be in touch", || (call(&replica.url(""), &both).0 == Some(0)).then_some(()));
    assert_down(
        &replica.url(""),
        &["--expect-answer", "master"],
        "answer.mismatch",
        "expected master, got slave",
    );
    let (_, last) = call(&url, &[]);
    for phase in ["connect", "first_byte", "body"] {
        assert!(last["phases_us"][phase].is_u64(), "{last}");
    }
    primary.signal("STOP");
    assert_down(&url, &["--timeout", "300ms"], "timeout", "while waiting for the first byte");
    primary.kill();
    assert_down(&url, &[], "connect.refused", "connection refused");
}

#[test]
fn redis_wants_its_password() {
    let server = redis(&["--requirepass", "secret"]);
    let url = server.url("");
    assert_down(&url, &[], "refused.by_server", "NOAUTH");
    let right = password(&server, "secret");
    assert_up(&url, &["--password-file", &right], "master");
    assert_up(&server.url("default@"), &["--password-file", &right], "master");
    assert_down(&server.url("other@"), &["--password-file", &right], "refused.by_server", "WRONGPASS");
    let variable = hardy().env("HARDY_PROBE_PASSWORD_FILE", &right).args(["probe", &url]).output().unwrap();
    assert!(variable.status.success());
    let config = format!(
        "[targets.cache]\nurl = {url:?}\npassword_file = {right:?}\nexpect = {{ answer = [\"master\"] }}\n"
    );
    fs::write(server.directory.path().join("hardy.toml"), config).unwrap();
    let found = run_in(server.directory.path(), &["probe", "cache"]);
    assert_eq!(found.code, Some(0), "{found:?}");
    let shown = run_in(server.directory.path(), &["config", "show", "--json"]).stdout;
    assert!(shown.contains("password_file") && !shown.contains("secret"), "{shown}");
}

#[test]
fn postgres_accepts_log_ins() {
    let mut server = postgres();
    assert_up(&server.url(""), &[], "it accepts log-ins");
    assert_up(&server.url("me@"), &[], "it asks for a password");
    assert_up(
        &(server.url("trusted@") + "/postgres"),
        &["--expect-answer", "primary"],
        "primary, ready for queries",
    );
    let url = server.url("trusted@") + "/none";
    assert_down(&url, &[], "refused.by_server", "3D000: database \"none\" does not exist");
    assert_down(&server.url("nobody@"), &[], "refused.by_server", "no pg_hba.conf entry");
    let url = server.url("");
    server.kill();
    assert_down(&url, &[], "connect.refused", "connection refused");
}

#[test]
fn postgres_is_asked_a_question_after_a_log_in() {
    let server = postgres();
    let url = server.url("me@");
    let right = password(&server, "secret");
    assert_up(&url, &["--password-file", &right], "SELECT 1 succeeds");
    assert_down(&server.url("old@"), &["--password-file", &right], "refused.by_server", "only SCRAM-SHA-256");
    let wrong = password(&server, "other");
    assert_down(
        &url,
        &["--password-file", &wrong],
        "refused.by_server",
        "28P01: password authentication failed",
    );
}

#[test]
fn postgres_that_is_full_or_ends_is_no_longer_up() {
    let server = postgres();
    let url = server.url("trusted@") + "/postgres";
    // Sessions that stay: the message that begins one, and its answer.
    let mut begin = b"\0\x03\0\0user\0trusted\0database\0postgres\0\0".to_vec();
    begin.splice(0..0, u32::try_from(begin.len() + 4).unwrap().to_be_bytes());
    let sessions: Vec<TcpStream> = (0..5)
        .map(|_| {
            let mut session = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
            session.write_all(&begin).unwrap();
            assert_eq!(session.read(&mut [0]).unwrap(), 1);
            session
        })
        .collect();
    wait_for("the last session to count", || {
        (call(&url, &[]).1["reason"] == "refused.by_server").then_some(())
    });
    assert_down(&url, &[], "refused.by_server", "53300: ");
    // A smart shutdown waits for sessions and takes no new ones.
    server.signal("TERM");
    wait_for("the shutdown", || {
        let (_, last) = call(&url, &[]);
        last["detail"].as_str().unwrap().contains("57P03: the database system is shutting down").then_some(())
    });
    drop(sessions);
}

#[test]
fn mysql_accepts_log_ins() {
    let mut server = mariadb();
    assert_up(&server.url(""), &[], "MariaDB");
    assert_up(&server.url("root@"), &[], "MariaDB");
    let right = password(&server, "secret");
    assert_up(&server.url("me@"), &["--password-file", &right], ", the log-in succeeds");
    assert_down(&server.url("me@"), &[], "refused.by_server", "error 1045: Access denied for user 'me'");
    let wrong = password(&server, "other");
    let denied = "error 1045: Access denied for user 'me'@";
    assert_down(&server.url("me@"), &["--password-file", &wrong], "refused.by_server", denied);
    assert_down(
        &server.url("other@"),
        &[],
        "refused.by_server",
        "error 1045: Access denied for user 'other'",
    );
    let url = server.url("");
    let sessions: Vec<TcpStream> = (0..11)
        .map(|_| {
            let mut session = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
            assert_eq!(session.read(&mut [0]).unwrap(), 1);
            session
        })
        .collect();
    assert_down(&url, &[], "refused.by_server", "error 1040: Too many connections");
    drop(sessions);
    server.kill();
    assert_down(&url, &[], "connect.refused", "connection refused");
}

/// Each call of MariaDB ends as a log-in, so that it never blocks the host for its many broken ones.
#[test]
fn mysql_answers_after_many_calls() {
    let server = mariadb();
    let (code, last) = call(&server.url(""), &["--count", "150", "--interval", "1ms"]);
    assert_eq!(code, Some(0), "{last}");
}

/// Servers that greet and then misbehave.
#[test]
fn a_log_in_has_an_end() {
    let greeting = b"\x0a\0\0\0\x0a8.0.1\0xyz";
    let mysql = fixtures::Server::start(move |mut stream, _| {
        let _ = stream.write_all(greeting);
        // Another way to log in, for ever.
        while stream.write_all(b"\x01\0\0\x02\xfe").is_ok() && stream.read(&mut [0; 256]).is_ok_and(|n| n > 0)
        {
        }
    });
    assert_up(&format!("mysql://{}", mysql.address), &[], "8.0.1");
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("password");
    fs::write(&file, "secret").unwrap();
    let flags = ["--password-file", file.to_str().unwrap()];
    let detail = "it wants the password in the way of MySQL 3; only mysql_native_password and";
    assert_down(&format!("mysql://me@{}", mysql.address), &flags, "refused.by_server", detail);
}

/// As MySQL 8 does: it may know the password from before, or not.
#[test]
fn mysql_with_its_newer_way_to_prove_a_password() {
    let answering = |verdict: &'static [u8]| {
        fixtures::Server::start(move |mut stream, _| {
            let mut greeting = b"\x0a8.4.0\0\x01\0\0\x0012345678\0\xff\xff\xff\x02\0\xff\xdf\x15".to_vec();
            greeting.extend_from_slice(&[0; 10]);
            greeting.extend_from_slice(b"90abcdefghij\0caching_sha2_password\0");
            let head = [u8::try_from(greeting.len()).unwrap(), 0, 0, 0];
            stream.write_all(&[&head[..], &greeting].concat()).unwrap();
            let mut asked = [0; 1024];
            let count = stream.read(&mut asked).unwrap();
            // 32 bytes follow the name and their number.
            assert!(asked[..count].ends_with(b"caching_sha2_password\0"), "{:?}", &asked[..count]);
            assert_eq!(asked[4 + 32..][..4], *b"me\0\x20");
            let _ = stream.write_all(verdict);
            let _ = stream.read(&mut asked);
        })
    };
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("password");
    fs::write(&file, "secret").unwrap();
    let flags = ["--password-file", file.to_str().unwrap()];
    let knowing = answering(b"\x02\0\0\x02\x01\x03\x07\0\0\x03\0\0\0\x02\0\0\0");
    assert_up(&format!("mysql://me@{}", knowing.address), &flags, "8.4.0, the log-in succeeds");
    let forgetful = answering(b"\x02\0\0\x02\x01\x04");
    let detail = "only sent over TLS with ssl-mode=VERIFY_IDENTITY";
    assert_down(&format!("mysql://me@{}", forgetful.address), &flags, "refused.by_server", detail);
}
