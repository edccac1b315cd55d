//! Starting peers, pinning them, and asking the kernel what they used.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A peer that is killed when it is no longer needed.
pub struct Server(pub Child);

impl Server {
    /// Starts it on the first core and waits until it answers on the port.
    pub fn start(command: &[&str], port: u16) -> Server {
        let mut pinned = on_core(0, command);
        let child = pinned.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the server starts");
        Server::listening(child, port)
    }

    /// Waits until a server that was started answers on the port.
    pub fn listening(child: Child, port: u16) -> Server {
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "nobody listens on {port}");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Server(child)
    }

    /// Processor time used so far, in seconds.
    pub fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("the server runs");
        let after_name = stat.rsplit(')').next().expect("a stat line");
        let ticks: f64 =
            after_name.split_whitespace().skip(11).take(2).map(|t| t.parse::<f64>().unwrap()).sum();
        ticks / 100.0
    }

    /// Memory in RAM now, in MiB.
    pub fn resident(&self) -> f64 {
        status(self.0.id(), "VmRSS:")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A line of /proc/PID/status, in MiB.
pub fn status(pid: u32, line: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let found = text.lines().find_map(|l| l.strip_prefix(line)).expect("a known line");
    found.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

/// The JSON document that a command prints, and its peak resident MiB.
pub fn report_and_peak(command: &mut Command) -> (serde_json::Value, f64) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let mut stdout = child.stdout.take().expect("stdout is piped");
    let mut first = [0; 1];
    // The report begins when all work is done: the process has had its peak, and still runs.
    stdout.read_exact(&mut first).expect("a report");
    let peak = status(child.id(), "VmHWM:");
    let mut document = first.to_vec();
    stdout.read_to_end(&mut document).expect("a report");
    child.wait().expect("it ends");
    (serde_json::from_slice(&document).expect("JSON"), peak)
}

/// Seconds of processor time that a command used on the second core, and what it printed.
pub fn cpu_of(command: &[&str]) -> (f64, String) {
    let mut child =
        on_core(1, command).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut text = String::new();
    child.stdout.take().expect("stdout is piped").read_to_string(&mut text).expect("text");
    // What has ended keeps its figures until somebody waits for it.
    let ticks = loop {
        let stat =
            fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("nobody has waited for it");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("a stat line").split_whitespace().collect();
        if fields[0] == "Z" {
            break fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>();
        }
        std::thread::yield_now();
    };
    child.wait().expect("it has ended");
    (ticks / 100.0, text)
}

/// The command pinned to a core, where there is more than one.
pub fn on_core(core: usize, command: &[&str]) -> Command {
    if cores() < 2 {
        let mut plain = Command::new(command[0]);
        plain.args(&command[1..]);
        return plain;
    }
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", &core.to_string()]).args(command);
    pinned
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

pub fn hardy() -> &'static str {
    env!("CARGO_BIN_EXE_hardy")
}

/// Builds a Go program of this directory into the target directory.
pub fn go(source: &str) -> String {
    let binary = format!("{}/{}", env!("CARGO_TARGET_TMPDIR"), source.trim_end_matches(".go"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(source);
    let status =
        Command::new("go").args(["build", "-o", &binary]).arg(source).status().expect("go is installed");
    assert!(status.success());
    binary
}

pub fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|l| l.strip_prefix("model name")?.split(": ").nth(1)).unwrap_or("unknown CPU");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {} cores, Linux {}", cores(), kernel.trim())
}
