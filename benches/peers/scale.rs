//! What must stay small when much is asked: memory for idle connections, time and memory for many targets.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use super::process::{Server, free_port, hardy, report_and_peak};

const CONNECTIONS: usize = 10_000;
const TARGETS: usize = 1_000;

pub fn print() {
    let (bare, held) = idle_connections();
    println!(
        "| serve: memory with {CONNECTIONS} idle keep-alive connections | {held:.0} MiB ({bare:.0} without) | < 100 MiB |"
    );
    let (ratio, peak) = many_targets();
    println!("| probe: {TARGETS} targets at once, time against the slowest target | {ratio:.2} | <= 1.5 |");
    println!("| probe: {TARGETS} targets at once, peak memory | {peak:.0} MiB | < 100 MiB |");
    let (share, _) = watched("1s", 20);
    println!("| probe: {TARGETS} targets every second, CPU of one core | {share:.0} % | < 25 % |");
    // Each latency is in its buckets after 128 rounds: then the books have the size that they keep.
    let (_, resident) = watched("100ms", 400);
    println!("| probe: {TARGETS} targets watched for 400 rounds, memory | {resident:.0} MiB | < 150 MiB |");
}

/// Resident MiB of a server before and while it holds the connections; each has had one answer.
fn idle_connections() -> (f64, f64) {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let server = Server::start(&[hardy(), "--config", "none", "serve", "--listen", &address], port);
    let bare = server.resident();
    let held: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|_| {
            let mut stream = TcpStream::connect(&address).expect("a connection");
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request");
            let mut answer = [0; 512];
            let length = stream.read(&mut answer).expect("an answer");
            assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
            stream
        })
        .collect();
    let resident = server.resident();
    drop(held);
    (bare, resident)
}

/// Percent of a core over some rounds of a watch, after its first, and the resident MiB at their end.
fn watched(interval: &str, rounds: u64) -> (f64, f64) {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let _server = Server::start(&[hardy(), "--config", "none", "serve", "--listen", &address], port);
    let metrics = free_port();
    let listen = format!("127.0.0.1:{metrics}");
    let path = config_of_targets(&address);
    let watch = [hardy(), "--config", &path, "probe", "--watch", "--interval", interval, "--listen", &listen];
    let watch = Server::start(&watch, metrics);
    let first = wait_for_round(&listen, 1);
    let (begin, used) = (Instant::now(), watch.cpu());
    wait_for_round(&listen, first + rounds);
    let share = 100.0 * (watch.cpu() - used) / begin.elapsed().as_secs_f64();
    (share, watch.resident())
}

/// Waits for a round to be over, and returns the number of those that are.
fn wait_for_round(listen: &str, round: u64) -> u64 {
    loop {
        let mut stream = TcpStream::connect(listen).expect("the metrics");
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let rounds = text.lines().find_map(|line| line.strip_prefix("hardy_probe_rounds_total "));
        match rounds.map(|number| number.parse().expect("a number")) {
            Some(rounds) if rounds >= round => return rounds,
            _ => std::thread::park_timeout(Duration::from_secs(2)),
        }
    }
}

fn config_of_targets(address: &str) -> String {
    let path = format!("{}/targets.toml", env!("CARGO_TARGET_TMPDIR"));
    let targets = (0..TARGETS).map(|n| format!("[targets.t{n}]\nurl = \"http://{address}/{n}\"\n"));
    fs::write(&path, targets.collect::<String>()).expect("a writable target directory");
    path
}

/// The whole run's time over the slowest target's, and the peak resident MiB.
fn many_targets() -> (f64, f64) {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let _server = Server::start(
        &[hardy(), "--config", "none", "serve", "--listen", &address, "--fault", "latency=500ms"],
        port,
    );
    let path = config_of_targets(&address);
    let mut command = Command::new(hardy());
    let command = command.args(["--config", &path, "--json", "probe", "--timeout", "10s"]);
    let (document, peak) = report_and_peak(command);
    assert_eq!(document["verdict"], "good");
    let targets = document["data"]["targets"].as_array().expect("targets");
    assert_eq!(targets.len(), TARGETS);
    let slowest = targets.iter().filter_map(|t| t["last"]["latency_us"].as_f64()).fold(0.0, f64::max);
    let elapsed = document["data"]["elapsed_ms"].as_f64().expect("elapsed_ms");
    (elapsed * 1000.0 / slowest, peak)
}
