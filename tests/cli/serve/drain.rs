//! The end: nobody loses a request, and nobody can hold it up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::super::support::wait_for;
use super::client::{Client, Server, address, curl};

#[test]
fn unready_first_and_still_serving() {
    let mut server = Server::start(&["--drain-delay", "30s", "--admin", "127.0.0.1:0"]);
    let admin = address(&server.urls[1]);
    let mut idle = server.connect();
    assert_eq!(idle.get("/readyz").status, 200);
    server.process.signal("TERM");
    server.process.line("draining");
    for mut probe in [server.connect(), Client::connect(admin)] {
        let ready = probe.get("/readyz");
        assert_eq!((ready.status, ready.header("cache-control")), (503, Some("no-store")));
    }
    assert_eq!(server.get("/healthz").status, 200);
    let answer = server.get("/");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    let last = idle.get("/");
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    assert_eq!(idle.end().unwrap(), b"");
    // A second signal does not wait; one that comes with the first is taken for its echo.
    let ended = wait_for("the second signal to end it", || {
        server.process.signal("TERM");
        server.process.has_ended().then(|| server.process.wait())
    });
    assert_eq!(ended.code(), Some(143));
}

#[test]
fn what_is_in_flight_is_answered() {
    let server = Server::start(&["--fault", "latency=700ms", "--json"]);
    let mut clients: Vec<Client> = (0..5).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    wait_for("the requests to arrive", || {
        server.get("/metrics").text().contains("hardy_serve_in_flight_requests 5\n").then_some(())
    });
    server.process.signal("INT");
    for client in &mut clients {
        let answer = client.answer().expect("an answer");
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    }
    let run = server.process.finish();
    assert_eq!(run.code, Some(0));
    assert_eq!((&run.json()["data"]["drained"], &run.json()["data"]["aborted"]), (&5.into(), &0.into()));
}

#[test]
fn a_request_that_crosses_the_signal_is_answered() {
    // Until half a second after the signal it must succeed; a busy machine may need another try.
    let crossed = (0..5).any(|_| {
        let mut server = Server::start(&[]);
        let mut client = server.connect();
        assert_eq!(client.get("/").status, 200);
        server.process.signal("TERM");
        server.process.line("draining");
        let open = client.is_open();
        let sent = std::io::Write::write_all(&mut client.stream, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        open && sent.is_ok()
            && client.answer().is_some_and(|answer| answer.header("connection") == Some("close"))
    });
    assert!(crossed);
}

#[test]
fn nobody_who_owes_or_is_owed_nothing_holds_it_up() {
    let server = Server::start(&["--drain-timeout", "20s"]);
    let mut idle = server.connect();
    assert_eq!(idle.get("/").status, 200);
    let _silent = server.connect();
    let mut partial = server.connect();
    partial.send("GET / HTTP/1.1\r\nHost: ");
    let mut later = server.connect();
    assert_eq!(later.get("/").status, 200);
    later.send("GET / HT");
    let start = Instant::now();
    let run = server.stop();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert_eq!(idle.end().unwrap(), b"");
}

#[test]
fn when_the_time_is_up_the_rest_is_cut_off_and_counted() {
    let server = Server::start(&["--fault", "latency=60s", "--drain-timeout", "300ms"]);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for("the request to arrive", || {
        server.get("/metrics").text().contains("hardy_serve_in_flight_requests 1\n").then_some(())
    });
    let run = server.stop();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("1 cut off"), "{run:?}");
    assert!(client.answer().is_none());
}

#[test]
fn http2_clients_get_their_answers() {
    let server = Server::start(&["--tls", "self-signed", "--fault", "latency=600ms"]);
    let url = server.url("/");
    let client = std::thread::spawn(move || curl(&["-k", "--http2", "-w", " %{http_version}", &url]));
    // The metrics are behind TLS as well.
    wait_for("the request to arrive", || {
        let metrics = curl(&["-k", &server.url("/metrics")]).stdout;
        metrics.contains("hardy_serve_in_flight_requests 1\n").then_some(())
    });
    let run = server.stop();
    assert_eq!(client.join().unwrap().stdout, "Hello World!\n 2");
    assert_eq!(run.code, Some(0), "{run:?}");
}

/// Keeps a server busy as wrk would: keep-alive connections, a new one when the server says close.
struct Hammer {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    workers: Vec<std::thread::JoinHandle<Vec<String>>>,
}

impl Hammer {
    fn start(address: SocketAddr, connections: usize) -> Hammer {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let workers = (0..connections)
            .map(|worker| {
                let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
                // Half of them keep their connection, half take a new one each time.
                let connection = if worker % 2 == 0 { "keep-alive" } else { "close" };
                std::thread::spawn(move || {
                    let mut failures = Vec::new();
                    let mut client = Client::connect(address);
                    while !stop.load(Relaxed) {
                        client.send(format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\r\n"));
                        match client.answer() {
                            Some(answer) if answer.status == 200 && answer.complete => {
                                sent.fetch_add(1, Relaxed);
                                if answer.header("connection") == Some("close") {
                                    client = Client::connect(address);
                                }
                            }
                            other => {
                                failures.push(format!("{other:?}"));
                                client = Client::connect(address);
                            }
                        }
                    }
                    failures
                })
            })
            .collect();
        Hammer { stop, sent, workers }
    }

    /// Waits until so many more requests were answered.
    fn wait(&self, more: u64) {
        let goal = self.sent.load(Relaxed) + more;
        wait_for("answers", || (self.sent.load(Relaxed) >= goal).then_some(()));
    }

    fn finish(self) -> (u64, Vec<String>) {
        self.stop.store(true, Relaxed);
        let failures = self.workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect();
        (self.sent.load(Relaxed), failures)
    }
}

#[test]
fn a_rolling_restart_loses_no_request() {
    let mut server = Server::start(&["--reuse-port", "--json"]);
    let address = server.address();
    let listen = address.to_string();
    let hammer = Hammer::start(address, 8);
    let mut answered = 0;
    for _ in 0..3 {
        hammer.wait(500);
        let next = Server::start(&["--reuse-port", "--json", "--listen", &listen]);
        hammer.wait(500);
        let run = std::mem::replace(&mut server, next).stop();
        assert_eq!((run.code, &run.json()["data"]["aborted"]), (Some(0), &0.into()), "{run:?}");
        answered += run.json()["data"]["requests"].as_u64().unwrap();
    }
    hammer.wait(500);
    let (sent, failures) = hammer.finish();
    assert_eq!(failures, [""; 0]);
    answered += server.stop().json()["data"]["requests"].as_u64().unwrap();
    assert!(answered >= sent, "{answered} answered, {sent} received");
}
