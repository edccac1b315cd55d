//! etcd, one member at a time.

use super::{assert_down, assert_up, call};
use crate::etcd::{Etcd, Options};
use crate::support::wait_for;

fn url(etcd: &Etcd, i: usize) -> String {
    etcd.urls()[i].replace("http", "etcd")
}

#[test]
fn a_member_is_up_while_it_has_a_quorum() {
    let mut etcd = Etcd::cluster(3);
    let leader = etcd.leader();
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    assert_up(&url(&etcd, leader), &[], "leader, version 3.");
    assert_up(&url(&etcd, one), &["--expect-json", "$.raftTerm"], "follower of ");
    etcd.kill(other);
    assert_down(&url(&etcd, other), &[], "connect.refused", "connection refused");
    assert_up(&url(&etcd, leader), &[], "leader");
    etcd.kill(one);
    wait_for("the leader to miss its followers", || {
        (call(&url(&etcd, leader), &[]).1["reason"] == "etcd.unhealthy").then_some(())
    });
    etcd.restart(one);
    wait_for("the quorum", || (call(&url(&etcd, leader), &[]).0 == Some(0)).then_some(()));
    etcd.stop(leader);
    assert_down(&url(&etcd, leader), &["--timeout", "300ms"], "timeout", "while waiting for the first byte");
    etcd.cont(leader);
}

#[test]
fn an_alarm_is_told() {
    let quota = ["--quota-backend-bytes", "100000"].map(str::to_owned);
    let etcd = Etcd::start(1, Options { more: quota.into(), ..Options::default() });
    let value = "x".repeat(50_000);
    // Space counts once it is committed.
    wait_for("the alarm", || {
        let _ = etcd.ctl().args(["put", "k", &value]).output().unwrap();
        (call(&url(&etcd, 0), &[]).0 == Some(1)).then_some(())
    });
    assert_down(&url(&etcd, 0), &[], "etcd.unhealthy", "NOSPACE");
}

#[test]
fn another_release_and_authentication_make_no_difference() {
    let mut etcd = Etcd::single_3_5();
    assert_up(&url(&etcd, 0), &[], "leader, version 3.5.");
    etcd.authenticate("secret", "me", "/");
    assert_up(&url(&etcd, 0), &[], "leader, version 3.5.");
}
