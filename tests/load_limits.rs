//! What a load may take of its process, counted: memory per request, and descriptors.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod counting;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use counting::allocations_of;
use hardy::load::endpoint::{Endpoint, Way};
use hardy::load::guard::Guard;
use hardy::load::http1::Http1;
use hardy::load::http2::Http2;
use hardy::load::outcome::{Outcome, Snapshot};
use hardy::load::plan::{Expected, Pace, Plan, Stop};
use hardy::load::request::{Request, Requests};
use hardy::load::run::{Seat, Transport, run};
use hardy::reason::Reason;
use hyper::Method;
use hyper::header::{HOST, HeaderValue};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The tests of this process share its descriptors.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Counts what its thread allocates from its first to its last request.
struct Counted(Http1, Arc<AtomicU64>);

impl Transport for Counted {
    fn work(&self, seat: Seat) {
        let allocations = allocations_of(|| self.0.work(seat));
        self.1.fetch_add(allocations, Ordering::SeqCst);
    }
}

fn plan(requests: u64, workers: usize) -> Plan {
    Plan {
        pace: Pace::Closed,
        stop: Stop { requests: Some(requests), duration: None },
        workers,
        threads: 1,
        warm_up: Duration::ZERO,
        ramp_up: Duration::ZERO,
        timeout: Duration::from_secs(20),
        grace: Duration::from_secs(20),
        expected: Expected::default(),
    }
}

fn to(address: SocketAddr) -> Http1 {
    let host = (HOST, HeaderValue::from_static("test"));
    let request = Request { method: Method::GET, path: "/".into(), headers: vec![host], body: Vec::new() };
    let endpoint = Endpoint { way: Way::Tcp(vec![address]), tls: None };
    Http1 { endpoint, requests: Requests::one(request), keep_alive: true }
}

fn go(plan: Plan, transport: impl Transport) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (snapshots, stop) = (watch::Sender::new(Snapshot::default()), CancellationToken::new());
    runtime.block_on(run(plan, transport, None::<Guard>, &snapshots, &stop)).unwrap()
}

/// Answers each read with an answer in two parts.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                stream.set_nodelay(true).unwrap();
                while stream.read(&mut [0; 1024]).is_ok_and(|size| size > 0) {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-").unwrap();
                    stream.write_all(b"length: 5\r\n\r\nhello").unwrap();
                }
            });
        }
    });
    address
}

#[test]
fn more_requests_need_no_more_allocations() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let address = server();
    let allocations = |requests| {
        let counted = Arc::new(AtomicU64::new(0));
        let found = go(plan(requests, 4), Counted(to(address), counted.clone()));
        assert_eq!(found.totals.ok, requests);
        counted.load(Ordering::SeqCst)
    };
    let (few, many) = (allocations(1_000), allocations(41_000));
    // Histograms grow with the longest time that they have seen.
    assert!(many < few + 100, "{few} for a thousand, {many} for forty thousand more");
}

/// The program itself, in a process of its own, so that its descriptors are not ours.
struct Hardy(Child);

impl Hardy {
    fn serve() -> (Hardy, SocketAddr) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hardy"))
            .args(["--config", "none", "serve", "--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.into_iter().find_map(|line| line.split("http://").nth(1)?.trim().parse().ok());
        (Hardy(child), address.unwrap())
    }
}

impl Drop for Hardy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn without_enough_descriptors_it_goes_on_with_fewer_connections() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (_server, address) = Hardy::serve();
    let before = getrlimit(Resource::Nofile);
    let used = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let mut few = getrlimit(Resource::Nofile);
    few.current = Some(used + 20);
    setrlimit(Resource::Nofile, few).unwrap();
    let found = go(plan(2_000, 64), to(address));
    setrlimit(Resource::Nofile, before).unwrap();
    assert_eq!((found.totals.ok, found.totals.failures(), found.totals.sent), (2_000, 0, 2_000));
    let connections = found.totals.connect.count();
    assert!((2..30).contains(&connections), "{connections}");
    assert_eq!(found.totals.benched, 64 - connections);
}

/// Takes all descriptors that there are before its transport begins.
struct Destitute<T>(T);

impl<T: Transport> Transport for Destitute<T> {
    fn work(&self, seat: Seat) {
        let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        self.0.work(seat);
        drop(taken);
    }
}

#[test]
fn without_any_descriptor_every_request_fails() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let http1 = to("127.0.0.1:9".parse().unwrap());
    let (endpoint, requests) = (http1.endpoint.clone(), http1.requests.clone());
    let http2 = Http2 { endpoint, requests, streams: 1 };
    let before = getrlimit(Resource::Nofile);
    let mut few = getrlimit(Resource::Nofile);
    few.current = Some(100);
    setrlimit(Resource::Nofile, few).unwrap();
    let found = [go(plan(3, 1), Destitute(http1)), go(plan(3, 1), Destitute(http2))];
    setrlimit(Resource::Nofile, before).unwrap();
    for outcome in found {
        let reasons: Vec<_> = outcome.totals.reasons().collect();
        assert_eq!((outcome.totals.sent, reasons), (0, vec![(Reason::LocalDescriptors, 3)]));
    }
}
