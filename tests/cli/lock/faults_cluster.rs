//! Members of a cluster die, stop and come back while commands run under its locks.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::history::{Life, Pinned, Resource};
use super::store::Store;
use crate::etcd::{ELECTION, Etcd};
use crate::support::{Process, wait_for};

const TTL: Duration = Duration::from_secs(4);

/// What etcd adds until it ends a lease, and what the next one needs to come.
const TAKEOVER: Duration = Duration::from_millis(1500);

/// What a machine that runs all the other tests may add to that.
const BUSY: Duration = Duration::from_secs(4);

struct Cluster {
    store: Store,
    resource: Resource,
}

impl Cluster {
    fn start() -> Cluster {
        Cluster { store: Store::of(Etcd::cluster(3)), resource: Resource::open(1) }
    }

    fn etcd(&mut self) -> &mut Etcd {
        self.store.etcd_mut().unwrap()
    }

    fn contend(&self, command: &[impl AsRef<std::ffi::OsStr>]) -> Process {
        let mut run = self.store.hardy();
        run.args(["lock", "run", "x", "--ttl", &format!("{}s", TTL.as_secs()), "--grace", "500ms", "--"]);
        Process::start(run.args(command).env("RESOURCE", self.resource.place()))
    }

    /// A holder, and one that waits for it.
    fn holder_and_waiter(&self) -> (Process, std::sync::Arc<Life>, Process) {
        let holder = self.contend(&self.resource.command());
        let life = self.resource.next();
        let waiter = self.contend(&self.resource.command());
        wait_for("a waiter", || (self.store.etcd().unwrap().keys("x/").len() == 2).then_some(()));
        (holder, life, waiter)
    }

    /// Nobody of them notices what happens.
    fn survives(&mut self, fault: impl FnOnce(&mut Etcd)) {
        let (holder, life, waiter) = self.holder_and_waiter();
        fault(self.etcd());
        assert!(!life.gone_within(TTL + TTL / 2), "the lock is kept");
        life.end();
        self.resource.next().end();
        for run in [holder.finish(), waiter.finish()] {
            // But that it waited.
            let told = run.stderr.lines().filter(|line| !line.starts_with("waiting ")).count();
            assert_eq!((run.code, told), (Some(0), 0), "{run:?}");
        }
        assert!(self.store.is_clean());
        self.resource.check();
    }

    /// The takeover after the death of hardy, its watchdog and its command at once.
    fn takeover(&mut self, fault: impl FnOnce(&mut Etcd)) -> Duration {
        let (mut holder, life, waiter) = self.holder_and_waiter();
        let watchdog = Pinned::watchdog(life.hardy).expect("a watchdog");
        watchdog.signal(Signal::KILL);
        holder.signal("KILL");
        life.signal(Signal::KILL);
        let killed = Instant::now();
        fault(self.etcd());
        holder.wait();
        let next = self.resource.next();
        next.end();
        assert_eq!(waiter.finish().code, Some(0));
        self.resource.check();
        next.arrived - killed
    }
}

#[test]
fn a_lock_survives_the_death_of_a_follower_which_comes_back_with_its_data() {
    let mut cluster = Cluster::start();
    let follower = (cluster.etcd().leader() + 1) % 3;
    cluster.survives(|etcd| etcd.kill(follower));
    let (holder, life, waiter) = cluster.holder_and_waiter();
    cluster.etcd().restart(follower);
    let member = cluster.etcd().urls()[follower].clone();
    let status = ["lock", "status", "x", "--json", "--endpoints", &member];
    wait_for("what it missed", || {
        let run = cluster.store.run(&status);
        let lock = (run.code == Some(0)).then(|| run.json()["data"]["locks"][0].clone())?;
        (lock["holders"][0]["token"] == life.token && lock["waiters"].as_array()?.len() == 1).then_some(())
    });
    life.end();
    cluster.resource.next().end();
    assert_eq!((holder.finish().code, waiter.finish().code), (Some(0), Some(0)));
    assert!(cluster.store.is_clean());
}

#[test]
fn a_lock_survives_the_death_of_the_leader() {
    let mut cluster = Cluster::start();
    cluster.survives(|etcd| {
        let leader = etcd.leader();
        etcd.kill(leader);
    });
}

#[test]
fn a_lock_survives_a_leader_that_is_stopped() {
    let mut cluster = Cluster::start();
    let leader = cluster.etcd().leader();
    // etcdctl does not leave a member that keeps quiet; the leader goes on when all is over.
    let (holder, life, waiter) = cluster.holder_and_waiter();
    cluster.etcd().stop(leader);
    assert!(!life.gone_within(TTL + TTL / 2), "the lock is kept");
    life.end();
    cluster.resource.next().end();
    assert_eq!((holder.finish().code, waiter.finish().code), (Some(0), Some(0)));
    cluster.etcd().cont(leader);
    wait_for("it to catch up", || cluster.store.is_clean().then_some(()));
    cluster.resource.check();
}

#[test]
fn without_a_majority_the_command_is_stopped_before_its_lease_ends() {
    let mut cluster = Cluster::start();
    let holder = cluster.contend(&cluster.resource.stubborn());
    let life = cluster.resource.next();
    cluster.etcd().kill(0);
    cluster.etcd().kill(1);
    // No renewal is acknowledged that was sent after this.
    let deadline = Instant::now() + TTL;
    assert!(life.gone() <= deadline, "it outlives its lease");
    let lost = holder.finish();
    assert!(lost.code == Some(76) && lost.stderr.contains("could not be renewed"), "{lost:?}");
    cluster.etcd().restart(0);
    cluster.etcd().restart(1);
    cluster.etcd().leader();
    let next = cluster.contend(&cluster.resource.command());
    let second = cluster.resource.next();
    assert!(second.token > life.token);
    second.end();
    assert_eq!(next.finish().code, Some(0));
    assert!(cluster.store.is_clean());
    cluster.resource.check();
}

#[test]
fn a_holder_that_dies_with_all_its_processes_is_followed_after_its_lease() {
    let takeover = Cluster::start().takeover(|_| {});
    assert!(takeover <= TTL + TAKEOVER + BUSY, "{takeover:?}");
}

#[test]
fn a_holder_that_dies_together_with_the_leader_is_followed_after_its_lease_and_an_election() {
    let mut cluster = Cluster::start();
    let leader = cluster.etcd().leader();
    let takeover = cluster.takeover(|etcd| etcd.kill(leader));
    assert!(takeover <= TTL + ELECTION + TAKEOVER + BUSY, "{takeover:?}");
}
