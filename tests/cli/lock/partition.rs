//! Cut links: a holder, a waiter, or a member of etcd is alone, and all others are well.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::history::Resource;
use super::network::{Net, Network};
use crate::support::{Process, hardy, wait_for};

const TTL: Duration = Duration::from_secs(4);

/// Three members and two hosts, `a` and `b`.
struct Cluster {
    resource: Resource,
    /// In the order in which they are tried.
    endpoints: Vec<String>,
    directory: tempfile::TempDir,
    members: Vec<Process>,
    // The last to go.
    network: Network,
}

impl Cluster {
    /// None where that is not permitted.
    fn start(test: &str) -> Option<Cluster> {
        let network = Network::new(test, 3, &["a", "b"])?;
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let peer = |member: usize| format!("http://{}:2380", network.member(member, Net::Peers));
        let client = |member: usize| format!("http://{}:2379", network.member(member, Net::Clients));
        let all: Vec<_> = (0..3).map(|member| format!("m{member}={}", peer(member))).collect();
        let members = (0..3).map(|member| {
            let mut etcd = Command::new("etcd");
            etcd.args(["--name", &format!("m{member}"), "--log-level", "error", "--data-dir"]);
            etcd.arg(directory.path().join(format!("m{member}")));
            etcd.args(["--listen-peer-urls", &peer(member), "--initial-advertise-peer-urls", &peer(member)]);
            etcd.args(["--listen-client-urls", &client(member), "--advertise-client-urls", &client(member)]);
            etcd.args(["--initial-cluster", &all.join(",")]);
            etcd.args(["--heartbeat-interval", "50", "--election-timeout", "500"]);
            let mut etcd = network.on(&format!("m{member}"), &etcd);
            Process::start(etcd.stdin(Stdio::null()).stdout(Stdio::null()))
        });
        let members = members.collect();
        let endpoints = (0..3).map(client).collect();
        let resource = Resource::at(network.listener(), 1);
        let cluster = Cluster { resource, endpoints, directory, members, network };
        wait_for("all members", || {
            (0..3).all(|member| cluster.ask(member, &["endpoint", "health"]).is_some()).then_some(())
        });
        Some(cluster)
    }

    /// etcd's own client, on host `b`, asks one member.
    fn ask(&self, member: usize, arguments: &[&str]) -> Option<String> {
        let mut etcdctl = Command::new("etcdctl");
        etcdctl.env("ETCDCTL_API", "3").args(["--command-timeout", "2s", "--dial-timeout", "2s"]);
        etcdctl.args(["--endpoints", &self.endpoints[member]]).args(arguments);
        let output = self.network.on("b", &etcdctl).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn keys(&self, member: usize) -> usize {
        let found = self.ask(member, &["get", "x/", "--prefix", "--keys-only"]).unwrap_or_default();
        found.lines().filter(|line| !line.is_empty()).count()
    }

    fn leader(&self) -> usize {
        wait_for("a leader", || {
            (0..3).find(|member| {
                let status = self.ask(*member, &["endpoint", "status", "-w", "json"]).unwrap_or_default();
                let status: serde_json::Value = serde_json::from_str(&status).unwrap_or_default();
                let status = &status[0]["Status"];
                status["leader"].is_u64() && status["leader"] == status["header"]["member_id"]
            })
        })
    }

    /// `hardy lock run x` on that host, asking `first` before the other members.
    fn contend(&self, host: &str, first: usize, command: &[impl AsRef<std::ffi::OsStr>]) -> Process {
        let mut endpoints = self.endpoints.clone();
        endpoints.rotate_left(first);
        let ttl = format!("{}s", TTL.as_secs());
        let mut run = hardy();
        run.env("HARDY_STORE_DIRECTORY", self.directory.path()).env("RESOURCE", self.resource.place());
        run.args([
            "lock",
            "run",
            "x",
            "--ttl",
            &ttl,
            "--grace",
            "500ms",
            "--endpoints",
            &endpoints.join(","),
        ]);
        run.arg("--").args(command);
        Process::start(&mut self.network.on(host, &run))
    }
}

#[test]
fn an_isolated_holders_command_is_dead_before_its_lease_is() {
    let Some(cluster) = Cluster::start("an isolated holder") else { return };
    let holder = cluster.contend("a", 0, &cluster.resource.stubborn());
    let first = cluster.resource.next();
    let waiter = cluster.contend("b", 0, &cluster.resource.command());
    wait_for("a waiter", || (cluster.keys(0) == 2).then_some(()));
    cluster.network.cut("a", Net::Clients);
    let gone = first.gone();
    let keys = cluster.keys(0);
    let second = cluster.resource.next();
    assert!(gone < second.arrived);
    assert_eq!(keys, 2, "the lease outlives the command");
    let lost = holder.finish();
    assert_eq!(lost.code, Some(76), "{lost:?}");
    second.end();
    assert_eq!(waiter.finish().code, Some(0));
    cluster.resource.check();
}

#[test]
fn a_waiter_that_was_cut_off_for_a_moment_keeps_its_place() {
    let Some(cluster) = Cluster::start("a waiter that is cut off for a moment") else { return };
    let holder = cluster.contend("a", 0, &cluster.resource.command());
    let first = cluster.resource.next();
    let waiter = cluster.contend("b", 0, &cluster.resource.command());
    wait_for("a waiter", || (cluster.keys(0) == 2).then_some(()));
    let later = cluster.contend("a", 0, &cluster.resource.command());
    wait_for("another waiter", || (cluster.keys(0) == 3).then_some(()));
    let mine = waiter.id();
    cluster.network.cut("b", Net::Clients);
    first.end();
    assert_eq!(holder.finish().code, Some(0));
    cluster.network.heal("b", Net::Clients);
    let second = cluster.resource.next();
    assert_eq!(second.hardy, mine as i32, "it was first in the queue");
    second.end();
    assert_eq!(waiter.finish().code, Some(0));
    cluster.resource.next().end();
    assert_eq!(later.finish().code, Some(0));
    cluster.resource.check();
}

#[test]
fn a_waiter_that_is_cut_off_for_long_says_so_and_is_in_nobodys_way() {
    let Some(cluster) = Cluster::start("a waiter that is cut off for long") else { return };
    let holder = cluster.contend("b", 0, &cluster.resource.command());
    let first = cluster.resource.next();
    let waiter = cluster.contend("a", 0, &cluster.resource.command());
    wait_for("a waiter", || (cluster.keys(0) == 2).then_some(()));
    cluster.network.cut("a", Net::Clients);
    wait_for("the end of its lease", || (cluster.keys(0) == 1).then_some(()));
    first.end();
    assert_eq!(holder.finish().code, Some(0));
    let lost = waiter.finish();
    assert!([Some(3), Some(75)].contains(&lost.code) && lost.stderr.contains("error: "), "{lost:?}");
    cluster.network.heal("a", Net::Clients);
    let next = cluster.contend("a", 0, &cluster.resource.command());
    cluster.resource.next().end();
    assert_eq!(next.finish().code, Some(0));
    cluster.resource.check();
    assert_eq!(cluster.keys(0), 0);
}

#[test]
fn a_holder_leaves_a_member_that_is_cut_off_from_the_others() {
    let Some(cluster) = Cluster::start("a member that is cut off") else { return };
    let leader = cluster.leader();
    let holder = cluster.contend("a", leader, &cluster.resource.command());
    let life = cluster.resource.next();
    let waiter = cluster.contend("b", leader, &cluster.resource.command());
    wait_for("a waiter", || (cluster.keys(leader) == 2).then_some(()));
    cluster.network.cut(&format!("m{leader}"), Net::Peers);
    assert!(!life.gone_within(2 * TTL), "the lock is renewed through another member");
    assert_eq!(cluster.keys((leader + 1) % 3), 2);
    life.end();
    let run = holder.finish();
    assert_eq!(run.code, Some(0), "{run:?}");
    cluster.resource.next().end();
    let run = waiter.finish();
    assert_eq!(run.code, Some(0), "{run:?}");
    cluster.resource.check();
    cluster.network.heal(&format!("m{leader}"), Net::Peers);
    drop(cluster.members);
}
