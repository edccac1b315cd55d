//! What this host cannot give: said, and gone on without it.

use std::net::TcpListener;
use std::process::Command;

use super::{load, server, sum};
use crate::support::{Run, hardy};

/// With few descriptors.
fn limited(descriptors: u32, args: &[&str]) -> Run {
    let program = hardy();
    let mut shell = Command::new("sh");
    let line = format!("ulimit -n {descriptors}; exec \"$@\"");
    shell.args(["-c", &line, "sh"]).arg(program.get_program()).args(["load", "run"]).args(args);
    shell.env("HARDY_CONFIG", "none").output().unwrap().into()
}

#[test]
fn without_descriptors_it_goes_on_with_fewer_connections() {
    let server = server(&[]);
    let run = limited(40, &[&server.urls[0], "-n", "2000", "-c", "200", "--json"]);
    let data = run.json()["data"].clone();
    assert!(data["ok"].as_u64().unwrap() > 1000, "{run:?}");
    assert_eq!(sum(&data, &["requests", "cut_off", "unsent"]), 2000, "{run:?}");
    assert!(data["generator"]["benched"].as_u64().unwrap() > 100, "{data}");
    let told = limited(40, &[&server.urls[0], "-n", "200", "-c", "200"]);
    assert!(told.stdout.contains("ulimit -n"), "{told:?}");
}

#[test]
fn a_server_that_stops_accepting_is_a_timeout() {
    // A queue of one, which the first connections fill.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let run = super::run(&[&url, "-n", "8", "-c", "8", "--timeout", "300ms"]);
    let data = run.json()["data"].clone();
    assert_eq!((data["failed"].as_u64(), run.code), (Some(8), Some(1)), "{run:?}");
    let errors = data["errors"].as_object().unwrap();
    assert!(errors.keys().all(|id| ["connect.timeout", "timeout"].contains(&id.as_str())), "{data}");
}

/// System calls per request, under strace with these arguments: all of them, and those of these names.
fn calls_per_request<const N: usize>(arguments: &[&str], names: [&str; N]) -> (f64, [f64; N]) {
    let server = server(&[]);
    let directory = tempfile::tempdir().unwrap();
    let calls = |requests: &str| {
        let counts = directory.path().join("counts");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-c", "-o"]).arg(&counts).args(arguments).arg(hardy().get_program());
        strace.args(["load", "run", &server.urls[0], "-c", "64", "-n", requests]).env("HARDY_CONFIG", "none");
        let run: Run = strace.output().unwrap().into();
        assert_eq!(run.code, Some(0), "{run:?}");
        let text = std::fs::read_to_string(&counts).unwrap();
        let of = |name: &str| {
            let line = text.lines().find(|line| line.ends_with(&format!(" {name}")));
            line.map_or(0.0, |line| line.split_whitespace().nth(3).unwrap().parse::<f64>().unwrap())
        };
        (of("total"), names.map(of))
    };
    // What starting and connecting takes stands in both.
    let (few, many) = (calls("2000"), calls("12000"));
    let per_request = |few: f64, many: f64| (many - few) / 10_000.0;
    let place = |place: usize| per_request(few.1[place], many.1[place]);
    (per_request(few.0, many.0), std::array::from_fn(place))
}

#[test]
fn a_request_is_a_share_of_the_system_calls_for_several() {
    let (all, [together]) = calls_per_request(&[], ["io_uring_enter"]);
    // Where the system permits it.
    let most = if together > 0.0 { 1.0 } else { 2.1 };
    assert!(all <= most, "{all}");
}

#[test]
fn where_rings_are_forbidden_a_request_is_two_system_calls_and_a_share_of_a_wait() {
    // As under the usual rules for containers; and where only their use is forbidden.
    for forbidden in ["io_uring_setup", "io_uring_enter"] {
        let forbidden = format!("inject={forbidden}:error=EPERM");
        let (all, sent_and_received) = calls_per_request(&["-e", &forbidden], ["sendto", "recvfrom"]);
        for calls in sent_and_received {
            assert!((0.99..=1.01).contains(&calls), "{calls}");
        }
        // A wait tells of several answers, even on a busy host.
        assert!((2.0..=2.5).contains(&all), "{all}");
    }
}

#[test]
fn without_ports_the_reason_is_ours() {
    // A network of its own, in which ten connections may be open; one that was closed keeps its port for a minute.
    let script = r#"
        ip link set lo up
        echo '60000 60009' > /proc/sys/net/ipv4/ip_local_port_range
        "$0" serve --listen 127.0.0.1:8080 >log 2>&1 & server=$!
        until grep -q listening log; do :; done
        "$0" load run http://127.0.0.1:8080 -n 200 -c 20 --no-keep-alive --json
        kill $server
    "#;
    let directory = tempfile::tempdir().unwrap();
    let mut shell = Command::new("unshare");
    shell.args(["--net", "sh", "-c", script]).arg(hardy().get_program()).current_dir(directory.path());
    let run: Run = shell.env("HARDY_CONFIG", "none").output().unwrap().into();
    let data = run.json()["data"].clone();
    assert_eq!(sum(&data, &["ok", "failed"]), 200, "{run:?}");
    assert!(data["errors"]["local.ports"].as_u64().unwrap_or(0) > 0, "{run:?}");
}

#[test]
fn memory_is_flat() {
    let server = server(&[]);
    let peak = |requests: &str| {
        let data = load(&server, &["-c", "64", "-n", requests]);
        data["generator"]["peak_rss_bytes"].as_u64().unwrap()
    };
    let (few, many) = (peak("2000"), peak("100000"));
    assert!(many < 64 << 20, "{many}");
    assert!(many < few + (4 << 20), "{few} {many}");
}
