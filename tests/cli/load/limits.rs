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
