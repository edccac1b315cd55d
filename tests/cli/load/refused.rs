//! What is wrong before anything is sent, and targets that are not there.

use std::net::TcpListener;

use super::run;

#[test]
fn wrong_input_is_a_usage_error() {
    let url = "http://127.0.0.1:1";
    let cases: &[(&[&str], &str)] = &[
        (&[], "no target"),
        (&["127.0.0.1:8080"], "did you mean http://127.0.0.1:8080?"),
        (&["tcp://127.0.0.1:1"], "cannot be loaded"),
        (&["exec:true"], "cannot be loaded"),
        (&["ftp://x"], "ftp"),
        (&[url, "--rate", "0/s"], "--rate must be more than 0/s"),
        (&[url, "--rate", "500"], "500/s"),
        (&[url, "--rate", "1000000000/s"], "at most 10000000/s"),
        (&[url, "--stages", "1s:99999999/s"], "at most 10000000/s"),
        (&[url, "--", "true"], "--jobs"),
        (&[url, "-k"], "--jobs"),
        (&[url, "--jobs", "-", "--", "true"], "a TARGET has no meaning with --jobs"),
        (&["--jobs", "-", "--report", "html=x.html", "--", "true"], "html"),
        (&[url, "--rate", "1/s", "--stages", "1s:1/s"], "cannot be used with"),
        (&[url, "--stages", "1s"], "LENGTH:RATE"),
        (&[url, "--arrivals", "poisson"], "--arrivals has no meaning"),
        (&[url, "-n", "0"], "--requests must be at least 1"),
        (&[url, "-c", "0"], "--connections must be at least 1"),
        (&[url, "-d", "0s"], "--duration must not be 0s"),
        (&[url, "-d", "1s", "--warm-up", "1s"], "--warm-up (1s) must be shorter"),
        (&[url, "-d", "1s", "--ramp-up", "2s"], "--ramp-up (2s) must not be longer than the run"),
        (&[url, "--timeout", "0s"], "--timeout must be at least 1ms"),
        (&[url, "--http2"], "--http2-prior-knowledge"),
        (&[url, "--streams", "3"], "--streams has no meaning"),
        (&[url, "--when-open", "shed"], "--breaker"),
        (&[url, "--cert", "x"], "--key"),
        (&[url, "--cert", "x", "--key", "x"], "--cert has no meaning here"),
        (&["https://127.0.0.1:1", "--ca", "/nonexistent"], "/nonexistent"),
    ];
    for (args, text) in cases {
        let run = run(args);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{args:?}: {run:?}");
        assert!(run.stderr.contains(text), "{args:?}: {run:?}");
    }
}

#[test]
fn a_name_without_an_address_is_said() {
    let run = run(&["http://no.such.name.invalid/", "-n", "1"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.contains("cannot look up no.such.name.invalid"), "{run:?}");
    assert!(run.stderr.contains("--resolve"), "{run:?}");
}

#[test]
fn nobody_there_is_a_failure_with_a_reason_and_no_busy_loop() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let run = run(&[&format!("http://127.0.0.1:{port}"), "-d", "1s", "-c", "2"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    let data = run.json()["data"].clone();
    let refused = data["errors"]["connect.refused"].as_u64().unwrap();
    assert_eq!(data["failed"].as_u64(), Some(refused));
    // Ten milliseconds, doubling: some tens in a second, and not some ten thousands.
    assert!((2..200).contains(&refused), "{data}");
}
