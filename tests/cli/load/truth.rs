//! The numbers are those of the server, and those that users would have felt.

use serde_json::json;

use super::{load, run, seen, server, sum};

#[test]
fn counts_are_the_servers_own() {
    let server = server(&["--fault", "status=503@10%", "--seed", "7"]);
    let data = load(&server, &["-n", "5000", "-c", "8"]);
    let seen = seen(server);
    assert_eq!((&data["requests"], &data["cut_off"]), (&json!(5000), &json!(0)));
    assert_eq!((&seen["requests"], &seen["by_class"]["5xx"]), (&json!(5000), &data["failed"]));
    assert_eq!(data["errors"], json!({ "http.status": data["failed"] }));
    assert_eq!(data["status"], json!({ "200": data["ok"], "503": data["failed"] }));
    assert_eq!(seen["response_bytes"].as_u64().map(|bytes| bytes > 0), Some(true));
    assert_eq!(seen["connections"], json!(8));
}

#[test]
fn a_known_delay_is_what_is_measured() {
    let server = server(&["--fault", "latency=50ms"]);
    let data = load(&server, &["-n", "200", "-c", "10"]);
    let service = &data["service_us"];
    for quantile in ["min_us", "p50_us", "p99_us"] {
        let us = service[quantile].as_u64().unwrap();
        assert!((50_000..500_000).contains(&us), "{quantile}: {us}");
    }
    assert!(data["response_us"].is_null() || data["response_us"] == data["service_us"], "{data}");
}

#[test]
fn delays_of_a_known_shape_have_their_quantiles() {
    let server = server(&["--fault", "latency=p50:20ms,p90:100ms,p99:200ms", "--seed", "3"]);
    let data = load(&server, &["-n", "4000", "-c", "200"]);
    let at = |quantile: &str| data["service_us"][quantile].as_u64().unwrap() as f64 / 1000.0;
    // The server's own time comes on top; it never answers early.
    assert!((19.0..60.0).contains(&at("p50_us")), "{data}");
    assert!((90.0..200.0).contains(&at("p90_us")), "{data}");
    assert!((190.0..400.0).contains(&at("p99_us")), "{data}");
}

#[test]
fn the_open_loop_shows_a_stall_as_users_would_have_felt_it() {
    let server = server(&["--fault", "stall=2s..4s"]);
    let data = load(&server, &["--rate", "500/s", "-d", "6s", "-c", "20"]);
    assert_eq!(sum(&data, &["requests", "cut_off", "unsent"]), 3000, "nobody is lost: {data}");
    // A sixth of all users came in the stall, or in the rush after it: half of them waited for more than a second.
    let at = |of: &str, quantile: &str| data[of][quantile].as_u64().unwrap();
    assert!(at("response_us", "p90_us") > 500_000, "{data}");
    assert!(at("response_us", "p99_us") > 1_500_000, "{data}");
    // Whoever counts from sending sees twenty slow requests.
    assert!(at("service_us", "p90_us") < 500_000, "{data}");
    assert_eq!(data["rate"]["offered"], json!(500.0));
}

#[test]
fn whoever_is_waited_for_after_the_end_changes_no_rate() {
    let server = server(&["--fault", "latency=2s@5%", "--seed", "2"]);
    let data =
        load(&server, &["--rate", "100/s", "-d", "1s", "-c", "50", "--fail-if", "rate<80/s", "--fail-fast"]);
    assert_eq!(data["requests"], json!(100), "{data}");
    assert_eq!(data["rate"]["offered"], json!(100.0));
    let achieved = data["rate"]["achieved"].as_f64().unwrap();
    assert!((80.0..100.0).contains(&achieved), "{data}");
    assert!(data["elapsed_s"].as_f64().unwrap() > 2.0, "{data}");
    assert_eq!(data["end"], json!("done"));
}

#[test]
fn a_count_that_comes_first_ends_the_time() {
    let server = server(&[]);
    let data = load(&server, &["-n", "5000", "-d", "1h", "-c", "4"]);
    let (elapsed, rate) = (data["elapsed_s"].as_f64().unwrap(), data["rate"]["achieved"].as_f64().unwrap());
    assert!((rate * elapsed - 5000.0).abs() < 250.0, "{data}");
    let open = load(&server, &["-n", "5", "--rate", "10/s", "-c", "4"]);
    assert_eq!(open["rate"]["offered"], json!(10.0), "{open}");
}

#[test]
fn the_closed_loop_says_what_it_does_not_show() {
    let server = server(&["--fault", "stall=1s..2s"]);
    let run = hardy_human(&server.urls[0], &["-d", "3s", "-c", "4"]);
    assert!(run.contains("closed loop"), "{run}");
    let data = load(&server, &["-n", "10"]);
    assert_eq!(data["mode"], json!("closed"));
    assert_eq!(data["rate"]["offered"], json!(null));
}

fn hardy_human(url: &str, args: &[&str]) -> String {
    let output = crate::support::hardy().args(["load", "run", url]).args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn no_request_to_a_server_that_hangs_disappears() {
    let server = server(&["--fault", "latency=1h", "--drain-timeout", "0s"]);
    let data = load(&server, &["-n", "30", "-c", "10", "--timeout", "200ms"]);
    assert_eq!((&data["requests"], &data["failed"]), (&json!(30), &json!(30)));
    assert_eq!(data["errors"], json!({ "timeout": 30 }));
    assert!(data["service_us"]["min_us"].as_u64().unwrap() >= 200_000, "{data}");
    let cut = load(&server, &["-d", "1s", "-c", "10", "--timeout", "1m", "--grace", "100ms"]);
    assert_eq!((&cut["requests"], &cut["cut_off"]), (&json!(0), &json!(10)), "{cut}");
}

#[test]
fn resets_and_truncated_bodies_are_counted_as_such() {
    let server = super::server(&["--fault", "reset@20%; truncate@20%", "--seed", "5"]);
    let data = load(&server, &["-n", "500", "-c", "5"]);
    assert_eq!(sum(&data, &["ok", "failed"]), 500);
    let errors = data["errors"].as_object().unwrap();
    let closed: u64 = errors.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(closed, data["failed"].as_u64().unwrap());
    assert!(errors.keys().all(|id| ["closed", "connect.reset"].contains(&id.as_str())), "{errors:?}");
    assert!((100..300).contains(&closed), "{data}");
    let seen = seen(server);
    assert_eq!(seen["requests"], json!(500));
}

#[test]
fn every_way_to_the_same_server_counts_alike() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let listen = format!("unix:{}", socket.display());
    let plain = super::server(&["--listen", "127.0.0.1:0", "--listen", &listen]);
    let tls = super::server(&["--tls", "self-signed"]);
    let ways: [(&str, String, &[&str]); 5] = [
        ("http", plain.urls[0].clone(), &[]),
        ("http without keep-alive", plain.urls[0].clone(), &["--no-keep-alive"]),
        ("unix socket", format!("unix+http://{}:/", socket.display()), &[]),
        ("https", tls.urls[0].clone(), &["--insecure"]),
        ("h2", tls.urls[0].clone(), &["--insecure", "--http2", "--streams", "4"]),
    ];
    for (name, url, args) in &ways {
        let run = run(&[&[url.as_str(), "-n", "400", "-c", "8"], *args].concat());
        assert_eq!(run.code, Some(0), "{name}: {run:?}");
        let data = run.json()["data"].clone();
        assert_eq!((&data["ok"], &data["status"]), (&json!(400), &json!({ "200": 400 })), "{name}: {data}");
    }
    assert_eq!(seen(plain)["requests"], json!(1200));
    assert_eq!(seen(tls)["requests"], json!(800));
}
