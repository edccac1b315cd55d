//! Loads over HTTP/2: processor time of the client per request, against a server on the other core.

use std::fs;

use super::process::{Server, cpu_of, free_port, hardy};
use super::{Goal, Row, median};

const ROUNDS: usize = 5;
const REQUESTS: u64 = 200_000;
const CONNECTIONS: usize = 4;
const STREAMS: usize = 16;

pub fn rows() -> [Row; 2] {
    let [plain, tls] = [free_port(), free_port()];
    // nginx, since hardy serves HTTP/2 over TLS only.
    let _nginx = start_nginx(plain);
    let _serve = start_serve(tls);
    let urls = [format!("http://127.0.0.1:{plain}/"), format!("https://127.0.0.1:{tls}/")];
    let row = |what, url: &str| {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(ours_per_request(url));
            theirs.push(theirs_per_request(url));
        }
        let (ours, theirs) = (median(ours), median(theirs));
        Row { what, unit: "CPU us per request", ours, peer: "h2load", theirs, goal: Goal::AtMost(1.0) }
    };
    [row("load: HTTP/2, 4 connections of 16 streams", &urls[0]), row("load: the same over TLS", &urls[1])]
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

fn ours_per_request(url: &str) -> f64 {
    let (workers, streams) = ((CONNECTIONS * STREAMS).to_string(), STREAMS.to_string());
    let way: &[&str] = match url.starts_with("https") {
        true => &["--http2", "--insecure"],
        false => &["--http2-prior-knowledge"],
    };
    let requests = REQUESTS.to_string();
    let mut command = vec![hardy(), "--config", "none", "--json", "load", "run", url];
    command.extend(["--threads", "1", "-c", &workers, "--streams", &streams, "-n", &requests]);
    command.extend(way);
    let (cpu, text) = cpu_of(&command);
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(document["data"]["ok"].as_u64(), Some(REQUESTS), "{text}");
    cpu * 1e6 / REQUESTS as f64
}

fn theirs_per_request(url: &str) -> f64 {
    let [requests, connections, streams] =
        [REQUESTS, CONNECTIONS as u64, STREAMS as u64].map(|n| n.to_string());
    let (cpu, text) = cpu_of(&["h2load", "-t1", "-n", &requests, "-c", &connections, "-m", &streams, url]);
    assert!(text.contains(&format!("{REQUESTS} succeeded")), "{text}");
    cpu * 1e6 / REQUESTS as f64
}
