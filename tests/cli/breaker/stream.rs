//! `hardy breaker watch --hystrix-stream`: what the dashboards of Hystrix are sent.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{call, called, shown, trip};
use crate::lock::store::Store;
use crate::support::{DEADLINE, Process, wait_for};

/// A watch that serves, and its address.
fn serve(store: &Store, names: &[&str]) -> (Process, String) {
    let mut hardy = store.hardy();
    hardy.args(["breaker", "watch", "--json", "--hystrix-stream", "127.0.0.1:0"]).args(names);
    let stdout = File::create(store.directory().join("changes")).unwrap();
    let mut process = Process::start(hardy.stdout(stdout));
    let line = process.line("Hystrix stream on http://");
    let address = line.split("http://").nth(1).unwrap().trim_end_matches("/hystrix.stream").to_owned();
    (process, address)
}

/// The answer to a request of HTTP/1.0, as it comes.
fn ask(address: &str, request: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "{request} HTTP/1.0\r\nHost: x\r\n\r\n").unwrap();
    BufReader::new(stream)
}

/// Those that an open connection is sent.
struct Events<R>(R);

impl Events<BufReader<TcpStream>> {
    fn of(address: &str) -> Self {
        let mut answer = ask(address, "GET /hystrix.stream");
        let head = head(&mut answer);
        assert!(head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200"), "{head}");
        Events(answer)
    }
}

impl<R: BufRead> Events<R> {
    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream has ended");
        line.trim_end().to_owned()
    }

    fn next(&mut self) -> Value {
        loop {
            let line = self.line();
            if let Some(json) = line.strip_prefix("data: ") {
                assert_eq!(self.line(), "", "an empty line ends an event");
                return serde_json::from_str(json).unwrap();
            }
            assert!(line.is_empty() || line == "ping:", "{line}");
        }
    }

    /// The first that is so.
    fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut seen = 0;
        loop {
            let event = self.next();
            if wanted(&event) {
                return event;
            }
            seen += 1;
            assert!(seen < 60, "not among {seen} events, the last one: {event}");
        }
    }
}

fn head(answer: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(answer.read_line(&mut head).unwrap() > 0, "{head}");
    }
    head.to_lowercase().replace("http/1", "HTTP/1")
}

/// What the dashboard of Netflix asserts or reads, and what else its servers send.
const NUMBERS: &str = "currentTime reportingHosts requestCount errorCount errorPercentage rollingCountBadRequests \
    rollingCountCollapsedRequests rollingCountExceptionsThrown rollingCountFailure rollingCountFallbackFailure \
    rollingCountFallbackRejection rollingCountFallbackSuccess rollingCountResponsesFromCache \
    rollingCountSemaphoreRejected rollingCountShortCircuited rollingCountSuccess rollingCountThreadPoolRejected \
    rollingCountTimeout currentConcurrentExecutionCount latencyExecute_mean latencyTotal_mean \
    propertyValue_circuitBreakerRequestVolumeThreshold propertyValue_circuitBreakerSleepWindowInMilliseconds \
    propertyValue_circuitBreakerErrorThresholdPercentage propertyValue_executionIsolationThreadTimeoutInMilliseconds \
    propertyValue_executionTimeoutInMilliseconds propertyValue_executionIsolationSemaphoreMaxConcurrentRequests \
    propertyValue_fallbackIsolationSemaphoreMaxConcurrentRequests \
    propertyValue_metricsRollingStatisticalWindowInMilliseconds";
const TRUTHS: &str = "isCircuitBreakerOpen propertyValue_circuitBreakerForceOpen \
    propertyValue_circuitBreakerForceClosed propertyValue_circuitBreakerEnabled \
    propertyValue_executionIsolationThreadInterruptOnTimeout propertyValue_requestCacheEnabled \
    propertyValue_requestLogEnabled";
const QUANTILES: [&str; 9] = ["0", "25", "50", "75", "90", "95", "99", "99.5", "100"];

/// Calls that end in every way there is; then it is open.
fn use_in_every_way(store: &Store) {
    for _ in 0..12 {
        assert_eq!(called(store, &[], "true").code, Some(0));
    }
    assert_eq!(called(store, &["--fallback", "true"], "exit 1").code, Some(0));
    assert_eq!(called(store, &["--fallback", "exit 9"], "exit 1").code, Some(9));
    assert_eq!(called(store, &["--slow", "1us"], "true").code, Some(0));
    assert_eq!(called(store, &["--timeout", "300ms", "--grace", "1ms"], "sleep 1000").code, Some(124));
    assert_eq!(called(store, &[], "exit 126").code, Some(126));
    let running = Process::start(&mut call(store, &[], "echo >ready; until test -e go; do sleep 0.02; done"));
    wait_for("the command", || store.directory().join("ready").exists().then_some(()));
    assert_eq!(called(store, &["--max-concurrent", "1"], "true").code, Some(75));
    std::fs::write(store.directory().join("go"), "").unwrap();
    assert_eq!(running.finish().code, Some(0));
    let last = ["--volume", "5", "--error-threshold", "7%", "--cooldown", "10m"];
    assert_eq!(called(store, &last, "exit 1").code, Some(1));
    for _ in 0..3 {
        assert_eq!(called(store, &last, "true").code, Some(75));
    }
}

#[test]
fn every_field_of_the_dashboard_is_there_and_says_what_show_says() {
    Store::each(|store| {
        use_in_every_way(store);
        let (_watch, address) = serve(store, &[]);
        let event = Events::of(&address).next();
        for (names, is) in [(NUMBERS, Value::is_u64 as fn(&Value) -> bool), (TRUTHS, Value::is_boolean)] {
            let wrong: Vec<_> = names.split_whitespace().filter(|name| !is(&event[*name])).collect();
            assert!(wrong.is_empty(), "{wrong:?} in {event}");
        }
        let shown = shown(store);
        let of = |path: &str| shown.pointer(path).unwrap_or_else(|| panic!("{path} in {shown}"));
        for (name, path) in [
            ("name", "/name"),
            ("requestCount", "/window/requests"),
            ("rollingCountSuccess", "/window/successes"),
            ("rollingCountFailure", "/window/failures"),
            ("rollingCountTimeout", "/window/timeouts"),
            ("rollingCountBadRequests", "/recent/excluded"),
            ("rollingCountShortCircuited", "/recent/short_circuited"),
            ("rollingCountSemaphoreRejected", "/recent/rejected"),
            ("rollingCountFallbackSuccess", "/recent/fallbacks/successes"),
            ("rollingCountFallbackFailure", "/recent/fallbacks/failures"),
            ("currentConcurrentExecutionCount", "/in_flight"),
            ("propertyValue_circuitBreakerRequestVolumeThreshold", "/settings/0/volume"),
            ("propertyValue_circuitBreakerSleepWindowInMilliseconds", "/settings/0/cooldown_ms"),
            ("propertyValue_circuitBreakerErrorThresholdPercentage", "/settings/0/error_threshold_percent"),
            ("propertyValue_executionIsolationThreadTimeoutInMilliseconds", "/settings/0/timeout_ms"),
            ("propertyValue_executionIsolationSemaphoreMaxConcurrentRequests", "/settings/0/max_concurrent"),
            ("propertyValue_metricsRollingStatisticalWindowInMilliseconds", "/settings/0/window_ms"),
        ] {
            assert_eq!(&event[name], of(path), "{name} and {path}");
        }
        let number = |path: &str| of(path).as_u64().unwrap();
        // In the window: 14 successes, one of them slow, 3 failures, a timeout.
        assert_eq!((number("/window/requests"), &event["errorCount"]), (18, &5.into()), "{shown}");
        assert_eq!(event["errorPercentage"].as_f64(), of("/window/error_percent").as_f64().map(f64::floor));
        let recent =
            ["excluded", "short_circuited", "rejected"].map(|name| number(&format!("/recent/{name}")));
        assert_eq!(recent, [1, 3, 1]);
        // Refused or failed, but for the one whose fallback succeeded.
        assert_eq!(event["rollingCountExceptionsThrown"], 3 + 1 + 3 + 1 - 1);
        assert_eq!(
            (&event["type"], &event["isCircuitBreakerOpen"]),
            (&"HystrixCommand".into(), &true.into())
        );
        assert_eq!(event["propertyValue_executionIsolationStrategy"], "SEMAPHORE");
        let quantiles = QUANTILES.map(|name| event["latencyExecute"][name].as_u64().unwrap());
        assert!(quantiles.is_sorted(), "{quantiles:?}");
        assert_eq!(number("/recent/latency/count"), 18);
        for (name, path) in [("50", "/recent/latency/p50_us"), ("100", "/recent/latency/max_us")] {
            assert_eq!(event["latencyExecute"][name], (number(path) + 500) / 1_000, "{name}: {shown}");
        }
        assert!(event["latencyExecute"]["100"].as_u64().unwrap() >= 280, "the timeout: {event}");
        assert_eq!(event["latencyTotal"], event["latencyExecute"]);
        std::fs::remove_file(store.directory().join("ready")).unwrap();
        std::fs::remove_file(store.directory().join("go")).unwrap();
    });
}

#[test]
fn a_trip_is_seen_as_it_happens_and_the_recovery_too() {
    Store::each(|store| {
        assert_eq!(called(store, &[], "true").code, Some(0));
        let (_watch, address) = serve(store, &[]);
        let mut events = Events::of(&address);
        assert_eq!(events.next()["isCircuitBreakerOpen"], false);
        trip(store, "1ms");
        let open = events.until(|event| event["isCircuitBreakerOpen"] == true);
        assert_eq!((&open["requestCount"], &open["errorPercentage"]), (&2.into(), &50.into()));
        wait_for("a trial", || (called(store, &[], "true").code == Some(0)).then_some(()));
        events.until(|event| event["isCircuitBreakerOpen"] == false);
        assert_eq!(store.run(&["breaker", "open", "x"]).code, Some(0));
        events.until(|event| event["propertyValue_circuitBreakerForceOpen"] == true);
        assert_eq!(store.run(&["breaker", "close", "x"]).code, Some(0));
        events.until(|event| event["propertyValue_circuitBreakerForceClosed"] == true);
        // Beside it, stdout tells the same.
        let states = wait_for("all changes on stdout", || {
            let text = std::fs::read_to_string(store.directory().join("changes")).unwrap();
            let states: Vec<_> = text
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()["data"]["state"].take())
                .collect();
            (states.len() == 6).then_some(states)
        });
        assert_eq!(states, ["closed", "open", "half_open", "closed", "open", "closed"]);
    });
}

#[test]
fn clients_come_and_go() {
    let store = Store::local();
    trip(&store, "10m");
    assert_eq!(store.run(&["breaker", "close", "y", "--for", "10m"]).code, Some(0));
    let (mut watch, address) = serve(&store, &["x"]);
    let mut curl = Command::new("curl");
    curl.args(["-sSN", &format!("http://{address}/")]).stdout(Stdio::piped());
    let mut child = curl.spawn().expect("curl is installed");
    let mut of_curl = Events(BufReader::new(child.stdout.take().unwrap()));
    let mut other = Events::of(&address);
    for _ in 0..2 {
        assert_eq!((of_curl.next()["name"].take(), other.next()["name"].take()), ("x".into(), "x".into()));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    other.next();
    // As many as may be, and one more.
    let mut all = vec![other];
    while all.len() < 64 {
        all.push(Events::of(&address));
    }
    let refused = wait_for("the one that went to be forgotten", || {
        let head = head(&mut ask(&address, "GET /"));
        if head.contains(" 503 ") {
            return Some(head);
        }
        None
    });
    assert!(refused.contains("text/plain"), "{refused}");
    drop(all.split_off(1));
    wait_for("room", || head(&mut ask(&address, "GET /")).contains(" 200 ").then_some(()));
    all[0].next();
    assert!(!watch.has_ended());
    watch.signal("INT");
    assert_eq!(watch.finish().code, Some(130));
    let mut rest = String::new();
    let _ = all[0].0.read_to_string(&mut rest);
}

#[test]
fn what_is_asked_for_otherwise_is_answered_otherwise() {
    let store = Store::local();
    let (_watch, address) = serve(&store, &[]);
    for (request, status, header) in [
        ("GET /hystrix.stream?delay=500", 200, "content-type: text/event-stream"),
        ("GET /", 200, "access-control-allow-origin: *"),
        ("HEAD /hystrix.stream", 200, "cache-control: no-store"),
        ("POST /hystrix.stream", 405, "allow: get, head"),
        ("GET /turbine.stream", 404, "text/plain"),
        ("GET /healthz", 200, "text/plain"),
    ] {
        let head = head(&mut ask(&address, request));
        assert!(head.contains(&format!(" {status} ")) && head.contains(header), "{request}: {head}");
    }
    // Without any breaker it says that it is alive.
    let mut events = ask(&address, "GET /");
    head(&mut events);
    let mut line = String::new();
    events.read_line(&mut line).unwrap();
    assert_eq!(line, "ping: \n");
}

#[test]
fn without_a_store_it_goes_on_with_pings() {
    let mut store = Store::of(crate::etcd::Etcd::single());
    trip(&store, "10m");
    let (mut watch, address) = serve(&store, &[]);
    let mut events = Events::of(&address);
    events.next();
    store.etcd_mut().unwrap().kill(0);
    watch.line("nothing but pings on the Hystrix stream: ");
    // What was sent before may still come.
    while events.line() != "ping:" || !events.line().is_empty() || events.line() != "ping:" {}
    store.etcd_mut().unwrap().restart(0);
    assert_eq!(events.next()["isCircuitBreakerOpen"], true);
    assert!(!watch.has_ended());
}

#[test]
fn an_address_that_cannot_be_used_is_said_and_nothing_is_watched() {
    let store = Store::local();
    let (_watch, taken) = serve(&store, &[]);
    for (address, said) in [
        (taken.as_str(), "the address is in use"),
        ("nowhere", "`nowhere` is not an address to listen on"),
        ("127.0.0.1:99999", "is not an address to listen on"),
    ] {
        let run = store.run(&["breaker", "watch", "--hystrix-stream", address]);
        assert!((run.code, run.stdout.as_str()) == (Some(2), "") && run.stderr.contains(said), "{run:?}");
        assert!(!run.stderr.contains("--reuse-port"), "{run:?}");
    }
}

#[test]
fn a_watch_that_has_told_something_waits_for_the_next_thing() {
    let store = Store::local();
    assert_eq!(called(&store, &[], "true").code, Some(0));
    let (watch, _) = serve(&store, &[]);
    trip(&store, "10m");
    let told = || std::fs::read_to_string(store.directory().join("changes")).unwrap().lines().count();
    wait_for("the change", || (told() == 2).then_some(()));
    // Nobody listens and nothing happens: all of its threads sleep.
    let tasks = format!("/proc/{}/task", watch.id());
    wait_for("all threads to sleep", || {
        let states = (0..20).flat_map(|_| {
            std::thread::yield_now();
            let tasks = std::fs::read_dir(&tasks).unwrap().flatten();
            tasks.map(|task| std::fs::read_to_string(task.path().join("stat")).unwrap()).collect::<Vec<_>>()
        });
        states.into_iter().all(|stat| stat.rsplit(") ").next().unwrap().starts_with('S')).then_some(())
    });
}
