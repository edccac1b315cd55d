//! What a pipeline hears: conditions, an early end, and a run kept in a file.

use serde_json::json;

use super::{run, server};

#[test]
fn a_condition_that_holds_is_a_bad_verdict() {
    let server = server(&["--fault", "status=503@10%; latency=20ms"]);
    let url = server.urls[0].as_str();
    let cases: &[(&[&str], i32)] = &[
        (&["--fail-if", "error_rate>=1%"], 1),
        (&["--fail-if", "error_rate>=50%"], 0),
        (&["--fail-if", "p90>10ms"], 1),
        (&["--fail-if", "p90>10s", "--fail-if", "rate<1/s"], 0),
        (&["--fail-if", "p90>10s", "--fail-if", "failed>0"], 1),
        // Three hundred requests cannot bear it.
        (&["--fail-if", "p99.99>10s"], 3),
    ];
    for (conditions, code) in cases {
        let run = run(&[&[url, "-n", "300", "-c", "30"], *conditions].concat());
        assert_eq!(run.code, Some(*code), "{conditions:?}: {run:?}");
    }
    let wrong = run(&[url, "--fail-if", "p99"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(wrong.stderr.contains("p99>200ms"), "{wrong:?}");
}

#[test]
fn a_run_that_is_lost_ends_early() {
    let server = server(&["--fault", "status=503"]);
    let run = run(&[&server.urls[0], "-d", "1h", "-c", "2", "--fail-if", "failed>100", "--fail-fast"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    let data = &run.json()["data"];
    assert_eq!((&data["end"], &data["hopeless"]), (&json!("hopeless"), &json!("failed>100")));
}

#[test]
fn a_run_is_kept_with_its_histograms() {
    let server = server(&[]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("run.json");
    let path = file.to_str().unwrap();
    let run = run(&[&server.urls[0], "-n", "500", "-c", "5", "--save", path]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let saved: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(saved["schema"], json!("hardy.load.saved/v1"));
    assert_eq!((&saved["requests"], &saved["ok"]), (&json!(500), &json!(500)));
    let nowhere = super::run(&[&server.urls[0], "-n", "1", "--save", "/nonexistent/run.json"]);
    assert_eq!(nowhere.code, Some(2), "{nowhere:?}");
}

#[test]
fn the_report_has_every_form() {
    let server = server(&[]);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let reports = ["json", "junit", "prometheus", "html"].map(|form| format!("{form}={}", at(form)));
    let mut args = vec![server.urls[0].as_str(), "-n", "200", "-c", "5", "--fail-if", "error_rate>1%"];
    reports.iter().for_each(|report| args.extend(["--report", report]));
    let run = run(&args);
    assert_eq!(run.code, Some(0), "{run:?}");
    let text = |form: &str| std::fs::read_to_string(at(form)).unwrap();
    assert!(text("json").contains("\"requests\":200"));
    assert!(text("junit").contains("error_rate&gt;1%"), "{}", text("junit"));
    assert!(text("prometheus").contains("hardy_load_requests"));
    let page = text("html");
    assert!(page.contains("<svg") && !page.contains("<script src"), "{}", page.len());
}
