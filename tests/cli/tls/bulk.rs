//! Many targets at once, addresses of a name, and what changed since.

use std::fs;
use std::path::Path;

use crate::fixtures::{refused, silent};
use crate::serve::client::Server;
use crate::support::{Process, hardy, run, run_in};

#[test]
fn many_targets_come_in_the_order_in_which_they_were_given() {
    // The kernel may give the same port twice.
    let mut targets: Vec<String> = (0..40).map(|_| format!("https://{}", refused())).collect();
    targets.sort();
    targets.dedup();
    fastrand::shuffle(&mut targets);
    let mut args = vec!["tls", "check", "--json"];
    args.extend(targets.iter().map(String::as_str));
    // Each once.
    args.extend(targets.iter().map(String::as_str));
    let run = run(&args);
    assert_eq!(run.code, Some(3), "{run:?}");
    let document = run.json();
    let found = document["data"]["targets"].as_array().expect("targets");
    let found: Vec<_> = found.iter().map(|target| target["target"].as_str().expect("a name")).collect();
    assert_eq!(found, targets);
}

#[test]
fn files_that_are_not_there_cost_nobody_else_anything() {
    let target = format!("tls://{}", refused());
    let run = run(&["tls", "check", "/nonexistent/site.pem", &target]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stdout.contains("file.readable") && run.stdout.contains("endpoint.reachable"), "{run:?}");
    assert!(run.stdout.contains("2 targets: 2 error"), "{run:?}");
}

#[test]
fn an_earlier_run_settles_nothing_that_could_not_be_tested() {
    let directory = tempfile::tempdir().expect("a directory");
    let base = directory.path().join("base.json");
    let base = base.to_str().expect("a path");
    let target = format!("tls://{}", refused());
    let first = run(&["tls", "check", &target, "--save", base]);
    assert_eq!(first.code, Some(3), "{first:?}");
    let second = run(&["tls", "check", &target, "--baseline", base, "--save", base]);
    assert_eq!(second.code, Some(3), "{second:?}");
    assert!(second.stdout.contains("nothing has changed"), "{second:?}");
    let other = format!("tls://{}", refused());
    let third = run(&["tls", "check", &other, "--baseline", base, "--json"]).json();
    assert_eq!(third["data"]["targets"][0]["changes"]["is_new"], true);
    assert_eq!(third["data"]["baseline"]["targets_gone"][0], target.as_str());
}

/// A config whose target `api` is this server.
fn points_to(directory: &Path, server: &Server) {
    let text = format!("[targets.api]\nurl = \"https://localhost:{}\"\n", server.address().port());
    fs::write(directory.join("hardy.toml"), text).expect("a file");
}

#[test]
fn what_is_known_does_not_count_and_what_has_changed_is_said() {
    let directory = tempfile::tempdir().expect("a directory");
    let check = |args: &[&str]| run_in(directory.path(), &[&["tls", "check", "api"], args].concat());
    let server = Server::start(&["--tls", "self-signed"]);
    points_to(directory.path(), &server);
    let first = check(&["--save", "base.json"]);
    assert_eq!(first.code, Some(1), "{first:?}");
    let again = check(&["--baseline", "base.json"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stdout.contains("nothing has changed") && again.stdout.contains(" known"), "{again:?}");
    let weaker = Server::start(&["--tls", "self-signed", "--tls-min", "1.3", "--tls-groups", "X25519"]);
    points_to(directory.path(), &weaker);
    let changed = check(&["--baseline", "base.json", "--fail-on", "warn"]);
    assert_eq!(changed.code, Some(1), "{changed:?}");
    for part in ["WARN   kx.pq", "+ kx.pq server warn", "~ groups: -X25519MLKEM768", "~ tls1_2.suites: -TLS_"]
    {
        assert!(changed.stdout.contains(part), "no {part:?} in {}", changed.stdout);
    }
    assert!(!changed.stdout.contains("FAIL   cert.self_signed"), "it is known: {changed:?}");
}

#[test]
fn every_address_of_a_name_is_checked() {
    let server = Server::start_with(&mut hardy(), &["--tls", "self-signed", "--listen", "0.0.0.0:0"]);
    let port = server.address().port();
    let (target, given) =
        (format!("https://two.example:{port}"), format!("two.example:{port}:127.0.0.1,127.0.0.2"));
    let args = ["tls", "check", &target, "--resolve", &given, "--fast", "--json"];
    let addresses = |more: &[&str]| -> Vec<String> {
        let document = run(&[&args[..], more].concat()).json();
        let targets = document["data"]["targets"].as_array().expect("targets").clone();
        targets.iter().map(|target| target["address"].as_str().expect("an address").to_owned()).collect()
    };
    assert_eq!(addresses(&["--all-addresses"]), [format!("127.0.0.1:{port}"), format!("127.0.0.2:{port}")]);
    assert_eq!(addresses(&[]), [format!("127.0.0.1:{port}")], "the first that answers");
}

#[test]
fn an_address_where_nobody_listens_gives_way_to_the_next() {
    let server = Server::start(&["--tls", "self-signed", "--listen", "127.0.0.2:0"]);
    let port = server.address().port();
    let target = format!("https://two.example:{port}");
    let given = format!("two.example:{port}:127.0.0.3,127.0.0.2,127.0.0.4");
    for depth in [&["--fast"][..], &[]] {
        let args = ["tls", "check", &target, "--resolve", &given, "--json"];
        let document = run(&[&args[..], depth].concat()).json();
        let targets = document["data"]["targets"].as_array().expect("targets");
        assert_eq!(targets.len(), 1, "{targets:?}");
        assert_eq!(targets[0]["address"], format!("127.0.0.2:{port}"));
        assert!(targets[0]["observed"]["negotiated"].is_object(), "{targets:?}");
    }
    let nobody = format!("two.example:{port}:127.0.0.3,127.0.0.4");
    let run = run(&["tls", "check", &target, "--resolve", &nobody, "--json"]);
    assert_eq!((run.code, &run.json()["data"]["targets"][0]["status"]), (Some(3), &"error".into()));
}

#[test]
fn an_interrupted_check_tells_what_it_has_and_keeps_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let save = directory.path().join("base.json");
    let server = silent();
    let target = format!("tls://{}", server.address);
    let mut command = hardy();
    command
        .args(["tls", "check", "/nonexistent.pem", &target, "--timeout", "60s", "--json", "--save"])
        .arg(&save);
    let process = Process::start(command.stdout(std::process::Stdio::piped()));
    crate::support::wait_for("a connection", || (server.hits() > 0).then_some(()));
    process.signal("INT");
    let run = process.finish();
    assert_eq!(run.code, Some(130), "{run:?}");
    let document = run.json();
    assert_eq!(document["data"]["interrupted"], true);
    let ids: Vec<_> = (0..2).map(|n| document["data"]["targets"][n]["findings"][0]["id"].clone()).collect();
    assert_eq!(ids, ["file.readable", "endpoint.reachable"]);
    assert!(!save.exists(), "half a run is none to compare with");
}
