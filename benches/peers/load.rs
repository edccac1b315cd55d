//! Loads over HTTP/1.1 with connections that are kept: processor time of the client per request, against a server on
//! the other core. First one that is faster than any client here, so that the client does nothing but its work; then
//! `hardy serve`, where the faster clients wait for the server, and what they pay is to be woken for one or two answers.

use std::time::Duration;

use super::process::{Server, cpu_of, free_port, hardy};
use super::{Goal, Row, median};

const ROUNDS: usize = 9;
const SECONDS: &str = "2s";
const TIME: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 64;

/// A client: how it is started for a URL, and how many requests its output says.
type Client = (&'static str, fn(&str) -> Vec<String>, fn(&str) -> Option<f64>);

const OURS: Client = ("hardy", ours, from_json);
const PEERS: [Client; 4] = [
    ("bare epoll loop, no HTTP", floor, before_requests_in),
    ("wrk", wrk, before_requests_in),
    ("oha", oha, from_oha),
    ("hey", hey, from_hey),
];

/// What goal there is against each of the peers, in their order.
const GOALS: [f64; 4] = [1.1, 0.87, 0.55, 0.2];

pub fn rows() -> Vec<Row> {
    let [fast, slow] = [free_port(), free_port()];
    let this = std::env::current_exe().expect("this bench");
    let _fast = Server::start(&[this.to_str().expect("a UTF-8 path"), "floor", &fast.to_string()], fast);
    let address = format!("127.0.0.1:{slow}");
    let _slow = Server::start(&[hardy(), "--config", "none", "serve", "--listen", &address], slow);
    let mut rows = against("load: HTTP/1.1 keep-alive, 64 connections", fast, GOALS.map(Goal::AtMost));
    rows.extend(against("the same, waiting for `hardy serve`", slow, GOALS.map(|_| Goal::Context)));
    rows
}

fn against(what: &'static str, port: u16, goals: [Goal; 4]) -> Vec<Row> {
    let url = format!("http://127.0.0.1:{port}/");
    let peers = PEERS.into_iter().zip(goals).filter(|((name, ..), _)| *name != "oha" || is_installed("oha"));
    let mut clients: Vec<(Client, Goal, Vec<f64>)> =
        peers.map(|(client, goal)| (client, goal, Vec::new())).collect();
    let mut ours = Vec::new();
    for _ in 0..ROUNDS {
        ours.push(cost(OURS, &url));
        for (client, _, costs) in &mut clients {
            costs.push(cost(*client, &url));
        }
    }
    let ours = median(ours);
    let row = |(client, goal, costs): (Client, Goal, Vec<f64>)| Row {
        what,
        unit: "CPU us per request",
        ours,
        peer: client.0,
        theirs: median(costs),
        goal,
    };
    clients.into_iter().map(row).collect()
}

/// The client itself: 64 connections for some seconds.
pub fn run_floor(port: u16) {
    super::floor::load(port, CONNECTIONS, TIME).expect("epoll");
}

/// It is built from source, which takes longer than all of this: where it is there, it is compared with.
pub fn is_installed(program: &str) -> bool {
    std::process::Command::new(program).arg("--version").output().is_ok()
}

/// Microseconds of processor time per request.
fn cost((name, command, requests): Client, url: &str) -> f64 {
    let command = command(url);
    let (cpu, text) = cpu_of(&command.iter().map(String::as_str).collect::<Vec<_>>());
    let requests = requests(&text).unwrap_or_else(|| panic!("{name} said {text}"));
    cpu * 1e6 / requests
}

fn words(text: String) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn ours(url: &str) -> Vec<String> {
    let hardy = hardy();
    words(format!("{hardy} --config none --json load run {url} --threads 1 -c {CONNECTIONS} -d {SECONDS}"))
}

fn floor(url: &str) -> Vec<String> {
    let this = std::env::current_exe().expect("this bench");
    let port = url.trim_end_matches('/').rsplit(':').next().expect("a port");
    words(format!("{} load-floor {port}", this.display()))
}

fn wrk(url: &str) -> Vec<String> {
    words(format!("wrk -t1 -c {CONNECTIONS} -d {SECONDS} {url}"))
}

fn oha(url: &str) -> Vec<String> {
    words(format!("oha --no-tui -c {CONNECTIONS} -z {SECONDS} {url}"))
}

fn hey(url: &str) -> Vec<String> {
    words(format!("hey -cpus 1 -c {CONNECTIONS} -z {SECONDS} {url}"))
}

fn from_json(text: &str) -> Option<f64> {
    let document: serde_json::Value = serde_json::from_str(text).ok()?;
    document["data"]["ok"].as_f64()
}

/// "1234 requests in 3s"
fn before_requests_in(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.contains(" requests in "))?;
    line.split_whitespace().next()?.parse().ok()
}

/// "  [200] 1234 responses"
fn from_oha(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.trim().strip_prefix("[200] ")?.split_whitespace().next()?.parse().ok())
}

/// "  [200]\t1234 responses"
fn from_hey(text: &str) -> Option<f64> {
    from_oha(&text.replace('\t', " "))
}
