//! TLS of many servers at once, against one of them: what one waits for, and not what one computes, is shared.
//!
//! On loopback a check is nothing but computing, of which no second one comes free. So the servers are far away: they stand
//! behind a port each that passes on what it gets after the time that light takes.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::median;
use super::process::{Server, free_port, hardy, report_and_peak};

const TARGETS: usize = 200;
/// A round trip.
const AWAY: Duration = Duration::from_millis(100);

pub fn print() {
    let port = free_port();
    let upstream = SocketAddr::from(([127, 0, 0, 1], port));
    let listen = upstream.to_string();
    let server = [hardy(), "--config", "none", "serve", "--tls", "self-signed", "--listen", &listen];
    let _server = Server::start(&server, port);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let targets: Vec<String> = (0..TARGETS).map(|_| runtime.block_on(far(upstream))).collect();
    let one = median((0..3).map(|_| check(&targets[..1]).0).collect());
    let (all, peak) = check(&targets);
    let what = format!("tls check: {TARGETS} servers that are {} ms away", AWAY.as_millis());
    println!("| {what}, time against one of them ({one:.1} s) | {:.2} | <= 3 |", all / one);
    println!("| {what}, peak memory | {peak:.0} MiB | < 150 MiB |");
}

/// Seconds that the check of all of these took, and its peak resident MiB.
fn check(targets: &[String]) -> (f64, f64) {
    let mut command = Command::new(hardy());
    command.args(["--config", "none", "--json", "tls", "check"]).args(targets);
    let (document, peak) = report_and_peak(&mut command);
    let found = document["data"]["targets"].as_array().expect("targets");
    assert_eq!(found.len(), targets.len());
    // It is the certificate that is bad; whatever took too long would be an error.
    let is_error = |finding: &serde_json::Value| finding["status"] == "error";
    let findings = |target: &serde_json::Value| target["findings"].as_array().expect("findings").clone();
    let errors: Vec<_> = found.iter().flat_map(findings).filter(is_error).collect();
    assert!(errors.is_empty(), "{errors:?}");
    (document["data"]["elapsed_ms"].as_f64().expect("elapsed_ms") / 1e3, peak)
}

/// The URL of a server that is far away.
async fn far(upstream: SocketAddr) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(pass(near, upstream));
        }
    });
    format!("https://{address}")
}

async fn pass(mut near: TcpStream, upstream: SocketAddr) {
    let _ = near.set_nodelay(true);
    // A connection comes about after a round trip.
    sleep(AWAY).await;
    let Ok(mut far) = TcpStream::connect(upstream).await else { return };
    let _ = far.set_nodelay(true);
    let ((from_near, to_near), (from_far, to_far)) = (near.split(), far.split());
    tokio::join!(late(from_near, to_far), late(from_far, to_near));
}

async fn late(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        sleep(AWAY / 2).await;
        if to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
