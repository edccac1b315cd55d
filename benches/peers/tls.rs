//! Everything that one server would speak: from the shell's point of view, against one `openssl s_server`.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::process::{Server, free_port, hardy, on_core};
use super::{Goal, Row, median};

const ROUNDS: usize = 11;

pub fn rows() -> [Row; 2] {
    let port = free_port();
    let (_server, target) = (start_openssl(port), format!("127.0.0.1:{port}"));
    let ours = || seconds(&[hardy(), "--config", "none", "tls", "check", "--json", &target]);
    let (against_sslscan, sslscan) =
        (0..ROUNDS).map(|_| (ours(), seconds(&["sslscan", "--no-heartbleed", &target]))).unzip();
    let against_testssl = (0..ROUNDS).map(|_| ours()).collect();
    // Versions, suites and groups only, and still the better part of a minute: one round.
    let testssl = seconds(&["testssl", "-p", "-E", "-f", "--quiet", "--warnings", "off", &target]);
    let row = |ours, peer, theirs, goal| Row {
        what: "tls check: full enumeration, loopback",
        unit: "s",
        ours: median(ours),
        peer,
        theirs,
        goal: Goal::AtMost(goal),
    };
    [
        row(against_sslscan, "sslscan", median(sslscan), 0.5),
        row(against_testssl, "testssl.sh -p -E -f", testssl, 0.01),
    ]
}

/// As Debian configures it: 3 suites of TLS 1.3, 20 of TLS 1.2, 10 groups. It ends when its input does.
fn start_openssl(port: u16) -> Server {
    let [cert, key] = ["tls.pem", "tls.key"].map(|name| format!("{}/{name}", env!("CARGO_TARGET_TMPDIR")));
    let words =
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", &key, "-out"];
    let made = Command::new("openssl").args(words).arg(&cert).stderr(Stdio::null()).status();
    assert!(made.expect("openssl is installed").success());
    let accept = format!("127.0.0.1:{port}");
    let words = ["openssl", "s_server", "-www", "-accept", &accept, "-cert", &cert, "-key", &key];
    let mut command = on_core(0, &words);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Server::listening(child.expect("openssl starts"), port)
}

/// How long it takes. The codes differ: a self-signed certificate is bad news.
fn seconds(words: &[&str]) -> f64 {
    let mut command = on_core(1, words);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    assert!(command.status().expect("it is installed").code().is_some_and(|code| code < 126), "{words:?}");
    start.elapsed().as_secs_f64()
}
