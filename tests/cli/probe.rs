//! `hardy probe`: what is called, what is expected, and what the verdict is.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;

use serde_json::Value;

use super::fixtures::{Server, black_hole, ok, read_request, refused, response, silent, unix};
use super::support::{Run, hardy, run, run_in};

/// Probes one URL once, and returns the exit code and the target's report.
fn probe(url: &str, args: &[&str]) -> (Option<i32>, Value) {
    let run = run(&[&["probe", url, "--json"], args].concat());
    (run.code, run.json()["data"]["targets"][0].clone())
}

/// The reason of the last call and its detail.
fn failure(url: &str, args: &[&str]) -> (String, String) {
    let (code, target) = probe(url, args);
    let last = &target["last"];
    assert_eq!(code, Some(1), "{target}");
    assert_eq!(target["state"], "down");
    assert_eq!(target["reasons"][last["reason"].as_str().unwrap()], 1);
    (last["reason"].as_str().unwrap().to_owned(), last["detail"].as_str().unwrap().to_owned())
}

#[test]
fn an_answer_as_expected_is_up() {
    let server = Server::http(ok);
    let expectations = [
        &["--expect-status", "2xx"][..],
        &["--expect-status", "200,204", "--expect-header", "content-type: application/json"],
        &["--expect-header", "Content-Type", "--expect-header", "content-type: /json$/"],
        &["--expect-body", "\"up\"", "--expect-body-regex", "^\\{.*\\}$"],
        &["--expect-json", "$.status=up", "--expect-json", "$.n=3", "--expect-json", "$.n"],
        &["--within", "29s"],
    ];
    for args in expectations {
        let (code, target) = probe(&server.url("/health"), &[args, &["--timeout", "30s"]].concat());
        assert_eq!((code, &target["state"]), (Some(0), &Value::from("up")), "{args:?}: {target}");
        let phases = &target["last"]["phases_us"];
        assert!(phases["dns"].is_null() && phases["tls"].is_null(), "{phases}");
        let sum: u64 = ["connect", "first_byte", "body"].iter().map(|p| phases[p].as_u64().unwrap()).sum();
        let latency = target["last"]["latency_us"].as_u64().unwrap();
        assert!(latency - sum < 5, "{sum} of {latency}");
    }
    assert_eq!(server.hits(), expectations.len());
}

#[test]
fn an_answer_that_is_not_as_expected_says_what_was_wrong() {
    let server = Server::http(|_, _| response(200, "x-id: 7\r\n", r#"{"status":"sick"}"#));
    let cases = [
        (&["--expect-status", "204"][..], "http.status", "expected 204, got 200"),
        (&["--expect-status", "3xx,500-503"], "http.status", "expected 3xx or 500-503, got 200"),
        (&["--expect-header", "etag"], "header.mismatch", "no header etag"),
        (&["--expect-header", "x-id: 8"], "header.mismatch", "header x-id: expected 8, got \"7\""),
        (&["--expect-body", "up"], "body.mismatch", "expected \"up\" in the body"),
        (&["--expect-body-regex", "^up"], "body.mismatch", "matching /^up/"),
        (&["--expect-json", "$.status=up"], "json.mismatch", "$.status: expected \"up\", got \"sick\""),
        (&["--expect-json", "$.age"], "json.mismatch", "$.age finds nothing"),
        (&["--within", "1us"], "latency", "expected within 1us, took "),
    ];
    for (args, reason, detail) in cases {
        let found = failure(&server.url("/"), args);
        assert!(found.0 == reason && found.1.contains(detail), "{args:?}: {found:?}");
    }
}

#[test]
fn what_is_wrong_with_the_connection_is_told_apart() {
    let (hole, _kept) = black_hole();
    let silent = silent();
    let closing = Server::start(|mut stream, _| drop(read_request(&mut stream)));
    let resetting = Server::start(|mut stream, _| {
        read_request(&mut stream);
        let socket = socket2::Socket::from(stream);
        socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    });
    let garbage = Server::http(|_, _| b"SSH-2.0-OpenSSH_9.7\r\n\r\n".to_vec());
    let truncated = Server::http(|_, _| b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf".to_vec());
    let http = |address: SocketAddr| format!("http://{address}/");
    let tcp = |address: SocketAddr| format!("tcp://{address}");
    let refused = refused();
    let short = &["--timeout", "200ms"][..];
    let long = &["--timeout", "20s"][..];
    let cases = [
        (http(refused), long, "connect.refused", "connection refused"),
        (tcp(refused), long, "connect.refused", "connection refused"),
        (http(hole), short, "connect.timeout", "no answer within 200ms, while connecting"),
        (tcp(hole), short, "connect.timeout", "no answer within 200ms, while connecting"),
        (http(silent.address), &["--timeout", "2s"], "timeout", "while waiting for the first byte"),
        (closing.url("/"), long, "closed", "before the answer was complete"),
        (resetting.url("/"), long, "connect.reset", "connection reset by peer"),
        (garbage.url("/"), long, "http.protocol", ""),
        (truncated.url("/"), long, "closed", ""),
        ("http://name.invalid/".to_owned(), long, "dns", "name.invalid: "),
        ("tcp://name.invalid:80".to_owned(), long, "dns", "name.invalid: "),
    ];
    for (url, args, reason, detail) in cases {
        let found = failure(&url, args);
        assert!(found.0 == reason && found.1.contains(detail), "{url}: {found:?}");
    }
}

#[test]
fn an_endless_body_is_read_up_to_a_limit() {
    let server = Server::start(|mut stream, _| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nbegin");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let patient = ["--timeout", "20s"];
    assert_eq!(probe(&server.url("/"), &[&patient[..], &["--expect-body", "begin"]].concat()).0, Some(0));
    assert_eq!(
        failure(&server.url("/"), &[&patient[..], &["--expect-body", "end"]].concat()).0,
        "body.mismatch"
    );
}

#[test]
fn a_tcp_target_is_up_when_it_accepts() {
    let silent = silent();
    let (code, target) = probe(&format!("tcp://{}", silent.address), &[]);
    assert_eq!((code, &target["kind"], &target["ok"]), (Some(0), &"tcp".into(), &1.into()));
    let (code, target) = probe(&format!("tcp://localhost:{}", silent.address.port()), &["--timeout", "20s"]);
    assert_eq!(code, Some(0), "{target}");
    assert!(target["last"]["phases_us"]["dns"].is_u64());
}

#[test]
fn a_redirect_is_an_answer_unless_it_is_followed() {
    let server = Server::http(|_, head| match head.split(' ').nth(1) {
        Some("/end") => response(200, "", "the end"),
        Some("/loop") => response(302, "location: /loop\r\n", ""),
        _ => response(302, "location: /end\r\n", ""),
    });
    assert_eq!(probe(&server.url("/"), &[]).0, Some(0));
    assert_eq!(failure(&server.url("/"), &["--expect-body", "the end"]).0, "body.mismatch");
    assert_eq!(probe(&server.url("/"), &["--redirects", "1", "--expect-body", "the end"]).0, Some(0));
    assert_eq!(failure(&server.url("/loop"), &["--redirects", "3"]).0, "http.redirect");
}

#[test]
fn the_request_is_as_asked_for() {
    let server = Server::http(|_, request| response(200, "", request));
    let args = ["-X", "put", "-H", "X-Id: 7", "-H", "host: other.example", "--body", "hello"];
    let expected =
        ["--expect-body", "x-id: 7", "--expect-body-regex", "(?s)^PUT /a.*host: other.example.*hello$"];
    let (code, target) = probe(&server.url("/a"), &[&args[..], &expected[..]].concat());
    assert_eq!(code, Some(0), "{target}");
    assert_eq!(probe(&server.url("/"), &["--body", "x", "--expect-body-regex", "^POST "]).0, Some(0));
}

#[test]
fn a_unix_socket_is_called_by_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let url = format!("unix+http://{}:/health", path.display());
    assert_eq!(failure(&url, &[]), ("connect.refused".into(), "no such socket".into()));
    unix(&path, |_, head| response(200, "", head));
    let (code, target) = probe(&url, &["--expect-body", "GET /health"]);
    assert_eq!((code, &target["kind"], &target["url"]), (Some(0), &"unix+http".into(), &url.as_str().into()));
}

#[test]
fn a_name_can_be_given_its_address() {
    let server = Server::http(|_, head| response(200, "", head));
    let port = server.address.port();
    let url = format!("http://api.invalid:{port}/");
    let resolve = format!("api.invalid:{port}:127.0.0.1");
    let host = format!("host: api.invalid:{port}");
    assert_eq!(probe(&url, &["--resolve", &resolve, "--expect-body", &host]).0, Some(0));
    assert_eq!(probe(&format!("tcp://api.invalid:{port}"), &["--resolve", &resolve]).0, Some(0));
    assert_eq!(failure(&url, &["--resolve", "api.invalid:1:127.0.0.1"]).0, "dns");
}

#[test]
fn the_proxies_of_the_environment_are_honoured() {
    let proxy = Server::http(|_, head| response(200, "", head));
    let through = |no_proxy: &str| -> Run {
        let mut command = hardy();
        command.env("http_proxy", format!("http://{}", proxy.address)).env("no_proxy", no_proxy);
        let args = ["probe", "http://app.invalid/x", "--expect-body", "GET http://app.invalid/x"];
        command.args(args).arg("--json").output().unwrap().into()
    };
    assert_eq!(through("").code, Some(0));
    assert_eq!(through(".invalid").json()["data"]["targets"][0]["last"]["reason"], "dns");
    assert_eq!(proxy.hits(), 1);
}

#[test]
fn a_proxy_that_fails_is_named_and_the_target_is_not_blamed() {
    let dead = format!("http://{}", refused());
    for (variable, url) in [("https_proxy", "https://app.invalid/x"), ("http_proxy", "http://app.invalid/x")]
    {
        let mut command = hardy();
        let with_password = dead.replace("http://", "http://me:hunter2@");
        command.env(variable, with_password).args(["probe", url, "--json", "--timeout", "20s"]);
        let run: Run = command.output().unwrap().into();
        let last = &run.json()["data"]["targets"][0]["last"];
        assert_eq!(last["reason"], "proxy", "{last}");
        assert_eq!(last["detail"], format!("the proxy {dead}: connection refused"));
    }
}

#[test]
fn a_variable_that_holds_no_proxy_is_not_ignored() {
    let with = |target: &str| -> Run {
        let mut command = hardy();
        command.env("http_proxy", "not a url").args(["probe", target, "--timeout", "20s"]);
        command.output().unwrap().into()
    };
    let run = with(&format!("http://{}", refused()));
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("the variable http_proxy holds no address of a proxy"), "{run:?}");
    assert_eq!(with("exec:true").code, Some(0), "a command goes through no proxy");
}

#[test]
fn every_expectation_that_fails_is_told() {
    let server = Server::http(|_, _| response(503, "", "<p>sick</p>"));
    let args = ["--expect-header", "etag", "--expect-body", "up", "--expect-json", "$.status=up"];
    let (reason, detail) = failure(&server.url("/"), &[&args[..], &["--within", "1us"]].concat());
    assert_eq!(reason, "http.status");
    for part in [
        "expected 200-399, got 503; ",
        "no header etag; ",
        "expected \"up\" in the body, got \"<p>sick</p>\"; ",
        "the body is not JSON: \"<p>sick</p>\"; ",
        "expected within 1us, took ",
    ] {
        assert!(detail.contains(part), "no {part} in {detail}");
    }
}

#[test]
fn a_status_is_told_even_when_its_body_never_ends() {
    let server = Server::start(|mut stream, _| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 503 X\r\ncontent-length: 9\r\n\r\n");
        let _ = read_request(&mut stream);
    });
    let (reason, detail) = failure(&server.url("/"), &["--timeout", "1s", "--expect-body", "up"]);
    assert_eq!(reason, "http.status");
    assert!(detail.contains("got 503; no answer within 1s, while reading the body"), "{detail}");
}

#[test]
fn a_port_that_speaks_tls_is_suggested_as_https() {
    let says = |text: &'static str| Server::http(move |_, _| response(400, "", text));
    let go = says("Client sent an HTTP request to an HTTPS server.\n");
    let nginx = says("<center>The plain HTTP request was sent to HTTPS port</center>");
    for server in [go, nginx] {
        let (_, detail) = failure(&server.url("/x"), &["--timeout", "20s"]);
        assert!(detail.ends_with(&format!("; it speaks TLS: try https://{}/x", server.address)), "{detail}");
    }
    let alert = Server::http(|_, _| b"\x15\x03\x01\x00\x02\x02\x16".to_vec());
    let (reason, detail) = failure(&alert.url("/x"), &["--timeout", "20s"]);
    assert_eq!(reason, "http.protocol");
    assert!(detail.ends_with(&format!("; if it speaks TLS, try https://{}/x", alert.address)), "{detail}");
}

#[test]
fn the_worst_target_decides() {
    let server = Server::http(ok);
    let (up, down) = (server.url("/"), format!("tcp://{}", refused()));
    let code = |targets: &[&str]| run(&[&["probe"], targets].concat()).code;
    assert_eq!(code(&[&up]), Some(0));
    assert_eq!(code(&[&up, &down]), Some(1));
    assert_eq!(code(&[&up, "exec:no-such-command"]), Some(3));
    assert_eq!(code(&[&up, "exec:no-such-command", &down]), Some(1));
}

#[test]
fn targets_of_the_config_bring_their_expectations() {
    let server = Server::http(|_, head| {
        let status = if head.contains("authorization: Bearer x") { 204 } else { 401 };
        response(status, "x-id: 7\r\n", "")
    });
    let directory = tempfile::tempdir().unwrap();
    let config = format!(
        "[targets.api]\nurl = \"{0}\"\nheaders = {{ authorization = \"Bearer x\" }}\ntimeout = \"20s\"\n\
         expect = {{ status = [204, \"3xx\"], header = {{ x-id = \"/^[0-9]$/\" }} }}\n\
         [targets.anonymous]\nurl = \"{0}\"\nexpect = {{ status = [401] }}\n\
         [targets.db]\nurl = \"tcp://{1}\"\n",
        server.url("/"),
        server.address
    );
    fs::write(directory.path().join("hardy.toml"), config).unwrap();
    let all = run_in(directory.path(), &["probe", "--json"]);
    assert_eq!(all.code, Some(0), "{all:?}");
    let targets = all.json()["data"]["targets"].clone();
    let names: Vec<_> = targets.as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["anonymous", "api", "db"]);
    assert_eq!(targets[1]["breaker"]["config"]["timeout_ms"], 20_000);
    let over = run_in(
        directory.path(),
        &["probe", "api", "api", "--expect-status", "200", "--timeout", "19s", "--json"],
    );
    let target = &over.json()["data"]["targets"][0];
    assert_eq!((over.code, &target["last"]["reason"]), (Some(1), &"http.status".into()));
    assert_eq!(target["breaker"]["config"]["timeout_ms"], 19_000);
    assert_eq!(over.json()["data"]["targets"].as_array().unwrap().len(), 1);
    let typo = run_in(directory.path(), &["probe", "apii"]);
    assert_eq!(typo.code, Some(2));
    assert!(typo.stderr.contains("did you mean `api`?"), "{}", typo.stderr);
}

#[test]
fn wrong_settings_are_usage_errors() {
    let url = "http://127.0.0.1:1";
    let cases = [
        (&[][..], "no target to probe"),
        (&["localhost:8080"], "did you mean http://localhost:8080 or tcp://localhost:8080?"),
        (&["127.0.0.1:8080/health"], "did you mean http://127.0.0.1:8080/health?"),
        (&["ftp://x"], "none of the schemes"),
        (&["tcp://db"], "not of the form tcp://HOST:PORT"),
        (&["tcp://db:1", "--expect-status", "200"], "--expect-status: tcp://db:1 cannot be as expected"),
        (&["tcp://db:1", "exec:true", "-H", "a: b"], "--header has no meaning"),
        (&["tcp://db:1", "-X", "PUT"], "--method has no meaning"),
        (&["exec:true", "--body", "x"], "--body has no meaning"),
        (&[url, "--interval", "0s"], "--interval must be at least 1ms, not 0s"),
        (&[url, "--interval", "5"], "such as 250ms"),
        (&[url, "--count", "0"], "--count must be at least 1"),
        (&[url, "--until", "up", "--count", "0"], "--count must be at least 1"),
        (&[url, "--up-after", "0"], "--up-after must be at least 1"),
        (&[url, "--error-threshold", "12.5%"], "--error-threshold must be a whole percentage"),
        (&[url, "--max-concurrent", "0"], "--max-concurrent must be at least 1"),
        (&[url, "--timeout", "0s"], "--timeout must be at least 1ms, not 0s"),
        (&[url, "--within", "2s"], "--within (2s) must be shorter than breaker.timeout (1s)"),
        (&[url, "--within", "1s", "--timeout", "1s"], "--within (1s) must be shorter than --timeout (1s)"),
        (&[url, "--wait", "5s"], "--wait has no meaning without --until"),
        (&[url, "--expect-status", "abc"], "expected 200, 2xx or 200-204"),
        (&[url, "--expect-status", "700"], "an HTTP status is 100 to 599, never 700"),
        (&["exec:true", "--expect-status", "256"], "an exit status is 0 to 255, never 256"),
        (&[url, "--expect-json", "status"], "is no JSON path"),
        (&[url, "--expect-body-regex", "("], "is no regular expression"),
        (&[url, "--resolve", "a:b"], "expected HOST:PORT:ADDR"),
        (&[url, "-H", "no colon"], "expected NAME: VALUE"),
        (&[url, "--method", "a b"], "is no HTTP method"),
        (&[url, "--ca", "/nonexistent"], "cannot read /nonexistent"),
        (&[url, "--until", "sideways"], "invalid value"),
    ];
    for (args, text) in cases {
        let run = run(&[&["probe"], args].concat());
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{args:?}: {run:?}");
        assert!(run.stderr.contains(text), "{args:?}: {}", run.stderr);
    }
}

#[test]
fn a_variable_for_waiting_hinders_nobody_who_does_not_wait() {
    let server = Server::http(ok);
    let mut command = hardy();
    command.env("HARDY_PROBE_WAIT", "5s").args(["probe", &server.url("/"), "--timeout", "20s"]);
    let run: Run = command.output().unwrap().into();
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn a_password_in_a_url_is_not_shown() {
    let url = format!("http://me:hunter2@{}/", refused());
    for args in [&["probe", &url][..], &["probe", &url, "--json"], &["probe", &url, "-v"]] {
        let run = run(args);
        assert!(!run.stdout.contains("hunter2") && !run.stderr.contains("hunter2"), "{run:?}");
    }
}

#[test]
fn reports_for_pipelines_and_dashboards() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    let (junit, prometheus) = (format!("junit={}", file("j")), format!("prometheus={}", file("p")));
    let server = Server::http(ok);
    let (up, down) = (server.url("/"), format!("tcp://{}", refused()));
    let again = up.replace("http://", "HTTP://");
    run(&[
        "probe",
        &up,
        &again,
        up.trim_end_matches('/'),
        &down,
        "exec:no-such-command",
        "--report",
        &junit,
        "--report",
        &prometheus,
    ]);
    let junit = fs::read_to_string(file("j")).unwrap();
    assert!(junit.contains("tests=\"3\" skipped=\"0\" errors=\"1\" failures=\"1\""), "{junit}");
    assert!(
        junit.contains("type=\"connect.refused\"") && junit.contains("type=\"local.command\""),
        "{junit}"
    );
    let prometheus = fs::read_to_string(file("p")).unwrap();
    for line in [
        format!("hardy_probe_up{{target=\"{up}\"}} 1"),
        format!("hardy_probe_up{{target=\"{down}\"}} 0"),
        format!("hardy_probe_calls{{target=\"{up}\"}} 1"),
        format!("hardy_probe_failures{{target=\"{down}\",reason=\"connect.refused\"}} 1"),
        format!("hardy_probe_breaker_state{{target=\"{down}\",state=\"closed\"}} 1"),
    ] {
        assert!(prometheus.lines().any(|l| l == line), "no {line} in {prometheus}");
    }
    lint(&prometheus);
    assert!(
        !prometheus.contains("hardy_probe_up{target=\"exec:"),
        "an unknown target is not down: {prometheus}"
    );
}

/// The rules of `promtool check metrics`, as far as they apply to gauges.
fn lint(text: &str) {
    let mut seen = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(kind, "gauge", "what starts again with each run is no {kind}: {line}");
            let counts =
                ["_total", "_count", "_sum", "_bucket", "_info"].iter().any(|end| name.ends_with(end));
            let unit = ["_ms", "_us", "_milliseconds", "_percent"].iter().any(|end| name.ends_with(end));
            assert!(!counts && !unit && !name.contains("gauge"), "{line}");
        }
        assert!(!line.contains("quantile="), "only a summary has quantiles: {line}");
        let series = line.rsplit_once(' ').unwrap().0;
        let key = if line.starts_with('#') {
            line.split(' ').take(3).collect::<Vec<_>>().join(" ")
        } else {
            series.into()
        };
        assert!(seen.insert(key), "twice: {line}");
    }
    assert!(seen.iter().any(|line| line.starts_with("# HELP ")), "{text}");
}

#[test]
fn a_thousand_targets_are_probed_at_once() {
    let server = Server::http(ok);
    let directory = tempfile::tempdir().unwrap();
    let kind = |n: usize| if n < 500 { "http" } else { "tcp" };
    let target = |n| format!("[targets.t{n}]\nurl = \"{}://{}\"\n", kind(n), server.address);
    fs::write(directory.path().join("hardy.toml"), (0..1000).map(target).collect::<String>()).unwrap();
    let run = run_in(directory.path(), &["probe", "--json", "--timeout", "60s"]);
    let document = run.json();
    let targets = document["data"]["targets"].as_array().unwrap();
    assert_eq!((run.code, targets.len(), server.hits()), (Some(0), 1000, 500));
    assert!(targets.iter().all(|target| target["ok"] == 1));
}
