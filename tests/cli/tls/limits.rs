//! What a check may cost: connections at a time, and one target the time of another.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hardy::http::Overrides;
use hardy::tls::chain::Roots;
use hardy::tls::policy::Policy;
use hardy::tls::session::Depth;
use hardy::tls::target::{Endpoint, Place, Target};
use hardy::tls::threshold::Threshold;
use hardy::tls::{Plan, Snapshot, check};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::fixtures::{self, silent};
use crate::serve::client::Server;
use crate::support::{DEADLINE, run, wait_for};

/// Connections to this port whose both ends are open, as the kernel has them.
fn open(port: u16) -> usize {
    const ESTABLISHED: &str = "01";
    let text = fs::read_to_string("/proc/net/tcp").expect("the kernel's list");
    let lines = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let here = format!(":{port:04X}");
    lines.filter(|fields| fields[1].ends_with(&here) && fields[3] == ESTABLISHED).count()
}

/// A server that never says a word keeps every connection until it is given up.
#[test]
fn no_more_connections_are_open_at_a_time_than_are_allowed() {
    for (most, timeout) in [(1, "200ms"), (3, "2s")] {
        let seen = Arc::new(AtomicUsize::new(0));
        let noted = seen.clone();
        let server = fixtures::Server::start(move |stream, hits| {
            hits.fetch_add(1, Ordering::SeqCst);
            let port = stream.local_addr().expect("an address").port();
            noted.fetch_max(open(port), Ordering::SeqCst);
            let _ = std::io::copy(&mut &stream, &mut std::io::sink());
        });
        let (target, limit) = (format!("tls://{}", server.address), most.to_string());
        let run = run(&["tls", "check", &target, "--timeout", timeout, "--max-conns", &limit, "--json"]);
        assert_eq!(run.code, Some(3), "{run:?}");
        assert_eq!(seen.load(Ordering::SeqCst), most, "at most {most} at a time");
        let connections = run.json()["data"]["targets"][0]["connections"].as_u64().expect("a number");
        assert!(connections > 5, "{connections} in all");
        wait_for("all of them", || (server.hits() as u64 == connections).then_some(()));
    }
}

/// Whatever is done for one of them takes far longer than this test.
#[test]
fn a_server_that_stalls_costs_nobody_else_anything() {
    let (stalling, server) = (silent(), Server::start(&["--tls", "self-signed"]));
    let port = server.address().port();
    let mut all = vec![(stalling.address.port(), None); 3];
    all.extend(["a.test", "b.test", "c.test"].map(|name| (port, Some(name.to_owned()))));
    let targets = all.iter().map(|(port, name)| Target {
        shown: format!("{port}"),
        place: Place::Endpoint(Endpoint {
            host: "127.0.0.1".to_owned(),
            port: *port,
            server_name: name.clone(),
            starttls: None,
            http_path: None,
        }),
    });
    let plan = Arc::new(plan(targets.collect()));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (snapshots, mut seen) = watch::channel(Snapshot::default());
    let stop = CancellationToken::new();
    let checked = runtime.spawn(check(plan, Some(snapshots), stop.clone()));
    let others = async { seen.wait_for(|snapshot| snapshot.done == 3).await.is_ok() };
    let done = runtime.block_on(async { tokio::time::timeout(DEADLINE, others).await });
    assert_eq!(done, Ok(true), "the others are not done");
    stop.cancel();
    let checked = runtime.block_on(checked).expect("no panic");
    let spoken: Vec<bool> = checked.iter().map(|target| target.observed.session.is_some()).collect();
    assert_eq!(spoken, [false, false, false, true, true, true]);
}

fn plan(targets: Vec<Target>) -> Plan {
    Plan {
        targets,
        policy: Policy::default(),
        roots: Roots::default(),
        at: "2026-06-01T00:00:00Z".parse().expect("a time"),
        warn: Threshold::WARN,
        crit: Threshold::CRIT,
        depth: Depth::Full,
        timeout: Duration::from_secs(600),
        max_conns: 8,
        all_addresses: false,
        identity: None,
        password: None,
        file_name: None,
        key: None,
        leaf: None,
        crls: Vec::new(),
        fetch_crls: false,
        aia: false,
        overrides: Overrides::default(),
    }
}
