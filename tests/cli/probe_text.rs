//! `hardy probe` for people: what the table and the details say, and how they fit.

use super::fixtures::{Server, first_503, ok, refused};
use super::support::run;

/// Longer than anything here takes on a busy machine.
const PATIENT: &[&str] = &["--timeout", "20s"];

#[test]
fn one_good_call_is_told_in_few_words() {
    let server = Server::http(ok);
    let text = run(&[&["probe", &server.url("/")], PATIENT].concat()).stdout;
    assert!(text.lines().any(|line| line.trim() == "status   200"), "{text}");
    let success = text.lines().find(|line| line.trim().starts_with("success")).unwrap();
    assert_eq!(success.split_whitespace().count(), 2, "one number: {success}");
}

#[test]
fn what_tells_long_targets_apart_stays_in_the_table() {
    let server = Server::http(ok);
    let urls =
        ["users", "orders", "invoices"].map(|path| server.url(&format!("/api/v1/a/long/way/to/{path}")));
    let text = run(&["probe", &urls[0], &urls[1], &urls[2], "--timeout", "20s"]).stdout;
    let table: Vec<_> = text.lines().take(4).collect();
    for path in ["users", "orders", "invoices"] {
        assert!(table.iter().any(|line| line.contains(&format!("{path} "))), "no {path} in {text}");
    }
}

#[test]
fn a_breaker_that_is_off_is_off_everywhere() {
    let url = format!("tcp://{}", refused());
    let text = run(&[&["probe", &url, "--no-breaker"], PATIENT].concat()).stdout;
    assert!(text.contains("off: 1 request, 1 failed") && !text.contains("closed"), "{text}");
}

#[test]
fn the_fallback_is_told_in_the_right_number() {
    let server = Server::http(first_503(9));
    let fallback = ["--fallback", "sleep 60", "--timeout", "1s"];
    let text = run(&[&["probe", &server.url("/")], &fallback[..]].concat()).stdout;
    let expected = "1 run, 0 good, 1 failed; the last failure: still running after 1s, killed";
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(expected), "{text}");
}
