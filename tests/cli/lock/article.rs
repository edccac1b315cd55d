//! The program that hardy comes from: ten workers contend for `my-lock`, each holds it, all get it once, and never
//! two at a time. With each store, and in etcd together with etcd's own clients.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::etcd::{self, Etcd};
use crate::lock::store::Store;
use crate::support::Process;

/// What a worker does while it holds the lock: only one can make the directory. Its token goes to a list.
const WORK: &str = r#"
mkdir "$DIR/inside" || echo "$1" >>"$DIR/overlaps"
echo "${HARDY_LOCK_TOKEN:-$ETCD_LOCK_REV} $1" >>"$DIR/done"
sleep 0.05
rmdir "$DIR/inside"
"#;

/// One worker's command line, to be appended to whatever holds the lock.
fn work(worker: &str) -> [&str; 5] {
    ["sh", "-c", WORK, "worker", worker]
}

/// Waits for all workers, and looks at what they left.
fn all_got_it_once(directory: &Path, workers: Vec<Process>) {
    let count = workers.len();
    for worker in workers {
        let run = worker.finish();
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    assert!(!directory.join("overlaps").exists(), "two at a time");
    let done = std::fs::read_to_string(directory.join("done")).unwrap();
    let mut names: Vec<&str> = done.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), done.lines().count()), (count, count), "each of them once: {done}");
    let tokens: Vec<u64> =
        done.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    assert!(tokens.is_sorted_by(|a, b| a < b), "tokens grow: {tokens:?}");
}

fn start(mut command: Command, directory: &Path) -> Process {
    Process::start(command.env("DIR", directory).stdin(Stdio::null()).stdout(Stdio::null()))
}

fn worker(store: &Store, name: &str) -> Process {
    let mut command = store.hardy();
    command.args(["lock", "run", "my-lock", "--"]).args(work(name));
    start(command, store.directory())
}

#[test]
fn ten_workers_and_one_lock() {
    Store::each(|store| {
        let workers = (0..10).map(|number| worker(store, &format!("w{number}"))).collect();
        all_got_it_once(store.directory(), workers);
        assert!(store.is_clean());
    });
}

/// hardy, etcdctl and Go's `concurrency.NewMutex` on one name.
fn mixed(etcd: Etcd, etcdctl: &Path) {
    let store = Store::of(etcd);
    let cluster = store.etcd().unwrap();
    let go = go_client();
    let mut workers = Vec::new();
    for number in 0..5 {
        workers.push(worker(&store, &format!("hardy{number}")));
        let mut etcdctl = Command::new(etcdctl);
        etcdctl.env("ETCDCTL_API", "3").args(["--endpoints", &cluster.endpoints(), "lock", "my-lock", "--"]);
        etcdctl.args(work(&format!("etcdctl{number}")));
        workers.push(start(etcdctl, store.directory()));
        let mut mutex = Command::new(&go);
        mutex.arg(cluster.endpoints()).arg("my-lock").args(work(&format!("go{number}")));
        workers.push(start(mutex, store.directory()));
    }
    all_got_it_once(store.directory(), workers);
    assert!(store.run(&["lock", "status"]).stdout.starts_with("nobody holds a lock"));
}

#[test]
fn together_with_etcds_own_clients() {
    mixed(Etcd::single(), Path::new("etcdctl"));
}

#[test]
fn together_with_etcds_own_clients_in_a_cluster() {
    mixed(Etcd::cluster(3), Path::new("etcdctl"));
}

#[test]
fn together_with_etcds_own_clients_on_etcd_3_5() {
    mixed(Etcd::single_3_5(), &etcd::of_3_5("etcdctl"));
}

/// Builds the Go client from Debian's source package of etcd, once.
fn go_client() -> PathBuf {
    static BUILT: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    let build = || {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/lock/mutex.go");
        let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutex");
        let mut go = Command::new("go");
        go.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode");
        go.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-cache"));
        let status = go.args(["build", "-o"]).arg(&binary).arg(source).status().expect("go is installed");
        assert!(status.success(), "the Go client is built");
        binary
    };
    BUILT.get_or_init(build).clone()
}
