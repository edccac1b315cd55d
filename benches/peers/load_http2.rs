//! Loads over HTTP/2 and over TLS: processor time of the client per request, against a server on the other core.

use std::fs;

use super::load::is_installed;
use super::process::{Server, cpu_of, free_port, hardy};
use super::{Goal, Row, median};

const ROUNDS: usize = 9;
const REQUESTS: &str = "100000";

/// One way of asking, and how each client is told to take it.
struct Way {
    what: &'static str,
    ours: &'static str,
    h2load: &'static str,
    oha: &'static str,
}

const WAYS: [Way; 3] = [
    Way {
        what: "load: HTTP/2, 4 connections of 16 streams",
        ours: "--http2-prior-knowledge -c 64 --streams 16",
        h2load: "-c 4 -m 16",
        oha: "--http2 -c 4 -p 16",
    },
    Way {
        what: "load: the same over TLS",
        ours: "--http2 --insecure -c 64 --streams 16",
        h2load: "-c 4 -m 16",
        oha: "--http2 --insecure -c 4 -p 16",
    },
    Way {
        what: "load: HTTP/1.1 over TLS, 64 connections",
        ours: "--insecure -c 64",
        h2load: "--h1 -c 64",
        oha: "--insecure -c 64",
    },
];

pub fn rows() -> Vec<Row> {
    let [plain, tls] = [free_port(), free_port()];
    // nginx, since hardy serves HTTP/2 over TLS only.
    let _nginx = start_nginx(plain);
    let _serve = start_serve(tls);
    let [plain, tls] = [format!("http://127.0.0.1:{plain}/"), format!("https://127.0.0.1:{tls}/")];
    WAYS.iter().zip([&plain, &tls, &tls]).flat_map(|(way, url)| against(way, url)).collect()
}

fn against(way: &Way, url: &str) -> Vec<Row> {
    let ours =
        format!("{} --config none --json load run {url} --threads 1 -n {REQUESTS} {}", hardy(), way.ours);
    let h2load = format!("h2load -t1 -n {REQUESTS} {} {url}", way.h2load);
    let oha = format!("oha --no-tui -n {REQUESTS} {} {url}", way.oha);
    let mut peers = vec![("h2load", h2load, format!("{REQUESTS} succeeded"), Vec::new())];
    if is_installed("oha") {
        peers.push(("oha", oha, format!("[200] {REQUESTS} responses"), Vec::new()));
    }
    let mut costs = Vec::new();
    for _ in 0..ROUNDS {
        costs.push(cost(&ours, &format!("\"ok\":{REQUESTS},")));
        for (_, command, all, costs) in &mut peers {
            costs.push(cost(command, all));
        }
    }
    let ours = median(costs);
    let row = |(peer, _, _, costs)| Row {
        what: way.what,
        unit: "CPU us per request",
        ours,
        peer,
        theirs: median(costs),
        goal: Goal::AtMost(1.0),
    };
    peers.into_iter().map(row).collect()
}

/// Microseconds of processor time per request of a command that says by this text that all were answered.
fn cost(command: &str, all: &str) -> f64 {
    let (cpu, text) = cpu_of(&command.split_whitespace().collect::<Vec<_>>());
    assert!(text.contains(all), "{command}: {text}");
    cpu * 1e6 / REQUESTS.parse::<f64>().expect("a number")
}

fn start_serve(port: u16) -> Server {
    let address = format!("127.0.0.1:{port}");
    Server::start(&[hardy(), "--config", "none", "serve", "--tls", "self-signed", "--listen", &address], port)
}

fn start_nginx(port: u16) -> Server {
    let directory = env!("CARGO_TARGET_TMPDIR");
    let config = format!(
        "daemon off; master_process off; worker_processes 1; pid {directory}/nginx-http2.pid; error_log /dev/null;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; default_type text/plain;\n\
           server {{ listen 127.0.0.1:{port} http2; location / {{ return 200 \"Hello World!\\n\"; }} }} }}\n"
    );
    let path = format!("{directory}/nginx-http2.conf");
    fs::write(&path, config).expect("a writable target directory");
    Server::start(&["/usr/sbin/nginx", "-c", &path], port)
}
