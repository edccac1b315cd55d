//! Many targets at once, addresses of a name, and what changed since.

use crate::fixtures::refused;
use crate::support::run;

#[test]
fn many_targets_come_in_the_order_in_which_they_were_given() {
    let targets: Vec<String> = (0..40).map(|_| format!("https://{}", refused())).collect();
    let mut args = vec!["tls", "check", "--json"];
    args.extend(targets.iter().map(String::as_str));
    // Each once.
    args.extend(targets.iter().map(String::as_str));
    let run = run(&args);
    assert_eq!(run.code, Some(3), "{run:?}");
    let document = run.json();
    let found = document["data"]["targets"].as_array().expect("targets");
    let found: Vec<_> = found.iter().map(|target| target["target"].as_str().expect("a name")).collect();
    let shown: Vec<_> = targets.iter().map(|target| target.trim_end_matches('/')).collect();
    let found: Vec<_> = found.iter().map(|target| target.trim_end_matches('/')).collect();
    assert_eq!(found, shown);
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
