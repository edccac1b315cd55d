//! Settings that cannot work are refused before anybody is served, with a name and a way out.

use std::process::Stdio;

use super::super::support::{Process, hardy, run};
use super::client::{Server, make_pipe};

#[test]
fn wrong_settings() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let one = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key, wrong_key, empty) = (at("c.pem"), at("k.pem"), at("w.pem"), at("empty"));
    std::fs::write(&cert, one.cert.pem()).unwrap();
    std::fs::write(&key, one.signing_key.serialize_pem()).unwrap();
    std::fs::write(&wrong_key, other.signing_key.serialize_pem()).unwrap();
    std::fs::write(&empty, "").unwrap();
    let missing = at("missing");
    let answer = format!("200:@{missing}");
    for (args, says) in [
        (&["--respond", "ok"][..], "200:TEXT"),
        (&["--respond", "99:x"], "between 200 and 599"),
        (&["--respond", &answer], "cannot read the response body"),
        (&["--echo", "--dir", "."], "cannot be used with"),
        (&["--dir", &missing], "cannot serve the directory"),
        (&["--dir", &cert], "cannot serve the directory"),
        (&["--listen", "example.com:80"], "unix:PATH"),
        (&["--listen", "127.0.0.1:99999"], "unix:PATH"),
        (&["--listen", "203.0.113.1:0"], "cannot listen on 203.0.113.1:0"),
        (&["--listen", &format!("unix:{cert}")], "no socket"),
        (&["--fault", "explode"], "first=20:503"),
        (&["--fault", "rest@1%"], "did you mean reset?"),
        (&["--max-connections", "0"], "at least one"),
        (&["--fault", "status=503@200%"], "at most 100%"),
        (&["--header-timeout", "10"], "250ms"),
        (&["--header-limit", "big"], "64KiB"),
        (&["--tls", "please"], "self-signed"),
        (&["--tls-min", "1.3"], "--tls-min needs TLS"),
        (&["--tls-groups", "X25519"], "--tls-groups needs TLS"),
        (&["--tls-prefer-server-order"], "--tls-prefer-server-order needs TLS"),
        (&["--tls", "self-signed", "--tls-cert", &cert, "--tls-key", &key], "cannot be used with"),
        (&["--tls", "self-signed", "--tls-key", &key], "cannot be used with"),
        (&["--tls-cert", &cert], "--tls-key"),
        (&["--tls-key", &key], "--tls-cert"),
        (&["--tls-client-ca", &cert], "needs TLS"),
        (&["--tls-cert", &missing, "--tls-key", &key], "cannot read certificate"),
        (&["--tls-cert", &cert, "--tls-key", &missing], "cannot read private key"),
        (&["--tls-cert", &empty, "--tls-key", &key], "holds no certificate"),
        (&["--tls-cert", &cert, "--tls-key", &empty], "holds no private key"),
        (&["--tls-cert", &cert, "--tls-key", &wrong_key], "does not belong to the certificate"),
        (&["--tls", "self-signed", "--tls-min", "1.1"], "1.2 and 1.3"),
        (&["--tls", "self-signed", "--tls-groups", "P-521"], "X25519MLKEM768"),
        (&["--tls", "self-signed", "--tls-client-ca", &empty], "holds no certificate"),
        (&["--access-log", "/nonexistent/log"], "cannot write the access log"),
    ] {
        let args: Vec<&str> = ["serve"].iter().chain(args).copied().collect();
        let run = run(&args);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{args:?}: {run:?}");
        assert!(run.stderr.starts_with("error: ") && run.stderr.contains(says), "{args:?}: {run:?}");
    }
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let one = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key, pipe, huge) = (at("c.pem"), at("k.pem"), at("pipe"), at("huge"));
    std::fs::write(&cert, one.cert.pem()).unwrap();
    std::fs::write(&key, one.signing_key.serialize_pem()).unwrap();
    make_pipe(pipe.as_ref());
    std::fs::File::create(&huge).unwrap().set_len(65 << 20).unwrap();
    let (from_pipe, from_huge) = (format!("200:@{pipe}"), format!("200:@{huge}"));
    for (args, file, says) in [
        (&["--tls-cert", &pipe, "--tls-key", &key][..], &pipe, "named pipe"),
        (&["--tls-cert", &cert, "--tls-key", &pipe], &pipe, "named pipe"),
        (&["--tls", "self-signed", "--tls-client-ca", &pipe], &pipe, "named pipe"),
        (&["--respond", &from_pipe], &pipe, "named pipe"),
        (&["--access-log", &pipe], &pipe, "nobody reads"),
        (&["--tls-cert", &huge, "--tls-key", &key], &huge, "1MiB"),
        (&["--respond", &from_huge], &huge, "64MiB"),
        (&["--respond", "200:@/dev/zero"], &"/dev/zero".to_owned(), "device"),
    ] {
        let run = Process::start(hardy().arg("serve").args(args).stdout(Stdio::piped())).finish();
        assert_eq!(run.code, Some(2), "{args:?}: {run:?}");
        assert!(run.stderr.contains(file) && run.stderr.contains(says), "{args:?}: {run:?}");
    }
}

#[test]
fn a_port_in_use() {
    let server = Server::start(&[]);
    let address = server.address().to_string();
    let run = run(&["serve", "--listen", &address]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains(&format!("cannot listen on {address}: the address is in use")), "{run:?}");
    assert!(run.stderr.contains("hint: "), "{run:?}");
}
