//! Fifty processes contend for one lock while they, their commands, their watchdogs and the members of the cluster are
//! killed and stopped at random: no two commands overlap, tokens grow, and nothing is left. `make soak` runs it long.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;

use super::crew::{Crew, WORKERS, ends_with_hardy};
use super::history::{Life, Pinned, Resource, Seen};
use super::store::Store;
use crate::etcd::Etcd;
use crate::support::{Process, wait_for};

/// The lease in etcd.
const TTL: Duration = Duration::from_secs(2);

/// By then hardy has told the watchdog of its command.
const TOLD: Duration = Duration::from_millis(100);

/// Longest time without anybody who gets the lock: several leases, elections, and a busy machine.
const STUCK: Duration = Duration::from_secs(60);

#[test]
fn many_contend_on_one_host_while_some_are_killed() {
    Plan::new(800).run(Store::local());
}

#[test]
fn many_contend_in_a_cluster_while_some_are_killed() {
    Plan::new(300).run(Store::of(Etcd::cluster(3)));
}

/// How much, and which random numbers.
struct Plan {
    acquisitions: usize,
    /// One in so many has a fault.
    calm: usize,
    seed: u64,
}

impl Plan {
    /// That many acquisitions, unless `make soak` wants more.
    #[expect(clippy::disallowed_methods, reason = "how long it takes is for the person to say who runs it")]
    fn new(usual: usize) -> Plan {
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
        let acquisitions = number("HARDY_SOAK_ACQUISITIONS").map_or(usual, |count| count as usize);
        let seed = number("HARDY_SOAK_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
        // A fault can cost the time of a lease: a long run has more of them, and a lower rate.
        Plan { acquisitions, calm: if acquisitions < 5_000 { 20 } else { 80 }, seed }
    }

    fn run(&self, store: Store) {
        let place = if store.etcd().is_some() { "etcd, three members" } else { "this host" };
        say(&format!("soak: {place}, seed {}", self.seed));
        let mut soak = Soak::new(store, self);
        let begun = Instant::now();
        soak.until(self.acquisitions);
        let seen = soak.settle();
        say(&format!(
            "soak: {place}, seed {}: {} acquisitions in {:.0?} by {WORKERS} processes at a time, {}",
            self.seed,
            seen.acquisitions,
            begun.elapsed(),
            soak.summary(&seen)
        ));
    }
}

#[expect(clippy::print_stdout, reason = "the summary is what one runs it for")]
fn say(text: &str) {
    println!("{text}");
}

/// What is done to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KillHolder,
    StopHolder,
    KillWaiter,
    StopWaiter,
    KillCommand,
    StopCommand,
    KillWatchdog,
    StopWatchdog,
    KillMember,
    KillLeader,
}

use Fault::*;

/// In every store.
const OF_PROCESSES: [Fault; 8] =
    [KillHolder, StopHolder, KillWaiter, StopWaiter, KillCommand, StopCommand, KillWatchdog, StopWatchdog];

/// Also in a cluster.
const OF_MEMBERS: [Fault; 2] = [KillMember, KillLeader];

/// What is put right later.
enum Later {
    Continue(Pinned),
    Restart(usize),
}

struct Soak {
    store: Store,
    resource: Resource,
    crew: Arc<Crew>,
    threads: Vec<JoinHandle<()>>,
    rng: Rng,
    later: Vec<(Instant, Later)>,
    faults: BTreeMap<Fault, usize>,
    calm: usize,
    until_fault: usize,
    /// Everybody who took a place in the queue of etcd, as etcd's own client saw it.
    queue: Option<Process>,
    /// When a holder was killed, until the next one comes.
    killed: Option<Instant>,
    takeover: Duration,
    /// In milliseconds; where there is a lease, it can end meanwhile.
    longest_pause: u64,
}

impl Soak {
    fn new(store: Store, plan: &Plan) -> Soak {
        let resource = Resource::open(1);
        let queue = store.etcd().map(|etcd| watch(etcd, &store.directory().join("queue")));
        let crew = Arc::new(Crew::new(&store, &resource));
        let threads = (0..WORKERS).map(|worker| {
            let crew = crew.clone();
            thread::spawn(move || crew.work(worker))
        });
        let threads = threads.collect();
        let longest_pause = if store.etcd().is_some() { 3_000 } else { 400 };
        let rng = Rng::with_seed(plan.seed);
        Soak {
            store,
            resource,
            crew,
            threads,
            rng,
            later: Vec::new(),
            faults: BTreeMap::new(),
            calm: plan.calm,
            until_fault: plan.calm,
            queue,
            killed: None,
            takeover: Duration::ZERO,
            longest_pause,
        }
    }

    /// Lets them contend, with faults.
    fn until(&mut self, acquisitions: usize) {
        while self.resource.count() < acquisitions {
            let life = self.next().unwrap_or_else(|| panic!("{}", self.stuck()));
            self.until_fault -= 1;
            if self.until_fault == 0 {
                self.until_fault = self.rng.usize(1..2 * self.calm);
                self.disturb(&life);
            } else {
                let hold = Duration::from_micros(self.rng.u64(..4_000));
                self.hold(&life, hold);
            }
            life.end();
            self.resource.check();
        }
    }

    fn stuck(&self) -> String {
        let queue = self.store.run(&["lock", "status"]);
        format!("nobody comes any more: {queue:?}; {}", self.resource.wrong())
    }

    /// The next one; none in a long time.
    fn next(&mut self) -> Option<Arc<Life>> {
        let end = Instant::now() + STUCK;
        while Instant::now() < end {
            let pause = self.put_right();
            if let Some(life) = self.resource.within(pause) {
                if let Some(killed) = self.killed.take() {
                    self.takeover = self.takeover.max(life.arrived - killed);
                }
                return Some(life);
            }
            if self.threads.iter().all(JoinHandle::is_finished) {
                return None;
            }
        }
        None
    }

    /// Puts right what is due; how long until there is more of that.
    fn put_right(&mut self) -> Duration {
        let now = Instant::now();
        let due: Vec<_> = self.later.extract_if(.., |(when, _)| *when <= now).collect();
        for (_, later) in due {
            match later {
                Later::Continue(process) => drop(process.signal(Signal::CONT)),
                Later::Restart(member) => self.store.etcd_mut().unwrap().restart(member),
            }
        }
        let next = self.later.iter().map(|(when, _)| *when).min();
        let next = next.map_or(Duration::MAX, |next| next.saturating_duration_since(now));
        next.clamp(Duration::from_millis(1), Duration::from_millis(100))
    }

    /// Goes on for that long, or until the command has ended.
    fn hold(&mut self, life: &Life, time: Duration) {
        let end = Instant::now() + time;
        loop {
            let pause = self.put_right().min(end.saturating_duration_since(Instant::now()));
            if life.gone_within(pause) || Instant::now() >= end {
                return;
            }
        }
    }

    fn disturb(&mut self, life: &Life) {
        let fault = self.choose();
        self.resource.note(format!("{fault:?}"));
        *self.faults.entry(fault).or_default() += 1;
        let pause = Duration::from_millis(self.rng.u64(1..self.longest_pause));
        let short = pause / 20;
        if [KillHolder, StopHolder].contains(&fault) {
            // One that is killed before it has told the watchdog of its command is another test: the command is looked for.
            self.hold(life, TOLD);
        }
        match fault {
            KillHolder => self.kill_holder(life),
            StopHolder => {
                self.stop(life.worker, pause);
                let hold = self.rng.u64(..self.longest_pause);
                self.hold(life, Duration::from_millis(hold));
            }
            KillWaiter | StopWaiter => {
                let other = (life.worker + self.rng.usize(1..WORKERS)) % WORKERS;
                match fault {
                    KillWaiter => drop(self.crew.disturb(other, Signal::KILL)),
                    _ => self.stop(other, pause),
                }
            }
            KillCommand => {
                self.crew.touch(life.worker);
                life.signal(Signal::KILL);
            }
            StopCommand => {
                life.signal(Signal::STOP);
                self.hold(life, short);
                life.signal(Signal::CONT);
            }
            KillWatchdog | StopWatchdog => {
                if let Some(watchdog) = Pinned::watchdog(life.hardy) {
                    watchdog.signal(if fault == KillWatchdog { Signal::KILL } else { Signal::STOP });
                    self.hold(life, short);
                }
            }
            KillMember | KillLeader => self.kill_member(fault == KillLeader, pause),
        }
    }

    fn choose(&mut self) -> Fault {
        let whole = !self.later.iter().any(|(_, later)| matches!(later, Later::Restart(_)));
        let etcd = self.store.etcd().is_some();
        match self.rng.u8(..10) {
            0 if etcd && whole => *self.rng.choice(&OF_MEMBERS).unwrap(),
            _ => *self.rng.choice(&OF_PROCESSES).unwrap(),
        }
    }

    fn kill_holder(&mut self, life: &Life) {
        let killed = Instant::now();
        if self.crew.disturb(life.worker, Signal::KILL).is_none() {
            return;
        }
        // On one host the command keeps the lock, unless it ends with hardy: nobody takes over before its end.
        if self.store.etcd().is_none() && !ends_with_hardy(life.worker) {
            self.hold(life, Duration::from_millis(50));
            life.end();
            self.killed = Some(Instant::now());
        } else {
            life.gone();
            self.killed = Some(killed);
        }
    }

    fn stop(&mut self, worker: usize, pause: Duration) {
        if let Some(process) = self.crew.disturb(worker, Signal::STOP) {
            self.resource.forgive(worker);
            self.later.push((Instant::now() + pause, Later::Continue(process)));
        }
    }

    fn kill_member(&mut self, leader: bool, pause: Duration) {
        let etcd = self.store.etcd_mut().unwrap();
        let member = if leader { etcd.leader() } else { self.rng.usize(..3) };
        etcd.kill(member);
        self.crew.cluster.fetch_add(1, Ordering::Relaxed);
        self.later.push((Instant::now() + pause, Later::Restart(member)));
    }

    /// No more faults: everybody in the queue gets the lock, and nothing is left.
    fn settle(&mut self) -> Seen {
        self.crew.over.store(true, Ordering::Relaxed);
        while let Some(life) = self.next() {
            life.end();
        }
        assert!(self.threads.iter().all(JoinHandle::is_finished), "{}", self.stuck());
        for (when, _) in &mut self.later {
            *when = Instant::now();
        }
        self.put_right();
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
        let seen = self.resource.check();
        self.first_come_first_served(&seen.ids);
        let wrong = self.crew.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
        wait_for("the last lease to end", || self.store.is_clean().then_some(()));
        let queue = self.store.run(&["lock", "status"]);
        assert!(queue.stdout.starts_with("nobody holds a lock or waits for one "), "{queue:?}");
        seen
    }

    /// They came in the order in which they had taken their places.
    fn first_come_first_served(&mut self, came: &[String]) {
        let places: HashMap<String, usize> = match self.queue.take() {
            Some(watching) => {
                drop(watching);
                let log = std::fs::read_to_string(self.store.directory().join("queue")).unwrap();
                let written = log.lines().zip(log.lines().skip(1)).filter(|(event, _)| *event == "PUT");
                let keys = written.filter_map(|(_, key)| key.strip_prefix("soak/"));
                // The first time counts: when it gets the lock, it writes its key anew.
                let keys: Vec<_> = keys.map(str::to_owned).zip(0..).collect();
                keys.into_iter().rev().collect()
            }
            // The place is the handle's number.
            None => came.iter().map(|id| (id.clone(), id.parse().unwrap())).collect(),
        };
        let places: Vec<_> = came.iter().filter_map(|id| places.get(id)).collect();
        assert!(places.len() > came.len() / 2, "{} of {} are known", places.len(), came.len());
        assert!(places.is_sorted_by(|a, b| a < b), "not in their order: {places:?}");
    }

    fn summary(&self, seen: &Seen) -> String {
        let faults: Vec<_> = self.faults.iter().map(|(fault, count)| format!("{count} {fault:?}")).collect();
        let exits = self.crew.exits.lock().unwrap();
        let exits: Vec<_> =
            exits.iter().map(|(how, (count, said))| format!("{count} with {how} {said:?}")).collect();
        format!(
            "highest token {}; faults: {}; they ended: {}; worst takeover after a holder's kill {:.2?} (TTL {TTL:?}); \
             {} refused by token; the end of a command was seen at most {:.1?} after the next one had come",
            seen.highest,
            faults.join(", "),
            exits.join(", "),
            self.takeover,
            seen.refused,
            seen.patience,
        )
    }
}

/// Writes down who comes into the queue; it works when this returns.
fn watch(etcd: &Etcd, file: &Path) -> Process {
    let log = File::create(file).unwrap();
    let watching = Process::start(etcd.ctl().args(["watch", "--prefix", "soak/"]).stdout(log));
    wait_for("the watch", || {
        etcd.etcdctl(&["put", "soak/first", ""]);
        (file.metadata().unwrap().len() > 0).then_some(())
    });
    etcd.etcdctl(&["del", "soak/first"]);
    watching
}

impl Drop for Soak {
    fn drop(&mut self) {
        self.crew.kill();
    }
}
