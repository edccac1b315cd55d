//! The three kinds of answers, the probes, and where they are reached.

use super::super::support::{hardy, run, run_in};
use super::client::{Client, Server, address, curl};

#[test]
fn the_article_in_one_command() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for _ in 0..2 {
        let answer = client.get("/anything?at=all");
        assert_eq!((answer.status, answer.text().as_str()), (200, "Hello World!\n"));
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert!(answer.header("date").is_some());
    }
    let head = client.request("HEAD", "/", &[]);
    assert_eq!((head.status, head.header("content-length")), (200, Some("13")));
    let run = server.stop();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.starts_with("served 3 requests on 1 connection in "), "{run:?}");
}

#[test]
fn a_request_body_is_read_so_that_the_connection_lives_on() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.answer().unwrap().status, 200);
    client.send("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 200);
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    client.send("hello");
    assert_eq!(client.answer().unwrap().status, 200);
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(&["--echo"]);
    let mut client = server.connect();
    let requests: String = (0..50).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    client.send(requests);
    for n in 0..50 {
        assert_eq!(client.answer().unwrap().json()["path"], format!("/{n}"));
    }
}

#[test]
fn fixed_answers() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("page.html"), "<p>later</p>").unwrap();
    let file = format!("503:@{}/page.html", directory.path().display());
    for (answer, status, media, body) in [
        ("200:ok", 200, "text/plain; charset=utf-8", "ok"),
        ("404:a:b", 404, "text/plain; charset=utf-8", "a:b"),
        (file.as_str(), 503, "text/html; charset=utf-8", "<p>later</p>"),
    ] {
        let got = Server::start(&["--respond", answer]).get("/");
        assert_eq!(
            (got.status, got.header("content-type"), got.text().as_str()),
            (status, Some(media), body)
        );
    }
    let empty = Server::start(&["--respond", "204:"]).get("/");
    assert_eq!((empty.status, empty.body.len()), (204, 0));
}

#[test]
fn echo_tells_what_arrived() {
    let server = Server::start(&["--echo"]);
    let mut client = server.connect();
    client.send("POST /a/b?c=d HTTP/1.1\r\nHost: x\r\nX-One: 1\r\nX-Two: 2\r\nx-two: 3\r\nContent-Length: 3\r\n\r\nabc");
    let echo = client.answer().unwrap().json();
    assert_eq!(echo["method"], "POST");
    assert_eq!(echo["path"], "/a/b");
    assert_eq!(echo["query"], "c=d");
    assert_eq!(echo["version"], "HTTP/1.1");
    assert_eq!(echo["headers"]["x-one"], "1");
    assert_eq!(echo["headers"]["x-two"], serde_json::json!(["2", "3"]));
    assert_eq!(echo["body_bytes"], 3);
    assert_eq!(echo["peer"], client.stream.local_addr().unwrap().to_string());
    assert_eq!(echo["tls"], serde_json::Value::Null);
}

#[test]
fn probes_are_on_the_listener_or_on_admin() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/healthz").text(), "ok\n");
    let ready = server.get("/readyz");
    assert_eq!((ready.status, ready.header("cache-control")), (200, Some("no-store")));
    server.get("/");
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("hardy_serve_requests_total{code=\"2xx\"} 1\n"), "{metrics}");
    assert!(metrics.contains("hardy_serve_request_duration_seconds_count 1\n"), "{metrics}");
    assert!(metrics.contains("hardy_serve_in_flight_requests 0\n"), "{metrics}");

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let server = Server::start(&["--dir", path, "--admin", "127.0.0.1:0"]);
    assert_eq!(server.get("/healthz").status, 404);
    let mut admin = Client::connect(address(&server.urls[1]));
    for probe in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(admin.get(probe).status, 200, "{probe}");
    }
    assert_eq!(admin.get("/").status, 404);
    assert_eq!(admin.request("POST", "/healthz", &[]).status, 405);
}

#[test]
fn probes_are_never_faulted_nor_counted() {
    let server = Server::start(&["--fault", "status=500; close"]);
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/").status, 500);
    assert!(server.stop().stdout.starts_with("served 1 request "));
}

#[test]
fn several_listeners_and_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s.sock");
    let listen = format!("unix:{}", socket.display());
    // A socket that a dead server left behind is no obstacle.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let server = Server::start(&["--listen", "127.0.0.1:0", "--listen", &listen, "--echo"]);
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.urls[1], format!("unix+http://{}", socket.display()));
    let probe = run(&["probe", &format!("{}:/x", server.urls[1])]);
    assert_eq!(probe.code, Some(0), "{probe:?}");
    let run_unix = curl(&["--unix-socket", socket.to_str().unwrap(), "http://x/a"]);
    assert!(run_unix.stdout.contains("\"peer\": \"unix\""), "{run_unix:?}");
    let second = run(&["serve", "--listen", &listen]);
    assert_eq!(second.code, Some(2), "{second:?}");
    assert!(second.stderr.contains("another server answers there"), "{second:?}");
    assert_eq!(server.stop().code, Some(0));
    assert!(!socket.exists());
    let tls = Server::start(&["--listen", &listen, "--tls", "self-signed"]);
    assert!(!tls.urls[0].contains("://"), "no client has a URL for it: {}", tls.urls[0]);
}

#[test]
fn who_can_be_reached_from_outside_is_told() {
    let mut server = Server::start(&["--listen", "0.0.0.0:0"]);
    server.process.line("other hosts can reach this address");
}

#[test]
fn settings_come_from_file_and_environment_too() {
    let directory = tempfile::tempdir().unwrap();
    let file = "[profile.default.serve]\nlisten = [\"127.0.0.1:0\"]\nfault = [\"status=500\"]\n";
    std::fs::write(directory.path().join("hardy.toml"), file).unwrap();
    let mut command = hardy();
    command.env_remove("HARDY_CONFIG").current_dir(directory.path());
    let server = Server::start_with(command.env("HARDY_SERVE_SEED", "7"), &[]);
    assert_eq!(server.get("/").status, 500);
    let run = run_in(directory.path(), &["config", "show"]);
    assert!(run.stdout.contains("serve.fault"), "{run:?}");
}

#[test]
fn the_report_is_one_document() {
    let server = Server::start(&["--json", "--respond", "404:no"]);
    server.get("/");
    let run = server.stop();
    let report = run.json();
    assert_eq!(report["schema"], "hardy.serve/v1");
    assert_eq!(report["verdict"], "good");
    assert_eq!(report["data"]["requests"], 1);
    assert_eq!(report["data"]["by_class"]["4xx"], 1);
    assert_eq!(report["data"]["response_bytes"], 2);
    assert_eq!(report["data"]["aborted"], 0);
}
