//! What a lock costs: whole processes against flock(1) and `etcdctl lock`, and long queues.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::process::{free_port, hardy};
use super::{Goal, Row, figure, median};

const ROUNDS: usize = 41;
/// How many wait in turn for the time of one hand-over.
const QUEUE: usize = 20;
const QUEUE_ROUNDS: usize = 3;

/// A cluster of etcd that is killed when it is no longer needed.
struct Etcd {
    members: Vec<Child>,
    endpoints: String,
    _data: TempDir,
}

impl Etcd {
    fn start(size: usize) -> Etcd {
        let data = tempfile::tempdir().expect("a directory");
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let ports: Vec<(u16, u16)> = (0..size).map(|_| (free_port(), free_port())).collect();
        let peers: Vec<String> =
            ports.iter().enumerate().map(|(i, (_, peer))| format!("m{i}={}", url(*peer))).collect();
        let member = |(i, (client, peer)): (usize, &(u16, u16))| {
            let (client, peer) = (url(*client), url(*peer));
            Command::new("etcd")
                .args(["--name", &format!("m{i}"), "--initial-cluster", &peers.join(",")])
                .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
                .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
                .arg("--data-dir")
                .arg(data.path().join(format!("m{i}")))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("etcd is installed")
        };
        let members = ports.iter().enumerate().map(member).collect();
        let endpoints: Vec<String> = ports.iter().map(|(client, _)| url(*client)).collect();
        let etcd = Etcd { members, endpoints: endpoints.join(","), _data: data };
        let end = Instant::now() + Duration::from_secs(30);
        while !etcd.etcdctl(&["endpoint", "health"]).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
        {
            assert!(Instant::now() < end, "etcd does not become healthy");
        }
        etcd
    }

    fn etcdctl(&self, args: &[&str]) -> Command {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &self.endpoints]).args(args);
        command.stdout(Stdio::null());
        command
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

/// `hardy lock` in the store of this host, or in the cluster.
fn ours(directory: &TempDir, etcd: Option<&Etcd>, args: &[&str]) -> Command {
    let mut command = Command::new(hardy());
    command.env("HARDY_CONFIG", "none").env("HARDY_STORE_DIRECTORY", directory.path());
    if let Some(etcd) = etcd {
        command.env("HARDY_STORE_ENDPOINTS", &etcd.endpoints);
    }
    command.arg("lock").args(args).stdout(Stdio::null());
    command
}

/// Milliseconds that the command takes, as a whole process.
fn milliseconds(command: &mut Command) -> f64 {
    let start = Instant::now();
    assert!(command.stderr(Stdio::null()).status().expect("it runs").success(), "{command:?}");
    start.elapsed().as_secs_f64() * 1e3
}

pub fn rows() -> Vec<Row> {
    let directory = tempfile::tempdir().expect("a directory");
    let single = Etcd::start(1);
    let cluster = Etcd::start(3);
    vec![
        against_flock(&directory),
        against_etcdctl("lock, whole process: etcd, one member", &directory, &single),
        against_etcdctl("lock, whole process: etcd, three members", &directory, &cluster),
        hand_over(&directory, &cluster),
    ]
}

fn against_flock(directory: &TempDir) -> Row {
    let file = directory.path().join("flock");
    let (mut hardy, mut flock) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        hardy.push(milliseconds(&mut ours(directory, None, &["run", "x", "--", "true"])));
        flock.push(milliseconds(Command::new("flock").arg(&file).arg("true")));
    }
    Row {
        what: "lock, whole process: this host",
        unit: "ms",
        ours: median(hardy),
        peer: "flock(1)",
        theirs: median(flock),
        goal: Goal::AtMost(2.0),
    }
}

fn against_etcdctl(what: &'static str, directory: &TempDir, etcd: &Etcd) -> Row {
    let (mut hardy, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        hardy.push(milliseconds(&mut ours(directory, Some(etcd), &["run", "x", "--", "true"])));
        peer.push(milliseconds(&mut etcd.etcdctl(&["lock", "y", "true"])));
    }
    Row {
        what,
        unit: "ms",
        ours: median(hardy),
        peer: "etcdctl lock",
        theirs: median(peer),
        goal: Goal::AtMost(0.3),
    }
}

fn hand_over(directory: &TempDir, cluster: &Etcd) -> Row {
    let (mut hardy, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..QUEUE_ROUNDS {
        hardy.push(drain(QUEUE, |command| {
            ours(directory, Some(cluster), &[&["run", "q", "--"], command].concat())
        }));
        peer.push(drain(QUEUE, |command| cluster.etcdctl(&[&["lock", "q2", "--"], command].concat())));
    }
    Row {
        what: "lock: hand-over in a queue of 20, three members",
        unit: "ms",
        ours: median(hardy),
        peer: "etcdctl lock",
        theirs: median(peer),
        goal: Goal::Context,
    }
}

/// Milliseconds per hand-over when `count` waiters, each with `true` to run, stand behind one holder.
fn drain(count: usize, lock: impl Fn(&[&str]) -> Command) -> f64 {
    let (mut holder, mut stdout) = holder(&lock);
    let mut waiters: Vec<Child> =
        (0..count).map(|_| lock(&["true"]).stderr(Stdio::null()).spawn().expect("a waiter starts")).collect();
    settled(&waiters);
    let start = Instant::now();
    drop(holder.stdin.take());
    for waiter in &mut waiters {
        assert!(waiter.wait().expect("a waiter ends").success());
    }
    let elapsed = start.elapsed().as_secs_f64() * 1e3 / count as f64;
    let _ = stdout.read_to_end(&mut Vec::new());
    let _ = holder.wait();
    elapsed
}

/// A lock that is held until its stdin is closed.
fn holder(lock: impl Fn(&[&str]) -> Command) -> (Child, BufReader<ChildStdout>) {
    // etcdctl gives its command no stdin: this one watches for a file that is gone with its parent's stdin.
    let gate = format!("{}/gate-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    // It is there already after the first time.
    let fifo = Command::new("mkfifo").arg(&gate).stderr(Stdio::null()).status();
    assert!(fifo.is_ok(), "mkfifo");
    let script = format!("echo held; read line <{gate}; true");
    let mut held = lock(&["sh", "-c", &script]).stdout(Stdio::piped()).spawn().expect("a holder starts");
    let mut stdout = BufReader::new(held.stdout.take().expect("stdout is piped"));
    let mut line = String::new();
    while !line.ends_with("held\n") {
        assert!(stdout.read_line(&mut line).expect("the holder says that it holds") > 0);
    }
    // Opening the gate for writing lets the holder's `read` return at the end of the file.
    let opener = Command::new("sh").args(["-c", &format!("cat >{gate}")]).stdin(Stdio::piped()).spawn();
    held.stdin = opener.expect("sh").stdin;
    (held, stdout)
}

/// Waits until no waiter uses the processor any more: all of them have queued.
fn settled(waiters: &[Child]) {
    let ticks = || -> u64 { waiters.iter().map(|waiter| cpu_ticks(waiter.id())).sum() };
    let mut before = 0;
    loop {
        std::thread::park_timeout(Duration::from_millis(300));
        let now = ticks();
        if now == before {
            return;
        }
        before = now;
    }
}

fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// What a hand-over costs in a long queue, over what it costs in a short one.
pub fn print_queues() {
    let directory = tempfile::tempdir().expect("a directory");
    let single = Etcd::start(1);
    for (store, etcd) in [("this host", None), ("etcd", Some(&single))] {
        let lock = |command: &[&str]| {
            let mut lock = ours(&directory, etcd, &[&["run", "long", "--"], command].concat());
            // A thousand that start at once keep a small machine busy for longer than anybody should wait.
            lock.env("HARDY_STORE_TIMEOUT", "30s");
            lock
        };
        let (short, long) = (drain(100, lock), drain(1000, lock));
        println!(
            "| lock: hand-over among 1000 waiters over one among 100, {store} | {} ({} ms over {} ms) | about 1 |",
            figure(long / short),
            figure(long),
            figure(short)
        );
    }
}
