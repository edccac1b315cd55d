//! A fixed response over HTTP/1.1 keep-alive: requests per second of the server's processor time.

use std::fs;

use super::process::{Server, free_port, go, hardy, on_core};
use super::{Goal, Row, median};

const ROUNDS: usize = 9;
const SECONDS: &str = "3s";
const CONNECTIONS: &str = "64";

pub fn rows() -> [Row; 4] {
    let ports = [free_port(), free_port(), free_port(), free_port()];
    let [ours, nginx, nethttp, floor] = ports;
    let servers = [start_hardy(ours), start_nginx(nginx), start_nethttp(nethttp), start_floor(floor)];
    let mut figures = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        for ((server, port), figures) in servers.iter().zip(ports).zip(&mut figures) {
            let before = server.cpu();
            let requests = wrk(port);
            figures.push(requests / (server.cpu() - before));
        }
    }
    let [ours, nginx, nethttp, floor] = figures.map(median);
    let unit = "requests per CPU second";
    let row = |what, ours, peer, theirs, goal| Row { what, unit, ours, peer, theirs, goal };
    let what = "serve: fixed response";
    [
        row(what, ours, "nginx `return 200`", nginx, Goal::AtLeast(1.0)),
        row(what, ours, "Go net/http", nethttp, Goal::AtLeast(2.5)),
        row(what, ours, "bare epoll loop, no HTTP", floor, Goal::Context),
        row("for comparison: bare epoll loop", floor, "Go net/http", nethttp, Goal::Context),
    ]
}

fn start_floor(port: u16) -> Server {
    let this = std::env::current_exe().expect("this bench");
    Server::start(&[this.to_str().expect("a UTF-8 path"), "floor", &port.to_string()], port)
}

fn start_hardy(port: u16) -> Server {
    Server::start(&[hardy(), "--config", "none", "serve", "--listen", &format!("127.0.0.1:{port}")], port)
}

fn start_nethttp(port: u16) -> Server {
    Server::start(&[&go("nethttp.go"), &format!("127.0.0.1:{port}")], port)
}

/// One process, no log, connections kept for ever: as lean as nginx goes.
fn start_nginx(port: u16) -> Server {
    let directory = env!("CARGO_TARGET_TMPDIR");
    let config = format!(
        "daemon off; master_process off; worker_processes 1; pid {directory}/nginx.pid; error_log /dev/null;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; default_type text/plain;\n\
           server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"Hello World!\\n\"; }} }} }}\n"
    );
    let path = format!("{directory}/nginx.conf");
    fs::write(&path, config).expect("a writable target directory");
    Server::start(&["/usr/sbin/nginx", "-c", &path], port)
}

/// Requests answered well in one run of wrk on the other core.
fn wrk(port: u16) -> f64 {
    let url = format!("http://127.0.0.1:{port}/");
    let output = on_core(1, &["wrk", "-t1", "-c", CONNECTIONS, "-d", SECONDS, &url]).output().expect("wrk");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    let line = text.lines().find(|l| l.contains(" requests in ")).unwrap_or_else(|| panic!("{text}"));
    line.split_whitespace().next().unwrap().parse().unwrap()
}
